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
struct gemm_sm90 : sm90_kernel<gemm_sm90<A, B, O, Tile>, A, B, O, Tile, 1> {
  static constexpr const char* name = "gemm_sm90";
  static_assert(Tile::groups == 1);

  using kernel = sm90_kernel<gemm_sm90, A, B, O, Tile, 1>;
  using typename kernel::arguments, typename kernel::writer;
  using multiply = wgmma<A, B, Tile::n>;

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
      make_writer<writer>(p, p.d, factors, slab, warp % 4 * 16).write(sum);
      ptx::mbarrier_arrive(factors.ring().empty(0));
      factors_parity ^= 1;
    }
    writer::wait_for_slabs();
    // The turn that is left over.
    if (tile.count() % 2 == group) ptx::named_barrier_wait(my_turn, Tile::multiplying_threads);
  }
};

}  // namespace halfbyte::cuda
