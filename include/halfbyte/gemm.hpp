#pragma once

#include <cstddef>
#include <cstdint>

#include <halfbyte/argument_error.hpp>
#include <halfbyte/bits.hpp>
#include <halfbyte/block.hpp>
#include <halfbyte/block_format.hpp>
#include <halfbyte/dequantize_plan.hpp>
#include <halfbyte/math.hpp>
#include <halfbyte/pack.hpp>
#include <halfbyte/quantize.hpp>
#include <halfbyte/quantized.hpp>
#include <halfbyte/simd.hpp>
#include <halfbyte/simd_plan.hpp>
#include <halfbyte/storage.hpp>
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
/// a byte. `scales` is room for those that do not lie side by side.
template <block_format B>
void dequantize_part(quantized_view<B> q, std::ptrdiff_t i, std::ptrdiff_t first,
                     const dequantize_plan<B>& plan, matrix_view<float> out,
                     storage<std::uint8_t>& scales) {
  const std::ptrdiff_t c = B.block_cols(q.cols), j = first / c;
  const std::ptrdiff_t row = i / B.block_rows(q.rows);
  const std::uint8_t* from = q.scales + (row * B.grid_cols(q.cols) + j) * scale_bytes(B.scale);
  if (q.layout != scale_layout::linear) {
    const std::ptrdiff_t n = ceil_div(out.cols, smaller(c, out.cols));
    const auto bytes = static_cast<std::size_t>(n * scale_bytes(B.scale));
    if (scales.size() < bytes) scales = storage<std::uint8_t>(bytes);
    for (std::ptrdiff_t b = 0; b < n; ++b) {
      store_scale<B.scale>(scales.data(), b, q.scale(row, j + b));
    }
    from = scales.data();
  }
  const quantized_view<B> part{q.row(i) + first * B.element.bits() / 8, from, 1, out.cols,
                               q.tensor_scale};
  dequantize_strip<block_format(B)>(part, 0, 0, plan, out);
}

/// Formats whose numbers, but for the tensor scale, are exact in bfloat16.
template <block_format B>
inline constexpr bool exact_in_bfloat16 = B.tensor_scale
                                              ? B.scale == ue4m3&& B.element.mantissa_bits + 5 <= 8
                                              : B.scale == ue8m0&& B.element.bits() <= 8;

/// Whether all products of two such matrices are normal floats, or zero or not finite.
template <block_format B>
bool far_from_subnormal(quantized_view<B> q) {
  bool far = true;
  for (std::ptrdiff_t i = 0; i < B.grid_rows(q.rows); ++i) {
    for (std::ptrdiff_t j = 0; j < B.grid_cols(q.cols); ++j) {
      const std::uint32_t pattern = q.scale(i, j);
      far = far && (B.tensor_scale ? pattern < 127 : 127 - 40 <= pattern && pattern <= 127 + 40);
    }
  }
  return far;
}

}  // namespace detail

/// How a product sums.
enum class summation {
  chain,     ///< in ascending k, each product and sum rounded once: the same bits on every machine
  any_order  ///< floats in an order that suits the machine: BF16 instructions, where it has them
};

/// d[M, N] = a[M, K] * b[N, K]^T, of any two block formats whose blocks lie along K.
///
/// Operands are dequantized to floats (see `dequantize`) a panel at a time, never whole. Each d(i,
/// j) is the chain of fused multiply-adds s = a(i, k) * b(j, k) + s in ascending k from s = 0: the
/// same bits on every machine, for every size of the matrices around it. Error at most K * 2^-24 *
/// sum of |a(i, k) * b(j, k)|, where nothing overflows. Throws std::invalid_argument for sizes that
/// do not fit.
///
/// With summation::any_order, operands that are exact in bfloat16 (mxfp4, mxfp6, mxfp8, mxint8,
/// nvfp4: element * block scale) go through AMX or AVX-512 BF16 on machines that have it: products
/// are exact, tensor scales are applied to the sums, the error is at most that above plus 2^-22
/// relative, and the bits are those of that machine.
template <block_format A, block_format B>
void gemm(quantized_view<A> a, quantized_view<B> b, matrix_view<float> d,
          summation order = summation::chain) {
  constexpr std::ptrdiff_t pairs = 32;  // numbers that are packed into pairs together
  struct buffers {
    detail::storage<float> row;
    detail::storage<std::uint8_t> scales;
  };
  detail::check_view(d, "gemm");
  detail::check_sizes(d.rows, d.cols, a.rows, b.rows, "gemm");
  if (a.cols != b.cols) {
    throw detail::argument_error("gemm: %td and %td columns to sum over", a.cols, b.cols);
  }
  constexpr std::ptrdiff_t least_depth =
      detail::common_depth(detail::panel_depth<A>(), detail::panel_depth<B>());
  static_assert(least_depth * A.element.bits() % 8 == 0 && least_depth * B.element.bits() % 8 == 0,
                "blocks of an odd number of half bytes");
  std::ptrdiff_t height = 96, width = 1024, depth = least_depth;  // of panels: a in L2, b beyond it
  bool in_pairs = false;
  [[maybe_unused]] float scale = 1;
  if constexpr (detail::exact_in_bfloat16<A> && detail::exact_in_bfloat16<B>) {
    const double product = double{a.tensor_scale} * double{b.tensor_scale};
    in_pairs = order == summation::any_order && detail::active_pairs() != detail::pairs::none &&
               detail::with_kernels([](auto) {}) && product > 0x1p-100 && product < 0x1p100 &&
               detail::far_from_subnormal<block_format(A)>(a) &&
               detail::far_from_subnormal<block_format(B)>(b);
    if (in_pairs) {
      scale = static_cast<float>(product);
      a.tensor_scale = b.tensor_scale = 1;
      // Products of pairs take so little time that reading and writing sums would take more.
      height = 256;
      width = 512;
      depth *= larger<std::ptrdiff_t>(1024 / depth, 1);
    }
  }
  depth = smaller(depth, a.cols);
  height = smaller(height, d.rows);
  const detail::dequantize_plan<A> plan_a(a.tensor_scale);
  const detail::dequantize_plan<B> plan_b(b.tensor_scale);
  // Words of panels: floats, or pairs of bfloat16. Rows do not share a set of the cache.
  const auto words_of = [&](std::ptrdiff_t k) { return in_pairs ? ceil_div(k, pairs) * 16 : k; };
  const std::ptrdiff_t stride = ceil_div(words_of(depth), pairs) * pairs + 16;
  // Columns k0 to k0 + k of row `i` of q, in words at `out`.
  const auto fill = [&]<block_format Q>(quantized_view<Q> q, const detail::dequantize_plan<Q>& plan,
                                        std::ptrdiff_t i, std::ptrdiff_t k0, std::ptrdiff_t k,
                                        float* out, buffers& with) {
    float* floats = in_pairs ? with.row.data() : out;
    detail::dequantize_part<block_format(Q)>(q, i, k0, plan, {floats, 1, k, k}, with.scales);
    if (!in_pairs) return;
    for (std::ptrdiff_t l = k; l % pairs != 0; ++l) floats[l] = 0;
    detail::with_kernels([&](auto kernels) { kernels.pack(floats, 2 * words_of(k), out); });
  };
  std::ptrdiff_t tile = 16;
  detail::with_kernels([&](auto kernels) { tile = kernels.tile; });
  const std::ptrdiff_t strips = ceil_div(smaller(width, d.cols), tile);
  detail::storage<float> right(static_cast<std::size_t>(strips * tile * stride));
  const auto times = [](matrix_view<float> part, float factor) {
    for (std::ptrdiff_t i = 0; i < part.rows; ++i) {
      for (std::ptrdiff_t j = 0; j < part.cols; ++j) {
        part(i, j) = factor == 0 ? 0 : part(i, j) * factor;
      }
    }
  };
  if (a.cols == 0 || d.rows == 0) return times(d, 0);
  for (std::ptrdiff_t j0 = 0; j0 < d.cols; j0 += width) {
    for (std::ptrdiff_t k0 = 0; k0 < a.cols; k0 += depth) {
      const std::ptrdiff_t n = smaller(width, d.cols - j0), k = smaller(depth, a.cols - k0);
      const std::ptrdiff_t words = words_of(k);
      // 1. The panel of b, in strips of `tile` rows, transposed.
      detail::for_each_part(ceil_div(n, tile), 1, [&](std::ptrdiff_t s, std::ptrdiff_t) {
        detail::storage<float> rows(static_cast<std::size_t>(tile * stride));
        buffers with{detail::storage<float>(static_cast<std::size_t>(depth + pairs)), {}};
        const std::ptrdiff_t count = smaller(tile, n - tile * s);
        for (std::ptrdiff_t r = 0; r < count; ++r) {
          fill(b, plan_b, j0 + tile * s + r, k0, k, rows.data() + r * stride, with);
        }
        detail::transpose(matrix_view<const float>{rows.data(), tile, words, stride},
                          matrix_view<float>{right.data() + s * tile * stride, words, tile, tile});
      });
      // 2. A panel of a at a time, times all of them.
      const std::ptrdiff_t panels = ceil_div(d.rows, height);
      detail::for_each_part(
          panels, detail::in_threads ? 1 : panels, [&](std::ptrdiff_t first, std::ptrdiff_t last) {
            detail::storage<float> left(static_cast<std::size_t>((height + pairs) * stride));
            buffers with{detail::storage<float>(static_cast<std::size_t>(depth + pairs)), {}};
            for (std::ptrdiff_t p = first; p < last; ++p) {
              const std::ptrdiff_t i0 = p * height, m = smaller(height, d.rows - i0);
              for (std::ptrdiff_t r = 0; r < m; ++r) {
                fill(a, plan_a, i0 + r, k0, k, left.data() + r * stride, with);
              }
              for (std::ptrdiff_t s = 0; s * tile < n; ++s) {
                const matrix_view<float> part =
                    d.block(i0, j0 + tile * s, m, smaller(tile, n - tile * s));
                const float* strip = right.data() + s * tile * stride;
                if (k0 == 0) times(part, 0);
                if (!detail::with_kernels([&](auto kernels) {
                      const int n_words = static_cast<int>(words);
                      if (in_pairs) {
                        kernels.product_of_pairs(left.data(), stride, strip, n_words, part);
                      } else {
                        kernels.product(left.data(), stride, strip, n_words, part);
                      }
                    })) {
                  for (std::ptrdiff_t i = 0; i < part.rows; ++i) {
                    for (std::ptrdiff_t j = 0; j < part.cols; ++j) {
                      for (std::ptrdiff_t l = 0; l < k; ++l) {
                        part(i, j) = detail::fma(left.data()[i * stride + l], strip[tile * l + j],
                                                 part(i, j));
                      }
                    }
                  }
                }
                if (k0 + k == a.cols && scale != 1) times(part, scale);
              }
            }
          });
    }
  }
}

template <block_format A, block_format B>
void gemm(const quantized<A>& a, const quantized<B>& b, matrix_view<float> d,
          summation order = summation::chain) {
  gemm<block_format(A), block_format(B)>(a.view(), b.view(), d, order);
}

}  // namespace halfbyte
