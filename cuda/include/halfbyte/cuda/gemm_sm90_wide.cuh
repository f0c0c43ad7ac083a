#pragma once

#include <cstdint>
#include <type_traits>

#include <halfbyte/cuda/sm90_tiles.cuh>
#include <halfbyte/cuda/wgmma.cuh>

namespace halfbyte::cuda {

/// As gemm_sm90, for large products: two warpgroups share a tile of 128 x 256, 64 rows each, which
/// reads least for each product.
///
/// Nothing hides what comes between two tiles, so it is short: sums become outputs in registers, and
/// those are written while the next tile is multiplied.
template <element A, element B, output O, class Tile>
struct gemm_sm90_wide : sm90_kernel<gemm_sm90_wide<A, B, O, Tile>, A, B, O, Tile, Tile::stages> {
  static constexpr const char* name = "gemm_sm90_wide";
  static constexpr int round = Tile::stages;  // steps that are unrolled: a stage is a constant
  static_assert(Tile::m == 128 && Tile::groups == 2);

  using kernel = sm90_kernel<gemm_sm90_wide, A, B, O, Tile, Tile::stages>;
  using typename kernel::arguments, typename kernel::writer;
  using accumulator = typename wgmma<A, B, Tile::n>::accumulator;

  /// A warp's outputs of the tile before, on their way. Floats are too many to be kept.
  struct kept_outputs {
    static constexpr bool possible = bytes_of(O) == 2;
    static constexpr int slabs = possible ? writer::slabs : 0;
    typename writer::four_words words[possible ? writer::slabs : 1][writer::pieces] = {};
    int row = 0, column = 0;
    bool any = false;

    __device__ void store(const arguments& p, std::uint32_t memory, int slab) const {
      writer::store_slab(p.map_d, memory, row, column + slab * writer::slab_columns, words[slab],
                         any);
    }
  };

  static __device__ void multiply_tiles(const arguments& p, const typename Tile::ring& ring,
                                        std::uint32_t ring_memory,
                                        const factor_state<Tile>& factors, int warp) {
    const std::uint32_t own_rows = static_cast<std::uint32_t>(warp / 4 * 64 * Tile::k_bytes);
    const std::uint32_t slab =
        ring_memory + Tile::ring_bytes + static_cast<std::uint32_t>(warp * writer::shared_bytes);
    const int line = warp * 16;
    std::uint32_t parity = 0, factors_parity = 0;
    kept_outputs kept;
    static_assert(kept_outputs::slabs <= round);
    const auto multiply_tile = [&](auto& sum) {
      constexpr int columns = 2 * std::extent_v<std::remove_reference_t<decltype(sum)>>;
      using multiply = wgmma<A, B, columns>;
      const auto multiply_round = [&](int k, auto is_first) {
        constexpr bool first = decltype(is_first)::value;
#pragma unroll
        for (int u = 0; u < round; ++u) {
          ptx::mbarrier_wait(ring.full(u), parity);
          const bool padding = k + u >= p.k_steps;  // what fills the round up is only passed on
          if (!padding) {
            const std::uint32_t a = ring_memory + static_cast<std::uint32_t>(u * Tile::stage_bytes);
            wgmma_fence();
#pragma unroll
            for (int j = 0; j < 4; ++j)
              multiply::run(sum, wgmma_descriptor(a + own_rows, j),
                            wgmma_descriptor(a + Tile::a_bytes, j), !first || u != 0 || j != 0);
            wgmma_commit();
          }
          if constexpr (first && columns == Tile::n && kept_outputs::possible)
            kept.store(p, slab, u);
          // The step before this one is done now: its stage may be filled again.
          if (!first || u > 0) {
            if (padding) {
              wgmma_wait<0>();
            } else {
              wgmma_wait<1>();
            }
            ring.release(u > 0 ? u - 1 : round - 1);
          }
        }
        parity ^= 1;
      };
      multiply_round(0, std::true_type{});
      for (int k = round; k < p.k_steps; k += round) multiply_round(k, std::false_type{});
      wgmma_wait<0>();
      wgmma_settle(sum);
      ring.release(round - 1);
      ptx::mbarrier_wait(factors.ring().full(0), factors_parity);
      factors_parity ^= 1;
    };
    tile_walk<Tile> tile{p.order};
    for (; tile.more() && !tile.is_half(); tile.advance()) {
      accumulator sum[1][Tile::n / 2];
      multiply_tile(sum[0]);
      const auto write = make_writer<writer>(p, p.d, factors, slab, line);
      kept.any = kept_outputs::possible && write.in_slabs();
      if (kept.any) {
        if constexpr (kept_outputs::possible) write.keep(sum[0], kept.words);
        kept.row = factors.factors.first_row + line;
        kept.column = factors.factors.first_column;
      } else {
        kept_outputs::possible ? write.write_elements(sum) : write.write(sum);
      }
      ptx::mbarrier_arrive(factors.ring().empty(0));
    }
#pragma unroll
    for (int i = 0; i < kept_outputs::slabs; ++i) kept.store(p, slab, i);
    if (tile.more()) {  // half a tile
      accumulator half[Tile::n / 4], sum[1][Tile::n / 2] = {};
      multiply_tile(half);
#pragma unroll
      for (int i = 0; i < Tile::n / 4; ++i) sum[0][i] = half[i];
      const output_matrix d = left_of_half(p, factors);
      make_writer<writer>(p, d, factors, slab, line).template write<2>(sum);
    }
    writer::wait_for_slabs();
  }
};

}  // namespace halfbyte::cuda
