#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>  // declares std::hash, at a third of the time of <functional>
#include <type_traits>

#include <halfbyte/config.hpp>
#include <halfbyte/encode.hpp>
#include <halfbyte/format.hpp>
#include <halfbyte/unpacked.hpp>

namespace halfbyte {

/// A number of format F as a scalar type: arithmetic is done in float and rounded once, to nearest
/// even, saturating. Sums of many terms belong in a float.
///
/// Comparisons are those of the numbers: NaN equals nothing, the two zeros are equal.
template <format F>
struct minifloat {
  static_assert(F.valid(), "not a format that halfbyte can hold: see format::valid()");
  using storage =
      std::conditional_t<F.bits() <= 8, std::uint8_t,
                         std::conditional_t<F.bits() <= 16, std::uint16_t, std::uint32_t>>;

  /// F again. Templates that hand on a parameter do it as a copy: of a function first met with the
  /// bare parameter, nvcc 13 forgets the name, and then a direct call in a .cu file fails.
  static constexpr format layout = F;

  storage pattern;

  minifloat() = default;
  template <class T>
    requires(std::same_as<T, float> || std::same_as<T, double> || std::integral<T>)
  HALFBYTE_HD constexpr explicit minifloat(T x)
      : pattern(static_cast<storage>(encode<layout>(x))) {}
  template <format G>
    requires(G != F)
  HALFBYTE_HD constexpr explicit minifloat(minifloat<G> x)
      : pattern(static_cast<storage>(encode<layout>(x))) {}

  HALFBYTE_HD static constexpr minifloat from_pattern(std::uint32_t pattern) {
    minifloat x{};
    x.pattern = static_cast<storage>(pattern & F.mask());
    return x;
  }

  HALFBYTE_HD constexpr explicit operator float() const { return decode<layout>(pattern); }
  HALFBYTE_HD constexpr explicit operator double() const {
    return to_double(unpack<layout>(pattern));
  }

  /// The nearest number in a format without negative zero, where -0 is 0.
  HALFBYTE_HD constexpr minifloat operator-() const {
    unpacked x = unpack<layout>(pattern);
    x.negative = !x.negative;
    return from_pattern(encode<layout>(x, nearest_even{}, saturate_finite{}));
  }
  HALFBYTE_HD constexpr minifloat operator+() const { return *this; }

  HALFBYTE_HD friend constexpr minifloat operator+(minifloat a, minifloat b) {
    return minifloat(decode<layout>(a.pattern) + decode<layout>(b.pattern));
  }
  HALFBYTE_HD friend constexpr minifloat operator-(minifloat a, minifloat b) {
    return minifloat(decode<layout>(a.pattern) - decode<layout>(b.pattern));
  }
  HALFBYTE_HD friend constexpr minifloat operator*(minifloat a, minifloat b) {
    return minifloat(decode<layout>(a.pattern) * decode<layout>(b.pattern));
  }
  HALFBYTE_HD friend constexpr minifloat operator/(minifloat a, minifloat b) {
    return minifloat(decode<layout>(a.pattern) / decode<layout>(b.pattern));
  }
  HALFBYTE_HD constexpr minifloat& operator+=(minifloat b) { return *this = *this + b; }
  HALFBYTE_HD constexpr minifloat& operator-=(minifloat b) { return *this = *this - b; }
  HALFBYTE_HD constexpr minifloat& operator*=(minifloat b) { return *this = *this * b; }
  HALFBYTE_HD constexpr minifloat& operator/=(minifloat b) { return *this = *this / b; }

  // Comparisons read the patterns, so they hold where a compiler assumes that NaN does not exist.
  HALFBYTE_HD friend constexpr bool operator==(minifloat a, minifloat b) {
    return ordered(a, b) && a.place() == b.place();
  }
  HALFBYTE_HD friend constexpr bool operator<(minifloat a, minifloat b) {
    return ordered(a, b) && a.place() < b.place();
  }
  HALFBYTE_HD friend constexpr bool operator>(minifloat a, minifloat b) { return b < a; }
  HALFBYTE_HD friend constexpr bool operator<=(minifloat a, minifloat b) {
    return ordered(a, b) && a.place() <= b.place();
  }
  HALFBYTE_HD friend constexpr bool operator>=(minifloat a, minifloat b) { return b <= a; }
  // On the host alone: the standard's orderings are not device code, so the others stay.
  friend constexpr std::partial_ordering operator<=>(minifloat a, minifloat b) {
    if (!ordered(a, b)) return std::partial_ordering::unordered;
    return a.place() <=> b.place();
  }

  /// The place of this number in the line of all numbers of F: neighbours differ by 1, zero has 0.
  /// Needs a number that is not NaN.
  HALFBYTE_HD constexpr std::int64_t place() const {
    const auto size = static_cast<std::int64_t>(pattern & F.magnitude_mask());
    if ((pattern & F.sign_mask()) == 0) return size;
    return F.fixed_point() ? size - static_cast<std::int64_t>(F.sign_mask()) : -size;
  }
  HALFBYTE_HD constexpr bool is_nan() const { return F.is_nan(pattern); }
  HALFBYTE_HD constexpr bool is_infinity() const { return F.is_infinity(pattern); }
  HALFBYTE_HD constexpr bool is_finite() const { return !is_nan() && !is_infinity(); }

 private:
  HALFBYTE_HD static constexpr bool ordered(minifloat a, minifloat b) {
    return !a.is_nan() && !b.is_nan();
  }
};

template <format F>
HALFBYTE_HD constexpr unpacked unpack(minifloat<F> x) {
  return unpack<format(F)>(std::uint32_t{x.pattern});
}

using float4_e2m1 = minifloat<e2m1>;
using float6_e2m3 = minifloat<e2m3>;
using float6_e3m2 = minifloat<e3m2>;
using float8_e3m4 = minifloat<e3m4>;
using float8_e4m3 = minifloat<e4m3>;
using float8_e5m2 = minifloat<e5m2>;
using float8_e4m3fnuz = minifloat<e4m3fnuz>;
using float8_e5m2fnuz = minifloat<e5m2fnuz>;
using float8_ue8m0 = minifloat<ue8m0>;
using float8_ue4m3 = minifloat<ue4m3>;

}  // namespace halfbyte

template <halfbyte::format F>
struct std::numeric_limits<halfbyte::minifloat<F>> {
 private:
  using number = halfbyte::minifloat<F>;
  static constexpr double to(std::uint32_t p) {
    return static_cast<double>(number::from_pattern(p));
  }
  static constexpr std::uint32_t min_normal =
      F.min_normal_pattern() <= F.max_pattern() ? F.min_normal_pattern() : F.min_pattern();
  /// Largest n with 10^n <= x.
  static constexpr int floor_log10(double x) {
    int n = 0;
    for (; x >= 10; x /= 10) ++n;
    for (; x < 1; x *= 10) --n;
    return n;
  }

 public:
  static constexpr bool is_specialized = true;
  static constexpr bool is_signed = F.has_sign();
  static constexpr bool is_integer = F.fixed_point() && F.quantum() >= 0;
  static constexpr bool is_exact = is_integer;
  static constexpr bool has_infinity = F.has_infinity();
  static constexpr bool has_quiet_NaN = F.has_nan();
  static constexpr bool has_signaling_NaN = false;
  static constexpr float_denorm_style has_denorm =
      !F.fixed_point() && F.mantissa_bits > 0 ? denorm_present : denorm_absent;
  static constexpr bool has_denorm_loss = false;
  static constexpr float_round_style round_style = round_to_nearest;
  static constexpr bool is_iec559 = false;  // arithmetic saturates
  static constexpr bool is_bounded = true;
  static constexpr bool is_modulo = false;
  static constexpr int digits = F.fixed_point() ? F.mantissa_bits : F.mantissa_bits + 1;
  static constexpr int digits10 = (digits - (is_integer ? 0 : 1)) * 30103 / 100000;
  static constexpr int max_digits10 = is_integer ? 0 : 2 + digits * 30103 / 100000;
  static constexpr int radix = 2;
  static constexpr int min_exponent =
      is_integer ? 0 : halfbyte::unpack<F>(min_normal).exponent + 1;
  static constexpr int min_exponent10 = is_integer ? 0 : floor_log10(to(min_normal) * 0.99) + 1;
  static constexpr int max_exponent = is_integer ? 0 : F.max_exponent() + 1;
  static constexpr int max_exponent10 = is_integer ? 0 : floor_log10(to(F.max_pattern()));
  static constexpr bool traps = false;
  static constexpr bool tinyness_before = false;

  static constexpr number min() noexcept {
    return is_integer ? lowest() : number::from_pattern(min_normal);
  }
  static constexpr number max() noexcept { return number::from_pattern(F.max_pattern()); }
  static constexpr number lowest() noexcept {
    return F.has_sign() ? -max() : number::from_pattern(0);
  }
  static constexpr number epsilon() noexcept {
    if (is_integer) return number::from_pattern(0);
    // The last place of 1, or of the smallest numbers where those are above 1.
    constexpr int place = F.fixed_point() ? F.quantum() : -F.mantissa_bits;
    return number(halfbyte::exp2i(halfbyte::larger(place, F.quantum())));
  }
  static constexpr number round_error() noexcept { return number(is_integer ? 0.0 : 0.5); }
  static constexpr number infinity() noexcept {
    return number::from_pattern(F.has_infinity() ? F.infinity_pattern() : 0);
  }
  static constexpr number quiet_NaN() noexcept {
    return number::from_pattern(F.has_nan() ? F.nan_pattern() : 0);
  }
  static constexpr number signaling_NaN() noexcept { return quiet_NaN(); }
  static constexpr number denorm_min() noexcept {
    return number::from_pattern(is_integer ? 0 : F.min_pattern());
  }
};

template <halfbyte::format F>
struct std::hash<halfbyte::minifloat<F>> {
  constexpr std::size_t operator()(halfbyte::minifloat<F> x) const noexcept {
    return (x.pattern & F.magnitude_mask()) == 0 && F.has_negative_zero() ? 0 : x.pattern;
  }
};
