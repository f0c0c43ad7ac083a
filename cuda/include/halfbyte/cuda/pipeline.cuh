#pragma once

#include <cstdint>

#include <halfbyte/cuda/ptx.cuh>

namespace halfbyte::cuda {

/// A ring of stages in shared memory between the warp that loads and the warps that multiply.
///
/// Each stage has two barriers: `full` ends its phase when the loader has arrived and its bytes
/// are in, `empty` when every multiplying warp that reads the stage has arrived.
template <int Stages>
struct pipeline {
  std::uint32_t barriers;  // 2 * Stages of them, 8 bytes each, in shared memory

  __device__ std::uint32_t full(int stage) const {
    return barriers + 8u * static_cast<std::uint32_t>(stage);
  }
  __device__ std::uint32_t empty(int stage) const { return full(Stages + stage); }

  __device__ void initialise(std::uint32_t full_arrivals, std::uint32_t empty_arrivals) const {
    for (int stage = 0; stage < Stages; ++stage) {
      ptx::mbarrier_init(full(stage), full_arrivals);
      ptx::mbarrier_init(empty(stage), empty_arrivals);
    }
    ptx::fence_mbarrier_init();
  }

  /// Called by whole warps: each gives the stage back to the loader.
  __device__ void release(int stage) const {
    __syncwarp();
    if (threadIdx.x % 32 == 0) ptx::mbarrier_arrive(empty(stage));
  }
};

/// A place in the ring and how often it was passed.
template <int Stages>
struct ring_position {
  int stage = 0;
  std::uint32_t parity = 0;

  __device__ void advance() {
    if (++stage == Stages) {
      stage = 0;
      parity ^= 1;
    }
  }
  __device__ void advance(int steps) {
    const int passed = stage + steps;
    stage = passed % Stages;
    parity ^= static_cast<std::uint32_t>(passed / Stages) & 1u;
  }
};

/// The order of output tiles: bands of `band` tiles along M, each walked along N, so that the
/// tiles that run at one time form a near square and share their operands in L2. Those after the
/// first `whole` tiles are cut into two, left and right.
struct tile_order {
  int tiles_m, tiles_n, band, whole;

  __host__ __device__ int count() const { return 2 * tiles_m * tiles_n - whole; }
  __device__ bool is_half(int index) const { return index >= whole; }

  /// The tile of this index along M and along N, there in halves.
  __device__ int2 operator()(int index) const {
    const int2 tile = of_tile(is_half(index) ? whole + (index - whole) / 2 : index);
    return {tile.x, 2 * tile.y + (is_half(index) ? (index - whole) % 2 : 0)};
  }

 private:
  __device__ int2 of_tile(int index) const {
    const int band_size = band * tiles_n;
    const int first = index / band_size * band;
    const int width = min(band, tiles_m - first);
    const int inside = index % band_size;
    return {first + inside % width, inside / width};
  }
};

}  // namespace halfbyte::cuda
