#pragma once

#include <concepts>
#include <cstdint>

#include <halfbyte/bits.hpp>
#include <halfbyte/config.hpp>
#include <halfbyte/format.hpp>

namespace halfbyte {

enum class number_kind : std::uint8_t { zero, finite, infinite, nan };

/// Any number of any source, exactly, as integers: the common ground of all conversions.
///
/// A finite one is (-1)^negative * significand / 2^63 * 2^exponent with bit 63 set, so `exponent`
/// is floor(log2|x|). Bit 0 is sticky: set when nonzero bits were lost below it. Everything here
/// is integer code: no compiler flag, rounding direction or flush-to-zero mode changes a result.
struct unpacked {
  std::uint64_t significand = 0;
  int exponent = 0;
  number_kind kind = number_kind::zero;
  bool negative = false;

  HALFBYTE_HD constexpr bool is_zero() const { return kind == number_kind::zero; }
  HALFBYTE_HD constexpr bool is_finite() const {
    return kind == number_kind::zero || kind == number_kind::finite;
  }
};

/// `integer` * 2^exponent.
HALFBYTE_HD constexpr unpacked unpack_integer(std::uint64_t integer, int exponent,
                                              bool negative = false) {
  if (integer == 0) return {0, 0, number_kind::zero, negative};
  const int width = bit_width(integer);
  return {integer << (64 - width), exponent + width - 1, number_kind::finite, negative};
}

/// The number that `pattern` means in format F.
template <format F>
HALFBYTE_HD constexpr unpacked unpack(std::uint32_t pattern) {
  static_assert(F.valid(), "not a format that halfbyte can hold: see format::valid()");
  pattern &= F.mask();
  bool negative = (pattern & F.sign_mask()) != 0;
  std::uint32_t magnitude = pattern & F.magnitude_mask();
  if constexpr (F.fixed_point()) {
    if (negative) magnitude = F.sign_mask() - magnitude;  // two's complement
    return unpack_integer(magnitude, F.quantum(), negative);
  }
  if (F.is_nan(pattern)) return {0, 0, number_kind::nan, negative};
  if (F.is_infinity(pattern)) return {0, 0, number_kind::infinite, negative};
  const std::uint32_t field = magnitude >> F.mantissa_bits;
  const std::uint32_t hidden = 1u << F.mantissa_bits;
  const std::uint32_t fraction = magnitude & (hidden - 1);
  if (field == 0 && F.has_zero()) return unpack_integer(fraction, F.quantum(), negative);
  const int exponent = static_cast<int>(field) - F.bias - F.mantissa_bits;
  return unpack_integer(hidden | fraction, exponent, negative);
}

HALFBYTE_HD constexpr unpacked unpack(float x) {
  return unpack<float32>(bit_cast<std::uint32_t>(x));
}

HALFBYTE_HD constexpr unpacked unpack(double x) {
  const auto bits = bit_cast<std::uint64_t>(x);
  const bool negative = (bits >> 63) != 0;
  const int field = static_cast<int>((bits >> 52) & 0x7ff);
  const std::uint64_t fraction = bits & low_mask(52);
  if (field == 0x7ff) {
    return {0, 0, fraction != 0 ? number_kind::nan : number_kind::infinite, negative};
  }
  if (field == 0) return unpack_integer(fraction, -1074, negative);
  return unpack_integer(fraction | (std::uint64_t{1} << 52), field - 1075, negative);
}

template <std::integral T>
HALFBYTE_HD constexpr unpacked unpack(T x) {
  const auto bits = static_cast<std::uint64_t>(x);
  if constexpr (std::signed_integral<T>) {
    if (x < 0) return unpack_integer(std::uint64_t{0} - bits, 0, true);
  }
  return unpack_integer(bits, 0);
}

HALFBYTE_HD constexpr unpacked unpack(const unpacked& x) { return x; }

/// `x` as a double, exactly. Needs at most 53 significant bits, and |x| at least 2^-1022 or zero.
HALFBYTE_HD constexpr double to_double(const unpacked& x) {
  std::uint64_t bits = std::uint64_t{x.negative} << 63;
  if (x.kind == number_kind::finite) {
    bits |= static_cast<std::uint64_t>(x.exponent + 1023) << 52;
    bits |= (x.significand >> 11) & low_mask(52);
  } else if (x.kind != number_kind::zero) {
    bits |= std::uint64_t{x.kind == number_kind::nan ? 0x7ff8u : 0x7ff0u} << 48;
  }
  return bit_cast<double>(bits);
}

/// |x|.
HALFBYTE_HD constexpr unpacked magnitude(unpacked x) {
  x.negative = false;
  return x;
}

/// x * 2^k, exactly.
HALFBYTE_HD constexpr unpacked times_exp2(unpacked x, int k) {
  x.exponent += k;
  return x;
}

/// Whether |a| < |b|. Needs two finite numbers.
HALFBYTE_HD constexpr bool magnitude_less(const unpacked& a, const unpacked& b) {
  if (a.is_zero() || b.is_zero()) return a.is_zero() && !b.is_zero();
  return a.exponent != b.exponent ? a.exponent < b.exponent : a.significand < b.significand;
}

/// a * b to 64 bits, the rest sticky: exact when the operands' significands have at most 63 bits
/// together. Zero times infinity is NaN.
HALFBYTE_HD constexpr unpacked product(const unpacked& a, const unpacked& b) {
  const bool negative = a.negative != b.negative;
  const bool nan = a.kind == number_kind::nan || b.kind == number_kind::nan;
  if (nan || (a.is_zero() && !b.is_finite()) || (b.is_zero() && !a.is_finite())) {
    return {0, 0, number_kind::nan, negative};
  }
  if (!a.is_finite() || !b.is_finite()) return {0, 0, number_kind::infinite, negative};
  if (a.is_zero() || b.is_zero()) return {0, 0, number_kind::zero, negative};

  // 64 x 64 -> 128 bits from four 32 x 32 products.
  const std::uint64_t a1 = a.significand >> 32, a0 = a.significand & low_mask(32);
  const std::uint64_t b1 = b.significand >> 32, b0 = b.significand & low_mask(32);
  const std::uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
  const std::uint64_t cross = a0 * b1 + (middle & low_mask(32));
  std::uint64_t high = a1 * b1 + (middle >> 32) + (cross >> 32);
  std::uint64_t low = (cross << 32) | (a0 * b0 & low_mask(32));
  int exponent = a.exponent + b.exponent + 1;
  if ((high >> 63) == 0) {
    high = (high << 1) | (low >> 63);
    low <<= 1;
    --exponent;
  }
  return {high | (low != 0 ? 1u : 0u), exponent, number_kind::finite, negative};
}

/// a / b to 63 bits, the rest sticky. Needs b finite, not zero, of at most 32 significant bits.
HALFBYTE_HD constexpr unpacked quotient(const unpacked& a, const unpacked& b) {
  const bool negative = a.negative != b.negative;
  if (a.kind != number_kind::finite) return {0, 0, a.kind, negative};

  // Two steps of long division, 32 bits each: the first quotient digit is below 2^32.
  const std::uint64_t divisor = b.significand >> 32;
  const std::uint64_t dividend = a.significand >> 1;
  const std::uint64_t first = dividend / divisor;
  const std::uint64_t rest = (dividend % divisor) << 32;
  std::uint64_t significand = (first << 32) | (rest / divisor);
  int exponent = a.exponent - b.exponent;
  if ((significand >> 63) == 0) {
    significand <<= 1;
    --exponent;
  }
  const bool lost = rest % divisor != 0 || (a.significand & 1) != 0;
  return {significand | (lost ? 1u : 0u), exponent, number_kind::finite, negative};
}

/// The square root of a finite number that is not negative, to 32 bits (error below 1 in the last).
HALFBYTE_HD constexpr unpacked square_root(const unpacked& x) {
  if (x.kind != number_kind::finite) return x;
  const int odd = x.exponent & 1;
  const std::uint64_t root = integer_sqrt(odd != 0 ? x.significand : x.significand >> 1);
  return unpack_integer(root, (x.exponent - odd) / 2 - 31);
}

}  // namespace halfbyte
