#pragma once

#include <cstddef>
#include <vector>

#include <cuda_runtime.h>

#include <halfbyte/cuda/buffer.cuh>
#include <halfbyte/cuda/error.cuh>

namespace on_device {

/// True where a GPU answers.
inline bool available() {
  int devices = 0;
  const bool answers = cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
  (void)cudaGetLastError();
  return answers;
}

/// Calls job(i) for i below `count`, one thread each. Kernels take types, so the job is a struct.
template <class Job>
__global__ void each(Job job, std::ptrdiff_t count) {
  const auto i = static_cast<std::ptrdiff_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) job(i);
}

template <class Job>
void run(const Job& job, std::ptrdiff_t count) {
  if (count == 0) return;
  each<<<static_cast<unsigned>((count + 127) / 128), 128>>>(job, count);
  halfbyte::cuda::check(cudaGetLastError());
  halfbyte::cuda::check(cudaDeviceSynchronize());
}

}  // namespace on_device
