#pragma once

#include <cstdint>

#include <cuda.h>

/// One PTX instruction per function, under the instruction's name. Source: PTX ISA 9.0.
///
/// Addresses of shared memory are 32-bit offsets in the shared window: `shared_address`.
namespace halfbyte::cuda::ptx {

inline __device__ std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

/// What lane 0 has. Of a value that all lanes agree on this makes one that the compiler knows to be
/// uniform: addresses and descriptors that follow from it take uniform registers and instructions.
template <class T>
inline __device__ T broadcast(T value) {
  return __shfl_sync(~0u, value, 0);
}

inline __device__ int warp_index() { return broadcast(static_cast<int>(threadIdx.x) / 32); }

// Barriers in shared memory (sm_90): a phase ends when every expected arrival and byte is in.

inline __device__ void mbarrier_init(std::uint32_t barrier, std::uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals));
}

/// Makes initialised barriers visible to the copy engine and to the other blocks of the cluster.
inline __device__ void fence_mbarrier_init() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

inline __device__ void mbarrier_arrive(std::uint32_t barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

inline __device__ void mbarrier_arrive_expect_tx(std::uint32_t barrier, std::uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}

/// True once the phase of the given parity has ended; may give up after a while.
inline __device__ bool mbarrier_try_wait(std::uint32_t barrier, std::uint32_t parity) {
  std::uint32_t done;
  asm volatile(
      "{\n .reg .pred p;\n"
      " mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
      " selp.u32 %0, 1, 0, p;\n}"
      : "=r"(done)
      : "r"(barrier), "r"(parity)
      : "memory");
  return done != 0;
}

inline __device__ void mbarrier_wait(std::uint32_t barrier, std::uint32_t parity) {
  while (!mbarrier_try_wait(barrier, parity)) {
  }
}

// The bulk tensor copy engine, TMA (sm_90).

inline __device__ void prefetch_tensor_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

/// How long L2 should keep what is loaded: a policy as `createpolicy` encodes it.
enum class keep : std::uint64_t {
  normal = 0x1000000000000000,
  briefly = 0x12F0000000000000,
  long_time = 0x14F0000000000000
};

inline __device__ void tma_load(std::uint32_t target, const CUtensorMap& map, int column, int row,
                                std::uint32_t barrier, keep policy) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".L2::cache_hint [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(target),
      "l"(&map), "r"(column), "r"(row), "r"(barrier), "l"(static_cast<std::uint64_t>(policy))
      : "memory");
}

/// Brings what lies there into L2 only.
inline __device__ void prefetch(const void* p) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
}

/// Brings a box into L2 only.
inline __device__ void tma_prefetch(const CUtensorMap& map, int column, int row, keep policy) {
  asm volatile(
      "cp.async.bulk.prefetch.tensor.2d.L2.global.L2::cache_hint [%0, {%1, %2}], %3;" ::"l"(&map),
      "r"(column), "r"(row), "l"(static_cast<std::uint64_t>(policy))
      : "memory");
}

/// Writes a box from shared memory; what lies outside the matrix is left out.
inline __device__ void tma_store(const CUtensorMap& map, int column, int row, std::uint32_t source,
                                 keep policy) {
  asm volatile(
      "cp.async.bulk.tensor.2d.global.shared::cta.bulk_group.L2::cache_hint"
      " [%0, {%1, %2}], [%3], %4;" ::"l"(&map),
      "r"(column), "r"(row), "r"(source), "l"(static_cast<std::uint64_t>(policy))
      : "memory");
}

/// This thread's stores since the last commit are a group.
inline __device__ void tma_store_commit() {
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

/// Waits until at most `Groups` of this thread's groups still have to read shared memory.
template <int Groups>
inline __device__ void tma_store_wait_read() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(Groups) : "memory");
}

/// Orders this thread's ordinary stores to shared memory before the copy engine's reads.
inline __device__ void fence_proxy_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Clusters (sm_90) and registers (sm_90a).

/// Orders nothing but what `fence_mbarrier_init` came after.
inline __device__ void cluster_arrive() {
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}

inline __device__ void cluster_wait() {
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/// The address, in the cluster's shared window, of what lies at this offset in one of its blocks.
inline __device__ std::uint32_t remote_address(std::uint32_t address, std::uint32_t block) {
  std::uint32_t remote;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(remote) : "r"(address), "r"(block));
  return remote;
}

/// Stores to a block of the cluster and counts the 16 bytes at a barrier there.
inline __device__ void store_async(std::uint32_t remote, float a, float b, float c, float d,
                                   std::uint32_t remote_barrier) {
  asm volatile(
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, "
      "[%5];" ::"r"(remote),
      "f"(a), "f"(b), "f"(c), "f"(d), "r"(remote_barrier)
      : "memory");
}

/// Waits until the kernels before this one in its stream have ended and their writes can be read.
/// Nothing below sm_90, where no kernel starts before that.
inline __device__ void wait_for_earlier_kernels() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the blocks of the next kernel in the stream start where there is room for them.
inline __device__ void let_next_kernel_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

template <int Registers>
inline __device__ void register_limit_increase() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}

template <int Registers>
inline __device__ void register_limit_decrease() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}

/// Waits until `threads` threads of the block, this one among them, have come to barrier `id`;
/// barrier 0 is __syncthreads.
inline __device__ void named_barrier_wait(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/// Comes to barrier `id` without waiting.
inline __device__ void named_barrier_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// Matrix fragments.

inline __device__ void stmatrix_x4(std::uint32_t address, std::uint32_t a, std::uint32_t b,
                                   std::uint32_t c, std::uint32_t d) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
               "r"(a), "r"(b), "r"(c), "r"(d)
               : "memory");
}

inline __device__ void ldmatrix_x4(std::uint32_t address, std::uint32_t (&d)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(address)
               : "memory");
}

/// D += A · B of 16x16 by 16x8 bfloat16 elements, float accumulators (sm_80).
inline __device__ void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3},"
      " {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Bytes of a and b (a is 0 to 3, b is 4 to 7) picked by the four low nibbles of `selector`.
inline __device__ std::uint32_t prmt(std::uint32_t a, std::uint32_t b, std::uint32_t selector) {
  std::uint32_t d;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(selector));
  return d;
}

// Conversions of two floats at once; the first is the low half.

inline __device__ std::uint32_t to_bfloat16x2(float low, float high) {
  std::uint32_t d;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
  return d;
}

inline __device__ std::uint32_t to_float16x2(float low, float high) {
  std::uint32_t d;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(d) : "f"(high), "f"(low));
  return d;
}

/// Both products of two bfloat16 each (sm_80).
inline __device__ std::uint32_t multiply_bfloat16x2(std::uint32_t a, std::uint32_t b) {
  std::uint32_t d;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(0x80008000u));
  return d;
}

inline __device__ float from_float16(std::uint16_t pattern) {
  float d;
  asm("cvt.f32.f16 %0, %1;" : "=f"(d) : "h"(pattern));
  return d;
}

// Shared memory.

inline __device__ uint4 load_shared(std::uint32_t address) {
  uint4 v;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(address)
               : "memory");
  return v;
}

inline __device__ uint2 load_shared_pair(std::uint32_t address) {
  uint2 v;
  asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "r"(address) : "memory");
  return v;
}

inline __device__ float load_shared_float(std::uint32_t address) {
  float v;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(v) : "r"(address) : "memory");
  return v;
}

inline __device__ void store_shared(std::uint32_t address, const uint4& v) {
  asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(v.x), "r"(v.y),
               "r"(v.z), "r"(v.w)
               : "memory");
}

inline __device__ void store_shared(std::uint32_t address, float a) {
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(address), "f"(a) : "memory");
}

inline __device__ void store_shared(std::uint32_t address, float a, float b) {
  asm volatile("st.shared.v2.f32 [%0], {%1, %2};" ::"r"(address), "f"(a), "f"(b) : "memory");
}

}  // namespace halfbyte::cuda::ptx
