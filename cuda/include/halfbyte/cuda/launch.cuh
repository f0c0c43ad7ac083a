#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <type_traits>

#include <cuda_runtime.h>

#include <halfbyte/cuda/error.cuh>

namespace halfbyte::cuda {

/// The one entry to every Hopper kernel: K::run(arguments) on blocks of K::threads.
template <class K>
__global__ void __launch_bounds__(K::threads, K::blocks_per_multiprocessor)
    kernel_entry(const __grid_constant__ typename K::arguments arguments) {
  K::run(arguments);
}

/// What a launch needs to know of the current device.
struct device_facts {
  int device, architecture, multiprocessors;

  static const device_facts& current() {
    static thread_local device_facts facts{-1, 0, 0};
    int device = 0;
    check(cudaGetDevice(&device));
    if (facts.device != device) {
      int major = 0, minor = 0, count = 0;
      check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
      check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
      check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
      facts = {device, 10 * major + minor, count};
    }
    return facts;
  }
};

/// Allows K its shared memory on the current device, once; throws if K has no code for it.
///
/// A kernel for one architecture keeps its barriers in static shared memory, so a build for
/// another target, whose body is empty, is told by having none.
template <class K>
void prepare_kernel() {
  static thread_local int prepared = -1;
  const device_facts& facts = device_facts::current();
  if (prepared == facts.device) return;
  cudaFuncAttributes attributes{};
  if (facts.architecture != K::architecture ||
      cudaFuncGetAttributes(&attributes, kernel_entry<K>) != cudaSuccess ||
      attributes.sharedSizeBytes == 0) {
    (void)cudaGetLastError();
    throw std::runtime_error(std::string(K::name) + ": not built for this device, sm_" +
                             std::to_string(facts.architecture));
  }
  check(cudaFuncSetAttribute(kernel_entry<K>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             K::shared_bytes));
  prepared = facts.device;
}

/// Queues `kernel` behind what is in the stream. With `early` its blocks may start while the kernel
/// before it still ends (programmatic dependent launch): it must call ptx::wait_for_earlier_kernels
/// before it touches what others write, and every block must call it.
template <class... Parameters>
void queue_kernel(void (*kernel)(Parameters...), dim3 blocks, int threads, int shared_bytes,
                  dim3 cluster_shape, bool early, cudaStream_t stream,
                  const std::type_identity_t<Parameters>&... arguments) {
  cudaLaunchAttribute attributes[2] = {};
  unsigned count = 0;
  if (cluster_shape.x * cluster_shape.y * cluster_shape.z > 1) {
    attributes[count].id = cudaLaunchAttributeClusterDimension;
    attributes[count++].val.clusterDim = {cluster_shape.x, cluster_shape.y, cluster_shape.z};
  }
  if (early) {
    attributes[count].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[count++].val.programmaticStreamSerializationAllowed = 1;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<std::size_t>(shared_bytes);
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = count;
  check(cudaLaunchKernelEx(&config, kernel, arguments...));
}

/// Queues K, which waits for earlier kernels itself, in clusters of the given shape.
template <class K>
void launch_kernel(const typename K::arguments& arguments, dim3 blocks, cudaStream_t stream,
                   dim3 cluster_shape = dim3(1)) {
  queue_kernel(kernel_entry<K>, blocks, K::threads, K::shared_bytes, cluster_shape, true, stream,
               arguments);
}

/// Remembers, for one kernel that is built for every GPU, whether its code on the current device was
/// made from sm_90 instructions, so that it can wait for earlier kernels.
struct early_start {
  int device = -1;
  bool allowed = false;

  template <class... Parameters>
  bool operator()(void (*kernel)(Parameters...)) {
    const device_facts& facts = device_facts::current();
    if (device != facts.device) {
      cudaFuncAttributes attributes{};
      check(cudaFuncGetAttributes(&attributes, kernel));
      allowed = attributes.ptxVersion >= 90 && facts.architecture >= 90;
      device = facts.device;
    }
    return allowed;
  }
};

}  // namespace halfbyte::cuda
