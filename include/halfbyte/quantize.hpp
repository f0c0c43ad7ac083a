#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <halfbyte/block.hpp>
#include <halfbyte/block_format.hpp>
#include <halfbyte/quantized.hpp>
#include <halfbyte/rounding.hpp>
#include <halfbyte/scale.hpp>
#include <halfbyte/view.hpp>

namespace halfbyte {

/// What a quantized matrix takes from outside its data.
struct quantize_options {
  scale_layout layout = scale_layout::linear;
  /// The tensor scale to use; without one it is found from the data. Needs a positive number.
  std::optional<float> tensor_scale = std::nullopt;
};

namespace detail {

template <class T>
void check_view(matrix_view<T> x, const char* function) {
  const bool sizes = x.rows >= 0 && x.cols >= 0 && (x.stride >= x.cols || x.rows <= 1);
  if (sizes && (x.data != nullptr || x.rows == 0 || x.cols == 0)) return;
  throw std::invalid_argument(std::string("halfbyte::") + function + ": view of " +
                              std::to_string(x.rows) + " x " + std::to_string(x.cols) +
                              ", stride " + std::to_string(x.stride) +
                              (x.data == nullptr ? ", without data" : ""));
}

inline void check_sizes(std::ptrdiff_t rows, std::ptrdiff_t cols, std::ptrdiff_t expected_rows,
                        std::ptrdiff_t expected_cols, const char* function) {
  if (rows == expected_rows && cols == expected_cols) return;
  throw std::invalid_argument(std::string("halfbyte::") + function + ": output of " +
                              std::to_string(rows) + " x " + std::to_string(cols) + " for " +
                              std::to_string(expected_rows) + " x " +
                              std::to_string(expected_cols));
}

template <block_format B, class T, class Scale>
tensor_scaling scale_matrix(matrix_view<const T> x, const Scale& rule,
                            const quantize_options& options, const char* function) {
  if (!B.tensor_scale) return {};
  if (!options.tensor_scale) return scale_tensor<B>(magnitudes_of(x).amax, rule);
  const unpacked given = unpack(*options.tensor_scale);
  if (given.kind != number_kind::finite || given.negative) {
    throw std::invalid_argument(std::string("halfbyte::") + function +
                                ": a tensor scale must be a positive number");
  }
  return {*options.tensor_scale, 0};
}

/// Blocks of x where they lie.
template <class T>
struct in_place {
  matrix_view<const T> x;
  std::ptrdiff_t rows() const { return x.rows; }
  std::ptrdiff_t cols() const { return x.cols; }
  matrix_view<const T> block(std::ptrdiff_t i, std::ptrdiff_t j, std::ptrdiff_t r,
                             std::ptrdiff_t c) const {
    return x.block(i, j, r, c);
  }
};

/// Blocks of x transposed, each gathered into a buffer.
template <class T>
struct gathered {
  matrix_view<const T> x;
  std::vector<T> buffer{};
  std::ptrdiff_t rows() const { return x.cols; }
  std::ptrdiff_t cols() const { return x.rows; }
  matrix_view<const T> block(std::ptrdiff_t i, std::ptrdiff_t j, std::ptrdiff_t r,
                             std::ptrdiff_t c) {
    const matrix_view<const T> from = x.block(j, i, c, r);
    buffer.resize(static_cast<std::size_t>(from.rows * from.cols));
    const matrix_view<T> to{buffer.data(), from.cols, from.rows};
    for (std::ptrdiff_t a = 0; a < from.rows; ++a) {
      for (std::ptrdiff_t b = 0; b < from.cols; ++b) to(b, a) = from(a, b);
    }
    return to;
  }
};

template <block_format B, class Blocks, class Rounding, class Scale>
void quantize_blocks(Blocks blocks, quantized_view<B, std::uint8_t> out, tensor_scaling tensor,
                     const Rounding& rounding, const Scale& rule) {
  const std::ptrdiff_t r = B.block_rows(out.rows), c = B.block_cols(out.cols);
  for (std::ptrdiff_t i = 0; i < B.grid_rows(out.rows); ++i) {
    for (std::ptrdiff_t j = 0; j < B.grid_cols(out.cols); ++j) {
      const auto x = blocks.block(i * r, j * c, r, c);
      const element_indices index{static_cast<std::uint64_t>(i * r * out.cols + j * c),
                                  static_cast<std::uint64_t>(out.cols)};
      out.set_scale(i, j, quantize_block<block_format(B)>(x, out.block(i, j), tensor, rounding,
                                                          rule, index));
    }
  }
}

template <block_format B, class Blocks, class Rounding, class Scale>
quantized<B> quantize_all(Blocks blocks, tensor_scaling tensor, const Rounding& rounding,
                          const Scale& rule, scale_layout layout) {
  quantized<B> q(blocks.rows(), blocks.cols(), layout);
  q.set_tensor_scale(tensor.scale);
  quantize_blocks<B>(std::move(blocks), q.view(), tensor, rounding, rule);
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
  return detail::quantize_all<B>(detail::in_place<number>{view}, tensor, rounding, rule,
                                 options.layout);
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
  return detail::quantize_all<B>(detail::gathered<number>{view}, tensor, rounding, rule,
                                 options.layout);
}

/// The numbers of q, as floats: element * scale * tensor scale, rounded once.
///
/// Needs out of q's size: throws std::invalid_argument otherwise.
template <block_format B>
void dequantize(quantized_view<B> q, matrix_view<float> out) {
  detail::check_view(out, "dequantize");
  detail::check_sizes(out.rows, out.cols, q.rows, q.cols, "dequantize");
  const std::ptrdiff_t r = B.block_rows(q.rows), c = B.block_cols(q.cols);
  for (std::ptrdiff_t i = 0; i < B.grid_rows(q.rows); ++i) {
    for (std::ptrdiff_t j = 0; j < B.grid_cols(q.cols); ++j) {
      dequantize_block<block_format(B)>(q.block(i, j), q.scale(i, j), q.tensor_scale,
                                        out.block(i * r, j * c, r, c));
    }
  }
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
  const matrix_view<const number> view = x;
  const tensor_scaling tensor = detail::scale_matrix<B>(view, rule, options, "fake_quantize");
  const std::ptrdiff_t r = B.block_rows(x.rows), c = B.block_cols(x.cols);
  const std::ptrdiff_t bytes = static_cast<std::ptrdiff_t>(packed_bytes(B.element, c));
  std::vector<std::uint8_t> buffer(static_cast<std::size_t>(r * bytes));
  for (std::ptrdiff_t i = 0; i < B.grid_rows(x.rows); ++i) {
    for (std::ptrdiff_t j = 0; j < B.grid_cols(x.cols); ++j) {
      const element_indices index{static_cast<std::uint64_t>(i * r * x.cols + j * c),
                                  static_cast<std::uint64_t>(x.cols)};
      const std::uint32_t pattern =
          quantize_block<block_format(B)>(view.block(i * r, j * c, r, c),
                                          packed_view<B.element>{buffer.data(), bytes, 0}, tensor,
                                          rounding, rule, index);
      dequantize_block<block_format(B)>(
          packed_view<B.element, const std::uint8_t>{buffer.data(), bytes, 0}, pattern,
          tensor.scale, out.block(i * r, j * c, r, c));
    }
  }
}

}  // namespace halfbyte
