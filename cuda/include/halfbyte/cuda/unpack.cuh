#pragma once

#include <cstdint>
#include <stdexcept>

#include <cuda_runtime.h>

#include <halfbyte/cuda/decode.cuh>
#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/error.cuh>
#include <halfbyte/cuda/ptx.cuh>

namespace halfbyte::cuda {

/// The magnitudes 0, .5, 1, 1.5 | 2, 3, 4, 6 times a block's scale: bytes of bfloat16 patterns.
struct unpacked_magnitudes {
  std::uint32_t low[2], high[2];

  /// `scale` is a bfloat16 pattern; the products are exact in bfloat16's range.
  __device__ explicit unpacked_magnitudes(std::uint32_t scale) {
    const std::uint32_t twice = ptx::prmt(scale, scale, 0x1010);
    constexpr std::uint32_t pairs[4] = {0x3F000000u, 0x3FC03F80u, 0x40404000u, 0x40C04080u};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const std::uint32_t a = ptx::multiply_bfloat16x2(pairs[2 * i], twice);
      const std::uint32_t b = ptx::multiply_bfloat16x2(pairs[2 * i + 1], twice);
      low[i] = ptx::prmt(a, b, 0x6420);
      high[i] = ptx::prmt(a, b, 0x7531);
    }
  }
};

/// Eight packed E2M1 elements as eight bfloat16.
inline __device__ uint4 unpack_word(std::uint32_t packed, const unpacked_magnitudes& table) {
  const std::uint32_t magnitudes = packed & 0x77777777u;
  const std::uint32_t even = packed << 4;  // elements' signs in the top bits of its bytes
  std::uint32_t word[4];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::uint32_t selector = magnitudes >> (16 * half);
    const std::uint32_t signs = ptx::prmt(even, packed, half == 0 ? 0x5140 : 0x7362) & 0x80808080u;
    const std::uint32_t low = ptx::prmt(table.low[0], table.low[1], selector);
    const std::uint32_t high = ptx::prmt(table.high[0], table.high[1], selector) | signs;
    word[2 * half] = ptx::prmt(low, high, 0x5140);
    word[2 * half + 1] = ptx::prmt(low, high, 0x7362);
  }
  return {word[0], word[1], word[2], word[3]};
}

/// A block scale, UE8M0 or UE4M3 by the size of the block, as a bfloat16 pattern: exact.
template <int BlockSize>
inline __device__ std::uint32_t bfloat16_scale(std::uint32_t scale) {
  constexpr std::uint32_t nan = 0x7FC0u;
  if constexpr (BlockSize == 32) return scale == 0 ? 0x0040u : scale == 0xFFu ? nan : scale << 7;
  const std::uint32_t pattern = scale & 0x7Fu;
  return pattern == 0x7Fu ? nan : __float_as_uint(__uint_as_float(pattern << 20) * 0x1p120f) >> 16;
}

/// Eight neighbouring elements of a row, from the multiple of eight `k` on, times their block's
/// scale as bfloat16; zeros behind the row's end. BlockSize 0: no scales. `Aligned`: eights of 4 or
/// 8 bytes lie at multiples of that.
template <element E, int BlockSize, bool Aligned>
inline __device__ uint4 unpack_eight(const block_scaled_matrix& m, int row, int k) {
  const std::uint8_t* elements = m.data + row * m.stride_bytes;
  const std::uint8_t* from = elements + k / 8 * bits_of(E);
  const bool whole = BlockSize != 0 || k + 8 <= m.columns;
  if constexpr (E == element::e2m1) {
    std::uint32_t packed = 0;
    if (Aligned && whole) {
      packed = __ldg(reinterpret_cast<const std::uint32_t*>(from));
    } else {
#pragma unroll
      for (int j = 0; j < 8; ++j)
        if (whole || k + j < m.columns) packed |= load_bits(from, 4 * j, 4) << 4 * j;
    }
    std::uint32_t scale = 0x3F80u;  // 1
    if constexpr (BlockSize != 0) scale = bfloat16_scale<BlockSize>(m.scales(row, k / BlockSize));
    return unpack_word(packed, unpacked_magnitudes(scale));
  } else {
    const float scale = load_scale<BlockSize>(m.scales, row, k);
    float x[8];
    if (Aligned && whole && bits_of(E) == 8) {
      const uint2 packed = __ldg(reinterpret_cast<const uint2*>(from));
#pragma unroll
      for (int j = 0; j < 8; ++j)
        x[j] = decode_element<E>((j < 4 ? packed.x : packed.y) >> j % 4 * 8 & 0xFFu) * scale;
    } else {
#pragma unroll
      for (int j = 0; j < 8; ++j)
        x[j] = whole || k + j < m.columns ? load_element<E>(elements, k + j) * scale : 0.0f;
    }
    return {ptx::to_bfloat16x2(x[0], x[1]), ptx::to_bfloat16x2(x[2], x[3]),
            ptx::to_bfloat16x2(x[4], x[5]), ptx::to_bfloat16x2(x[6], x[7])};
  }
}

constexpr int unpack_rows = 4;

/// A thread per 8 columns and 4 rows of a matrix of packed elements, all read before one is
/// written: out[r, k] = element · block scale.
template <element E, int BlockSize>
static __global__ void __launch_bounds__(256)
    unpack_blocks(const block_scaled_matrix in, std::uint16_t* out, std::int64_t out_stride) {
  const int eight = static_cast<int>(blockIdx.x * 256 + threadIdx.x), block = 8 * eight / BlockSize;
  if (eight >= in.columns / 8) return;
  for (int first = static_cast<int>(blockIdx.y) * unpack_rows; first < in.rows;
       first += static_cast<int>(gridDim.y) * unpack_rows) {
    const int count = min(unpack_rows, in.rows - first);
    const std::uint8_t* elements = in.data + first * in.stride_bytes;
    uint4* to = reinterpret_cast<uint4*>(out + first * out_stride) + eight;
    if constexpr (E == element::e2m1) {
      // Four rows that begin with a multiple of four lie alike in both layouts of scales.
      const std::uint8_t* scales = in.scales.data + in.scales.offset(first, block);
      const int step = in.scales.swizzled_128x4 ? 16 : in.scales.blocks;
      std::uint32_t packed[unpack_rows], scale[unpack_rows];
#pragma unroll
      for (int i = 0; i < unpack_rows; ++i) {
        const int row = min(i, count - 1);
        packed[i] =
            __ldg(reinterpret_cast<const std::uint32_t*>(elements + row * in.stride_bytes) + eight);
        scale[i] = __ldg(scales + static_cast<std::int64_t>(row) * step);
      }
#pragma unroll
      for (int i = 0; i < unpack_rows; ++i)
        if (i < count)
          to[i * out_stride / 8] =
              unpack_word(packed[i], unpacked_magnitudes(bfloat16_scale<BlockSize>(scale[i])));
    } else {
      for (int i = 0; i < count; ++i)
        to[i * out_stride / 8] = unpack_eight<E, BlockSize, false>(in, first + i, 8 * eight);
    }
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
