#pragma once

#include <cstddef>

#include <halfbyte/bits.hpp>
#include <halfbyte/config.hpp>
#include <halfbyte/format.hpp>

namespace halfbyte {

/// Elements in blocks that share a scale: element * block scale (* tensor scale).
///
/// A block is `rows` by `cols` elements, 0 meaning the whole extent; blocks at the edges of a
/// matrix are cut off there. A structural type: block formats are template arguments.
struct block_format {
  format element, scale;
  int rows, cols;
  bool tensor_scale = false;  ///< one float for the whole tensor, beside the blocks' scales

  /// Extent of a block in a matrix of `total` rows (columns).
  HALFBYTE_HD constexpr std::ptrdiff_t block_rows(std::ptrdiff_t total) const {
    return rows != 0 ? rows : larger<std::ptrdiff_t>(total, 1);
  }
  HALFBYTE_HD constexpr std::ptrdiff_t block_cols(std::ptrdiff_t total) const {
    return cols != 0 ? cols : larger<std::ptrdiff_t>(total, 1);
  }
  /// Number of blocks that cover `total` rows (columns).
  HALFBYTE_HD constexpr std::ptrdiff_t grid_rows(std::ptrdiff_t total) const {
    return ceil_div(total, block_rows(total));
  }
  HALFBYTE_HD constexpr std::ptrdiff_t grid_cols(std::ptrdiff_t total) const {
    return ceil_div(total, block_cols(total));
  }
  /// A block format this library can hold. A tensor scale needs elements and block scales of few
  /// bits, so that their products with it are exact in 32.
  HALFBYTE_HD constexpr bool valid() const {
    return element.valid() && scale.valid() && !scale.fixed_point() && element.bits() <= 16 &&
           rows >= 0 && cols >= 0 &&
           (!tensor_scale || (scale.mantissa_bits <= 7 && element.mantissa_bits <= 7));
  }

  friend constexpr bool operator==(const block_format&, const block_format&) = default;
};

// OCP MX v1.0: 32 elements along a row, power-of-two scales.
inline constexpr block_format mxfp4{e2m1, ue8m0, 1, 32};
inline constexpr block_format mxfp6_e2m3{e2m3, ue8m0, 1, 32};
inline constexpr block_format mxfp6_e3m2{e3m2, ue8m0, 1, 32};
inline constexpr block_format mxfp8_e4m3{e4m3, ue8m0, 1, 32};
inline constexpr block_format mxfp8_e5m2{e5m2, ue8m0, 1, 32};
inline constexpr block_format mxint8{fixed8, ue8m0, 1, 32};

// NVFP4: 16 elements along a row, or squares for weights. arXiv 2509.25149, sections 2 and 4.3.
inline constexpr block_format nvfp4{e2m1, ue4m3, 1, 16, true};
inline constexpr block_format nvfp4_2d{e2m1, ue4m3, 16, 16, true};

// DeepSeek-V3: activations and weights. arXiv 2412.19437, section 3.3.
inline constexpr block_format fp8_1x128{e4m3, float32, 1, 128};
inline constexpr block_format fp8_128x128{e4m3, float32, 128, 128};

/// One float scale for each row, for each column, for the whole tensor.
HALFBYTE_HD constexpr block_format per_row(format element) { return {element, float32, 1, 0}; }
HALFBYTE_HD constexpr block_format per_column(format element) { return {element, float32, 0, 1}; }
HALFBYTE_HD constexpr block_format per_tensor(format element) { return {element, float32, 0, 0}; }

/// Blocks that lie along columns where those of `b` lie along rows.
HALFBYTE_HD constexpr block_format transposed(block_format b) {
  return {b.element, b.scale, b.cols, b.rows, b.tensor_scale};
}

}  // namespace halfbyte
