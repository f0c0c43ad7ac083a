#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <halfbyte/bits.hpp>
#include <halfbyte/block_format.hpp>
#include <halfbyte/config.hpp>
#include <halfbyte/encode.hpp>
#include <halfbyte/scale_rule.hpp>
#include <halfbyte/view.hpp>

namespace halfbyte {

namespace detail {

/// Errors of blocks are summed in integers, in units of 2^unit below amax, so the sum is the same
/// in any order and on any machine: about 22 bits, fewer when many elements must fit in 64.
HALFBYTE_HD constexpr int error_unit(const unpacked& amax, std::ptrdiff_t elements) {
  const int room = (62 - bit_width(static_cast<std::uint64_t>(elements))) / 2;
  return amax.exponent - smaller(22, room - 2);
}

/// floor(|x| / 2^unit), at most 2^30.
HALFBYTE_HD constexpr std::uint64_t in_units(const unpacked& x, int unit) {
  const int cut = 63 + unit - x.exponent;
  if (x.kind != number_kind::finite || cut > 63) return 0;
  return smaller(x.significand >> larger(cut, 0), std::uint64_t{1} << 30);
}

/// Sum of squared errors of a block with scale `pattern`, elements rounded to nearest even.
template <block_format B, class T>
HALFBYTE_HD constexpr std::uint64_t squared_error(matrix_view<const T> x, std::uint32_t pattern,
                                                  tensor_scaling tensor, int unit) {
  const unpacked by = divisor<B>(pattern, tensor);
  std::uint64_t sum = 0;
  for (std::ptrdiff_t i = 0; i < x.rows; ++i) {
    for (std::ptrdiff_t j = 0; j < x.cols; ++j) {
      const unpacked value = magnitude(unpack(x(i, j)));
      const std::uint32_t element = encode<B.element>(quotient(value, by));
      const std::uint64_t a = in_units(value, unit);
      const std::uint64_t b = in_units(product(unpack<B.element>(element), by), unit);
      sum += (a - b) * (a - b);
    }
  }
  return sum;
}

}  // namespace detail

/// 2^(floor(log2 amax) - emax): numbers up to twice the largest element saturate. OCP MX v1.0,
/// section 6.3.
struct floor_pow2 {
  template <block_format B, class T>
  HALFBYTE_HD constexpr std::uint32_t block_scale(matrix_view<const T>, const unpacked& amax,
                                                  tensor_scaling tensor) const {
    return positive_scale<B.scale>(detail::floor_scale<B>(amax, tensor));
  }
};

/// The smallest power of two that is at least amax / largest element: nothing saturates. NVIDIA's
/// MXFP8 recipe and cuBLAS (arXiv 2506.08027); torchao's RCEIL.
struct ceil_pow2 {
  template <block_format B, class T>
  HALFBYTE_HD constexpr std::uint32_t block_scale(matrix_view<const T>, const unpacked& amax,
                                                  tensor_scaling tensor) const {
    const unpacked exact = detail::ratio<B>(amax, largest<B.element>(), tensor);
    const bool power = exact.significand == std::uint64_t{1} << 63;
    return positive_scale<B.scale>(unpack_integer(1, exact.exponent + (power ? 0 : 1)));
  }
};

/// floor_pow2 of amax after it is rounded to the element's mantissa, ties up. torchao's EVEN.
struct nearest_pow2 {
  template <block_format B, class T>
  HALFBYTE_HD constexpr std::uint32_t block_scale(matrix_view<const T>, const unpacked& amax,
                                                  tensor_scaling tensor) const {
    constexpr int fraction = B.element.mantissa_bits - (B.element.fixed_point() ? 1 : 0);
    unpacked scale = detail::floor_scale<B>(amax, tensor);
    const unpacked relative = detail::ratio<B>(amax, unpack_integer(1, 0), tensor);
    const std::uint64_t half = std::uint64_t{1} << (62 - fraction);
    if (relative.significand + half < half) ++scale.exponent;  // the carry left the top
    return positive_scale<B.scale>(scale);
  }
};

/// amax / largest element, rounded to nearest even in the scale's format. Rounded down it lets the
/// largest elements saturate by that rounding error.
struct absmax {
  template <block_format B, class T>
  HALFBYTE_HD constexpr std::uint32_t block_scale(matrix_view<const T>, const unpacked& amax,
                                                  tensor_scaling tensor) const {
    return positive_scale<B.scale>(detail::ratio<B>(amax, largest<B.element>(), tensor));
  }
};

/// The better of two scales, amax at element 6 or at element 4, by the block's squared error; a tie
/// goes to 6. The tensor scale leaves room for both: it puts amax at 6 * 256. arXiv 2512.02010.
struct four_over_six {
  template <block_format B>
  HALFBYTE_HD static constexpr bool suits() {
    return B.element == e2m1 && B.scale.mantissa_bits > 0;
  }
  template <block_format B>
  HALFBYTE_HD constexpr float tensor_scale(const unpacked& amax) const {
    return detail::tensor_scale_to<B>(amax, unpack_integer(256, 0));
  }
  template <block_format B, class T>
  HALFBYTE_HD constexpr std::uint32_t block_scale(matrix_view<const T> x, const unpacked& amax,
                                                  tensor_scaling tensor) const {
    static_assert(suits<B>(), "four_over_six needs e2m1 elements, and scales with a mantissa");
    const std::uint32_t six =
        positive_scale<B.scale>(detail::ratio<B>(amax, unpack_integer(6, 0), tensor));
    const std::uint32_t four =
        positive_scale<B.scale>(detail::ratio<B>(amax, unpack_integer(4, 0), tensor));
    const int unit = detail::error_unit(amax, x.rows * x.cols);
    const bool better = detail::squared_error<B>(x, four, tensor, unit) <
                        detail::squared_error<B>(x, six, tensor, unit);
    return better ? four : six;
  }
};

/// The scale with the least squared error: among absmax times 26/32, 27/32 ... 48/32, or, for
/// power-of-two scales, floor_pow2 and its two neighbours. The smallest wins a tie.
struct mean_square_search {
  template <block_format B, class T>
  HALFBYTE_HD constexpr std::uint32_t block_scale(matrix_view<const T> x, const unpacked& amax,
                                                  tensor_scaling tensor) const {
    constexpr bool pow2 = B.scale.mantissa_bits == 0;
    constexpr int candidates = pow2 ? 3 : 23;
    const int unit = detail::error_unit(amax, x.rows * x.cols);
    const unpacked floor = detail::floor_scale<B>(amax, tensor);
    const unpacked limit = times_exp2(largest<B.element>(), 5);
    std::uint32_t best = 0, last = 0;
    std::uint64_t least = ~std::uint64_t{0};
    for (int k = 0; k < candidates; ++k) {
      const unpacked factor = unpack_integer(static_cast<std::uint64_t>(26 + k), 0);
      const unpacked scale = pow2 ? times_exp2(floor, k - 1)
                                  : detail::ratio<B>(product(amax, factor), limit, tensor);
      const std::uint32_t pattern = positive_scale<B.scale>(scale);
      if (k > 0 && pattern == last) continue;
      last = pattern;
      const std::uint64_t error = detail::squared_error<B>(x, pattern, tensor, unit);
      if (error < least) {
        least = error;
        best = pattern;
      }
    }
    return best;
  }
};

/// multiplier * gain * the block's standard deviation, rounded down to a power of two where scales
/// are powers of two: the largest numbers saturate, as the Gaussian optimum wants.
///
/// `gain` is the Gaussian-optimal clip over the largest element, 2.92247856 / 6 for e2m1. With
/// multiplier 1 the rule is that of QuEST's released code; 1.5 undoes the loss of rounding down.
/// arXiv 2505.14669 (Quartet), arXiv 2502.05003 (QuEST).
struct rms_clip {
  float multiplier = 1.5f;
  float gain = 0.48707948f;

  template <block_format B, class T>
  HALFBYTE_HD constexpr std::uint32_t block_scale(matrix_view<const T> x, const unpacked& amax,
                                                  tensor_scaling tensor) const {
    const std::ptrdiff_t n = x.rows * x.cols;
    const int unit = detail::error_unit(amax, n);
    std::int64_t sum = 0;
    for (std::ptrdiff_t i = 0; i < x.rows; ++i) {
      for (std::ptrdiff_t j = 0; j < x.cols; ++j) sum += in_signed_units(unpack(x(i, j)), unit);
    }
    const std::int64_t mean = sum / n;
    std::uint64_t squares = 0;
    for (std::ptrdiff_t i = 0; i < x.rows; ++i) {
      for (std::ptrdiff_t j = 0; j < x.cols; ++j) {
        const std::int64_t d = in_signed_units(unpack(x(i, j)), unit) - mean;
        squares += static_cast<std::uint64_t>(d * d);
      }
    }
    return scale_of<B>(squares, n, unit, tensor);
  }
  /// The same from the sum of the squared deviations of `n` numbers, in units of 2^unit.
  template <block_format B>
  HALFBYTE_HD constexpr std::uint32_t scale_of(std::uint64_t squares, std::ptrdiff_t n, int unit,
                                               tensor_scaling tensor) const {
    const unpacked count = unpack_integer(static_cast<std::uint64_t>(n), 0);
    const unpacked deviation = square_root(quotient(unpack_integer(squares, 2 * unit), count));
    const unpacked clip = product(product(unpack(multiplier), unpack(gain)), deviation);
    const unpacked scale = B.tensor_scale ? quotient(clip, unpack(tensor.scale)) : clip;
    if constexpr (B.scale.mantissa_bits == 0) {
      return positive_scale<B.scale>(scale, toward_zero{});
    } else {
      return positive_scale<B.scale>(scale);
    }
  }

 private:
  HALFBYTE_HD static constexpr std::int64_t in_signed_units(const unpacked& x, int unit) {
    const auto units = static_cast<std::int64_t>(detail::in_units(x, unit));
    return x.negative ? -units : units;
  }
};

/// NVFP4 as TransformerEngine computes it, bit for bit: float products and reciprocals, each
/// rounded as IEEE 754 does. Compatibility only: elements are multiplied by a rounded reciprocal.
///
/// S = 2688 / amax; scale = e4m3(amax_block * (S * (1/6))); y = x * (1 / (scale * (1/S))). The
/// stored tensor scale is 1/S. Source: TransformerEngine, core_nvfp4.cuh and
/// quantize_transpose_vector_blockwise_fp4.cu.
struct nvfp4_te {
  template <block_format B>
  HALFBYTE_HD static constexpr bool suits() {
    return B.element == e2m1 && B.scale.mantissa_bits == 3 && B.tensor_scale;
  }
  template <block_format B>
  HALFBYTE_HD constexpr float tensor_scale(const unpacked& amax) const {
    return inverse(encoding_scale(amax));
  }
  template <block_format B, class T>
  HALFBYTE_HD constexpr std::uint32_t block_scale(matrix_view<const T>, const unpacked& amax,
                                                  tensor_scaling tensor) const {
    static_assert(suits<B>(), "nvfp4_te is a rule for nvfp4 and nvfp4_2d");
    return encode<B.scale>(times(rounded(amax), block_factor<B>(tensor)));
  }
  template <block_format B>
  HALFBYTE_HD constexpr unpacked scaled(const unpacked& x, std::uint32_t pattern,
                                        tensor_scaling tensor) const {
    return unpack(times(rounded(x), element_factor<B>(pattern, tensor)));
  }
  /// What amax is multiplied by for the scale, and an element for its pattern.
  template <block_format B>
  HALFBYTE_HD constexpr float block_factor(tensor_scaling tensor) const {
    const float s = tensor.amax > 0 ? encoding_scale(unpack(tensor.amax)) : inverse(tensor.scale);
    return times(s, inverse(6.0f));
  }
  template <block_format B>
  HALFBYTE_HD constexpr float element_factor(std::uint32_t pattern, tensor_scaling tensor) const {
    return inverse(times(decode<B.scale>(pattern), tensor.scale));
  }

 private:
  /// Float arithmetic in integers, saturating at the largest float.
  HALFBYTE_HD static constexpr float rounded(const unpacked& x) {
    return bit_cast<float>(encode<float32>(x));
  }
  HALFBYTE_HD static constexpr float times(float a, float b) {
    return rounded(product(unpack(a), unpack(b)));
  }
  HALFBYTE_HD static constexpr float inverse(float x) {
    const unpacked u = unpack(x);
    return rounded(u.is_zero() ? largest<float32>() : quotient(unpack_integer(1, 0), u));
  }
  HALFBYTE_HD static constexpr float encoding_scale(const unpacked& amax) {
    return rounded(quotient(unpack_integer(6 * 448, 0), unpack(rounded(amax))));
  }
};

namespace detail {
template <block_format B>
struct rule_of {  // a class: g++ 12 crashes on an alias of the condition inside a generic lambda
  using type = std::conditional_t<B.scale.mantissa_bits == 0, floor_pow2, absmax>;
};
}  // namespace detail

/// floor_pow2 for power-of-two scales (OCP MX), absmax for all others.
template <block_format B>
using default_scale = typename detail::rule_of<B>::type;

static_assert(scale_rule<floor_pow2> && scale_rule<ceil_pow2> && scale_rule<nearest_pow2>);
static_assert(scale_rule<absmax> && scale_rule<four_over_six> && scale_rule<mean_square_search>);
static_assert(scale_rule<rms_clip> && scale_rule<nvfp4_te>);

}  // namespace halfbyte
