#pragma once

#include <algorithm>
#include <cstdint>

#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/epilogue.cuh>
#include <halfbyte/cuda/launch.cuh>
#include <halfbyte/cuda/pipeline.cuh>
#include <halfbyte/cuda/ptx.cuh>
#include <halfbyte/cuda/tensor_map.cuh>

/// What the Hopper kernels share: the cut of D into tiles, their order, and the loading warp.
namespace halfbyte::cuda {

/// One operand: `rows` rows of `columns` elements along K, rows `stride_bytes` apart.
struct operand_matrix {
  const void* data = nullptr;
  std::int64_t stride_bytes = 0;
  int rows = 0, columns = 0;
};

/// The shape of one block's work: 128 x N outputs by two warpgroups, K in steps of 128 bytes,
/// `Stages` steps in flight. `Cluster` neighbours along M load B together.
template <int N, int Stages, int Cluster>
struct sm90_tile {
  static constexpr int m = 128, n = N, stages = Stages, cluster = Cluster;
  static constexpr int k_bytes = 128;
  static constexpr int a_bytes = m * k_bytes, b_bytes = n * k_bytes;
  static constexpr int stage_bytes = a_bytes + b_bytes;
  static constexpr int ring_bytes = Stages * stage_bytes;

  static constexpr int multiplying_threads = 256;
  static constexpr int multiplying_warps = multiplying_threads / 32;
  static constexpr int threads = multiplying_threads + 128;
  using ring = pipeline<Stages>;
  using position = ring_position<Stages>;
  using factors = tile_factors<m, n>;
};

using sm90_tile_large = sm90_tile<256, 4, 2>;
using sm90_tile_medium = sm90_tile<128, 6, 2>;
using sm90_tile_small = sm90_tile<128, 6, 1>;

/// What every kernel on these tiles is given.
struct sm90_arguments {
  CUtensorMap map_a, map_b;
  epilogue how;
  output_matrix d;
  tile_order order;  // in clusters of tiles along M
  int k_steps;
};

/// The walk of one block over its tiles. All warps of the block walk alike.
template <class Tile>
struct tile_walk {
  const tile_order& order;
  int rank = Tile::cluster > 1 ? static_cast<int>(ptx::cluster_rank()) : 0;
  int index = static_cast<int>(blockIdx.x) / Tile::cluster;
  int row = 0, column = 0;  // of the tile's first output

  __device__ bool find() {
    if (index >= order.count()) return false;
    const int2 tile = order(index);
    row = (tile.x * Tile::cluster + rank) * Tile::m;
    column = tile.y * Tile::n;
    return true;
  }
  __device__ void advance() { index += static_cast<int>(gridDim.x) / Tile::cluster; }
};

/// What a block keeps in static shared memory: the ring's barriers, and the factors of the tile
/// that is multiplied with a ring of their own.
template <class Tile>
struct block_state {
  alignas(8) std::uint64_t barriers[2 * Tile::stages], factor_barriers[2];
  typename Tile::factors factors;

  __device__ typename Tile::ring ring() const { return {ptx::shared_address(barriers)}; }
  __device__ pipeline<1> factor_ring() const { return {ptx::shared_address(factor_barriers)}; }

  /// Barriers ready in this block and, in a cluster, in its peers.
  __device__ void start(const sm90_arguments& p, std::uint32_t loading_arrivals) const {
    if (threadIdx.x == 0) {
      ptx::prefetch_tensor_map(p.map_a);
      ptx::prefetch_tensor_map(p.map_b);
      ring().initialise(loading_arrivals, Tile::cluster * Tile::multiplying_warps);
      factor_ring().initialise(32, Tile::multiplying_threads);
    }
    if constexpr (Tile::cluster > 1) {
      ptx::cluster_arrive();
      ptx::cluster_wait();
    } else {
      __syncthreads();
    }
  }
};

/// One warp: the epilogue's factors of each tile, while the tile is being multiplied.
template <class Tile>
inline __device__ void load_factors(const sm90_arguments& p, block_state<Tile>& state) {
  ring_position<1> at;
  for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
    ptx::mbarrier_wait(state.factor_ring().empty(0), at.parity ^ 1);
    state.factors.fetch(p.how, p.d, tile.row, tile.column);
    ptx::mbarrier_arrive(state.factor_ring().full(0));
    at.advance();
  }
}

/// One multiplying warp: its 16 rows of the tile from registers to D.
template <class Writer, class Tile, class T>
inline __device__ void write_tile(const sm90_arguments& p, const block_state<Tile>& state,
                                  const tile_walk<Tile>& tile, std::uint32_t slabs,
                                  ring_position<1>& factors_at, const T (&sum)[Tile::n / 2]) {
  const int line = static_cast<int>(threadIdx.x) / 32 * 16;
  ptx::mbarrier_wait(state.factor_ring().full(0), factors_at.parity);
  const Writer out{p.how,
                   p.d,
                   slabs,
                   state.factors.row + line,
                   state.factors.column,
                   state.factors.wide != 0,
                   tile.row + line,
                   tile.column};
  if (out.row < p.d.rows) out.write(sum);
  ptx::mbarrier_arrive(state.factor_ring().empty(0));
  factors_at.advance();
}

/// The loading thread: for each step, waits until the stage is free in the whole cluster, then
/// fetches A's rows for this block and its share of B's rows for every block.
template <class Tile>
inline __device__ void load_tiles(const sm90_arguments& p, const typename Tile::ring& ring,
                                  std::uint32_t ring_memory, int k_elements) {
  constexpr int share = Tile::n / Tile::cluster;
  // A's rows of the band are needed again for every column of tiles, B's only once in a band.
  constexpr ptx::keep keep_a = ptx::keep::long_time, keep_b = ptx::keep::normal;
  typename Tile::position at;
  for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
    const int row_b = tile.column + tile.rank * share;
    for (int k = 0; k < p.k_steps; ++k) {
      ptx::mbarrier_wait(ring.empty(at.stage), at.parity ^ 1);
      const std::uint32_t full = ring.full(at.stage);
      const std::uint32_t a =
          ring_memory + static_cast<std::uint32_t>(at.stage * Tile::stage_bytes);
      const std::uint32_t b =
          a + static_cast<std::uint32_t>(Tile::a_bytes + tile.rank * share * Tile::k_bytes);
      ptx::mbarrier_arrive_expect_tx(full, Tile::stage_bytes);
      ptx::tma_load(a, p.map_a, k * k_elements, tile.row, full, keep_a);
      if constexpr (Tile::cluster > 1) {
        ptx::tma_load_multicast(b, p.map_b, k * k_elements, row_b, full, (1u << Tile::cluster) - 1,
                                keep_b);
      } else {
        ptx::tma_load(b, p.map_b, k * k_elements, row_b, full, keep_b);
      }
      at.advance();
    }
  }
  // The block may not end while a peer's warps still arrive at its barriers.
  for (int stage = 0; stage < Tile::stages; ++stage) {
    ptx::mbarrier_wait(ring.empty(at.stage), at.parity ^ 1);
    at.advance();
  }
}

/// Tensor maps and the order of tiles for D = A · Bᵀ. `band` clusters of M stay together;
/// 0: 1024 rows.
template <class Tile>
sm90_arguments make_sm90_arguments(element kind_a, const operand_matrix& a, element kind_b,
                                   const operand_matrix& b, const output_matrix& d,
                                   const epilogue& how, int band) {
  sm90_arguments p{};
  p.map_a = make_tensor_map(tensor_map_type(kind_a), bytes_of(kind_a), a.data, a.rows, a.columns,
                            a.stride_bytes, Tile::m);
  p.map_b = make_tensor_map(tensor_map_type(kind_b), bytes_of(kind_b), b.data, b.rows, b.columns,
                            b.stride_bytes, Tile::n / Tile::cluster);
  p.how = how;
  p.d = d;
  constexpr int cluster_rows = Tile::m * Tile::cluster;
  p.order.tiles_m = (d.rows + cluster_rows - 1) / cluster_rows;
  p.order.tiles_n = (d.columns + Tile::n - 1) / Tile::n;
  p.order.band = band != 0 ? band : std::max(1, 1024 / cluster_rows);
  const int k_elements = Tile::k_bytes / bytes_of(kind_a);
  p.k_steps = (a.columns + k_elements - 1) / k_elements;
  return p;
}

/// As many blocks as run at one time, or as there are tiles.
template <class Tile>
dim3 persistent_blocks(const tile_order& order) {
  const int clusters =
      std::min(order.count(), device_facts::current().multiprocessors / Tile::cluster);
  return dim3(static_cast<unsigned>(clusters * Tile::cluster));
}

}  // namespace halfbyte::cuda
