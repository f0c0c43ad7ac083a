#pragma once

#include <cstddef>
#include <cstdint>

#include <halfbyte/argument_error.hpp>
#include <halfbyte/bits.hpp>
#include <halfbyte/block_format.hpp>
#include <halfbyte/config.hpp>
#include <halfbyte/format.hpp>
#include <halfbyte/math.hpp>
#include <halfbyte/minifloat.hpp>
#include <halfbyte/quantize.hpp>
#include <halfbyte/quantized.hpp>
#include <halfbyte/view.hpp>

namespace halfbyte {

/// How a tensor core adds FP8 products: `depth` of them and the sum so far at a time.
///
/// Each term of a step is aligned to the largest exponent among them and cut off (toward zero)
/// `fraction_bits` below it; the terms are added exactly and the total is cut off `fraction_bits`
/// below its leading one. The exponent of a product is the sum of its factors' exponents, a
/// subnormal's being its format's least; a product of zero has none. Every `promoted_every`
/// elements, unless 0, the sum is added to a float and starts anew.
struct tensor_core {
  int depth, fraction_bits, promoted_every = 0;
};

/// NVIDIA Hopper, measured: equal in every bit to the float sums of an H200, for E4M3 and E5M2 in
/// any mix (docs/kernels.md, "The tensor core's sums").
inline constexpr tensor_core hopper_fp8{32, 13}, hopper_fp8_promoted{32, 13, 128};

namespace detail {

/// significand * 2^(exponent - mantissa bits): not renormalised. Finite patterns.
struct fp8_term {
  int significand = 0, exponent = 0;
};

template <format F>
HALFBYTE_HD constexpr fp8_term fp8_factor(std::uint32_t pattern) {
  const std::uint32_t magnitude = pattern & F.magnitude_mask();
  const std::uint32_t field = magnitude >> F.mantissa_bits;
  const std::uint32_t hidden = 1u << F.mantissa_bits;
  const int significand = static_cast<int>((magnitude % hidden) | (field != 0 ? hidden : 0));
  return {(pattern & F.sign_mask()) != 0 ? -significand : significand,
          static_cast<int>(field != 0 ? field : 1) - F.bias};
}

/// value * 2^shift, cut off toward zero.
HALFBYTE_HD constexpr std::int64_t shifted(std::int64_t value, int shift) {
  if (shift >= 0) return value << shift;
  const std::int64_t magnitude = shift < -62 ? 0 : (value < 0 ? -value : value) >> -shift;
  return value < 0 ? -magnitude : magnitude;
}

/// NaN or infinity where a product of a[k] and b[k] is one, else 0.
template <format A, format B>
HALFBYTE_HD constexpr std::uint32_t special_sum(const std::uint8_t* a, const std::uint8_t* b,
                                                std::ptrdiff_t n) {
  bool nan = false, infinite[2] = {};
  for (std::ptrdiff_t k = 0; k < n; ++k) {
    const bool zero = (a[k] & A.magnitude_mask()) == 0 || (b[k] & B.magnitude_mask()) == 0;
    const bool infinity = A.is_infinity(a[k]) || B.is_infinity(b[k]);
    nan = nan || A.is_nan(a[k]) || B.is_nan(b[k]) || (infinity && zero);
    infinite[((a[k] ^ b[k]) >> 7) & 1] |= infinity;
  }
  if (nan || (infinite[0] && infinite[1])) return 0x7fffffffu;
  return infinite[0] ? 0x7f800000u : infinite[1] ? 0xff800000u : 0;
}

}  // namespace detail

/// The float that a tensor core makes of the sum of a[k] * b[k], k < n: patterns of E4M3 or E5M2.
///
/// A NaN, or infinities of both signs, give the NaN 0x7fffffff. Integer code but for promotion.
template <format A, format B>
  requires((A == e4m3 || A == e5m2) && (B == e4m3 || B == e5m2))
HALFBYTE_HD constexpr float tensor_core_dot(const std::uint8_t* a, const std::uint8_t* b,
                                            std::ptrdiff_t n, tensor_core core = hopper_fp8) {
  if (const std::uint32_t special = detail::special_sum<format(A), format(B)>(a, b, n)) {
    return bit_cast<float>(special);
  }
  constexpr int product_bits = A.mantissa_bits + B.mantissa_bits;
  const int bits = core.fraction_bits;
  float total = 0;
  std::int64_t sum = 0;  // * 2^(exponent - bits)
  int exponent = 0;
  for (std::ptrdiff_t first = 0; first < n; first += core.depth) {
    if (core.promoted_every != 0 && first % core.promoted_every == 0) {
      total += static_cast<float>(sum) * exp2i(exponent - bits);
      sum = 0;
    }
    const std::ptrdiff_t last = smaller<std::ptrdiff_t>(first + core.depth, n);
    const auto product = [&](std::ptrdiff_t k) {
      const auto x = detail::fp8_factor<format(A)>(a[k]), y = detail::fp8_factor<format(B)>(b[k]);
      return detail::fp8_term{x.significand * y.significand, x.exponent + y.exponent};
    };
    constexpr int none = -1000;
    int largest = sum != 0 ? exponent : none;
    for (std::ptrdiff_t k = first; k < last; ++k) {
      if (product(k).significand != 0) largest = larger(largest, product(k).exponent);
    }
    if (largest == none) continue;
    sum = detail::shifted(sum, exponent - largest);
    for (std::ptrdiff_t k = first; k < last; ++k) {
      sum += detail::shifted(product(k).significand,
                             bits - product_bits + product(k).exponent - largest);
    }
    if (sum == 0) continue;
    const int leading = bit_width(static_cast<std::uint64_t>(sum < 0 ? -sum : sum)) - 1;
    exponent = largest + leading - bits;
    sum = detail::shifted(sum, bits - leading);
  }
  return total + static_cast<float>(sum) * exp2i(exponent - bits);
}

/// d[M, N] = a[M, K] * b[N, K]^T as a GPU's FP8 tensor cores give it in float.
///
/// Operands with one scale per row or tensor: the sum times a's scale, times b's. Operands with
/// blocks of `core.promoted_every` along K: each block's sum times the product of its scales is
/// added to the float of the sum so far by a fused multiply-add. Those are the roundings of
/// cuda::gemm and cuda::gemm_blockwise on Hopper where they do not share K among warps (see
/// cuda/README.md) and scales lie in 2^+-80. Throws std::invalid_argument for sizes that do not
/// fit.
template <block_format A, block_format B>
  requires(!A.tensor_scale && !B.tensor_scale && (A.cols == 0) == (B.cols == 0))
void gemm(quantized_view<A> a, quantized_view<B> b, matrix_view<float> d, tensor_core core) {
  detail::check_view(d, "gemm");
  detail::check_sizes(d.rows, d.cols, a.rows, b.rows, "gemm");
  constexpr bool blocks = A.cols != 0;
  if (a.cols != b.cols || (blocks && (A.cols != core.promoted_every || A.cols != B.cols))) {
    throw detail::argument_error("gemm: %td and %td columns in blocks of %d and %d", a.cols, b.cols,
                                 A.cols, B.cols);
  }
  const std::ptrdiff_t step = blocks ? A.cols : larger<std::ptrdiff_t>(a.cols, 1);
  for (std::ptrdiff_t i = 0; i < d.rows; ++i) {
    for (std::ptrdiff_t j = 0; j < d.cols; ++j) {
      float total = 0;
      for (std::ptrdiff_t k = 0; k < a.cols; k += step) {
        const float sum = tensor_core_dot<format(A.element), format(B.element)>(
            a.row(i) + k, b.row(j) + k, smaller(step, a.cols - k), core);
        const float left = decode<format(A.scale)>(a.scale(i / A.block_rows(a.rows), k / step));
        const float right = decode<format(B.scale)>(b.scale(j / B.block_rows(b.rows), k / step));
        total = blocks ? detail::fma(sum, left * right, total) : sum * left * right;
      }
      d(i, j) = total;
    }
  }
}

template <block_format A, block_format B>
void gemm(const quantized<A>& a, const quantized<B>& b, matrix_view<float> d, tensor_core core) {
  gemm<block_format(A), block_format(B)>(a.view(), b.view(), d, core);
}

}  // namespace halfbyte
