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

/// How the blocks of a matrix are quantized in vectors.
template <block_format B>
struct block_plan {
  /// Scales are powers of two: exponents move. Otherwise elements are divided by a product with
  /// an inverse, see quotient_word.
  static constexpr bool moves = B.scale == ue8m0 && !B.tensor_scale;

  tensor_scaling tensor;
  double inverse_of_limit = 1;  ///< 1 / (largest element * tensor scale)

  explicit block_plan(tensor_scaling t)
      : tensor(t),
        inverse_of_limit(1 /
                         (double{decode<B.element>(B.element.max_pattern())} * double{t.scale})) {}

  /// Rules that are integer code on the bits of the largest magnitude.
  template <class Scale>
  static constexpr bool shifts = moves && (std::is_same_v<Scale, floor_pow2> ||
                                           std::is_same_v<Scale, ceil_pow2> ||
                                           std::is_same_v<Scale, nearest_pow2>);
  /// The rule that encodes a quotient, of scales that a word can encode.
  template <class Scale>
  static constexpr bool divides = !moves && std::is_same_v<Scale, absmax> &&
                                  B.scale.mantissa_bits > 0 && B.scale.bits() <= 8;

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
  /// Whether this tensor can.
  bool possible_here() const {
    return moves || !B.tensor_scale ||
           (bit_cast<std::uint32_t>(tensor.scale) >= 0x00800000u &&
            bit_cast<std::uint32_t>(tensor.scale) < 0x7f800000u);
  }

  /// Whether a block with these bits of its largest magnitude, its elements moved to `lowest`,
  /// is far from the ends of the exponents.
  bool fits(std::uint32_t amax, std::uint32_t lowest) const {
    return amax - 0x00800000u < 0x7f000000u && static_cast<int>(lowest) >= 60;
  }
  bool fits(std::uint32_t amax, double inverse) const {
    return amax - 0x00800000u < 0x7f000000u && inverse < 0x1p80;
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
  static constexpr bool possible =
      vector_format<B.element> && B.cols % 16 == 0 &&
      (moves || (B.element == e2m1 && B.scale == ue4m3 && B.tensor_scale));

  /// Row i: the magnitudes of e2m1 times (1 + i / 8) * tensor scale, rounded once; row 8: zeros.
  std::uint32_t scaled[moves ? 1 : 9][8] = {};
  bool normal = true;  ///< no scaled magnitude leaves the normal floats

  explicit dequantize_plan(float tensor_scale) {
    if constexpr (!moves) {
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
    } else {
      return pattern < 127 && normal;
    }
  }
  /// The magnitudes of e2m1 for scale `pattern`, up to the factor 2^(shift / 2^23).
  const std::uint32_t* magnitudes(std::uint32_t pattern) const {
    if constexpr (moves) {
      return e2m1_magnitudes;
    } else {
      if (pattern == 0) return scaled[8];
      return scaled[(pattern >= 8 ? pattern : pattern << (4 - bit_width(pattern))) & 7];
    }
  }
  std::uint32_t shift(std::uint32_t pattern) const {
    if constexpr (moves) return (pattern - 127) << 23;
    const int exponent = pattern >= 8 ? static_cast<int>(pattern >> 3) : bit_width(pattern) - 3;
    return static_cast<std::uint32_t>(exponent - 7) << 23;
  }
};

}  // namespace halfbyte::detail
