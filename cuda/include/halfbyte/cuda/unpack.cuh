#pragma once

#include <cstdint>
#include <stdexcept>

#include <cuda_runtime.h>

#include <halfbyte/cuda/decode.cuh>
#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/error.cuh>
#include <halfbyte/cuda/ptx.cuh>

namespace halfbyte::cuda {

/// Eight packed E2M1 elements times a scale, as eight bfloat16: exact.
inline __device__ uint4 unpack_word(std::uint32_t packed, float scale) {
  // High and low bytes of the bfloat16 magnitudes 0, .5, 1, 1.5 | 2, 3, 4, 6.
  constexpr std::uint32_t high_low = 0x3F3F3F00u, high_high = 0x40404040u;
  constexpr std::uint32_t low_low = 0xC0800000u, low_high = 0xC0804000u;
  std::uint32_t word[4];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::uint32_t four = packed >> (16 * half);
    const std::uint32_t high = ptx::prmt(high_low, high_high, four & 0x7777u);
    const std::uint32_t low = ptx::prmt(low_low, low_high, four & 0x7777u);
#pragma unroll
    for (int pair = 0; pair < 2; ++pair) {
      const std::uint32_t both = ptx::prmt(low, high, pair == 0 ? 0x5140u : 0x7362u);
      const std::uint32_t signs = four >> (8 * pair);
      const float x = __uint_as_float((both << 16) | (signs & 0x8u) << 28) * scale;
      const float y = __uint_as_float((both & 0xFFFF0000u) | (signs & 0x80u) << 24) * scale;
      word[2 * half + pair] = ptx::to_bfloat16x2(x, y);
    }
  }
  return {word[0], word[1], word[2], word[3]};
}

/// A thread per 8 elements of a matrix of packed elements: out[r, k] = element · block scale.
template <element E, int BlockSize>
static __global__ void __launch_bounds__(256)
    unpack_blocks(const block_scaled_matrix in, std::uint16_t* out, std::int64_t out_stride) {
  const int eight = static_cast<int>(blockIdx.x * 256 + threadIdx.x);
  if (eight >= in.columns / 8) return;
  for (int row = static_cast<int>(blockIdx.y); row < in.rows; row += static_cast<int>(gridDim.y)) {
    const float scale = load_scale<BlockSize>(in.scales, row, 8 * eight);
    const std::uint8_t* elements = in.data + row * in.stride_bytes;
    uint4 word;
    if constexpr (E == element::e2m1) {
      word = unpack_word(reinterpret_cast<const std::uint32_t*>(elements)[eight], scale);
    } else {
      float x[8];
#pragma unroll
      for (int k = 0; k < 8; ++k) x[k] = load_element<E>(elements, 8 * eight + k) * scale;
      word = {ptx::to_bfloat16x2(x[0], x[1]), ptx::to_bfloat16x2(x[2], x[3]),
              ptx::to_bfloat16x2(x[4], x[5]), ptx::to_bfloat16x2(x[6], x[7])};
    }
    reinterpret_cast<uint4*>(out + row * out_stride)[eight] = word;
  }
}

/// Queues the expansion of an MX (BlockSize 32) or NVFP4 (16) matrix to bfloat16, exact where the
/// product lies in bfloat16's range. `out` 16-byte aligned, `out_stride` elements, a multiple of 8.
template <element E, int BlockSize>
void unpack(const block_scaled_matrix& in, std::uint16_t* out, std::int64_t out_stride,
            cudaStream_t stream) {
  if (in.columns % BlockSize != 0 || in.scales.blocks != in.columns / BlockSize)
    throw std::invalid_argument("unpack: a row is a whole number of blocks");
  if (out_stride % 8 != 0 || reinterpret_cast<std::uintptr_t>(out) % 16 != 0 ||
      in.stride_bytes % 4 != 0 || reinterpret_cast<std::uintptr_t>(in.data) % 4 != 0)
    throw std::invalid_argument("unpack: rows are not aligned");
  const dim3 grid(static_cast<unsigned>((in.columns / 8 + 255) / 256),
                  static_cast<unsigned>(in.rows < 16384 ? (in.rows + 3) / 4 : 4096));
  unpack_blocks<E, BlockSize><<<grid, 256, 0, stream>>>(in, out, out_stride);
  check(cudaGetLastError());
}

}  // namespace halfbyte::cuda
