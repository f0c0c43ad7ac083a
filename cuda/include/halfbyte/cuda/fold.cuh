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
  constexpr std::uint32_t sign = 0x80808080u;
  const std::uint32_t magnitudes = packed & 0x77777777u;
  const std::uint32_t even = packed << 4;  // elements' signs in the top bits of its bytes
  return {ptx::prmt(table.low, table.high, magnitudes) | (ptx::prmt(even, packed, 0x5140) & sign),
          ptx::prmt(table.low, table.high, magnitudes >> 16) |
              (ptx::prmt(even, packed, 0x7362) & sign)};
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

/// A warp per row, half a block per lane, so that the warp writes 512 bytes in a row. What it read
/// to find the row's largest and smallest exponents stays in registers, up to 8192 elements.
static __global__ void __launch_bounds__(256)
    fold_rows(const block_scaled_matrix in, const folded_matrix out) {
  constexpr int kept = 16;
  const int row = static_cast<int>(blockIdx.x * 8 + threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32), halves = 2 * in.scales.blocks;
  if (row >= in.rows) return;
  const auto* packed = reinterpret_cast<const uint2*>(in.data + row * in.stride_bytes);
  uint2 pair[kept];
  int exponent[kept], largest = -1, smallest = 255;
  const auto widen_range = [&](const uint2& q, int e) {
    const bool zero = ((q.x | q.y) & 0x77777777u) == 0;
    if (!zero || e == 255) largest = max(largest, e);
    if (!zero) smallest = min(smallest, e);
  };
#pragma unroll
  for (int j = 0; j < kept; ++j) {
    const int i = lane + 32 * j;
    pair[j] = i < halves ? packed[i] : uint2{};
    exponent[j] = i < halves ? in.scales(row, i / 2) : 0;
  }
#pragma unroll
  for (int j = 0; j < kept; ++j) widen_range(pair[j], exponent[j]);
#pragma unroll 4
  for (int i = lane + 32 * kept; i < halves; i += 32) widen_range(packed[i], in.scales(row, i / 2));
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
  auto* bytes = reinterpret_cast<uint4*>(out.data + row * out.stride_bytes);
  const auto write = [&](int i, const uint2& q, int e) {
    const bool zero = unfit || largest == 255 || e < base - 8;
    const folded_magnitudes table(zero ? 0 : e - base);
    const uint2 a = fold_word(zero ? 0 : q.x, table), b = fold_word(zero ? 0 : q.y, table);
    bytes[i] = {a.x, a.y, b.x, b.y};
  };
#pragma unroll
  for (int j = 0; j < kept; ++j)
    if (lane + 32 * j < halves) write(lane + 32 * j, pair[j], exponent[j]);
#pragma unroll 4
  for (int i = lane + 32 * kept; i < halves; i += 32) write(i, packed[i], in.scales(row, i / 2));
}

/// An MXFP4 matrix as E4M3 bytes and a power of two (UE8M0) for each 128 of a row.
///
/// For matrices many of whose rows do not fold whole and that have no room as bfloat16: a row is
/// unfit here only where 128 neighbours span more than 14 octaves. `gemm_mxfp4` takes both forms.
struct folded_blocks {
  std::uint8_t* data = nullptr;  // rows x columns
  std::int64_t stride_bytes = 0;
  int rows = 0, columns = 0;
  std::uint8_t* exponents = nullptr;  // rows x blocks(columns)
  int* unfit_rows = nullptr;          // as in folded_matrix
  int* unfit_count = nullptr;
  std::uint8_t* unfit = nullptr;

  HALFBYTE_HD static constexpr int blocks(int columns) { return (columns + 127) / 128; }
};

/// A warp per row, a block of 32 per lane: four lanes share an exponent.
static __global__ void __launch_bounds__(256)
    fold_blocks(const block_scaled_matrix in, const folded_blocks out) {
  const int row = static_cast<int>(blockIdx.x * 8 + threadIdx.x / 32);
  const int lane = static_cast<int>(threadIdx.x % 32);
  if (row >= in.rows) return;
  const auto* packed = reinterpret_cast<const uint4*>(in.data + row * in.stride_bytes);
  auto* bytes = reinterpret_cast<uint4*>(out.data + row * out.stride_bytes);
  bool unfit = false;
  // Once to see whether the row fits, once to write.
  for (int pass = 0; pass < 2; ++pass) {
    for (int first = 0; first < in.scales.blocks; first += 32) {
      const int block = first + lane;
      const bool inside = block < in.scales.blocks;
      const uint4 q = inside ? packed[block] : uint4{};
      const int exponent = inside ? in.scales(row, block) : 0;
      const bool zero = ((q.x | q.y | q.z | q.w) & 0x77777777u) == 0;
      int largest = zero && exponent != 255 ? -1 : exponent, smallest = zero ? 255 : exponent;
#pragma unroll
      for (int other = 1; other < 4; other *= 2) {
        largest = max(largest, __shfl_xor_sync(~0u, largest, other));
        smallest = min(smallest, __shfl_xor_sync(~0u, smallest, other));
      }
      const int base = max(largest - 6, 8);
      if (pass == 0) {
        unfit = unfit || (largest < 255 && smallest < base - 8);
        continue;
      }
      if (!inside) continue;
      if (lane % 4 == 0)
        out.exponents[static_cast<std::int64_t>(row) * folded_blocks::blocks(in.columns) +
                      block / 4] = static_cast<std::uint8_t>(largest == 255 ? 255 : base);
      const bool nothing = unfit || zero || largest == 255;
      const folded_magnitudes table(nothing ? 0 : exponent - base);
      const uint2 a = fold_word(nothing ? 0 : q.x, table), b = fold_word(nothing ? 0 : q.y, table);
      const uint2 c = fold_word(nothing ? 0 : q.z, table), d = fold_word(nothing ? 0 : q.w, table);
      bytes[2 * block] = {a.x, a.y, b.x, b.y};
      bytes[2 * block + 1] = {c.x, c.y, d.x, d.y};
    }
    unfit = __any_sync(~0u, unfit);
  }
  if (lane != 0) return;
  out.unfit[row] = unfit ? 1 : 0;
  if (unfit) out.unfit_rows[atomicAdd(out.unfit_count, 1)] = row;
}

namespace detail {

/// Queues `kernel`, a warp per row.
template <class Folded>
void queue_fold(void (*kernel)(block_scaled_matrix, Folded), const block_scaled_matrix& in,
                const Folded& out, cudaStream_t stream) {
  if (in.columns % 32 != 0 || in.scales.blocks != in.columns / 32)
    throw std::invalid_argument("fold: a row is a whole number of blocks of 32");
  if (in.stride_bytes % 16 != 0 || out.stride_bytes % 16 != 0 ||
      reinterpret_cast<std::uintptr_t>(in.data) % 16 != 0 ||
      reinterpret_cast<std::uintptr_t>(out.data) % 16 != 0)
    throw std::invalid_argument("fold: rows are not 16-byte aligned");
  check(cudaMemsetAsync(out.unfit_count, 0, sizeof(int), stream));
  if (in.rows == 0) return;
  kernel<<<static_cast<unsigned>((in.rows + 7) / 8), 256, 0, stream>>>(in, out);
  check(cudaGetLastError());
}

}  // namespace detail

/// Queues the folding of a packed MXFP4 matrix. Rows of both matrices 16-byte aligned.
inline void fold(const block_scaled_matrix& in, const folded_matrix& out, cudaStream_t stream) {
  detail::queue_fold(fold_rows, in, out, stream);
}
inline void fold(const block_scaled_matrix& in, const folded_blocks& out, cudaStream_t stream) {
  detail::queue_fold(fold_blocks, in, out, stream);
}

/// A thread per eight elements, the last of a row alone if they are fewer.
static __global__ void __launch_bounds__(256)
    widen_rows(const std::uint8_t* in, std::int64_t in_stride, std::uint8_t* out,
               std::int64_t out_stride, int rows, int columns) {
  const int first = 8 * static_cast<int>(blockIdx.x * 256 + threadIdx.x);
  if (first >= columns) return;
  const folded_magnitudes table(0);
  for (int row = static_cast<int>(blockIdx.y); row < rows; row += static_cast<int>(gridDim.y)) {
    const std::uint8_t* from = in + row * in_stride + first / 2;
    std::uint8_t* to = out + row * out_stride + first;
    if (first + 8 <= columns) {
      *reinterpret_cast<uint2*>(to) =
          fold_word(*reinterpret_cast<const std::uint32_t*>(from), table);
      continue;
    }
    for (int k = 0; k < columns - first; ++k)
      to[k] = static_cast<std::uint8_t>(fold_word(from[k / 2] >> (k % 2 * 4), table).x);
  }
}

/// Queues the expansion of packed E2M1 to E4M3, exact, for operands with a scale per row or
/// tensor: then `gemm` as E4M3. Rows of `in` 4-byte aligned, those of `out` 8-byte.
inline void widen(const std::uint8_t* in, std::int64_t in_stride, std::uint8_t* out,
                  std::int64_t out_stride, int rows, int columns, cudaStream_t stream) {
  if (in_stride % 4 != 0 || out_stride % 8 != 0 || reinterpret_cast<std::uintptr_t>(in) % 4 != 0 ||
      reinterpret_cast<std::uintptr_t>(out) % 8 != 0)
    throw std::invalid_argument("widen: rows are not aligned");
  if (rows == 0 || columns == 0) return;
  const dim3 grid(static_cast<unsigned>((columns + 2047) / 2048),
                  static_cast<unsigned>(rows < 16384 ? rows : 16384));
  widen_rows<<<grid, 256, 0, stream>>>(in, in_stride, out, out_stride, rows, columns);
  check(cudaGetLastError());
}

}  // namespace halfbyte::cuda
