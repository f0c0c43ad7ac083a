#pragma once

#include <cstdint>
#include <type_traits>

#include <halfbyte/bits.hpp>
#include <halfbyte/block.hpp>
#include <halfbyte/block_format.hpp>
#include <halfbyte/format.hpp>
#include <halfbyte/scale.hpp>
#include <halfbyte/simd_plan.hpp>

// What the vector loops of simd.hpp need to know beforehand to dequantize.

namespace halfbyte::detail {

/// The magnitudes of e2m1 as bits of floats: 0, 0.5, 1, 1.5, 2, 3, 4, 6.
inline constexpr std::uint32_t e2m1_magnitudes[8] = {
    0, 0x3f000000u, 0x3f800000u, 0x3fc00000u, 0x40000000u, 0x40400000u, 0x40800000u, 0x40c00000u};

/// How the blocks of a matrix are dequantized in vectors.
template <block_format B>
struct dequantize_plan {
  static constexpr bool moves = B.scale == ue8m0 && !B.tensor_scale;
  static constexpr bool looks_up = B.element == e2m1 && B.scale == ue4m3 && B.tensor_scale;
  /// Elements are multiplied by a scale, or by its exact product with the tensor scale.
  static constexpr bool multiplies = !moves && !looks_up;
  using factor = std::conditional_t<B.tensor_scale, double, float>;
  static constexpr bool possible =
      vector_format<B.element> && B.cols % 16 == 0 &&
      (!multiplies ||
       (B.element.mantissa_bits + B.scale.mantissa_bits + (B.tensor_scale ? 24 : 0) <= 50));

  float tensor;
  /// The magnitudes of e2m1 times each scale and the tensor scale, rounded once.
  std::uint32_t scaled[looks_up ? 127 : 1][8] = {};
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
        for (int k = 0; k < 8; ++k) scaled[7u << 3 | i][k] = row[k];
      }
      for (std::uint32_t pattern = 1; pattern < 127; ++pattern) {
        const auto place = scale_place::of<ue4m3>(pattern);
        const std::uint32_t(&row)[8] = scaled[7u << 3 | place.row];
        const auto shift = static_cast<std::uint32_t>(place.exponent) << 23;
        for (int k = 1; k < 8; ++k) scaled[pattern][k] = row[k] + shift;
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
  factor product(std::uint32_t pattern) const {
    return static_cast<factor>(to_double(divisor<B>(pattern, {tensor, 0})));
  }
  /// The magnitudes of e2m1 for scale `pattern`, up to the factor 2^exponent.
  const std::uint32_t* magnitudes(std::uint32_t pattern, int& exponent) const {
    if constexpr (moves) {
      exponent = static_cast<int>(pattern) - 127;
      return e2m1_magnitudes;
    } else {
      exponent = 0;
      return scaled[pattern];
    }
  }
};

}  // namespace halfbyte::detail
