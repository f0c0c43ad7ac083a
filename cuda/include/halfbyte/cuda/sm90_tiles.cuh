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

/// The shape of a tile of D, which `Groups` warpgroups multiply, K in steps of 128 bytes, `Stages`
/// steps in flight.
template <int M, int N, int Stages, int Groups = 1>
struct sm90_tile {
  static constexpr int m = M, n = N, stages = Stages, groups = Groups;
  static constexpr int k_bytes = 128;
  static constexpr int a_bytes = m * k_bytes, b_bytes = n * k_bytes;
  static constexpr int stage_bytes = a_bytes + b_bytes;
  /// Two warpgroups that share a tile also take half of one, so that the last round of tiles, where
  /// it has few, has twice as many blocks.
  static constexpr bool halves = Groups == 2;
  static constexpr int box_n = halves ? n / 2 : n;  // of B's rows, in one load
  static constexpr int ring_bytes = Stages * stage_bytes;

  static constexpr int row_blocks = M / 64 / Groups;  // of 64 rows, of one warpgroup
  static constexpr int multiplying_threads = 256, threads = multiplying_threads + 128;
  static constexpr int multiplying_warps = multiplying_threads / 32;
  using ring = pipeline<Stages>;
  using position = ring_position<Stages>;
  using factors = tile_factors<m, n>;
};

using sm90_tile_large = sm90_tile<128, 128, 6>;
using sm90_tile_small = sm90_tile<64, 128, 7>;
using sm90_tile_least = sm90_tile<64, 64, 10>;
using sm90_tile_shared = sm90_tile<128, 256, 4, 2>;

/// What every kernel on these tiles is given.
struct sm90_arguments {
  CUtensorMap map_a, map_b, map_d;
  epilogue how;
  output_matrix d;
  tile_order order;
  int k_steps;
  bool writes_slabs;  // D can be written by the copy engine, through map_d
};

/// The walk of one block over its tiles, of which the last may be a half. All warps of the block
/// walk alike; those that need no place only ask whether there are `more`.
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
  __device__ bool is_half() const { return Tile::halves && order.is_half(index); }
  __device__ bool find() {
    if (!more()) return false;
    const int2 tile = order(index);
    row = tile.x * Tile::m;
    column = tile.y * (Tile::n / 2);
    return true;
  }
  __device__ void advance(int tiles = 1) { index += tiles * static_cast<int>(gridDim.x); }
};

/// The factors of the tile that a warpgroup multiplies, and the barriers of their one stage.
template <class Tile>
struct factor_state {
  alignas(8) std::uint64_t barriers[2];
  typename Tile::factors factors;

  __device__ pipeline<1> ring() const { return {ptx::shared_address(barriers)}; }
  __device__ void initialise() const { ring().initialise(32, 128 * Tile::groups); }

  /// One warp: fetches the factors of the tile when the warpgroup has done with those before.
  __device__ void fetch(const sm90_arguments& p, const tile_walk<Tile>& tile,
                        std::uint32_t parity) {
    ptx::mbarrier_wait(ring().empty(0), parity ^ 1);
    factors.fetch(p.how, p.d, tile.row, tile.column);
    ptx::mbarrier_arrive(ring().full(0));
  }
};

/// Called once by every thread when the barriers of its block have been made: what comes after may
/// read and write what earlier kernels wrote.
inline __device__ void start_block(const sm90_arguments& p) {
  if (threadIdx.x == 0) {
    ptx::prefetch_tensor_map(p.map_a);
    ptx::prefetch_tensor_map(p.map_b);
  }
  __syncthreads();
  ptx::wait_for_earlier_kernels();
}

/// One warp: the factors of each tile, while it is multiplied, for the warpgroups in turn.
template <class Tile, int Turns>
inline __device__ void load_factors(const sm90_arguments& p, factor_state<Tile> (&factors)[Turns]) {
  ring_position<Turns> at;
  for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
    factors[at.stage].fetch(p, tile, at.parity);
    at.advance();
  }
}

/// What writes the 16 rows, from `line` of the tile on, of each block of 64 that a warp multiplies.
/// Where the tile lies it learns from the warp that fetched the factors.
template <class Writer, class State>
inline __device__ Writer make_writer(const sm90_arguments& p, const output_matrix& d,
                                     const State& state, std::uint32_t slab, int line) {
  return {p.how, d, p.writes_slabs ? &p.map_d : nullptr, slab, state.factors, line};
}

/// D for the writer of a half tile, on whose right another block has the other half.
template <class Tile>
inline __device__ output_matrix left_of_half(const sm90_arguments& p,
                                             const factor_state<Tile>& state) {
  output_matrix d = p.d;
  d.columns = min(d.columns, state.factors.first_column + Tile::n / 2);
  return d;
}

/// What `load_tiles` brings besides the operands, at the start of a round of steps: nothing.
struct operands_only {
  __device__ std::uint32_t bytes() const { return 0; }
  __device__ void load(int, int, int, std::uint32_t) const {}
};

/// The loading thread: for each step, waits until the stage is free, then fetches A's and B's rows.
/// A tile's steps are filled up to whole rounds of `Round` by steps that bring nothing. `also`
/// brings more at the start of each round.
///
/// The next kernel may start when all has been fetched, not before: blocks that come one by one, as
/// multiprocessors fall idle, lie in disorder, and neighbours no longer share what they read.
template <class Tile, int Round, class Also = operands_only>
inline __device__ void load_tiles(const sm90_arguments& p, const typename Tile::ring& ring,
                                  std::uint32_t ring_memory, int k_elements, Also also = {}) {
  // A's rows of the band are needed again for every column of tiles, B's only once in a band.
  constexpr ptx::keep keep_a = ptx::keep::long_time, keep_b = ptx::keep::normal;
  typename Tile::position at;
  constexpr int box_bytes = Tile::box_n * Tile::k_bytes;
  for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
    const int boxes = Tile::halves && !tile.is_half() ? 2 : 1;
    for (int k = 0; k < p.k_steps; ++k) {
      ptx::mbarrier_wait(ring.empty(at.stage), at.parity ^ 1);
      const std::uint32_t full = ring.full(at.stage);
      const std::uint32_t a =
          ring_memory + static_cast<std::uint32_t>(at.stage * Tile::stage_bytes);
      const bool starts_round = k % Round == 0;
      ptx::mbarrier_arrive_expect_tx(
          full, static_cast<std::uint32_t>(Tile::a_bytes + boxes * box_bytes) +
                    (starts_round ? also.bytes() : 0));
      if (starts_round) also.load(tile.row, tile.column, k, full);
      ptx::tma_load(a, p.map_a, k * k_elements, tile.row, full, keep_a);
      ptx::tma_load(a + Tile::a_bytes, p.map_b, k * k_elements, tile.column, full, keep_b);
      if (boxes == 2)
        ptx::tma_load(a + Tile::a_bytes + box_bytes, p.map_b, k * k_elements,
                      tile.column + Tile::box_n, full, keep_b);
      at.advance();
    }
    for (int k = p.k_steps; k % Round != 0; ++k) {
      ptx::mbarrier_wait(ring.empty(at.stage), at.parity ^ 1);
      ptx::mbarrier_arrive(ring.full(at.stage));
      at.advance();
    }
  }
  ptx::let_next_kernel_start();
}

/// How many of so many tiles are not cut: all, or those of whole rounds if two blocks can take each
/// of the others.
template <class Tile>
int whole_tiles(int tiles) {
  const int blocks = device_facts::current().multiprocessors, rest = tiles % blocks;
  return Tile::halves && 2 * rest <= blocks ? tiles - rest : tiles;
}

/// Tensor maps and the order of tiles for D = A · Bᵀ. `band` tiles along M stay together;
/// 0: 1024 rows.
template <class Tile, class Writer>
sm90_arguments make_sm90_arguments(element kind_a, const operand_matrix& a, element kind_b,
                                   const operand_matrix& b, const output_matrix& d,
                                   const epilogue& how, int band) {
  sm90_arguments p{};
  p.map_a = make_tensor_map(tensor_map_type(kind_a), bytes_of(kind_a), a.data, a.rows, a.columns,
                            a.stride_bytes, Tile::m);
  p.map_b = make_tensor_map(tensor_map_type(kind_b), bytes_of(kind_b), b.data, b.rows, b.columns,
                            b.stride_bytes, Tile::box_n);
  p.how = how;
  p.d = d;
  p.writes_slabs = how.bias == nullptr && !how.accumulate && Writer::fits(d);
  if (p.writes_slabs) p.map_d = Writer::map_of(d);
  p.order.tiles_m = (d.rows + Tile::m - 1) / Tile::m;
  p.order.tiles_n = (d.columns + Tile::n - 1) / Tile::n;
  p.order.band = band != 0 ? band : 1024 / Tile::m;
  p.order.whole = whole_tiles<Tile>(p.order.tiles_m * p.order.tiles_n);
  const int k_elements = Tile::k_bytes / bytes_of(kind_a);
  p.k_steps = (a.columns + k_elements - 1) / k_elements;
  return p;
}

/// Queues K on as many blocks as run at one time, or as there are tiles.
template <class K>
void launch_on_tiles(const typename K::arguments& p, cudaStream_t stream) {
  const int blocks = std::min(p.order.count(), device_facts::current().multiprocessors);
  launch_kernel<K>(p, dim3(static_cast<unsigned>(blocks)), stream);
}

/// A kernel that keeps a tile's sums in the tensor core to the end: one warp loads, one fetches the
/// epilogue's factors, two warpgroups multiply, as Kernel's `multiply_tiles` says. `Round`: see
/// load_tiles.
template <class Kernel, element A, element B, output O, class Tile, int Round>
struct sm90_kernel {
  static constexpr int architecture = 90;
  static constexpr int threads = Tile::threads, blocks_per_multiprocessor = 1;
  static constexpr int k_elements = Tile::k_bytes / bytes_of(A);
  using writer = warp_writer<O, Tile::m, Tile::n>;
  using arguments = sm90_arguments;
  static constexpr int shared_bytes =
      Tile::ring_bytes + Tile::multiplying_warps * writer::shared_bytes + 1024;
  static_assert(shared_bytes <= 232448 - 4096);
  static_assert(bytes_of(A) == bytes_of(B));

  static __device__ void run(const arguments& p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    constexpr int turns = 2 / Tile::groups;
    extern __shared__ unsigned char dynamic[];
    __shared__ alignas(8) std::uint64_t barriers[2 * Tile::stages];
    __shared__ factor_state<Tile> factors[turns];
    // Where a stage is a constant, uniform addresses make its descriptors and barriers uniform too.
    const auto address = [](std::uint32_t a) { return Round > 1 ? ptx::broadcast(a) : a; };
    const std::uint32_t ring_memory = address((ptx::shared_address(dynamic) + 1023u) & ~1023u);
    const typename Tile::ring ring{address(ptx::shared_address(barriers))};
    if (threadIdx.x == 0) {
      ring.initialise(1, 4 * Tile::groups);
      for (const factor_state<Tile>& f : factors) f.initialise();
    }
    start_block(p);
    const int warp = ptx::warp_index();
    if (warp >= Tile::multiplying_warps) {
      ptx::register_limit_decrease<40>();
      if (threadIdx.x == Tile::multiplying_threads)
        load_tiles<Tile, Round>(p, ring, ring_memory, k_elements);
      if (warp == Tile::multiplying_warps + 1) load_factors(p, factors);
    } else {
      ptx::register_limit_increase<232>();
      Kernel::multiply_tiles(p, ring, ring_memory, factors[turns == 2 ? warp / 4 : 0], warp);
    }
#endif
  }

  /// Queues the product. Rows of A and B 16-byte aligned; all matrices in device memory.
  static void launch(const operand_matrix& a, const operand_matrix& b, const output_matrix& d,
                     const epilogue& how, cudaStream_t stream, int band = 0) {
    prepare_kernel<Kernel>();
    launch_on_tiles<Kernel>(make_sm90_arguments<Tile, writer>(A, a, B, b, d, how, band), stream);
  }
};

}  // namespace halfbyte::cuda
