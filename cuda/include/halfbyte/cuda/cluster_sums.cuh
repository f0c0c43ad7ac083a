#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include <halfbyte/cuda/error.cuh>
#include <halfbyte/cuda/launch.cuh>
#include <halfbyte/cuda/ptx.cuh>

namespace halfbyte::cuda {

/// Division of numbers below 2^13 by a number of at most 8 that is known when the kernel starts.
struct small_divisor {
  int by = 1;
  std::uint32_t reciprocal = 65537;

  small_divisor() = default;
  explicit small_divisor(int n) : by(n), reciprocal(65536u / static_cast<std::uint32_t>(n) + 1) {}
  __device__ int divide(int x) const {
    return static_cast<int>(static_cast<std::uint32_t>(x) * reciprocal >> 16);
  }
};

/// What a cluster of up to 8 blocks that share K adds up: each block its part of the tile's sums,
/// to which all others send theirs, counted at a barrier there, so that no block waits for a whole
/// cluster at the end.
///
/// Sums travel as fragments of 16 rows of B by 8 of A, of which lane 4i + q of a warp has those of
/// rows i and i + 8, columns 2q and 2q + 1, as wgmma leaves them. Fragment f of the tile is added
/// up by block f % shares.
template <int Fragments>
struct cluster_sums {
  static constexpr int fragment_bytes = 16 * 8 * 4, own_bytes = Fragments * fragment_bytes;
  /// Room for what the others of any cluster send.
  static constexpr int received_bytes = [] {
    int most = 0;
    for (int shares = 2; shares <= 8; ++shares) {
      const int received = (shares - 1) * ((Fragments + shares - 1) / shares);
      most = received > most ? received : most;
    }
    return most * fragment_bytes;
  }();

  std::uint32_t received, barrier;  // in shared memory
  small_divisor shares;
  int share = static_cast<int>(blockIdx.y);
  int most = shares.divide(Fragments + shares.by - 1);           // fragments of a block
  int count = shares.divide(Fragments - share + shares.by - 1);  // of this block

  /// One thread, once; `arrivals` are expected besides the others' sums.
  __device__ void initialise(std::uint32_t arrivals) const {
    ptx::mbarrier_init(barrier, 1 + arrivals);
    ptx::fence_mbarrier_init();
    ptx::mbarrier_arrive_expect_tx(
        barrier, static_cast<std::uint32_t>((shares.by - 1) * count * fragment_bytes));
  }

  __device__ void arrive() const { ptx::mbarrier_arrive(barrier); }
  __device__ void wait() const { ptx::mbarrier_wait(barrier, 0); }

  /// Leaves a warp's sums, those of `Count` fragments from `first` on, where they are added up;
  /// this block's at `own`. All blocks' barriers have to be ready.
  template <int Count>
  __device__ void send(std::uint32_t own, int first, const float (&sum)[4 * Count]) const {
    int index = shares.divide(first), target = first - index * shares.by;
#pragma unroll
    for (int j = 0; j < Count; ++j) {
      const float* s = sum + 4 * j;
      if (target == share) {
        store(own, index, s);
      } else {
        const auto block = static_cast<std::uint32_t>(target);
        const int slot = share - (share > target ? 1 : 0);
        ptx::store_async(ptx::remote_address(at(received, slot * most + index), block), s[0], s[1],
                         s[2], s[3], ptx::remote_address(barrier, block));
      }
      if (++target == shares.by) target = 0, ++index;
    }
  }

  /// Four totals of a fragment of this block, number `i`: of column lane / 4 and the rows from
  /// lane % 4 * 4 on.
  __device__ void add_up(std::uint32_t own, int i, float (&total)[4]) const {
    add<false>(own, i, total);
#pragma unroll 1
    for (int slot = 0; slot < shares.by - 1; ++slot) add<true>(received, slot * most + i, total);
  }

  /// A lane's four sums of a fragment at `memory`, as they travel.
  static __device__ void store(std::uint32_t memory, int fragment, const float* four) {
    ptx::store_shared(at(memory, fragment),
                      uint4{__float_as_uint(four[0]), __float_as_uint(four[1]),
                            __float_as_uint(four[2]), __float_as_uint(four[3])});
  }
  static __device__ void add(std::uint32_t memory, int fragment, float* four) {
    const uint4 v = ptx::load_shared(at(memory, fragment));
    four[0] += __uint_as_float(v.x);
    four[1] += __uint_as_float(v.y);
    four[2] += __uint_as_float(v.z);
    four[3] += __uint_as_float(v.w);
  }

 private:
  static __device__ std::uint32_t at(std::uint32_t memory, int fragment) {
    return memory + static_cast<std::uint32_t>(fragment * fragment_bytes) + threadIdx.x % 32 * 16;
  }

  template <bool Add>
  static __device__ void add(std::uint32_t memory, int fragment, float (&total)[4]) {
    const std::uint32_t lane = threadIdx.x % 32, column = lane / 4, row = lane % 4 * 4;
    const std::uint32_t from = memory + static_cast<std::uint32_t>(fragment * fragment_bytes) +
                               (row % 8 * 4 + column / 2) * 16 + (row / 8 * 2 + column % 2) * 4;
#pragma unroll
    for (std::uint32_t j = 0; j < 4; ++j) {
      const float value = ptx::load_shared_float(from + j * 64);
      total[j] = Add ? total[j] + value : value;
    }
  }
};

/// The most blocks of `Kernel`, up to 8, that can share the K of so many tiles and still run all at
/// one time.
template <class Kernel>
int shares_at_once(int tiles) {
  static thread_local int known = -1, clusters[9];
  if (known != device_facts::current().device) {
    for (unsigned blocks = 2; blocks <= 8; ++blocks) {
      cudaLaunchAttribute cluster{};
      cluster.id = cudaLaunchAttributeClusterDimension;
      cluster.val.clusterDim = {1, blocks, 1};
      cudaLaunchConfig_t config{};
      config.gridDim = dim3(1, blocks);
      config.blockDim = dim3(Kernel::threads);
      config.dynamicSmemBytes = Kernel::shared_bytes;
      config.attrs = &cluster;
      config.numAttrs = 1;
      check(cudaOccupancyMaxActiveClusters(&clusters[blocks], kernel_entry<Kernel>, &config));
    }
    known = device_facts::current().device;
  }
  int shares = 1;
  for (int blocks = 2; blocks <= 8; ++blocks)
    if (tiles <= clusters[blocks]) shares = blocks;
  return shares;
}

}  // namespace halfbyte::cuda
