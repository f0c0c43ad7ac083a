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

/// The shape of a tile of D, K in steps of 128 bytes, `Stages` steps in flight. Either two
/// warpgroups share a tile (`OnTile` 2) or each has its own and they take turns (1).
template <int M, int N, int Stages, int OnTile>
struct sm90_tile {
  static constexpr int m = M, n = N, stages = Stages;
  static constexpr int k_bytes = 128;
  static constexpr int a_bytes = m * k_bytes, b_bytes = n * k_bytes;
  static constexpr int stage_bytes = a_bytes + b_bytes;
  static constexpr int ring_bytes = Stages * stage_bytes;

  static constexpr int warpgroups_on_tile = OnTile, tiles_at_once = 2 / OnTile;
  static constexpr int row_blocks = M / 64 / OnTile;  // of 64 rows, of one warpgroup
  static constexpr int multiplying_threads = 256, threads = multiplying_threads + 128;
  static constexpr int multiplying_warps = multiplying_threads / 32;
  using ring = pipeline<Stages>;
  using position = ring_position<Stages>;
  using factors = tile_factors<m, n>;
};

using sm90_tile_large = sm90_tile<128, 128, 6, 1>;
using sm90_tile_small = sm90_tile<64, 128, 7, 1>;
using sm90_tile_least = sm90_tile<64, 64, 10, 1>;
using sm90_tile_shared = sm90_tile<128, 256, 4, 2>;

/// What every kernel on these tiles is given.
struct sm90_arguments {
  CUtensorMap map_a, map_b;
  epilogue how;
  output_matrix d;
  tile_order order;
  int k_steps;
};

/// The walk of one block over its tiles. All warps of the block walk alike; those that need no
/// place only ask whether there are `more`.
template <class Tile>
struct tile_walk {
  const tile_order& order;
  int index = static_cast<int>(blockIdx.x);
  int row = 0, column = 0;  // of the tile's first output

  /// How many tiles this block takes.
  __device__ int count() const {
    const int blocks = static_cast<int>(gridDim.x);
    return (order.count() - static_cast<int>(blockIdx.x) + blocks - 1) / blocks;
  }
  __device__ bool more() const { return index < order.count(); }
  __device__ bool find() {
    if (!more()) return false;
    const int2 tile = order(index);
    row = tile.x * Tile::m;
    column = tile.y * Tile::n;
    return true;
  }
  __device__ void advance(int tiles = 1) { index += tiles * static_cast<int>(gridDim.x); }
};

/// What a block keeps in static shared memory: the ring's barriers, and the factors of the tiles
/// that are being multiplied, each with a ring of its own.
template <class Tile>
struct block_state {
  static constexpr int tiles = Tile::tiles_at_once;
  alignas(8) std::uint64_t barriers[2 * Tile::stages], factor_barriers[tiles][2];
  typename Tile::factors factors[tiles];

  __device__ typename Tile::ring ring() const { return {ptx::shared_address(barriers)}; }
  __device__ pipeline<1> factor_ring(int i) const {
    return {ptx::shared_address(factor_barriers[i])};
  }

  /// Makes the barriers ready.
  __device__ void start(const sm90_arguments& p) const {
    if (threadIdx.x == 0) {
      ptx::prefetch_tensor_map(p.map_a);
      ptx::prefetch_tensor_map(p.map_b);
      ring().initialise(1, Tile::warpgroups_on_tile * 4);
      for (int i = 0; i < tiles; ++i) factor_ring(i).initialise(32, Tile::warpgroups_on_tile * 128);
    }
    __syncthreads();
  }
};

/// One warp: the epilogue's factors of each tile, while the tile is being multiplied.
template <class Tile>
inline __device__ void load_factors(const sm90_arguments& p, block_state<Tile>& state) {
  ring_position<Tile::tiles_at_once> at;
  for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
    const pipeline<1> ring = state.factor_ring(at.stage);
    ptx::mbarrier_wait(ring.empty(0), at.parity ^ 1);
    state.factors[at.stage].fetch(p.how, p.d, tile.row, tile.column);
    ptx::mbarrier_arrive(ring.full(0));
    at.advance();
  }
}

/// One multiplying warp: its 16 rows of each block of 64 from registers to D. Where the tile lies
/// it learns from the warp that fetched the factors.
template <class Writer, class Tile, class T>
inline __device__ void write_tile(const sm90_arguments& p, const block_state<Tile>& state,
                                  std::uint32_t slabs, ring_position<Tile::tiles_at_once>& at,
                                  const T (&sum)[Tile::row_blocks][Tile::n / 2]) {
  const pipeline<1> ring = state.factor_ring(at.stage);
  const typename Tile::factors& factors = state.factors[at.stage];
  ptx::mbarrier_wait(ring.full(0), at.parity);
#pragma unroll
  for (int i = 0; i < Tile::row_blocks; ++i) {
    const int warp = static_cast<int>(threadIdx.x) / 32 % (4 * Tile::warpgroups_on_tile);
    const int line = 16 * warp + 64 * i;
    const Writer out{p.how,
                     p.d,
                     slabs,
                     factors.row + line,
                     factors.column,
                     factors.wide != 0,
                     factors.first_row + line,
                     factors.first_column};
    if (out.row < p.d.rows) out.write(sum[i]);
  }
  ptx::mbarrier_arrive(ring.empty(0));
  at.advance(Tile::tiles_at_once);
}

/// The loading thread: for each step, waits until the stage is free, then fetches A's and B's rows.
template <class Tile>
inline __device__ void load_tiles(const sm90_arguments& p, const typename Tile::ring& ring,
                                  std::uint32_t ring_memory, int k_elements) {
  // A's rows of the band are needed again for every column of tiles, B's only once in a band.
  constexpr ptx::keep keep_a = ptx::keep::long_time, keep_b = ptx::keep::normal;
  typename Tile::position at;
  for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
    for (int k = 0; k < p.k_steps; ++k) {
      ptx::mbarrier_wait(ring.empty(at.stage), at.parity ^ 1);
      const std::uint32_t full = ring.full(at.stage);
      const std::uint32_t a =
          ring_memory + static_cast<std::uint32_t>(at.stage * Tile::stage_bytes);
      ptx::mbarrier_arrive_expect_tx(full, Tile::stage_bytes);
      ptx::tma_load(a, p.map_a, k * k_elements, tile.row, full, keep_a);
      ptx::tma_load(a + Tile::a_bytes, p.map_b, k * k_elements, tile.column, full, keep_b);
      at.advance();
    }
  }
}

/// Tensor maps and the order of tiles for D = A · Bᵀ. `band` tiles along M stay together;
/// 0: 1024 rows.
template <class Tile>
sm90_arguments make_sm90_arguments(element kind_a, const operand_matrix& a, element kind_b,
                                   const operand_matrix& b, const output_matrix& d,
                                   const epilogue& how, int band) {
  sm90_arguments p{};
  p.map_a = make_tensor_map(tensor_map_type(kind_a), bytes_of(kind_a), a.data, a.rows, a.columns,
                            a.stride_bytes, Tile::m);
  p.map_b = make_tensor_map(tensor_map_type(kind_b), bytes_of(kind_b), b.data, b.rows, b.columns,
                            b.stride_bytes, Tile::n);
  p.how = how;
  p.d = d;
  p.order.tiles_m = (d.rows + Tile::m - 1) / Tile::m;
  p.order.tiles_n = (d.columns + Tile::n - 1) / Tile::n;
  p.order.band = band != 0 ? band : 1024 / Tile::m;
  const int k_elements = Tile::k_bytes / bytes_of(kind_a);
  p.k_steps = (a.columns + k_elements - 1) / k_elements;
  return p;
}

/// As many blocks as run at one time, or as there are tiles.
inline dim3 persistent_blocks(const tile_order& order) {
  return dim3(
      static_cast<unsigned>(std::min(order.count(), device_facts::current().multiprocessors)));
}

}  // namespace halfbyte::cuda
