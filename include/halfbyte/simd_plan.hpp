#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <halfbyte/bits.hpp>
#include <halfbyte/block.hpp>
#include <halfbyte/block_format.hpp>
#include <halfbyte/encode.hpp>
#include <halfbyte/format.hpp>
#include <halfbyte/minifloat.hpp>
#include <halfbyte/overflow.hpp>
#include <halfbyte/pack.hpp>
#include <halfbyte/quantized.hpp>
#include <halfbyte/rounding.hpp>
#include <halfbyte/scale.hpp>
#include <halfbyte/view.hpp>

// What the vector loops of simd.hpp can do, and what they need to know beforehand.

namespace halfbyte::detail {

/// Numbers handled between two looks at the scales: a multiple of every word, in every L1 cache.
inline constexpr int chunk = 512;

/// What the vector loops need to know of a rounding policy; `known` only for those of this library.
template <class Rounding>
struct rounding_traits {
  static constexpr bool directed = std::is_same_v<Rounding, upward> ||
                                   std::is_same_v<Rounding, downward> ||
                                   std::is_same_v<Rounding, to_odd>;
  static constexpr bool known = directed || std::is_same_v<Rounding, nearest_even> ||
                                std::is_same_v<Rounding, nearest_away> ||
                                std::is_same_v<Rounding, nearest_toward_zero> ||
                                std::is_same_v<Rounding, toward_zero>;
  static constexpr int bits = 0;  ///< random bits drawn
  static constexpr bool unbiased = false;
};
template <int Bits>
struct rounding_traits<stochastic<Bits>> {
  static constexpr bool directed = false, known = true, unbiased = false;
  static constexpr int bits = Bits;
};
template <int Bits>
struct rounding_traits<stochastic_unbiased<Bits>> {
  static constexpr bool directed = false, known = true, unbiased = true;
  static constexpr int bits = Bits;
};

template <class Overflow>
inline constexpr bool known_overflow =
    std::is_same_v<Overflow, saturate> || std::is_same_v<Overflow, to_special> ||
    std::is_same_v<Overflow, saturate_finite>;

template <class T>
inline constexpr bool vector_source =
    std::is_same_v<T, float> || std::is_same_v<T, minifloat<bfloat16>> ||
    std::is_same_v<T, minifloat<float16>>;

/// Formats whose packed rows vectors can write and read.
template <format F>
inline constexpr bool vector_format =
    (F.bits() == 4 || F.bits() == 6 || F.bits() == 8 || F.bits() == 16) && F.has_zero();

/// Whether a row of T can be encoded in vectors.
template <format F, class T, class Rounding, class Overflow>
inline constexpr bool vector_encode =
    vector_format<F>&& vector_source<T>&& rounding_traits<Rounding>::known&&
        known_overflow<Overflow> &&
    !(rounding_traits<Rounding>::unbiased &&
      rounding_traits<Rounding>::bits > 23 - F.mantissa_bits);

/// For each magnitude of e2m1 but zero, the largest float (its bits) that stays below it: the
/// pattern of x / d is how many of them |x| is above.
struct e2m1_steps {
  std::uint32_t below[8];  ///< the last is unused: 32 bytes move as one
};

/// Policies that round e2m1 at a boundary between two numbers, or at the upper one.
template <class Rounding>
inline constexpr bool steps_of_e2m1 =
    std::is_same_v<Rounding, nearest_even> || std::is_same_v<Rounding, nearest_away> ||
    std::is_same_v<Rounding, nearest_toward_zero> || std::is_same_v<Rounding, toward_zero>;

/// The steps of numbers that are divided by `by`, of at most 32 significant bits: exact integers.
/// Needs all of them normal floats.
template <class Rounding>
constexpr e2m1_steps steps_at(const unpacked& by) {
  constexpr std::uint64_t quarters[8] = {0, 2, 4, 6, 8, 12, 16, 24};  // 4 * magnitude
  e2m1_steps steps{};
  for (int c = 1; c < 8; ++c) {
    const bool odd = c % 2 == 0;  // of the pattern below
    const bool half = Rounding{}.away({dropped::half + 1, odd, false}, 0);
    const bool reached = !half || Rounding{}.away({dropped::half, odd, false}, 0);
    const std::uint64_t boundary = half ? (quarters[c - 1] + quarters[c]) / 2 : quarters[c];
    const std::uint64_t product = boundary * (by.significand >> 32);
    const int cut = bit_width(product) - 24;
    const std::uint64_t kept = product >> cut;
    const bool exact = (product & low_mask(cut)) == 0;
    const auto exponent = static_cast<std::uint32_t>(by.exponent - 31 - 2 + cut + 23 + 127);
    const std::uint32_t bits =
        (exponent << 23) + static_cast<std::uint32_t>(kept - (std::uint64_t{1} << 23));
    steps.below[c - 1] = exact && reached ? bits - 1 : bits;
  }
  return steps;
}

/// Where a scale of ue4m3 lies: mantissa / 8 * 2^exponent, 8 <= mantissa < 16. Needs pattern > 0.
struct scale_place {
  std::uint32_t mantissa;
  int exponent;

  explicit constexpr scale_place(std::uint32_t pattern)
      : mantissa(pattern >= 8 ? (pattern & 7) + 8 : pattern << (4 - bit_width(pattern))),
        exponent((pattern >= 8 ? static_cast<int>(pattern >> 3) : bit_width(pattern) - 3) - 7) {}
};

/// How the blocks of a matrix are quantized in vectors.
template <block_format B>
struct block_plan {
  /// Scales are powers of two: exponents move. Otherwise elements are divided by a product with
  /// an inverse, see quotient_word.
  static constexpr bool moves = B.scale == ue8m0 && !B.tensor_scale;

  /// Elements are found by their steps, of which there are few per tensor.
  template <class Rounding>
  static constexpr bool counts =
      B.element == e2m1&& B.scale == ue4m3&& B.tensor_scale&& steps_of_e2m1<Rounding>;

  tensor_scaling tensor;
  double inverse_of_limit = 1;  ///< 1 / (largest element * tensor scale)
  e2m1_steps steps[8] = {};     ///< of scales 1, 9/8, 10/8 ... 15/8

  e2m1_steps even_steps[8] = {};      ///< the same to nearest even, for rules that search
  std::uint32_t significand[8] = {};  ///< of those scales times the tensor scale: its top 32 bits
  int exponent[8] = {};

  template <class Rounding, class Scale>
  block_plan(tensor_scaling t, const Rounding&, const Scale&)
      : tensor(t),
        inverse_of_limit(1 /
                         (double{decode<B.element>(B.element.max_pattern())} * double{t.scale})) {
    if constexpr (counts<Rounding> || candidates<Scale> != 0) {
      if (!possible_here()) return;
      for (std::uint32_t i = 0; i < 8; ++i) {
        const unpacked by = divisor<B>(7u << 3 | i, tensor);
        if constexpr (counts<Rounding>) steps[i] = steps_at<Rounding>(by);
        if constexpr (candidates<Scale> != 0) even_steps[i] = steps_at<nearest_even>(by);
        significand[i] = static_cast<std::uint32_t>(by.significand >> 32);
        exponent[i] = by.exponent;
      }
    }
  }

  /// Rules that are integer code on the bits of the largest magnitude.
  template <class Scale>
  static constexpr bool shifts = moves && (std::is_same_v<Scale, floor_pow2> ||
                                           std::is_same_v<Scale, ceil_pow2> ||
                                           std::is_same_v<Scale, nearest_pow2>);
  /// The rule that encodes a quotient, of scales that a word can encode.
  template <class Scale>
  static constexpr bool divides = !moves && std::is_same_v<Scale, absmax> &&
                                  B.scale.mantissa_bits > 0 && B.scale.bits() <= 8;

  /// How many scales the rule compares by their squared error, in vectors; 0 for other rules.
  template <class Scale>
  static constexpr int candidates = B.element == e2m1&& B.scale == ue4m3&& B.tensor_scale
                                        ? (std::is_same_v<Scale, four_over_six>        ? 2
                                           : std::is_same_v<Scale, mean_square_search> ? 23
                                                                                       : 0)
                                        : 0;
  /// 1 / what the largest magnitude is divided by for candidate k, in the order of the rule.
  template <class Scale>
  double inverse_of_candidate(int k) const {
    if (std::is_same_v<Scale, four_over_six>) return inverse_of_limit * (k == 0 ? 1.0 : 1.5);
    return inverse_of_limit * (26 + k) / 32;
  }
  /// The magnitudes of e2m1 times scale `pattern`, in units of 2^unit, as squared_error takes them.
  void magnitudes_in_units(std::uint32_t pattern, int unit, std::uint32_t (&out)[8]) const {
    const scale_place place(pattern);
    const std::uint32_t top = significand[place.mantissa - 8];
    const int cut = 32 + unit - (exponent[place.mantissa - 8] + place.exponent);
    constexpr std::uint64_t halves[8] = {0, 1, 2, 3, 4, 6, 8, 12};  // 2 * magnitude
    for (int c = 0; c < 8; ++c) {
      const std::uint64_t product = halves[c] * top;
      const std::uint64_t units = cut > 63 ? 0 : product >> larger(cut, 0);
      out[c] = static_cast<std::uint32_t>(smaller(units, std::uint64_t{1} << 30));
    }
  }

  /// Whether T can be quantized in vectors at all.
  template <class T, class Rounding, class Scale>
  static constexpr bool possible() {
    using policy = rounding_traits<Rounding>;
    constexpr int divisor_bits = (B.tensor_scale ? 24 : 0) + B.scale.mantissa_bits + 1;
    constexpr int places = B.element.mantissa_bits + policy::bits + (policy::unbiased ? 1 : 0);
    constexpr bool own_elements = requires(Scale s, unpacked u) {
      s.template scaled<B>(u, 0u, tensor_scaling{});
    };
    return vector_encode<B.element, T, Rounding, saturate> && B.cols % 16 == 0 && !own_elements &&
           (moves || (divisor_bits <= 28 && places <= 17));
  }
  /// Whether this tensor can: its scale is far from the ends of the exponents.
  bool possible_here() const {
    const auto bits = bit_cast<std::uint32_t>(tensor.scale);
    return !B.tensor_scale || (bits >= 27u << 23 && bits < 240u << 23);
  }

  /// Whether a block with these bits of its largest magnitude, its elements moved to `lowest`,
  /// is far from the ends of the exponents.
  bool fits(std::uint32_t amax, std::uint32_t lowest) const {
    return amax - 0x00800000u < 0x7f000000u && static_cast<int>(lowest) >= 60;
  }
  bool fits(std::uint32_t amax, double inverse) const {
    return amax - 0x00800000u < 0x7f000000u && inverse < 0x1p80;
  }
  bool fits(std::uint32_t amax, const e2m1_steps&) const {
    return amax - 0x00800000u < 0x7f000000u;
  }
};

/// What a power-of-two rule adds to the bits of a float to have its exponent in the exponent field.
template <block_format B, class Scale>
constexpr std::uint32_t power_of_two_carry() {
  if (std::is_same_v<Scale, floor_pow2>) return 0;
  const auto fraction = static_cast<std::uint32_t>(largest<B.element>().significand << 1 >> 41);
  if (std::is_same_v<Scale, ceil_pow2>) return 0x7fffffu - fraction;
  return 1u << (22 - B.element.mantissa_bits + (B.element.fixed_point() ? 1 : 0));
}

/// The magnitudes of e2m1 as bits of floats: 0, 0.5, 1, 1.5, 2, 3, 4, 6.
inline constexpr std::uint32_t e2m1_magnitudes[8] = {
    0, 0x3f000000u, 0x3f800000u, 0x3fc00000u, 0x40000000u, 0x40400000u, 0x40800000u, 0x40c00000u};

/// How the blocks of a matrix are dequantized in vectors.
template <block_format B>
struct dequantize_plan {
  static constexpr bool moves = B.scale == ue8m0 && !B.tensor_scale;
  static constexpr bool looks_up = B.element == e2m1 && B.scale == ue4m3 && B.tensor_scale;
  /// Elements are multiplied, exactly, in doubles.
  static constexpr bool multiplies = !moves && !looks_up;
  static constexpr bool possible =
      vector_format<B.element> && B.cols % 16 == 0 &&
      (!multiplies ||
       (B.element.mantissa_bits + B.scale.mantissa_bits + (B.tensor_scale ? 24 : 0) <= 50));

  float tensor;
  /// Row i: the magnitudes of e2m1 times (1 + i / 8) * tensor scale, rounded once; row 8: zeros.
  std::uint32_t scaled[looks_up ? 9 : 1][8] = {};
  bool normal = true;  ///< no scaled magnitude leaves the normal floats

  explicit dequantize_plan(float tensor_scale) : tensor(tensor_scale) {
    if constexpr (looks_up) {
      const std::uint32_t bits = bit_cast<std::uint32_t>(tensor_scale);
      normal = bits >= 27u << 23 && bits < 227u << 23;
      if (!normal) return;
      for (std::uint32_t i = 0; i < 8; ++i) {
        const unpacked scale = divisor<B>(7u << 3 | i, {tensor_scale, 0});
        const auto one = bit_cast<std::uint32_t>(dequantize_element<B>(2, scale));
        const auto three_halves = bit_cast<std::uint32_t>(dequantize_element<B>(3, scale));
        const std::uint32_t octave = 1u << 23;
        const std::uint32_t row[8] = {0,
                                      one - octave,
                                      one,
                                      three_halves,
                                      one + octave,
                                      three_halves + octave,
                                      one + 2 * octave,
                                      three_halves + 2 * octave};
        for (int k = 0; k < 8; ++k) scaled[i][k] = row[k];
      }
    }
  }

  bool fits(std::uint32_t pattern) const {
    if constexpr (moves) {
      const int k = static_cast<int>(pattern) - 127;
      return pattern != 255 && 127 + B.element.quantum() + k >= 1 &&
             127 + B.element.max_exponent() + k <= 254;
    } else if constexpr (multiplies) {
      const unpacked by = divisor<B>(pattern, {tensor, 0});
      return by.kind == number_kind::finite && !by.negative && by.exponent >= -100 &&
             by.exponent < 100;
    } else {
      return pattern < 127 && normal;
    }
  }
  /// Scale times tensor scale, exactly.
  double product(std::uint32_t pattern) const {
    return to_double(divisor<B>(pattern, {tensor, 0}));
  }
  /// The magnitudes of e2m1 for scale `pattern`, up to the factor 2^(shift / 2^23).
  const std::uint32_t* magnitudes(std::uint32_t pattern) const {
    if constexpr (moves) return e2m1_magnitudes;
    return scaled[pattern == 0 ? 8 : scale_place(pattern).mantissa - 8];
  }
  std::uint32_t shift(std::uint32_t pattern) const {
    if constexpr (moves) return (pattern - 127) << 23;
    return static_cast<std::uint32_t>(scale_place(pattern).exponent) << 23;
  }
};

}  // namespace halfbyte::detail
