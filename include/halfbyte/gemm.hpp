#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <halfbyte/bits.hpp>
#include <halfbyte/block.hpp>
#include <halfbyte/block_format.hpp>
#include <halfbyte/pack.hpp>
#include <halfbyte/quantize.hpp>
#include <halfbyte/quantized.hpp>
#include <halfbyte/simd.hpp>
#include <halfbyte/simd_plan.hpp>
#include <halfbyte/view.hpp>

namespace halfbyte {

namespace detail {

/// How many of `cols` columns are dequantized at a time: about 256, whole blocks.
template <block_format B>
constexpr std::ptrdiff_t panel_depth() {
  if (B.cols == 0) return 256;
  return B.cols <= 256 ? 256 / B.cols * B.cols : B.cols;
}

/// The smallest depth at or above `a` panels that `b` divides into panels too.
constexpr std::ptrdiff_t common_depth(std::ptrdiff_t a, std::ptrdiff_t b) {
  std::ptrdiff_t depth = a;
  while (depth % b != 0) depth += a;
  return depth;
}

/// Columns `first` to first + out.cols of row `i` of q, as floats. Needs them to start a block and
/// a byte.
template <block_format B>
void dequantize_part(quantized_view<B> q, std::ptrdiff_t i, std::ptrdiff_t first,
                     const dequantize_plan<B>& plan, matrix_view<float> out,
                     std::vector<std::uint8_t>& scales) {
  const std::ptrdiff_t c = B.block_cols(q.cols), j = first / c;
  const std::ptrdiff_t row = i / B.block_rows(q.rows);
  const std::ptrdiff_t n = ceil_div(out.cols, smaller(c, out.cols));
  scales.resize(static_cast<std::size_t>(n * scale_bytes(B.scale)));
  for (std::ptrdiff_t b = 0; b < n; ++b) {
    store_scale<B.scale>(scales.data(), b, q.scale(row, j + b));
  }
  const quantized_view<B> part{q.row(i) + first * B.element.bits() / 8, scales.data(), 1, out.cols,
                               q.tensor_scale};
  dequantize_strip<block_format(B)>(part, 0, 0, plan, out);
}

}  // namespace detail

/// d[M, N] = a[M, K] * b[N, K]^T, of any two block formats whose blocks lie along K.
///
/// Operands are dequantized to floats (see `dequantize`) a panel at a time, never whole. Each d(i,
/// j) is the chain of fused multiply-adds s = a(i, k) * b(j, k) + s in ascending k from s = 0: the
/// same bits on every machine, for every size of the matrices around it. Error at most K * 2^-24 *
/// sum of |a(i, k) * b(j, k)|, where nothing overflows. Throws std::invalid_argument for sizes that
/// do not fit.
template <block_format A, block_format B>
void gemm(quantized_view<A> a, quantized_view<B> b, matrix_view<float> d) {
  detail::check_view(d, "gemm");
  detail::check_sizes(d.rows, d.cols, a.rows, b.rows, "gemm");
  if (a.cols != b.cols) {
    throw std::invalid_argument("halfbyte::gemm: " + std::to_string(a.cols) + " and " +
                                std::to_string(b.cols) + " columns to sum over");
  }
  constexpr std::ptrdiff_t depth =
      detail::common_depth(detail::panel_depth<A>(), detail::panel_depth<B>());
  static_assert(depth * A.element.bits() % 8 == 0 && depth * B.element.bits() % 8 == 0,
                "blocks of an odd number of half bytes");
  constexpr std::ptrdiff_t height = 96, width = 1024;  // of panels: a in L2, b beyond it
  const detail::dequantize_plan<A> plan_a(a.tensor_scale);
  const detail::dequantize_plan<B> plan_b(b.tensor_scale);
  std::ptrdiff_t tile = 16;
  detail::with_kernels([&](auto kernels) { tile = kernels.tile; });
  const std::ptrdiff_t strips = ceil_div(smaller(width, d.cols), tile);
  std::vector<float> right(static_cast<std::size_t>(strips * tile * depth));
  for (std::ptrdiff_t i = 0; i < d.rows; ++i) {
    for (std::ptrdiff_t j = 0; j < d.cols; ++j) d(i, j) = 0;
  }
  for (std::ptrdiff_t j0 = 0; j0 < d.cols; j0 += width) {
    for (std::ptrdiff_t k0 = 0; k0 < a.cols; k0 += depth) {
      const std::ptrdiff_t n = smaller(width, d.cols - j0), k = smaller(depth, a.cols - k0);
      // 1. The panel of b, in strips of `tile` rows, transposed.
      detail::for_each_part(ceil_div(n, tile), 1, [&](std::ptrdiff_t s, std::ptrdiff_t) {
        std::vector<float> rows(static_cast<std::size_t>(tile * depth));
        std::vector<std::uint8_t> scales;
        const std::ptrdiff_t count = smaller(tile, n - tile * s);
        for (std::ptrdiff_t r = 0; r < count; ++r) {
          detail::dequantize_part<block_format(B)>(
              b, j0 + tile * s + r, k0, plan_b,
              matrix_view<float>{rows.data() + r * depth, 1, k, depth}, scales);
        }
        detail::transpose(matrix_view<const float>{rows.data(), tile, k, depth},
                          matrix_view<float>{right.data() + s * tile * depth, k, tile, tile});
      });
      // 2. A panel of a at a time, times all of them.
      detail::for_each_part(ceil_div(d.rows, height), 1, [&](std::ptrdiff_t p, std::ptrdiff_t) {
        const std::ptrdiff_t i0 = p * height, m = smaller(height, d.rows - i0);
        std::vector<float> left(static_cast<std::size_t>(height * depth));
        std::vector<std::uint8_t> scales;
        for (std::ptrdiff_t r = 0; r < m; ++r) {
          detail::dequantize_part<block_format(A)>(
              a, i0 + r, k0, plan_a, matrix_view<float>{left.data() + r * depth, 1, k, depth},
              scales);
        }
        for (std::ptrdiff_t s = 0; s * tile < n; ++s) {
          const matrix_view<float> part =
              d.block(i0, j0 + tile * s, m, smaller(tile, n - tile * s));
          const float* strip = right.data() + s * tile * depth;
          if (detail::with_kernels([&](auto kernels) {
                kernels.product(left.data(), depth, strip, static_cast<int>(k), part);
              })) {
            continue;
          }
          for (std::ptrdiff_t i = 0; i < part.rows; ++i) {
            for (std::ptrdiff_t j = 0; j < part.cols; ++j) {
              for (std::ptrdiff_t l = 0; l < k; ++l) {
                part(i, j) = std::fma(left[static_cast<std::size_t>(i * depth + l)],
                                      strip[tile * l + j], part(i, j));
              }
            }
          }
        }
      });
    }
  }
}

template <block_format A, block_format B>
void gemm(const quantized<A>& a, const quantized<B>& b, matrix_view<float> d) {
  gemm<block_format(A), block_format(B)>(a.view(), b.view(), d);
}

}  // namespace halfbyte
