#pragma once

#include <cstdint>
#include <stdexcept>

#include <cuda_runtime.h>

#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/error.cuh>
#include <halfbyte/cuda/ptx.cuh>

namespace halfbyte::cuda {

/// The magnitudes 0, .5, 1, 1.5, 2, 3, 4, 6 times 2^k as E4M3 bytes; exact for k in [-8, 6].
struct folded_magnitudes {
  std::uint32_t low, high;

  folded_magnitudes() = default;
  HALFBYTE_HD explicit folded_magnitudes(int k) {
    // Normal numbers: the exponent field counts up with k. Below, the fields are subnormal.
    const auto steps = static_cast<std::uint32_t>(k + 6);
    low = k >= -5   ? steps * 0x08080800u + 0x0C080000u
          : k == -6 ? 0x0C080400u
          : k == -7 ? 0x06040200u
                    : 0x03020100u;
    high = k >= -5   ? steps * 0x08080808u + 0x1C181410u
           : k == -6 ? 0x1C181410u
           : k == -7 ? 0x14100C08u
                     : 0x0C080604u;
  }
};

/// Eight packed E2M1 elements to eight E4M3 bytes.
inline __device__ uint2 fold_word(std::uint32_t packed, const folded_magnitudes& table) {
  const std::uint32_t magnitudes = packed & 0x77777777u;
  const std::uint32_t even_signs = (packed << 4) & 0x80808080u, odd_signs = packed & 0x80808080u;
  return {ptx::prmt(table.low, table.high, magnitudes) | ptx::prmt(even_signs, odd_signs, 0x5140),
          ptx::prmt(table.low, table.high, magnitudes >> 16) |
              ptx::prmt(even_signs, odd_signs, 0x7362)};
}

/// An MXFP4 matrix as E4M3 bytes and one power of two per row: element = byte · scale[row].
///
/// The row's largest block exponent becomes k = 6, so all blocks down to k = -8, 14 octaves lower,
/// are exact. A row with a nonzero block below that is unfit: its bytes and scale are zero and it
/// is listed, in no particular order, for another path. A row with a NaN scale has scale NaN.
struct folded_matrix {
  std::uint8_t* data = nullptr;  // rows x columns; null: only what follows is wanted
  std::int64_t stride_bytes = 0;
  int rows = 0, columns = 0;
  float* scale = nullptr;         // rows
  int* unfit_rows = nullptr;      // room for rows
  int* unfit_count = nullptr;     // 1
  std::uint8_t* unfit = nullptr;  // rows: 1 for an unfit row
};

/// A warp per row: once over the scales and zeros of the blocks, once to write.
static __global__ void __launch_bounds__(256)
    fold_rows(const block_scaled_matrix in, const folded_matrix out) {
  const int row = static_cast<int>(blockIdx.x * 8 + threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  if (row >= in.rows) return;
  const auto* packed = reinterpret_cast<const uint4*>(in.data + row * in.stride_bytes);
  int largest = -1, smallest = 255;
#pragma unroll 4
  for (int block = lane; block < in.scales.blocks; block += 32) {
    const uint4 q = packed[block];
    const int exponent = in.scales(row, block);
    if (exponent == 255) largest = 255;
    if (((q.x | q.y | q.z | q.w) & 0x77777777u) == 0) continue;
    largest = max(largest, exponent);
    smallest = min(smallest, exponent);
  }
  largest = __reduce_max_sync(~0u, largest);
  smallest = __reduce_min_sync(~0u, smallest);
  const int base = max(largest - 6, 8);  // the row's scale is 2^(base - 127)
  const bool unfit = largest < 255 && smallest < base - 8;
  if (lane == 0) {
    const std::uint32_t power = static_cast<std::uint32_t>(base) << 23;
    out.scale[row] = __uint_as_float(largest == 255 ? 0x7FFFFFFFu : unfit ? 0u : power);
    out.unfit[row] = unfit ? 1 : 0;
    if (unfit) out.unfit_rows[atomicAdd(out.unfit_count, 1)] = row;
  }
  if (out.data == nullptr) return;
  const auto* pairs = reinterpret_cast<const uint2*>(packed);
  auto* bytes = reinterpret_cast<uint4*>(out.data + row * out.stride_bytes);
  // Half a block per lane, so that the warp writes 512 bytes in a row.
#pragma unroll 4
  for (int i = lane; i < 2 * in.scales.blocks; i += 32) {
    const uint2 q = pairs[i];
    const int k = in.scales(row, i / 2) - base;
    const bool zero = unfit || largest == 255 || k < -8;
    const folded_magnitudes table(zero ? 0 : k);
    const uint2 a = fold_word(zero ? 0 : q.x, table), b = fold_word(zero ? 0 : q.y, table);
    bytes[i] = {a.x, a.y, b.x, b.y};
  }
}

/// Queues the folding of a packed MXFP4 matrix. Rows of both matrices 16-byte aligned.
inline void fold(const block_scaled_matrix& in, const folded_matrix& out, cudaStream_t stream) {
  if (in.columns % 32 != 0 || in.scales.blocks != in.columns / 32)
    throw std::invalid_argument("fold: a row is a whole number of blocks of 32");
  if (in.stride_bytes % 16 != 0 || out.stride_bytes % 16 != 0 ||
      reinterpret_cast<std::uintptr_t>(in.data) % 16 != 0 ||
      reinterpret_cast<std::uintptr_t>(out.data) % 16 != 0)
    throw std::invalid_argument("fold: rows are not 16-byte aligned");
  check(cudaMemsetAsync(out.unfit_count, 0, sizeof(int), stream));
  fold_rows<<<static_cast<unsigned>((in.rows + 7) / 8), 256, 0, stream>>>(in, out);
  check(cudaGetLastError());
}

}  // namespace halfbyte::cuda
