#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp4.h>
#include <cuda_fp8.h>

#include <halfbyte/cuda/buffer.cuh>

/// Random operands, made on the device: a pure function of the seed and the element's index.
namespace bench {

inline __device__ std::uint64_t mix(std::uint64_t x) {  // splitmix64's finaliser
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

inline __device__ float normal(std::uint64_t seed, std::uint64_t index) {
  const std::uint64_t r = mix(mix(seed) + index);
  const float u = (static_cast<float>(r >> 40) + 0.5f) * 0x1p-24f;
  const float v = static_cast<float>((r >> 8) & 0xFFFFFFu) * 0x1p-24f;
  return sqrtf(-2.0f * logf(u)) * cospif(2.0f * v);
}

static __global__ void fill_e4m3(std::uint8_t* p, std::size_t count, std::uint64_t seed) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
    p[i] = __nv_cvt_float_to_fp8(normal(seed, i), __NV_SATFINITE, __NV_E4M3);
}

static __global__ void fill_bfloat16(__nv_bfloat16* p, std::size_t count, std::uint64_t seed) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
    p[i] = __float2bfloat16_rn(normal(seed, i));
}

static __global__ void fill_int8(std::int8_t* p, std::size_t count, std::uint64_t seed) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
    p[i] = static_cast<std::int8_t>(fminf(fmaxf(rintf(40.0f * normal(seed, i)), -127), 127));
}

static __global__ void fill_scale(float* p, std::size_t count, std::uint64_t seed) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step)
    p[i] = exp2f(0.5f * normal(seed, i));
}

/// Normal data quantized to MXFP4 (or NVFP4): one thread a block, scales in linear order.
template <bool Nvfp4>
__global__ void fill_fp4(std::uint8_t* elements, std::uint8_t* scales, std::size_t blocks,
                         std::uint64_t seed) {
  constexpr int size = Nvfp4 ? 16 : 32;
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t b = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; b < blocks; b += step) {
    float x[size], amax = 0;
    for (int i = 0; i < size; ++i) {
      x[i] = normal(seed, b * size + static_cast<std::size_t>(i));
      amax = fmaxf(amax, fabsf(x[i]));
    }
    float scale;
    if constexpr (Nvfp4) {
      scales[b] = __nv_cvt_float_to_fp8(amax / 6.0f, __NV_SATFINITE, __NV_E4M3);
      scale = __half2float(__half(__nv_cvt_fp8_to_halfraw(scales[b], __NV_E4M3)));
    } else {
      const int exponent = static_cast<int>(__float_as_uint(amax) >> 23) - 2;
      scales[b] = static_cast<std::uint8_t>(exponent);
      scale = __uint_as_float(static_cast<std::uint32_t>(exponent) << 23);
    }
    for (int i = 0; i < size; i += 2)
      elements[(b * size + static_cast<std::size_t>(i)) / 2] = __nv_cvt_float2_to_fp4x2(
          make_float2(x[i] / scale, x[i + 1] / scale), __NV_E2M1, cudaRoundNearest);
  }
}

}  // namespace bench
