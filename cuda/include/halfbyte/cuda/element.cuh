#pragma once

#include <cstdint>

#include <halfbyte/config.hpp>

namespace halfbyte::cuda {

/// What the bits of a GEMM operand are. The first four are what tensor cores take as they are;
/// the others are packed, least significant bits first, in blocks with a scale.
enum class element { e4m3, e5m2, bfloat16, int8, e2m1, e2m3, e3m2 };

/// What the GEMM writes.
enum class output { bfloat16, float16, float32 };

HALFBYTE_HD constexpr int bits_of(element e) {
  return e == element::bfloat16                     ? 16
         : e == element::e2m1                       ? 4
         : e == element::e2m3 || e == element::e3m2 ? 6
                                                    : 8;
}
HALFBYTE_HD constexpr int bytes_of(element e) { return e == element::bfloat16 ? 2 : 1; }
HALFBYTE_HD constexpr int bytes_of(output o) { return o == output::float32 ? 4 : 2; }

/// Where the scale of a block of 1 x n lies: row by row, or in tiles of 128 rows x 4 blocks as
/// Blackwell's tensor cores read them (rows padded to 128, blocks to 4).
struct scale_grid {
  const std::uint8_t* data = nullptr;
  int blocks = 0;  // in a row
  bool swizzled_128x4 = false;

  HALFBYTE_HD std::int64_t offset(int row, int block) const {
    if (!swizzled_128x4) return static_cast<std::int64_t>(row) * blocks + block;
    const std::int64_t tile = static_cast<std::int64_t>(row / 128) * ((blocks + 3) / 4);
    return (tile + block / 4) * 512 + row % 32 * 16 + row % 128 / 32 * 4 + block % 4;
  }
  HALFBYTE_HD std::uint8_t operator()(int row, int block) const { return data[offset(row, block)]; }
};

/// A matrix of 4-, 6- or 8-bit elements with a scale per 1 x n block: MXFP4/6/8 (UE8M0, n = 32) or
/// NVFP4 (UE4M3, n = 16). Rows of elements `stride_bytes` apart.
struct block_scaled_matrix {
  const std::uint8_t* data = nullptr;
  std::int64_t stride_bytes = 0;
  int rows = 0, columns = 0;
  scale_grid scales;
};

}  // namespace halfbyte::cuda
