#pragma once

#include <cstdint>

#include <halfbyte/cuda/sm90_tiles.cuh>
#include <halfbyte/cuda/wgmma.cuh>

namespace halfbyte::cuda {

/// D = epilogue(A · Bᵀ) on Hopper's tensor cores: wgmma fed by TMA, sums kept there to the end.
///
/// A block is persistent: it takes every `blocks`-th tile. One warp loads A and B through a ring
/// of stages; two warpgroups take the tiles in turn, so that one multiplies while the other writes
/// its sums. FP8 sums are as the tensor core keeps them: 13 fraction bits below the largest of the
/// sum and the 32 products of a step, truncated. bfloat16 sums are float's; int8 sums are exact.
template <element A, element B, output O, class Tile>
struct gemm_sm90 {
  static constexpr const char* name = "gemm_sm90";
  static constexpr int architecture = 90;
  static constexpr int threads = Tile::threads, blocks_per_multiprocessor = 1;

  using multiply = wgmma<A, B, Tile::n>;
  using writer = warp_writer<O, Tile::m, Tile::n>;
  using arguments = sm90_arguments;

  static constexpr int k_elements = Tile::k_bytes / bytes_of(A);
  static constexpr int shared_bytes =
      Tile::ring_bytes + Tile::multiplying_warps * writer::shared_bytes + 1024;
  static_assert(shared_bytes <= 232448 - 4096);
  static_assert(bytes_of(A) == bytes_of(B) && Tile::groups == 1);

  static __device__ void run(const arguments& p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ unsigned char dynamic[];
    __shared__ alignas(8) std::uint64_t barriers[2 * Tile::stages];
    __shared__ factor_state<Tile> factors[2];
    const std::uint32_t ring_memory = (ptx::shared_address(dynamic) + 1023u) & ~1023u;
    const typename Tile::ring ring{ptx::shared_address(barriers)};
    if (threadIdx.x == 0) {
      ring.initialise(1, 4 * Tile::groups);
      for (const factor_state<Tile>& f : factors) f.initialise();
    }
    start_block(p);
    const int warp = ptx::warp_index();
    if (warp >= Tile::multiplying_warps) {
      ptx::register_limit_decrease<40>();
      if (threadIdx.x == Tile::multiplying_threads)
        load_tiles<Tile>(p, ring, ring_memory, k_elements);
      if (warp == Tile::multiplying_warps + 1) load_factors(p, factors);
    } else {
      ptx::register_limit_increase<232>();
      multiply_tiles(p, ring, ring_memory, factors[warp / 4], warp);
    }
#endif
  }

  /// Queues the product. Rows of A and B 16-byte aligned; all matrices in device memory.
  static void launch(const operand_matrix& a, const operand_matrix& b, const output_matrix& d,
                     const epilogue& how, cudaStream_t stream, int band = 0) {
    prepare_kernel<gemm_sm90>();
    const arguments p = make_sm90_arguments<Tile, O>(A, a, B, b, d, how, band);
    launch_on_tiles<gemm_sm90>(p, stream);
  }

 private:
  /// One warp: the factors of each tile, while it is multiplied.
  static __device__ void load_factors(const arguments& p, factor_state<Tile> (&factors)[2]) {
    ring_position<2> at;
    for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
      factors[at.stage].fetch(p, tile, at.parity);
      at.advance();
    }
  }

  static __device__ void multiply_tiles(const arguments& p, typename Tile::ring ring,
                                        std::uint32_t ring_memory,
                                        const factor_state<Tile>& factors, int warp) {
    ring.barriers = ptx::broadcast(ring.barriers);
    const int group = warp / 4;
    const std::uint32_t slab =
        ring_memory + Tile::ring_bytes + static_cast<std::uint32_t>(warp * writer::shared_bytes);
    // Barrier 1 + w tells warpgroup w that its turn has come; warpgroup 0 begins.
    const int my_turn = 1 + group, other_turn = 2 - group;
    if (group == 1) ptx::named_barrier_arrive(other_turn, Tile::multiplying_threads);
    typename Tile::position at;
    std::uint32_t factors_parity = 0;
    tile_walk<Tile> tile{p.order};
    tile.advance(group);
    at.advance(group * p.k_steps);
    for (; tile.more(); tile.advance(2)) {
      typename multiply::accumulator sum[Tile::row_blocks][Tile::n / 2];
      int previous = 0;
      ptx::named_barrier_wait(my_turn, Tile::multiplying_threads);
      for (int k = 0; k < p.k_steps; ++k) {
        const int stage = ptx::broadcast(at.stage);
        ptx::mbarrier_wait(ring.full(stage), at.parity);
        const std::uint32_t a = ring_memory + static_cast<std::uint32_t>(stage * Tile::stage_bytes);
        const std::uint32_t b = a + Tile::a_bytes;
        wgmma_fence();
#pragma unroll
        for (int j = 0; j < 4; ++j)
#pragma unroll
          for (std::uint32_t i = 0; i < Tile::row_blocks; ++i)
            multiply::run(sum[i], wgmma_descriptor(a + 64u * Tile::k_bytes * i, j),
                          wgmma_descriptor(b, j), j != 0 || k != 0);
        wgmma_commit();
        // The step before this one is done now: its stage may be filled again.
        if (k > 0) {
          wgmma_wait<1>();
          ring.release(previous);
        }
        previous = stage;
        at.advance();
      }
      ptx::named_barrier_arrive(other_turn, Tile::multiplying_threads);
      wgmma_wait<0>();
#pragma unroll
      for (int i = 0; i < Tile::row_blocks; ++i) wgmma_settle(sum[i]);
      ring.release(previous);
      at.advance(p.k_steps);
      ptx::mbarrier_wait(factors.ring().full(0), factors_parity);
      make_writer<writer>(p, factors, slab, warp % 4 * 16).write(sum);
      ptx::mbarrier_arrive(factors.ring().empty(0));
      factors_parity ^= 1;
    }
    writer::wait_for_slab();
    // The turn that is left over.
    if (tile.count() % 2 == group) ptx::named_barrier_wait(my_turn, Tile::multiplying_threads);
  }
};

}  // namespace halfbyte::cuda
