#pragma once

#include <cstdint>

#include <halfbyte/cuda/sm90_tiles.cuh>
#include <halfbyte/cuda/wgmma.cuh>

namespace halfbyte::cuda {

/// D = epilogue(A · Bᵀ) on Hopper's tensor cores: wgmma fed by TMA, sums kept there to the end.
///
/// A block is persistent: it takes every `blocks`-th tile. One warp loads A and B through a ring
/// of stages; two warpgroups multiply 64 rows each. The second starts `lead` steps after the
/// first and stays behind it, so that one multiplies while the other writes its sums. FP8 sums are
/// as the tensor core keeps them: 13 fraction bits below the largest of the sum and the 32 products
/// of a step, truncated. bfloat16 sums are float's; int8 sums are exact.
template <element A, element B, output O, class Tile>
struct gemm_sm90 {
  static constexpr const char* name = "gemm_sm90";
  static constexpr int architecture = 90;
  static constexpr int cluster = Tile::cluster;
  static constexpr int threads = Tile::threads, blocks_per_multiprocessor = 1;

  static constexpr int lead = 2;

  using multiply = wgmma<A, B, Tile::n>;
  using writer = warp_writer<O, Tile::n>;
  using arguments = sm90_arguments;

  static constexpr int k_elements = Tile::k_bytes / bytes_of(A);
  static constexpr int shared_bytes =
      Tile::ring_bytes + Tile::multiplying_warps * writer::shared_bytes + 1024;
  static_assert(shared_bytes <= 232448 - 1024);
  static_assert(bytes_of(A) == bytes_of(B));

  static __device__ void run(const arguments& p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ unsigned char dynamic[];
    __shared__ block_state<Tile> state;
    const std::uint32_t ring_memory = (ptx::shared_address(dynamic) + 1023u) & ~1023u;
    state.start(p, 1);
    if (threadIdx.x >= Tile::multiplying_threads) {
      ptx::register_limit_decrease<40>();
      if (threadIdx.x == Tile::multiplying_threads)
        load_tiles<Tile>(p, state.ring(), ring_memory, k_elements);
      if (threadIdx.x / 32 == Tile::multiplying_warps + 1) load_factors(p, state);
    } else {
      ptx::register_limit_increase<232>();
      multiply_tiles(p, state, ring_memory);
    }
#endif
  }

  /// Queues the product. Rows of A and B 16-byte aligned; all matrices in device memory.
  static void launch(const operand_matrix& a, const operand_matrix& b, const output_matrix& d,
                     const epilogue& how, cudaStream_t stream, int band = 0) {
    prepare_kernel<gemm_sm90>();
    const arguments p = make_sm90_arguments<Tile>(A, a, B, b, d, how, band);
    launch_kernel<gemm_sm90>(p, persistent_blocks<Tile>(p.order), stream, dim3(Tile::cluster));
  }

 private:
  static __device__ void multiply_tiles(const arguments& p, const block_state<Tile>& state,
                                        std::uint32_t ring_memory) {
    const typename Tile::ring ring = state.ring();
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const std::uint32_t half = static_cast<std::uint32_t>(warp / 4 * 64 * Tile::k_bytes);
    const std::uint32_t slabs =
        ring_memory + Tile::ring_bytes + static_cast<std::uint32_t>(warp * writer::shared_bytes);
    typename Tile::position at;
    ring_position<1> factors_at;
    int steps_to_lead = warp / 4 == 0 ? min(lead, p.k_steps) : -1;
    if (warp / 4 == 1) ptx::named_barrier_wait(1, Tile::multiplying_threads);
    for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
      typename multiply::accumulator sum[Tile::n / 2];
      int previous = 0;
      for (int k = 0; k < p.k_steps; ++k) {
        ptx::mbarrier_wait(ring.full(at.stage), at.parity);
        const std::uint32_t a =
            ring_memory + static_cast<std::uint32_t>(at.stage * Tile::stage_bytes);
        const std::uint32_t b = a + Tile::a_bytes;
        wgmma_fence();
#pragma unroll
        for (std::uint32_t j = 0; j < 4; ++j)
          multiply::run(sum, wgmma_descriptor(a + half + 32 * j), wgmma_descriptor(b + 32 * j),
                        j != 0 || k != 0);
        wgmma_commit();
        // The step before this one is done now: its stage may be filled again.
        if (k > 0) {
          wgmma_wait<1>();
          ring.template release<cluster>(previous);
        }
        if (--steps_to_lead == 0) ptx::named_barrier_arrive(1, Tile::multiplying_threads);
        previous = at.stage;
        at.advance();
      }
      wgmma_wait<0>();
      wgmma_settle(sum);
      ring.template release<cluster>(previous);
      write_tile<writer>(p, state, tile, slabs, factors_at, sum);
    }
  }
};

}  // namespace halfbyte::cuda
