#pragma once

#include <cstdint>

#include <halfbyte/bits.hpp>
#include <halfbyte/config.hpp>

namespace halfbyte {

/// Which patterns of a format are not finite numbers.
enum class specials {
  none,      ///< every pattern is a finite number (OCP MX FP4 and FP6)
  nan,       ///< the all-ones pattern of each sign is NaN, no infinity (OCP OFP8 E4M3, OCP E8M0)
  infinity,  ///< IEEE 754: the largest exponent holds infinity and NaN (OCP OFP8 E5M2)
  fnuz       ///< the pattern of negative zero is the one NaN, no infinity
};

/// How a number is written in a few bits: sign, exponent and mantissa fields, from the top.
///
///     S EEEE MMM     value = (-1)^S * 2^(E - bias) * 1.M     E > 0
///                          = (-1)^S * 2^(1 - bias) * 0.M     E = 0
///
/// Two kinds differ from the diagram:
/// - `exponent_bits == 0` is fixed point: two's complement, steps of 2^(1 - bias - mantissa_bits),
///   used symmetrically (the most negative pattern is read, never written).
/// - `sign_bits == 0 && mantissa_bits == 0` is a pure power of two: it has no zero, pattern 0 is
///   2^-bias.
///
/// A structural type: formats are template arguments. Sources: OCP OFP8 v1.0, OCP MX v1.0.
struct format {
  int exponent_bits, mantissa_bits, bias;
  specials special = specials::none;
  int sign_bits = 1;

  HALFBYTE_HD constexpr int bits() const { return sign_bits + exponent_bits + mantissa_bits; }
  HALFBYTE_HD constexpr bool has_sign() const { return sign_bits != 0; }
  HALFBYTE_HD constexpr bool fixed_point() const { return exponent_bits == 0; }
  HALFBYTE_HD constexpr bool has_zero() const { return sign_bits != 0 || mantissa_bits != 0; }
  HALFBYTE_HD constexpr bool has_nan() const { return special != specials::none; }
  HALFBYTE_HD constexpr bool has_infinity() const { return special == specials::infinity; }
  HALFBYTE_HD constexpr bool has_negative_zero() const {
    return has_sign() && !fixed_point() && special != specials::fnuz;
  }

  /// All bits of a pattern, and those below the sign.
  HALFBYTE_HD constexpr std::uint32_t mask() const { return ones(bits()); }
  HALFBYTE_HD constexpr std::uint32_t magnitude_mask() const { return ones(bits() - sign_bits); }
  HALFBYTE_HD constexpr std::uint32_t sign_mask() const { return mask() ^ magnitude_mask(); }

  /// Pattern of the largest finite number.
  HALFBYTE_HD constexpr std::uint32_t max_pattern() const {
    if (special == specials::infinity) return infinity_pattern() - 1;
    return magnitude_mask() - (special == specials::nan ? 1 : 0);
  }
  /// Pattern of the smallest positive number.
  HALFBYTE_HD constexpr std::uint32_t min_pattern() const { return has_zero() ? 1 : 0; }
  /// Pattern of the smallest positive number with a full mantissa; that of 1 step in fixed point.
  HALFBYTE_HD constexpr std::uint32_t min_normal_pattern() const {
    return has_zero() && !fixed_point() ? 1u << mantissa_bits : min_pattern();
  }
  /// Pattern of positive infinity. Needs has_infinity().
  HALFBYTE_HD constexpr std::uint32_t infinity_pattern() const {
    return ones(exponent_bits) << mantissa_bits;
  }
  /// Pattern of the canonical NaN: positive, all bits one; the sign bit alone in fnuz formats.
  /// Needs has_nan().
  HALFBYTE_HD constexpr std::uint32_t nan_pattern() const {
    return special == specials::fnuz ? sign_mask() : magnitude_mask();
  }
  HALFBYTE_HD constexpr bool is_nan(std::uint32_t pattern) const {
    if (special == specials::fnuz) return (pattern & mask()) == sign_mask();
    return has_nan() && (pattern & magnitude_mask()) > (has_infinity() ? infinity_pattern()
                                                                       : max_pattern());
  }
  HALFBYTE_HD constexpr bool is_infinity(std::uint32_t pattern) const {
    return has_infinity() && (pattern & magnitude_mask()) == infinity_pattern();
  }

  /// Exponent of the smallest number with a full mantissa: it is 2^min_exponent().
  HALFBYTE_HD constexpr int min_exponent() const { return has_zero() ? 1 - bias : -bias; }
  /// Exponent of the last place of the smallest numbers: they are multiples of 2^quantum().
  HALFBYTE_HD constexpr int quantum() const { return min_exponent() - mantissa_bits; }
  /// Exponent of the largest number: floor(log2(max)). OCP MX calls it emax.
  HALFBYTE_HD constexpr int max_exponent() const {
    const int field = static_cast<int>(max_pattern() >> mantissa_bits);
    return field > 0 || !has_zero() ? field - bias : quantum() + bit_width(max_pattern()) - 1;
  }

  /// A format this library can hold: 2 to 16 bits (or float32), every value exact in a float.
  HALFBYTE_HD constexpr bool valid() const {
    const bool fields = exponent_bits >= 0 && exponent_bits <= 8 && mantissa_bits >= 0 &&
                        (sign_bits == 0 || sign_bits == 1);
    const bool size = (bits() >= 2 && bits() <= 16) || (bits() == 32 && mantissa_bits == 23);
    const bool kind = fixed_point() ? has_sign() && special == specials::none
                                    : special == specials::none ||
                                          (special == specials::fnuz ? has_sign()
                                                                     : magnitude_mask() > 1);
    const bool infinity_fits = special != specials::infinity || mantissa_bits > 0;
    return fields && size && kind && infinity_fits && quantum() >= -149 && max_exponent() <= 127 &&
           max_pattern() > 0;
  }

  friend constexpr bool operator==(const format&, const format&) = default;

 private:
  HALFBYTE_HD static constexpr std::uint32_t ones(int n) {
    return n >= 32 ? ~std::uint32_t{0} : (std::uint32_t{1} << n) - 1;
  }
};

// 4 and 6 bits: OCP MX v1.0. Every pattern is finite.
inline constexpr format e2m1{2, 1, 1};
inline constexpr format e2m3{2, 3, 1};
inline constexpr format e3m2{3, 2, 3};

// 8 bits: OCP OFP8 v1.0, IEEE-like E3M4, and the negative-zero-is-NaN forms of AMD and Graphcore.
inline constexpr format e4m3{4, 3, 7, specials::nan};
inline constexpr format e5m2{5, 2, 15, specials::infinity};
inline constexpr format e3m4{3, 4, 3, specials::infinity};
inline constexpr format e4m3fnuz{4, 3, 8, specials::fnuz};
inline constexpr format e5m2fnuz{5, 2, 16, specials::fnuz};

// Scales: OCP MX v1.0 E8M0, and the unsigned E4M3 of NVFP4 (7 bits).
inline constexpr format ue8m0{8, 0, 127, specials::nan, 0};
inline constexpr format ue4m3{4, 3, 7, specials::nan, 0};

// 16 and 32 bits.
inline constexpr format bfloat16{8, 7, 127, specials::infinity};
inline constexpr format float16{5, 10, 15, specials::infinity};
inline constexpr format float32{8, 23, 127, specials::infinity};

// Fixed point: integers -127 ... 127 and -7 ... 7, and OCP MX INT8, the same in steps of 1/64.
inline constexpr format int8{0, 7, -6};
inline constexpr format int4{0, 3, -2};
inline constexpr format fixed8{0, 7, 0};

}  // namespace halfbyte
