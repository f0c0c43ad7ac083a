#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>
#include <utility>

#include <halfbyte/argument_error.hpp>
#include <halfbyte/block.hpp>
#include <halfbyte/block_format.hpp>
#include <halfbyte/config.hpp>
#include <halfbyte/dequantize_plan.hpp>
#include <halfbyte/pack.hpp>
#include <halfbyte/quantized.hpp>
#include <halfbyte/rounding.hpp>
#include <halfbyte/scale.hpp>
#include <halfbyte/simd.hpp>
#include <halfbyte/simd_plan.hpp>
#include <halfbyte/storage.hpp>
#include <halfbyte/view.hpp>

namespace halfbyte {

/// What a quantized matrix takes from outside its data.
struct quantize_options {
  scale_layout layout = scale_layout::linear;
  /// The tensor scale to use; without one it is found from the data. Needs a positive number; block
  /// formats that have no tensor scale pass over it.
  std::optional<float> tensor_scale = std::nullopt;
};

namespace detail {

template <class T>
void check_view(matrix_view<T> x, const char* function) {
  const bool sizes = x.rows >= 0 && x.cols >= 0 && (x.stride >= x.cols || x.rows <= 1);
  if (sizes && (x.data != nullptr || x.rows == 0 || x.cols == 0)) return;
  throw argument_error("%s: view of %td x %td, stride %td%s", function, x.rows, x.cols, x.stride,
                       x.data == nullptr ? ", without data" : "");
}

inline void check_sizes(std::ptrdiff_t rows, std::ptrdiff_t cols, std::ptrdiff_t expected_rows,
                        std::ptrdiff_t expected_cols, const char* function) {
  if (rows == expected_rows && cols == expected_cols) return;
  throw argument_error("%s: output of %td x %td for %td x %td", function, rows, cols, expected_rows,
                       expected_cols);
}

/// How many columns of blocks of B are handled together: a chunk, or one block if that is longer.
template <block_format B>
std::ptrdiff_t strip_cols(std::ptrdiff_t cols) {
  const std::ptrdiff_t c = B.block_cols(cols);
  return c * larger<std::ptrdiff_t>(chunk / c, 1);
}

/// A matrix cut into rows of blocks, the long ones in pieces, the short ones together.
template <block_format B>
strips strips_of(std::ptrdiff_t rows, std::ptrdiff_t cols) {
  const std::ptrdiff_t r = B.block_rows(rows);
  const std::ptrdiff_t together =
      larger<std::ptrdiff_t>(worth_a_thread / (r * larger<std::ptrdiff_t>(cols, 1)), 1);
  return {rows, cols, together * r, 16 * strip_cols<block_format(B)>(cols)};
}

/// Whether the blocks of a matrix of whole blocks lie in one row, if `dense` says so of its data.
template <block_format B>
bool one_row(bool dense, std::ptrdiff_t cols) {
  return dense && B.rows == 1 && B.cols != 0 && cols % B.block_cols(1) == 0 &&
         cols * B.element.bits() % 8 == 0;
}
template <block_format B, class Byte>
quantized_view<B, Byte> as_one_row(quantized_view<B, Byte> q) {
  q.cols *= q.rows;
  q.rows = 1;
  return q;
}

/// The largest finite magnitude of x.
template <class T>
unpacked largest_magnitude(matrix_view<const T> x) {
  if (x.stride == x.cols) x = as_one_row(x);
  constexpr std::uint32_t not_finite = 0x7f800000u;  // from here on
  const strips cut(x.rows, x.cols);
  storage<unpacked> largest(static_cast<std::size_t>(ceil_div(cut.count, cut.grain)), unset{});
  for_each_part(cut.count, cut.grain, [&](std::ptrdiff_t first, std::ptrdiff_t last) {
    const auto part = [&](std::ptrdiff_t s) {
      return x.block(cut.row(s), cut.col(s), 1, cut.width);
    };
    std::uint32_t bits = not_finite;
    if constexpr (vector_source<T>) {
      with_kernels([&](auto kernels) {
        bits = 0;
        for (std::ptrdiff_t s = first; s < last; ++s) {
          bits = larger(bits, kernels.largest(part(s).data, part(s).cols));
        }
      });
    }
    unpacked& amax = largest.data()[first / cut.grain];
    amax = {};
    if (bits < not_finite) {
      amax = unpack(bit_cast<float>(bits));
      return;
    }
    for (std::ptrdiff_t s = first; s < last; ++s) {
      const unpacked row = magnitudes_of(part(s)).amax;
      if (magnitude_less(amax, row)) amax = row;
    }
  });
  unpacked amax{};
  for (std::size_t i = 0; i < largest.size(); ++i) {
    if (magnitude_less(amax, largest.data()[i])) amax = largest.data()[i];
  }
  return amax;
}

template <block_format B, class T, class Scale>
tensor_scaling scale_matrix(matrix_view<const T> x, const Scale& rule,
                            const quantize_options& options, const char* function) {
  if constexpr (!B.tensor_scale) {
    return {};
  } else {
    if (!options.tensor_scale) return scale_tensor<B>(largest_magnitude(x), rule);
    const unpacked given = unpack(*options.tensor_scale);
    if (given.kind != number_kind::finite || given.negative) {
      throw argument_error("%s: a tensor scale must be a positive number", function);
    }
    return {*options.tensor_scale, 0};
  }
}

/// Quantizes the blocks of a grid, whose first is at (`i`, `j`) of that of the matrix: the usual
/// ones with `kernel`, if there is one, the others as the specification says.
template <block_format B, class T, class Rounding, class Scale>
void quantize_grid(const block_grid<T>& blocks, const quantized_view<B, std::uint8_t>& out,
                   std::ptrdiff_t i, std::ptrdiff_t j, grid_kernel<B, T, Rounding, Scale>* kernel,
                   const block_plan<B>& plan, const Rounding& rounding, const Scale& rule,
                   element_indices index) {
  const int wide = blocks.wide;
  found_scales<B> found;
  found.any_special = true;
  if (kernel != nullptr) kernel(blocks, out.block(i, j), plan, rounding, rule, index, found);
  for (int b = 0; b < blocks.n && found.any_special; ++b) {
    if (kernel != nullptr && found.special[b] == 0) continue;
    const element_indices at{index(b / wide * blocks.r, b % wide * blocks.c), index.stride};
    const std::uint32_t pattern = quantize_block<block_format(B)>(
        blocks[b], out.block(i + b / wide, j + b % wide), plan.tensor, rounding, rule, at);
    found.pattern[b] = static_cast<std::remove_cvref_t<decltype(*found.pattern)>>(pattern);
  }
  if (out.layout != scale_layout::linear || sizeof *found.pattern != 1) {
    for (int b = 0; b < blocks.n; ++b) {
      out.set_scale(i + b / wide, j + b % wide, found.pattern[b]);
    }
    return;
  }
  const std::ptrdiff_t across = B.grid_cols(out.cols);
  const int run = wide == across ? blocks.n : wide;  // scales that follow each other
  for (int b = 0; b < blocks.n; b += run) {
    const std::ptrdiff_t first = (i + b / wide) * across + j;
    std::memcpy(out.scales + first, found.pattern + b, static_cast<std::size_t>(run));
  }
}

/// Quantizes the blocks of x, whose first is at (`i`, `j`) of the grid of blocks. Asks ahead for
/// what no machine guesses: pieces of the rows of `out`, and those of `later`, which is read next,
/// little by little, since machines drop what they have no room for.
template <block_format B, class T, class Rounding, class Scale>
void quantize_strip(matrix_view<const T> x, quantized_view<B, std::uint8_t> out, std::ptrdiff_t i,
                    std::ptrdiff_t j, const block_plan<B>& plan, const Rounding& rounding,
                    const Scale& rule, element_indices index, matrix_view<const T> later = {}) {
  grid_kernel<B, T, Rounding, Scale>* kernel = nullptr;
  if constexpr (block_plan<B>::template possible<T, Rounding, Scale>()) {
    const auto choose = [&](auto kernels) {
      kernel = &decltype(kernels)::template quantize<block_format(B), T, Rounding, Scale>;
    };
    if (plan.possible_here()) with_kernels(choose);
  }
  const std::ptrdiff_t r = B.block_rows(out.rows), c = B.block_cols(out.cols);
  // Of tall blocks as many as stay in the second cache between two looks at them.
  constexpr std::ptrdiff_t kept = 32768, most = most_blocks;
  const std::ptrdiff_t wide =
      larger<std::ptrdiff_t>(smaller(smaller(chunk / c, kept / (r * c)), most), 1);
  const std::ptrdiff_t high = larger<std::ptrdiff_t>(wide / ceil_div(x.cols, c), 1);
  later_numbers<T> after{later};
  for (std::ptrdiff_t row = 0; row * r < x.rows; row += high) {
    const std::ptrdiff_t next = x.cols < out.cols ? (row + 8) * r : x.rows;
    for (std::ptrdiff_t a = next; a < smaller(next + high * r, x.rows); ++a) {
      const std::ptrdiff_t bits = B.element.bits(), scale = (i + a / r) * B.grid_cols(out.cols) + j;
      fetch(out.row(i * r + a) + j * c * bits / 8, static_cast<std::size_t>(x.cols * bits / 8));
      fetch(out.scales + scale * scale_bytes(B.scale), 1);
    }
    for (std::ptrdiff_t col = 0; col * c < x.cols; col += wide) {
      const block_grid<T> blocks(x.block(row * r, col * c, high * r, wide * c), r, c, after);
      const element_indices at{index(row * r, col * c), index.stride};
      quantize_grid<block_format(B)>(blocks, out, i + row, j + col, kernel, plan, rounding, rule,
                                     at);
    }
  }
}

/// The numbers of the blocks whose first is at (`i`, `j`) of the grid of blocks.
template <block_format B>
void dequantize_strip(quantized_view<B> q, std::ptrdiff_t i, std::ptrdiff_t j,
                      const dequantize_plan<B>& plan, matrix_view<float> out) {
  if constexpr (dequantize_plan<B>::possible) {
    const auto run = [&](auto kernels) {
      kernels.template dequantize<block_format(B)>(q, i, j, plan, out);
    };
    if (with_kernels(run)) return;
  }
  const std::ptrdiff_t r = B.block_rows(q.rows), c = B.block_cols(q.cols);
  for (std::ptrdiff_t a = 0; a * r < out.rows; ++a) {
    for (std::ptrdiff_t b = 0; b * c < out.cols; ++b) {
      dequantize_block<block_format(B)>(q.block(i + a, j + b), q.scale(i + a, j + b),
                                        q.tensor_scale, out.block(a * r, b * c, r, c));
    }
  }
}

/// The indices of the elements from row `i` and column `k` on, of a matrix of `cols` columns.
inline element_indices indices_from(std::ptrdiff_t i, std::ptrdiff_t k, std::ptrdiff_t cols) {
  return {static_cast<std::uint64_t>(i * cols + k), static_cast<std::uint64_t>(cols)};
}

template <block_format B, class T, class Rounding, class Scale>
quantized<B> quantize_rows(matrix_view<const T> x, tensor_scaling tensor, const Rounding& rounding,
                           const Scale& rule, scale_layout layout) {
  quantized<B> q(x.rows, x.cols, layout, unset{});
  q.set_tensor_scale(tensor.scale);
  auto out = q.view();
  if (one_row<B>(x.stride == x.cols && layout == scale_layout::linear, x.cols)) {
    x = as_one_row(x);
    out = as_one_row(out);
  }
  const block_plan<B> plan(tensor, rounding, rule);
  const strips cut = strips_of<block_format(B)>(x.rows, x.cols);
  cut.for_each([&](std::ptrdiff_t i, std::ptrdiff_t k) {
    quantize_strip<block_format(B)>(x.block(i, k, cut.height, cut.width), out,
                                    i / B.block_rows(x.rows), k / B.block_cols(x.cols), plan,
                                    rounding, rule, indices_from(i, k, x.cols));
  });
  return q;
}

/// to(j, i) = from(i, j), in squares that stay in the cache.
template <class T>
void transpose(matrix_view<const T> from, matrix_view<T> to) {
  constexpr std::ptrdiff_t side = 16;
  for (std::ptrdiff_t i = 0; i < from.rows; i += side) {
    for (std::ptrdiff_t j = 0; j < from.cols; j += side) {
      const matrix_view<const T> square = from.block(i, j, side, side);
      if constexpr (sizeof(T) == 2 || sizeof(T) == 4) {
        const auto run = [&](auto kernels) { kernels.transpose(square, to.row(j) + i, to.stride); };
        if (square.rows == side && square.cols == side && with_kernels(run)) continue;
      }
      for (std::ptrdiff_t b = 0; b < square.cols; ++b) {
        for (std::ptrdiff_t a = 0; a < square.rows; ++a) to(j + b, i + a) = square(a, b);
      }
    }
  }
}

/// The transpose is gathered into a buffer that stays in the second cache, 128 columns and as many
/// rows as leave room there for the next piece of x, which comes while this one is quantized.
template <block_format B, class T, class Rounding, class Scale>
quantized<B> quantize_cols(matrix_view<const T> x, tensor_scaling tensor, const Rounding& rounding,
                           const Scale& rule, scale_layout layout) {
  quantized<B> q(x.cols, x.rows, layout, unset{});
  q.set_tensor_scale(tensor.scale);
  const auto out = q.view();
  const block_plan<B> plan(tensor, rounding, rule);
  const std::ptrdiff_t r = B.block_rows(out.rows), c = B.block_cols(out.cols);
  const std::ptrdiff_t width =
      smaller(c * larger<std::ptrdiff_t>(128 / c, 1), larger<std::ptrdiff_t>(out.cols, 1));
  const std::ptrdiff_t together =  // rows of blocks
      larger<std::ptrdiff_t>(larger<std::ptrdiff_t>(65536 / width, 64) / r, 1);
  const strips cut(out.rows, out.cols, together * r, 16 * width);
  struct alignas(64) line {  // of a cache: no word lies in two
    T numbers[64 / sizeof(T)];
  };
  constexpr auto per_line = static_cast<std::ptrdiff_t>(64 / sizeof(T));
  // An odd number of lines: columns share no cache set.
  const std::ptrdiff_t lines = ceil_div(width, per_line) | 1;
  cut.for_each([&](std::ptrdiff_t i, std::ptrdiff_t first) {
    storage<line> buffer(static_cast<std::size_t>(smaller(cut.height, out.rows) * lines), unset{});
    for (std::ptrdiff_t k = first; k < smaller(first + cut.width, out.cols); k += width) {
      const matrix_view<const T> from = x.block(k, i, width, cut.height);
      const matrix_view<const T> later =
          k + width < out.cols ? x.block(k + width, i, width, cut.height) : matrix_view<const T>{};
      const matrix_view<T> to{buffer.data()->numbers, from.cols, from.rows, lines * per_line};
      transpose(from, to);
      quantize_strip<block_format(B), T>(to, out, i / r, k / c, plan, rounding, rule,
                                         indices_from(i, k, out.cols), later);
    }
  });
  return q;
}

}  // namespace detail

/// x [rows, cols] in block format B. Elements are float, double or a minifloat.
///
/// Deterministic: the bytes depend on the numbers, the policies and B alone. Throws
/// std::invalid_argument for a view without data or with a stride below its columns.
template <block_format B, rounding Rounding = nearest_even, scale_rule Scale = default_scale<B>,
          class T = const float>
quantized<B> quantize(matrix_view<T> x, Rounding rounding = {}, Scale rule = {},
                      quantize_options options = {}) {
  using number = std::remove_const_t<T>;
  detail::check_view(x, "quantize");
  const matrix_view<const number> view = x;
  const tensor_scaling tensor = detail::scale_matrix<B>(view, rule, options, "quantize");
  return detail::quantize_rows<block_format(B)>(view, tensor, rounding, rule, options.layout);
}

/// The transpose of x [rows, cols] in block format B, without a transposed copy of x: the bytes of
/// `quantize` of the transpose, element indices of stochastic rounding included.
template <block_format B, rounding Rounding = nearest_even, scale_rule Scale = default_scale<B>,
          class T = const float>
quantized<B> quantize_transposed(matrix_view<T> x, Rounding rounding = {}, Scale rule = {},
                                 quantize_options options = {}) {
  using number = std::remove_const_t<T>;
  detail::check_view(x, "quantize_transposed");
  const matrix_view<const number> view = x;
  const tensor_scaling tensor = detail::scale_matrix<B>(view, rule, options, "quantize_transposed");
  return detail::quantize_cols<block_format(B)>(view, tensor, rounding, rule, options.layout);
}

/// The numbers of q, as floats: element * scale * tensor scale, rounded once.
///
/// Needs out of q's size: throws std::invalid_argument otherwise.
template <block_format B>
void dequantize(quantized_view<B> q, matrix_view<float> out) {
  detail::check_view(out, "dequantize");
  detail::check_sizes(out.rows, out.cols, q.rows, q.cols, "dequantize");
  const bool dense = out.stride == out.cols && q.layout == scale_layout::linear;
  if (detail::one_row<B>(dense, q.cols)) {
    q = detail::as_one_row(q);
    out = detail::as_one_row(out);
  }
  const detail::dequantize_plan<B> plan(q.tensor_scale);
  const detail::strips cut = detail::strips_of<block_format(B)>(q.rows, q.cols);
  cut.for_each([&](std::ptrdiff_t i, std::ptrdiff_t k) {
    detail::dequantize_strip<block_format(B)>(q, i / B.block_rows(q.rows), k / B.block_cols(q.cols),
                                              plan, out.block(i, k, cut.height, cut.width));
  });
}

template <block_format B>
void dequantize(const quantized<B>& q, matrix_view<float> out) {
  dequantize<block_format(B)>(q.view(), out);
}

/// x through block format B and back, block by block: what `quantize` and `dequantize` give.
///
/// `out` may be x itself. Needs out of x's size: throws std::invalid_argument otherwise.
template <block_format B, rounding Rounding = nearest_even, scale_rule Scale = default_scale<B>,
          class T = const float>
void fake_quantize(matrix_view<T> x, matrix_view<float> out, Rounding rounding = {},
                   Scale rule = {}, quantize_options options = {}) {
  using number = std::remove_const_t<T>;
  detail::check_view(x, "fake_quantize");
  detail::check_view(out, "fake_quantize");
  detail::check_sizes(out.rows, out.cols, x.rows, x.cols, "fake_quantize");
  matrix_view<const number> view = x;
  const tensor_scaling tensor = detail::scale_matrix<B>(view, rule, options, "fake_quantize");
  const detail::block_plan<B> plan(tensor, rounding, rule);
  const detail::dequantize_plan<B> back(tensor.scale);
  if (detail::one_row<B>(x.stride == x.cols && out.stride == out.cols, x.cols)) {
    view = detail::as_one_row(view);
    out = detail::as_one_row(out);
  }
  const detail::strips cut = detail::strips_of<block_format(B)>(view.rows, view.cols);
  const std::ptrdiff_t width =  // long runs of reading and of writing
      detail::strip_cols<block_format(B)>(view.cols) *
      larger<std::ptrdiff_t>(8 / B.block_rows(view.rows), 1);
  detail::for_each_part(cut.count, cut.grain, [&](std::ptrdiff_t first, std::ptrdiff_t last) {
    quantized<B> strip(smaller(cut.height, view.rows), smaller(width, view.cols));
    for (std::ptrdiff_t s = first; s < last; ++s) {
      const std::ptrdiff_t i = cut.row(s), end = smaller(cut.col(s) + cut.width, view.cols);
      for (std::ptrdiff_t k = cut.col(s); k < end; k += width) {
        const matrix_view<const number> part = view.block(i, k, cut.height, width);
        quantized_view<B, std::uint8_t> q = strip.view();
        q.rows = part.rows;
        q.cols = part.cols;
        q.tensor_scale = tensor.scale;
        detail::quantize_strip<block_format(B)>(part, q, 0, 0, plan, rounding, rule,
                                                detail::indices_from(i, k, view.cols));
        const quantized_view<B> done{q.elements, q.scales, q.rows, q.cols, q.tensor_scale};
        detail::dequantize_strip<block_format(B)>(done, 0, 0, back,
                                                  out.block(i, k, cut.height, width));
      }
    }
  });
}

}  // namespace halfbyte
