#pragma once

#include <cstdint>
#include <type_traits>

#include <halfbyte/cuda/sm90_tiles.cuh>
#include <halfbyte/cuda/wgmma.cuh>

namespace halfbyte::cuda {

/// Scales of blocks of 128 along K: that of row block r, K block k is data[r·row_step + k·k_step].
///
/// `rows` is 1 (1x128 blocks) or 128 (128x128). `exponents`: UE8M0 bytes, otherwise floats.
struct block_scales {
  const void* data = nullptr;
  std::int64_t row_step = 0, k_step = 0;
  bool exponents = false;

  __device__ float operator()(std::int64_t index) const {
    if (!exponents) return static_cast<const float*>(data)[index];
    return from_exponent(static_cast<const std::uint8_t*>(data)[index]);
  }
  /// Are `count` floats that follow each other along K one aligned word, in every row?
  __device__ bool in_words(int count) const {
    return k_step == 1 && row_step % count == 0 &&
           reinterpret_cast<std::uintptr_t>(data) % (4u * static_cast<unsigned>(count)) == 0;
  }
  /// 2^(e - 127); 255 is NaN.
  static __device__ float from_exponent(std::uint32_t e) {
    return __uint_as_float(e << 23 | (e == 0 || e == 255 ? 0x00400000u : 0u));
  }
};

/// Which blocks carry a scale.
enum class blockwise {
  unscaled,        ///< none: sums are only taken out of the tensor core every 128
  rows_and_tiles,  ///< A 1x128, B 128x128
  rows_and_rows    ///< A 1x128, B 1x128
};

/// D = epilogue(Σ over K blocks of scale_a · scale_b · (A · Bᵀ of the block)), FP8 on Hopper.
///
/// As gemm_sm90, but the tensor core sums 128 of K only; then the warps take the sums out, scale
/// them in float and add them to float sums of their own. Two warpgroups share a tile, 64 rows each;
/// while one adds its sums of 128 of the tile's columns, the other multiplies. Two more warps bring
/// the scales through a ring of their own.
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
  using writer = warp_writer<O, Tile::m, Tile::n>;

  static constexpr bool scaled = Scales != blockwise::unscaled;
  static constexpr bool b_rows = Scales == blockwise::rows_and_rows;

  /// The scales of one step: those of A's rows, then those of B's rows or of its two tiles. A slot
  /// of their ring has `chunk` steps.
  static constexpr int step_floats = Tile::m + (b_rows ? Tile::n : 4);
  static constexpr int slots = 2, chunk = b_rows ? 2 : 4, scale_warps = 2;
  using scale_ring = pipeline<slots>;

  static constexpr int writer_bytes = Tile::multiplying_warps * writer::shared_bytes;
  static constexpr int scale_bytes = scaled ? slots * chunk * step_floats * 4 : 0;
  static constexpr int shared_bytes = Tile::ring_bytes + writer_bytes + scale_bytes + 1024;
  static_assert(shared_bytes <= 232448 - 2048);

  struct arguments : sm90_arguments {
    block_scales scale_a, scale_b;
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
      of_scales.initialise(32 * scale_warps, Tile::multiplying_warps);
      factors[0].initialise();
    }
    start_block(p);
    const int warp = ptx::warp_index(), loading_warp = warp - Tile::multiplying_warps;
    if (loading_warp >= 0) {
      ptx::register_limit_decrease<40>();
      if (threadIdx.x == Tile::multiplying_threads)
        load_tiles<Tile, round>(p, ring, ring_memory, Tile::k_bytes);
      if (loading_warp == 1) load_factors(p, factors);
      if (scaled && loading_warp >= 2) load_scales(p, of_scales, scales, loading_warp - 2);
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
    arguments p{make_sm90_arguments<Tile, O>(A, a, B, b, d, how, band), scale_a, scale_b};
    launch_on_tiles<gemm_sm90_blockwise>(p, stream);
  }

 private:
  /// A row's scale lies beside that of the row eight below, which the same thread needs.
  static __device__ int place_a(int row) { return row / 16 * 16 + row % 8 * 2 + row / 8 % 2; }

  /// Two warps, each half of A's rows and of B's: the scales of a chunk of steps at a time.
  static __device__ void load_scales(const arguments& p, const scale_ring& ring, float* scales,
                                     int half) {
    constexpr int rows_a = Tile::m / 2, rows_b = b_rows ? Tile::n / 2 : parts;
    const int first_a = half * rows_a, first_b = b_rows ? half * rows_b : 0;
    const int last_b = b_rows ? p.d.columns - 1 : (p.d.columns - 1) / 128;
    ring_position<slots> at;
    for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
      const int column = b_rows ? tile.column : tile.column / 128;
      for (int k = 0; k < p.k_steps; k += chunk) {
        const int steps = min(chunk, p.k_steps - k);
        scale_words<rows_a> a;
        scale_words<rows_b> b;
        a.load(p.scale_a, tile.row + first_a, p.d.rows - 1, k, steps);
        if (b_rows || half == 0) b.load(p.scale_b, column + first_b, last_b, k, steps);
        ptx::mbarrier_wait(ring.empty(at.stage), at.parity ^ 1);
        float* slot = scales + at.stage * chunk * step_floats;
        a.store(p.scale_a, slot, [=](int row) { return place_a(first_a + row); });
        if (b_rows || half == 0)
          b.store(p.scale_b, slot + Tile::m,
                  [=](int row) { return b_rows ? Tile::factors::place(first_b + row) : row; });
        ptx::mbarrier_arrive(ring.full(at.stage));
        at.advance();
      }
    }
  }

  /// The scales of `Rows` rows in a chunk of steps on their way from global to shared memory, a row
  /// a lane at a time: floats, or the bytes of exponents. There is one branch around all reads, since
  /// the warp waits for what was read where branches meet.
  template <int Rows>
  struct scale_words {
    static constexpr int each = (Rows + 31) / 32;
    std::uint32_t word[each][chunk];

    /// Rows from `first` on; those after `last` take its scale.
    __device__ void load(const block_scales& scales, int first, int last, int k, int steps) {
      const int lane = static_cast<int>(threadIdx.x) % 32;
      const auto* bytes = static_cast<const std::uint8_t*>(scales.data);
      const auto* floats = static_cast<const std::uint32_t*>(scales.data);
      const bool whole = scales.in_words(chunk) && steps == chunk;
#pragma unroll
      for (int i = 0; i < each; ++i) {
        const std::int64_t from =
            min(first + 32 * i + lane % Rows, last) * scales.row_step + k * scales.k_step;
        if (scales.exponents) {
#pragma unroll
          for (int u = 0; u < chunk; ++u)
            word[i][u] = bytes[from + min(u, steps - 1) * scales.k_step];
        } else if (whole && chunk == 4) {
          const uint4 v = *reinterpret_cast<const uint4*>(floats + from);
          word[i][0] = v.x, word[i][1] = v.y, word[i][chunk - 2] = v.z, word[i][chunk - 1] = v.w;
        } else if (whole) {
          const uint2 v = *reinterpret_cast<const uint2*>(floats + from);
          word[i][0] = v.x, word[i][1] = v.y;
        } else {
#pragma unroll
          for (int u = 0; u < chunk; ++u)
            word[i][u] = floats[from + min(u, steps - 1) * scales.k_step];
        }
      }
    }

    template <class Place>
    __device__ void store(const block_scales& scales, float* slot, Place place) const {
      const int lane = static_cast<int>(threadIdx.x) % 32;
      if (lane >= Rows) return;
#pragma unroll
      for (int i = 0; i < each; ++i)
#pragma unroll
        for (int u = 0; u < chunk; ++u)
          slot[u * step_floats + place(32 * i + lane)] =
              scales.exponents ? scales.from_exponent(word[i][u]) : __uint_as_float(word[i][u]);
    }
  };

  static __device__ void multiply_tiles(const arguments& p, typename Tile::ring ring,
                                        std::uint32_t ring_memory, const scale_ring& of_scales,
                                        const float* scales, const factor_state<Tile>& factors,
                                        int warp) {
    ring.barriers = ptx::broadcast(ring.barriers);
    const std::uint32_t own_rows = static_cast<std::uint32_t>(warp / 4 * 64 * Tile::k_bytes);
    const std::uint32_t slab =
        ring_memory + Tile::ring_bytes + static_cast<std::uint32_t>(warp * writer::shared_bytes);
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const float* own_scales = scales + warp * 16 + lane / 4 * 2;
    const float* columns = scales + Tile::m + lane % 4 * 4;
    const auto write = make_writer<writer>(p, factors, slab, warp * 16);
    // A tile's outputs are written while the first step of the next one is multiplied.
    float total[1][Tile::n / 2] = {};
    bool waiting = false;
    std::uint32_t parity = 0, factors_parity = 0;
    ring_position<slots> at;
    for (tile_walk<Tile> tile{p.order}; tile.more(); tile.advance(), factors_parity ^= 1) {
      ptx::mbarrier_wait(ring.full(0), parity);
      const auto multiply_round = [&](int k, auto is_first) {
#pragma unroll
        for (int u = 0; u < round; ++u) {
          constexpr bool first_round = decltype(is_first)::value;
          const bool first = first_round && u == 0;
          if (k + u >= p.k_steps) {  // what fills the round up is only passed on
            ptx::mbarrier_wait(ring.full(u), parity);
            ring.release(u);
            continue;
          }
          const std::uint32_t a = ring_memory + static_cast<std::uint32_t>(u * Tile::stage_bytes);
          const std::uint32_t b = a + Tile::a_bytes;
          const int step = (at.stage * chunk + u % chunk) * step_floats;
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
            if (first && waiting) {
              write.template write_part<i, parts>(total);
              if (i == parts - 1) ptx::mbarrier_arrive(factors.ring().empty(0));
            }
            if (i == 0) {
              if (!first) ring.release(u > 0 ? u - 1 : round - 1);
              if constexpr (scaled) {
                if (u % chunk == 0) ptx::mbarrier_wait(of_scales.full(at.stage), at.parity);
                row = *reinterpret_cast<const float2*>(own_scales + step);
                if constexpr (!b_rows)
                  of_tile = *reinterpret_cast<const float2*>(scales + Tile::m + step);
              }
            } else if (k + u + 1 < p.k_steps) {
              ptx::mbarrier_wait(ring.full((u + 1) % round), u + 1 < round ? parity : parity ^ 1);
            }
            const float tile_scale = i == 0 ? of_tile.x : of_tile.y;
            const float upper = row.x * tile_scale, lower = row.y * tile_scale;
            wgmma_wait<0>();
            wgmma_settle(part);
            add_scaled(total[0] + i * sums, part, upper, lower, columns + step + i * part_n, first);
          };
          multiply_part(std::integral_constant<int, 0>{});
          multiply_part(std::integral_constant<int, 1>{});
          if (scaled && (u % chunk == chunk - 1 || k + u + 1 == p.k_steps)) {
            of_scales.release(at.stage);
            at.advance();
          }
        }
        parity ^= 1;
      };
      multiply_round(0, std::true_type{});
      for (int k = round; k < p.k_steps; k += round) multiply_round(k, std::false_type{});
      ring.release((p.k_steps - 1) % round);
      ptx::mbarrier_wait(factors.ring().full(0), factors_parity);
      waiting = write.in_slabs();
      if (!waiting) {
        write.write_elements(total);
        ptx::mbarrier_arrive(factors.ring().empty(0));
      }
    }
    if (waiting) write.template write_part<0, 1>(total);
    writer::wait_for_slab();
  }

  /// total += part · scales of the thread's upper and lower row, and of B's rows where they have
  /// their own, four of this thread for each 16. The `first` part is not added.
  static __device__ void add_scaled(float* total, const float (&part)[sums], float upper,
                                    float lower, const float* columns, bool first) {
#pragma unroll
    for (int i = 0; i < sums; i += 8) {
      float4 column = {1.0f, 1.0f, 1.0f, 1.0f};
      if constexpr (b_rows) column = *reinterpret_cast<const float4*>(columns + 2 * i);
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const float row = j % 4 < 2 ? upper : lower;
        const float before = first ? 0.0f : total[i + j];
        if constexpr (!scaled) {
          total[i + j] = before + part[i + j];
        } else if constexpr (!b_rows) {
          total[i + j] = before + part[i + j] * row;
        } else {
          const float even = j < 4 ? column.x : column.z, odd = j < 4 ? column.y : column.w;
          total[i + j] = before + part[i + j] * (row * (j % 2 == 0 ? even : odd));
        }
        wgmma_settle(total[i + j]);  // now, or the next part would need registers of its own
      }
    }
  }
};

}  // namespace halfbyte::cuda
