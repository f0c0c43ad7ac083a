#pragma once

#include <cstdint>

#include <halfbyte/bits.hpp>
#include <halfbyte/encode.hpp>
#include <halfbyte/format.hpp>
#include <halfbyte/minifloat.hpp>
#include <halfbyte/unpacked.hpp>

namespace halfbyte {

namespace detail {

/// What a digit stands for; 16 for what is none.
consteval std::uint64_t digit(char c) {
  const int lower = c | 0x20;
  const int value = c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
  return value < 0 ? 16 : static_cast<std::uint64_t>(value);
}

/// The number of a floating literal, decimal or hexadecimal: below 2^23, exactly to 2^-40 and then
/// sticky; beyond that, no less than 2^23.
consteval unpacked read_literal(const char* text) {
  const bool hexadecimal = text[0] == '0' && (text[1] | 0x20) == 'x';
  const std::uint64_t base = hexadecimal ? 16 : 10;
  if (hexadecimal) text += 2;

  // 1. Where the digits end, how many of them stand before the point, and the exponent.
  const char* end = text;
  int digits = 0, point = -1, exponent = 0;
  for (; *end != 0 && (*end | 0x20) != (hexadecimal ? 'p' : 'e'); ++end) {
    if (*end == '.') point = digits;
    if (digit(*end) < base) ++digits;
  }
  for (const char* c = end; *c != 0; ++c) {
    if (digit(*c) < 10) exponent = smaller(10 * exponent + static_cast<int>(digit(*c)), 10000);
  }
  if (*end != 0 && end[1] == '-') exponent = -exponent;
  if (point < 0) point = digits;
  point += hexadecimal ? exponent >> 2 : exponent;  // a digit is four bits

  // 2. Digits before the point count from the first to the last. Those behind it, from the last to
  //    the first: floor((d + x) / base) is floor((d + floor(x)) / base), so each step may round.
  std::uint64_t whole = 0, fraction = 0;
  bool lost = false;
  const auto before = [&](std::uint64_t d) {
    whole = smaller(whole * base + d, std::uint64_t{1} << 23);
  };
  const auto behind = [&](std::uint64_t d) {
    const std::uint64_t sum = (d << 40) + fraction;
    lost = lost || sum % base != 0;
    fraction = sum / base;
  };
  int place = 0;
  for (const char* c = text; c != end; ++c) {
    if (digit(*c) < base && place++ < point) before(digit(*c));
  }
  for (; place < point; ++place) before(0);
  place = digits;
  for (const char* c = end; c != text;) {
    if (digit(*--c) < base && --place >= point) behind(digit(*c));
  }
  for (; place > point; --place) behind(0);
  return unpack_integer(whole << 40 | fraction | (lost ? 1 : 0),
                        (hexadecimal ? exponent & 3 : 0) - 40);
}

template <format F>
consteval minifloat<F> literal(const char* text) {
  return minifloat<F>::from_pattern(encode<format(F)>(read_literal(text)));
}

}  // namespace detail

/// `1.5_e2m1` and `3_e2m1`: numbers of the formats that people write by hand, rounded once whatever
/// their digits; those out of range saturate.
namespace literals {
consteval auto operator""_e2m1(const char* text) { return detail::literal<e2m1>(text); }
consteval auto operator""_e2m3(const char* text) { return detail::literal<e2m3>(text); }
consteval auto operator""_e3m2(const char* text) { return detail::literal<e3m2>(text); }
consteval auto operator""_e4m3(const char* text) { return detail::literal<e4m3>(text); }
consteval auto operator""_e5m2(const char* text) { return detail::literal<e5m2>(text); }
consteval auto operator""_e2m1(unsigned long long x) { return float4_e2m1(x); }
consteval auto operator""_e2m3(unsigned long long x) { return float6_e2m3(x); }
consteval auto operator""_e3m2(unsigned long long x) { return float6_e3m2(x); }
consteval auto operator""_e4m3(unsigned long long x) { return float8_e4m3(x); }
consteval auto operator""_e5m2(unsigned long long x) { return float8_e5m2(x); }
}  // namespace literals

}  // namespace halfbyte
