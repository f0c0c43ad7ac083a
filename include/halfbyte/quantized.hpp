#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include <halfbyte/argument_error.hpp>
#include <halfbyte/bits.hpp>
#include <halfbyte/block.hpp>
#include <halfbyte/block_format.hpp>
#include <halfbyte/config.hpp>
#include <halfbyte/pack.hpp>
#include <halfbyte/storage.hpp>

namespace halfbyte {

/// How the scales of a matrix lie in memory.
enum class scale_layout {
  linear,         ///< the grid of blocks, row by row
  swizzled_128x4  ///< tiles of 128 rows x 4 block columns, as tensor cores read them
};

/// Place of the scale of row `i`, block column `j` in the 128x4 layout, of `grid_cols` block
/// columns: 512-byte tiles row by row, and within a tile (i % 32, i / 32 % 4, j % 4).
///
/// The layout has a scale for each row of elements: blocks of several rows repeat theirs. Source:
/// cuBLAS documentation, "1D block scaling factors layout".
HALFBYTE_HD constexpr std::ptrdiff_t swizzled_place(std::ptrdiff_t i, std::ptrdiff_t j,
                                                    std::ptrdiff_t grid_cols) {
  const std::ptrdiff_t tile = i / 128 * ceil_div<std::ptrdiff_t>(grid_cols, 4) + j / 4;
  return tile * 512 + i % 32 * 16 + i % 128 / 32 * 4 + j % 4;
}

/// Bytes of the scales of a `rows` x `cols` matrix in block format B.
template <block_format B>
HALFBYTE_HD constexpr std::size_t scales_size(std::ptrdiff_t rows, std::ptrdiff_t cols,
                                              scale_layout layout) {
  std::ptrdiff_t n = B.grid_rows(rows) * B.grid_cols(cols) * scale_bytes(B.scale);
  if (layout == scale_layout::swizzled_128x4) {
    n = ceil_div<std::ptrdiff_t>(rows, 128) * ceil_div<std::ptrdiff_t>(B.grid_cols(cols), 4) * 512;
  }
  return static_cast<std::size_t>(n);
}

/// A quantized matrix that somebody else owns; also the form in which CUDA kernels take one.
///
/// `elements` [rows, packed_bytes(B.element, cols)], row-major; `scales` as `layout` says.
template <block_format B, class Byte = const std::uint8_t>
struct quantized_view {
  Byte* elements = nullptr;
  Byte* scales = nullptr;
  std::ptrdiff_t rows = 0, cols = 0;
  float tensor_scale = 1;
  scale_layout layout = scale_layout::linear;

  HALFBYTE_HD constexpr std::ptrdiff_t row_bytes() const {
    return static_cast<std::ptrdiff_t>(packed_bytes(B.element, cols));
  }
  HALFBYTE_HD constexpr Byte* row(std::ptrdiff_t i) const { return elements + i * row_bytes(); }
  /// The elements of the block at (`i`, `j`) of the grid.
  HALFBYTE_HD constexpr packed_view<B.element, Byte> block(std::ptrdiff_t i,
                                                           std::ptrdiff_t j) const {
    return {row(i * B.block_rows(rows)), row_bytes(), j * B.block_cols(cols)};
  }
  /// Pattern of the scale of the block at (`i`, `j`) of the grid.
  HALFBYTE_HD constexpr std::uint32_t scale(std::ptrdiff_t i, std::ptrdiff_t j) const {
    if (layout == scale_layout::linear) {
      return load_scale<B.scale>(scales, i * B.grid_cols(cols) + j);
    }
    return load_scale<B.scale>(scales,
                               swizzled_place(i * B.block_rows(rows), j, B.grid_cols(cols)));
  }
  HALFBYTE_HD constexpr void set_scale(std::ptrdiff_t i, std::ptrdiff_t j, std::uint32_t p) const {
    if (layout == scale_layout::linear) {
      store_scale<B.scale>(scales, i * B.grid_cols(cols) + j, p);
      return;
    }
    const std::ptrdiff_t first = i * B.block_rows(rows);
    const std::ptrdiff_t last = smaller(first + B.block_rows(rows), rows);
    for (std::ptrdiff_t r = first; r < last; ++r) {
      store_scale<B.scale>(scales, swizzled_place(r, j, B.grid_cols(cols)), p);
    }
  }
  /// The number at (`i`, `j`), in a float.
  HALFBYTE_HD constexpr float operator()(std::ptrdiff_t i, std::ptrdiff_t j) const {
    const std::uint32_t pattern = scale(i / B.block_rows(rows), j / B.block_cols(cols));
    return dequantize_element<B>(load_packed<B.element>(row(i), j),
                                 divisor<B>(pattern, {tensor_scale, 0}));
  }
};

namespace detail {

/// `layout`, of scales of `bytes` bytes, where a matrix of this size can have it.
inline scale_layout checked_layout(std::ptrdiff_t rows, std::ptrdiff_t cols, scale_layout layout,
                                   std::ptrdiff_t bytes) {
  if (rows < 0 || cols < 0) {
    throw argument_error("quantized: size %td x %td", rows, cols);
  }
  if (layout == scale_layout::swizzled_128x4 && bytes != 1) {
    throw argument_error("quantized: swizzled_128x4 needs scales of one byte");
  }
  return layout;
}

}  // namespace detail

/// A quantized matrix: packed elements, block scales, tensor scale.
///
/// Padding (the last bits of a row, the rest of a swizzled tile) is zero.
template <block_format B>
class quantized {
 public:
  quantized() = default;
  /// A matrix of zeros. Throws std::invalid_argument for negative sizes, and for a swizzled layout
  /// of scales that are not bytes.
  quantized(std::ptrdiff_t rows, std::ptrdiff_t cols, scale_layout layout = scale_layout::linear)
      : quantized(rows, cols, layout, detail::unset{}) {
    elements_.zero();
    scales_.zero();
  }
  /// The same, but that only padding is sure to be zero.
  quantized(std::ptrdiff_t rows, std::ptrdiff_t cols, scale_layout layout, detail::unset)
      : rows_(rows),
        cols_(cols),
        layout_(detail::checked_layout(rows, cols, layout, scale_bytes(B.scale))),
        elements_(static_cast<std::size_t>(rows) * packed_bytes(B.element, cols), detail::unset{}),
        scales_(scales_size<B>(rows, cols, layout), detail::unset{}) {
    static_assert(B.valid(),
                  "not a block format that halfbyte can hold: see block_format::valid()");
    if (cols * B.element.bits() % 8 != 0) elements_.zero();
    if (layout != scale_layout::linear) scales_.zero();
  }

  std::ptrdiff_t rows() const { return rows_; }
  std::ptrdiff_t cols() const { return cols_; }
  scale_layout layout() const { return layout_; }
  // From pointers, which are those of a view: vectors would become spans in every program, even one
  // that asks for none.
  std::span<const std::uint8_t> elements() const { return {view().elements, elements_.size()}; }
  std::span<std::uint8_t> elements() { return {view().elements, elements_.size()}; }
  std::span<const std::uint8_t> scales() const { return {view().scales, scales_.size()}; }
  std::span<std::uint8_t> scales() { return {view().scales, scales_.size()}; }
  float tensor_scale() const { return tensor_scale_; }
  void set_tensor_scale(float scale) { tensor_scale_ = scale; }

  /// Size of elements, scales and tensor scale together.
  std::size_t bytes() const {
    return elements_.size() + scales_.size() + (B.tensor_scale ? sizeof(float) : 0);
  }

  quantized_view<B> view() const {
    return {elements_.data(), scales_.data(), rows_, cols_, tensor_scale_, layout_};
  }
  quantized_view<B, std::uint8_t> view() {
    return {elements_.data(), scales_.data(), rows_, cols_, tensor_scale_, layout_};
  }

  friend bool operator==(const quantized&, const quantized&) = default;

 private:
  std::ptrdiff_t rows_ = 0, cols_ = 0;
  float tensor_scale_ = 1;
  scale_layout layout_ = scale_layout::linear;
  detail::storage<std::uint8_t> elements_, scales_;
};

}  // namespace halfbyte
