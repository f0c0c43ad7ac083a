#pragma once

#include <cstdint>
#include <type_traits>

#include <halfbyte/cuda/block_scales.cuh>
#include <halfbyte/cuda/sm90_tiles.cuh>
#include <halfbyte/cuda/wgmma.cuh>

namespace halfbyte::cuda {

/// D = epilogue(Σ over K blocks of scale_a · scale_b · (A · Bᵀ of the block)), FP8 on Hopper.
///
/// As gemm_sm90, but the tensor core sums 128 of K only; then the warps take the sums out, scale
/// them in float and add them to float sums of their own. Two warpgroups share a tile, 64 rows each;
/// while one adds its sums of 128 of the tile's columns, the other multiplies. The scales of 1x128
/// and 128x128 blocks come with the operands where the copy engine can bring them; otherwise two
/// more warps bring scales, through a ring of their own.
template <element A, element B, output O, class Tile, blockwise Scales>
struct gemm_sm90_blockwise {
  static constexpr const char* name = "gemm_sm90_blockwise";
  static constexpr int architecture = 90;
  static constexpr int threads = Tile::threads, blocks_per_multiprocessor = 1;
  static constexpr int part_n = 128, parts = Tile::n / part_n;
  static constexpr int sums = part_n / 2;     // of a thread in a part
  static constexpr int round = Tile::stages;  // steps that are unrolled: a stage is a constant
  static_assert(Tile::m == 128 && Tile::groups == 2 && parts == 2);

  using multiply = wgmma<A, B, part_n>;
  using writer = warp_writer<O, Tile::m, Tile::n, 64, 3>;

  static constexpr bool scaled = Scales != blockwise::unscaled;
  static constexpr bool b_rows = Scales == blockwise::rows_and_rows;

  /// A slot of the scales' ring has `chunk` steps: those of A's rows, then those of B's rows or of
  /// its two tiles, which take four rows' place.
  static constexpr int slots = 2, chunk = b_rows ? 2 : round, scale_warps = 2;
  using box_a = scale_box<Tile::m, chunk>;
  using box_b = scale_box<4, chunk>;
  static constexpr int step_floats = Tile::m + Tile::n;  // where B's rows have scales
  static constexpr int box_bytes = 4 * (box_a::floats + box_b::floats);
  static constexpr int slot_bytes =
      b_rows ? 4 * chunk * step_floats : (box_bytes + 127) / 128 * 128;
  static constexpr int slot_floats = slot_bytes / 4;
  using scale_ring = pipeline<slots>;

  static constexpr int writer_bytes = Tile::multiplying_warps * writer::shared_bytes;
  static constexpr int scale_bytes = scaled ? slots * slot_bytes : 0;
  static constexpr int shared_bytes = Tile::ring_bytes + writer_bytes + scale_bytes + 1024;
  static_assert(shared_bytes <= 232448 - 2048);

  struct arguments : sm90_arguments {
    block_scales scale_a, scale_b;
    CUtensorMap map_scale_a, map_scale_b;
    bool scales_by_map = false;  // the copy engine brings the scales
    int once = 1;                // which the compiler must not know
  };

  static __device__ void run(const arguments& p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ unsigned char dynamic[];
    __shared__ alignas(8) std::uint64_t barriers[2 * Tile::stages], barriers_of_scales[2 * slots];
    __shared__ factor_state<Tile> factors[1];
    const std::uint32_t offset = -ptx::shared_address(dynamic) & 1023u;
    const std::uint32_t ring_memory = ptx::broadcast(ptx::shared_address(dynamic) + offset);
    float* scales = reinterpret_cast<float*>(dynamic + offset + Tile::ring_bytes + writer_bytes);
    const typename Tile::ring ring{ptx::shared_address(barriers)};
    const scale_ring of_scales{ptx::shared_address(barriers_of_scales)};
    if (threadIdx.x == 0) {
      ring.initialise(1, 4 * Tile::groups);
      of_scales.initialise(32 * scale_warps, Tile::multiplying_threads);
      factors[0].initialise();
    }
    start_block(p);
    const int warp = ptx::warp_index(), loading_warp = warp - Tile::multiplying_warps;
    if (loading_warp >= 0) {
      ptx::register_limit_decrease<40>();
      if (threadIdx.x == Tile::multiplying_threads)
        load_tiles<Tile, round>(p, ring, ring_memory, Tile::k_bytes,
                                round_scales{p, ptx::shared_address(scales)});
      if (loading_warp == 1) load_factors(p, factors);
      if (scaled && !p.scales_by_map && loading_warp >= 2)
        load_scales(p, of_scales, scales, loading_warp - 2);
    } else {
      ptx::register_limit_increase<232>();
      multiply_tiles(p, ring, ring_memory, of_scales, scales, factors[0], warp);
    }
#endif
  }

  /// Queues the product. Rows of A and B 16-byte aligned; all matrices in device memory.
  static void launch(const operand_matrix& a, const block_scales& scale_a, const operand_matrix& b,
                     const block_scales& scale_b, const output_matrix& d, const epilogue& how,
                     cudaStream_t stream, int band = 0) {
    prepare_kernel<gemm_sm90_blockwise>();
    arguments p{make_sm90_arguments<Tile, writer>(A, a, B, b, d, how, band), scale_a, scale_b, {},
                {}};
    // A box begins on 16 bytes: along the rows A's do, those of B's tiles not.
    if (Scales == blockwise::rows_and_tiles && scale_b.k_step == 1 && box_a::fits(scale_a) &&
        box_b::fits(scale_b)) {
      p.map_scale_a = box_a::map_of(scale_a, d.rows, p.k_steps);
      p.map_scale_b = box_b::map_of(scale_b, (d.columns + 127) / 128, p.k_steps);
      p.scales_by_map = true;
    }
    launch_on_tiles<gemm_sm90_blockwise>(p, stream);
  }

 private:
  /// The scales of a round, which the loading thread fetches with its first step. Two slots do:
  /// when the stage of that step is free, the round before the last has been added.
  struct round_scales {
    const arguments& p;
    std::uint32_t slots_memory;
    int slot = 0;

    __device__ std::uint32_t bytes() const { return p.scales_by_map ? box_bytes : 0; }
    __device__ void load(int row, int column, int k, std::uint32_t full) {
      if (!p.scales_by_map) return;
      const std::uint32_t to = slots_memory + static_cast<std::uint32_t>(slot * slot_bytes);
      box_a(p.scale_a).load(to, p.map_scale_a, row, k, full);
      box_b(p.scale_b).load(to + 4 * box_a::floats, p.map_scale_b, column / 128, k, full);
      slot ^= 1;
    }
  };

  /// Where B's rows have scales, a row's of A lies beside that of the row eight below, which the
  /// same thread needs.
  static __device__ int place_a(int row) { return row / 16 * 16 + row % 8 * 2 + row / 8 % 2; }

  /// Two warps, each half of A's rows and of B's: the scales of a chunk of steps at a time.
  static __device__ void load_scales(const arguments& p, const scale_ring& ring, float* scales,
                                     int half) {
    constexpr int rows_a = Tile::m / 2, rows_b = b_rows ? Tile::n / 2 : parts;
    const int first_a = half * rows_a, first_b = b_rows ? half * rows_b : 0;
    const int last_b = b_rows ? p.d.columns - 1 : (p.d.columns - 1) / 128;
    const box_a in_a(p.scale_a);
    const box_b in_b(p.scale_b);
    ring_position<slots> at;
    for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
      const int column = b_rows ? tile.column : tile.column / 128;
      for (int k = 0; k < p.k_steps; k += chunk) {
        const int steps = min(chunk, p.k_steps - k);
        scale_words<rows_a, chunk> a;
        scale_words<rows_b, chunk> b;
        a.load(p.scale_a, tile.row + first_a, p.d.rows - 1, k, steps);
        if (b_rows || half == 0) b.load(p.scale_b, column + first_b, last_b, k, steps);
        ptx::mbarrier_wait(ring.empty(at.stage), at.parity ^ 1);
        float* slot = scales + at.stage * slot_floats;
        a.store(p.scale_a, slot, [=](int row, int u) {
          return b_rows ? u * step_floats + place_a(first_a + row)
                        : (first_a + row) * in_a.row_step() + u * in_a.k_step();
        });
        if (b_rows || half == 0)
          b.store(p.scale_b, slot + (b_rows ? Tile::m : box_a::floats), [=](int row, int u) {
            return b_rows ? u * step_floats + Tile::factors::place(first_b + row)
                          : row * in_b.row_step() + u * in_b.k_step();
          });
        ptx::mbarrier_arrive(ring.full(at.stage));
        at.advance();
      }
    }
  }

  /// Every lane says that it has read its scales. Not inlined: code between the additions of two
  /// rounds costs 1 to 2 % even where it never runs.
  static __device__ __noinline__ void give_back(std::uint32_t empty) { ptx::mbarrier_arrive(empty); }

  static __device__ void multiply_tiles(const arguments& p, typename Tile::ring ring,
                                        std::uint32_t ring_memory, const scale_ring& of_scales,
                                        const float* scales, const factor_state<Tile>& factors,
                                        int warp) {
    ring.barriers = ptx::broadcast(ring.barriers);
    const std::uint32_t own_rows = static_cast<std::uint32_t>(warp / 4 * 64 * Tile::k_bytes);
    const std::uint32_t slab =
        ring_memory + Tile::ring_bytes + static_cast<std::uint32_t>(warp * writer::shared_bytes);
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const box_a in_a(p.scale_a);
    const box_b in_b(p.scale_b);
    const float* own_scales =
        scales + (b_rows ? warp * 16 + lane / 4 * 2 : (warp * 16 + lane / 4) * in_a.row_step());
    const float* columns = scales + Tile::m + lane % 4 * 4;
    // Uniform addresses would make the compiler read scales late (see docs/kernels.md): to it these
    // differ from lane to lane.
    const auto slot_of_lane = [&](int slot) { return (slot + lane * (p.once - 1)) * slot_floats; };
    const auto write = make_writer<writer>(p, p.d, factors, slab, warp * 16);
    // A tile's outputs are written while the first step of the next one is multiplied.
    float total[1][Tile::n / 2] = {};
    bool waiting = false;
    std::uint32_t parity = 0, factors_parity = 0;
    ring_position<slots> at;
    const auto multiply_tile = [&](auto parts_of_it) {
      constexpr int own_parts = decltype(parts_of_it)::value;
      ptx::mbarrier_wait(ring.full(0), parity);
      const auto multiply_round = [&](int k, auto is_first) {
        int more = 1;  // is there a next step?
#pragma unroll
        for (int u = 0; u < round; ++u) {
          constexpr bool first_round = decltype(is_first)::value;
          const bool first = first_round && u == 0;
          if (u > 0 && more == 0) {  // what fills the round up is only passed on
            ptx::mbarrier_wait(ring.full(u), parity);
            ring.release(u);
            continue;
          }
          const std::uint32_t a = ring_memory + static_cast<std::uint32_t>(u * Tile::stage_bytes);
          const std::uint32_t b = a + Tile::a_bytes;
          [[maybe_unused]] const int step =
              slot_of_lane(at.stage) + (b_rows ? u % chunk * step_floats : 0);
          float2 row = {1.0f, 1.0f}, of_tile = {1.0f, 1.0f};
          const auto multiply_part = [&](auto index) {
            constexpr int i = decltype(index)::value;
            float part[sums];
            wgmma_fence();
#pragma unroll
            for (int j = 0; j < 4; ++j)
              multiply::run(
                  part, wgmma_descriptor(a + own_rows, j),
                  wgmma_descriptor(b + static_cast<std::uint32_t>(i * part_n * Tile::k_bytes), j),
                  j != 0);
            wgmma_commit();
            // While this is multiplied: everything that is not adding.
            if (own_parts == parts && first && waiting) {
              write.template write_part<i, parts>(total);
              if (i == parts - 1) ptx::mbarrier_arrive(factors.ring().empty(0));
            }
            if (i == 0) {
              if (!first) ring.release(u > 0 ? u - 1 : round - 1);
              if constexpr (scaled) {
                if (u % chunk == 0 && !p.scales_by_map)
                  ptx::mbarrier_wait(of_scales.full(at.stage), at.parity);
                if constexpr (b_rows) {
                  row = *reinterpret_cast<const float2*>(own_scales + step);
                } else {
                  const float* own = own_scales + step + u * in_a.k_step();
                  const float* tiles = scales + step + box_a::floats + u * in_b.k_step();
                  row = {own[0], own[8 * in_a.row_step()]};
                  of_tile = {tiles[0], tiles[in_b.row_step()]};
                }
              }
            }
            if (i == own_parts - 1) {
              more = k + u + 1 < p.k_steps ? 1 : 0;
              wgmma_settle(more);  // known now: what comes after the additions is short
              if (more != 0)
                ptx::mbarrier_wait(ring.full((u + 1) % round), u + 1 < round ? parity : parity ^ 1);
            }
            const float tile_scale = i == 0 ? of_tile.x : of_tile.y;
            const float2 scale = {row.x * tile_scale, row.y * tile_scale};
            wgmma_wait<0>();
            wgmma_settle(part);
            float* sum = total[0] + i * sums;
            if constexpr (!scaled) {
              add(sum, part, first);
            } else if constexpr (!b_rows) {
              add_rows(sum, part, scale, first, p.once);
            } else {
              add_rows_and_columns(sum, part, scale, columns + step + i * part_n, first);
            }
          };
          multiply_part(std::integral_constant<int, 0>{});
          if constexpr (own_parts == 2) multiply_part(std::integral_constant<int, 1>{});
          if (b_rows && (u % chunk == chunk - 1 || more == 0)) {
            ptx::mbarrier_arrive(of_scales.empty(at.stage));
            at.advance();
          }
        }
        if (scaled && !b_rows) {
          if (!p.scales_by_map) give_back(of_scales.empty(at.stage));
          at.advance();
        }
        parity ^= 1;
      };
      multiply_round(0, std::true_type{});
      for (int k = round; k < p.k_steps; k += round) multiply_round(k, std::false_type{});
      ring.release((p.k_steps - 1) % round);
      ptx::mbarrier_wait(factors.ring().full(0), factors_parity);
      factors_parity ^= 1;
    };
    const auto finish = [&] {
      if (!waiting) return;
      write.template write_part<0, 1>(total);
      ptx::mbarrier_arrive(factors.ring().empty(0));
      waiting = false;
    };
    for (tile_walk<Tile> tile{p.order}; tile.more(); tile.advance()) {
      // In here, not behind the loop: or the compiler computes descriptors anew in every step.
      if (tile.is_half()) {
        finish();
        multiply_tile(std::integral_constant<int, 1>{});
        const output_matrix d = left_of_half(p, factors);
        make_writer<writer>(p, d, factors, slab, warp * 16).template write<parts>(total);
        break;
      }
      multiply_tile(std::integral_constant<int, parts>{});
      waiting = write.in_slabs();
      if (!waiting) {
        write.write_elements(total);
        ptx::mbarrier_arrive(factors.ring().empty(0));
      }
    }
    finish();
    writer::wait_for_slabs();
  }

  // These three take a part out of the tensor core: total += part · scales. The `first` of a tile is
  // not added. Each sum settles at once, or the next part would need registers of its own.

  static __device__ void add(float* total, const float (&part)[sums], bool first) {
#pragma unroll
    for (int j = 0; j < sums; ++j) {
      total[j] = (first ? 0.0f : total[j]) + part[j];
      wgmma_settle(total[j]);
    }
  }

  /// Scales of the thread's two rows. `once` is 1, which the compiler must not know: in a loop with
  /// wgmma it has every other FFMA yield and read all three operands anew; in a loop of their own
  /// each keeps the scale for the next, which leaves the tensor core more of the registers'
  /// bandwidth.
  static __device__ void add_rows(float* total, const float (&part)[sums], float2 row, bool first,
                                  int once) {
#pragma unroll 1
    do {
      wgmma_settle(row.x);  // or products would move out of the loop
      wgmma_settle(row.y);
#pragma unroll
      for (int i = 0; i < sums; ++i) {
        // One row, then the other.
        const int j = i % (sums / 2) / 2 * 4 + i / (sums / 2) * 2 + i % 2;
        total[j] = (first ? 0.0f : total[j]) + part[j] * (j % 4 < 2 ? row.x : row.y);
        wgmma_settle(total[j]);
      }
    } while (--once > 0);
  }

  /// Scales of the thread's rows and of its columns, four for each 16.
  static __device__ void add_rows_and_columns(float* total, const float (&part)[sums], float2 row,
                                              const float* columns, bool first) {
#pragma unroll
    for (int i = 0; i < sums; i += 8) {
      const float4 column = *reinterpret_cast<const float4*>(columns + 2 * i);
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const float even = j < 4 ? column.x : column.z, odd = j < 4 ? column.y : column.w;
        const float scale = (j % 4 < 2 ? row.x : row.y) * (j % 2 == 0 ? even : odd);
        total[i + j] = (first ? 0.0f : total[i + j]) + part[i + j] * scale;
        wgmma_settle(total[i + j]);
      }
    }
  }
};

}  // namespace halfbyte::cuda
