#pragma once

#include <cstdint>

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
  /// 2^(e - 127); 255 is NaN.
  static __device__ float from_exponent(std::uint32_t e) {
    return __uint_as_float(e << 23 | (e == 0 || e == 255 ? 0x00400000u : 0u));
  }

  /// Are `count` scales that follow each other along K as one aligned word, in every row?
  __device__ bool in_words(int count) const {
    const auto address = reinterpret_cast<std::uintptr_t>(data);
    const int bytes = count * (exponents ? 1 : 4);
    return k_step == 1 && row_step % count == 0 && address % static_cast<unsigned>(bytes) == 0;
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
/// them in float and add them to float sums of their own. Two warpgroups share a tile; while one
/// scales its sums of 64 rows with 128 of B's rows, the other multiplies. Two more warps bring the
/// scales, four steps at a time, through a ring of their own.
template <element A, element B, output O, class Tile, blockwise Scales>
struct gemm_sm90_blockwise {
  static constexpr const char* name = "gemm_sm90_blockwise";
  static constexpr int architecture = 90;
  static constexpr int threads = Tile::threads, blocks_per_multiprocessor = 1;
  static constexpr int part_n = 128, parts = Tile::n / part_n;
  static constexpr int sums = part_n / 2;  // of a thread in a part
  static_assert(parts * part_n == Tile::n && Tile::tiles_at_once == 1);

  using multiply = wgmma<A, B, part_n>;
  using writer = warp_writer<O, Tile::n, 1>;

  static constexpr int writer_bytes = Tile::multiplying_warps * writer::shared_bytes;
  static constexpr int scale_warps = 2;
  static constexpr bool scaled = Scales != blockwise::unscaled;
  static constexpr bool b_rows = Scales == blockwise::rows_and_rows;
  static constexpr int scales_b = b_rows ? Tile::n : parts;
  static constexpr int slot_bytes = 16 * (Tile::m + scales_b), scale_slots = b_rows ? 2 : 4;
  using scale_ring = pipeline<scale_slots>;
  static constexpr int shared_bytes =
      Tile::ring_bytes + writer_bytes + (scaled ? scale_slots * slot_bytes : 0) + 1024;
  static_assert(shared_bytes <= 232448 - 2048);

  struct arguments : sm90_arguments {
    block_scales scale_a, scale_b;
  };

  static __device__ void run(const arguments& p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ unsigned char dynamic[];
    __shared__ block_state<Tile> state;
    const std::uint32_t offset = -ptx::shared_address(dynamic) & 1023u;
    const std::uint32_t ring_memory = ptx::broadcast(ptx::shared_address(dynamic) + offset);
    float* scales = reinterpret_cast<float*>(dynamic + offset + Tile::ring_bytes + writer_bytes);
    __shared__ alignas(8) std::uint64_t barriers_of_scales[2 * scale_slots];
    const scale_ring of_scales{ptx::shared_address(barriers_of_scales)};
    if (threadIdx.x == 0) of_scales.initialise(2 * 32 * scale_warps, Tile::multiplying_warps);
    state.start(p);
    const int warp = ptx::warp_index(), loading_warp = warp - Tile::multiplying_warps;
    if (loading_warp >= 0) {
      ptx::register_limit_decrease<40>();
      if (threadIdx.x == Tile::multiplying_threads)
        load_tiles<Tile>(p, state.ring(), ring_memory, Tile::k_bytes);
      if (loading_warp == 1) load_factors(p, state);
      if (scaled && loading_warp >= 2) load_scales(p, of_scales, ptx::shared_address(scales));
    } else {
      ptx::register_limit_increase<232>();
      multiply_tiles(p, state, ring_memory, of_scales, scales, warp);
    }
#endif
  }

  /// Queues the product. Rows of A and B 16-byte aligned; all matrices in device memory.
  static void launch(const operand_matrix& a, const block_scales& scale_a, const operand_matrix& b,
                     const block_scales& scale_b, const output_matrix& d, const epilogue& how,
                     cudaStream_t stream, int band = 0) {
    prepare_kernel<gemm_sm90_blockwise>();
    arguments p{make_sm90_arguments<Tile>(A, a, B, b, d, how, band), scale_a, scale_b};
    launch_kernel<gemm_sm90_blockwise>(p, persistent_blocks(p.order), stream);
  }

 private:
  /// Two warps: the scales of four steps at a time into a ring of their own: those of A's rows,
  /// then those of B's tiles or rows, four floats each. A lane brings the scales of the same rows
  /// in every step. Rows outside D take the last one's.
  static __device__ void load_scales(const arguments& p, const scale_ring& ring,
                                     std::uint32_t scales) {
    constexpr int lanes = 32 * scale_warps, each_a = Tile::m / lanes;
    constexpr int each_b = (scales_b + lanes - 1) / lanes;
    const int lane = static_cast<int>(threadIdx.x) - Tile::multiplying_threads - 64;
    const bool words_a = p.scale_a.in_words(4), words_b = p.scale_b.in_words(4);
    ring_position<scale_slots> at;
    for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
      for (int k = 0; k < p.k_steps; k += 4) {
        const int steps = min(4, p.k_steps - k);
        ptx::mbarrier_wait(ring.empty(at.stage), at.parity ^ 1);
        const std::uint32_t slot = scales + static_cast<std::uint32_t>(at.stage * slot_bytes);
#pragma unroll
        for (int i = 0; i < each_a; ++i) {
          const int row = lane + i * lanes, m = min(tile.row + row, p.d.rows - 1);
          bring(p.scale_a, words_a, m * p.scale_a.row_step, k, steps, slot + 16u * row);
        }
#pragma unroll
        for (int i = 0; i < each_b; ++i) {
          const int row = lane + i * lanes;
          const int n = min(tile.column + row * (b_rows ? 1 : part_n), p.d.columns - 1);
          if (row < scales_b)
            bring(p.scale_b, words_b, (b_rows ? n : n / 128) * p.scale_b.row_step, k, steps,
                  slot + 16u * (Tile::m + row));
        }
        ptx::copy_async_arrive(ring.full(at.stage));
        ptx::mbarrier_arrive(ring.full(at.stage));
        at.advance();
      }
    }
  }

  /// Four steps' scales of one row from step k on: floats by copies that take care of themselves.
  static __device__ void bring(const block_scales& scales, bool words, std::int64_t row, int k,
                               int steps, std::uint32_t target) {
    const std::int64_t from = row + k * scales.k_step;
    if (scales.exponents) {
      const auto* source = static_cast<const std::uint8_t*>(scales.data) + from;
      std::uint32_t word = 0;
      if (words && steps == 4) {
        word = *reinterpret_cast<const std::uint32_t*>(source);
      } else {
#pragma unroll 1
        for (int i = 0; i < steps; ++i) word |= std::uint32_t{source[i * scales.k_step]} << (8 * i);
      }
#pragma unroll
      for (int i = 0; i < 4; ++i)
        ptx::store_shared(target + 4u * i, block_scales::from_exponent(word >> (8 * i) & 0xFFu));
    } else {
      const auto* source = static_cast<const float*>(scales.data) + from;
      if (words) {
        ptx::copy_async_16(target, source, 4 * steps);
      } else {
#pragma unroll 1
        for (int i = 0; i < steps; ++i)
          ptx::copy_async_4(target + 4u * i, source + i * scales.k_step);
      }
    }
  }

  /// Where a slot of the ring keeps the scales of step k.
  static __device__ const float* slot(const float* scales, const ring_position<scale_slots>& at,
                                      int k) {
    return scales + at.stage * (slot_bytes / 4) + k % 4;
  }

  /// What a thread's sums of one step are multiplied with: its upper and its lower row's scale, and
  /// those of B's tiles.
  struct factors {
    float upper = 1.0f, lower = 1.0f, tile[parts] = {};

    __device__ void read(const float* step) {
      const int thread = static_cast<int>(threadIdx.x);
      const float* row = step + 4 * (thread / 32 * 16 + thread % 32 / 4);
      upper = row[0];
      lower = row[4 * 8];
#pragma unroll
      for (int i = 0; i < parts; ++i) tile[i] = b_rows ? 1.0f : step[4 * (Tile::m + i)];
    }
  };

  static __device__ void multiply_tiles(const arguments& p, const block_state<Tile>& state,
                                        std::uint32_t ring_memory, const scale_ring& of_scales,
                                        const float* scales, int warp) {
    const typename Tile::ring ring{ptx::broadcast(state.ring().barriers)};
    const std::uint32_t own_rows = static_cast<std::uint32_t>(warp / 4 * 64 * Tile::k_bytes);
    const std::uint32_t slabs =
        ring_memory + Tile::ring_bytes + static_cast<std::uint32_t>(warp * writer::shared_bytes);
    typename Tile::position at;
    ring_position<1> factors_at;
    ring_position<scale_slots> scales_at;
    for (tile_walk<Tile> tile{p.order}; tile.more(); tile.advance()) {
      float total[1][Tile::n / 2];
#pragma unroll
      for (int i = 0; i < Tile::n / 2; ++i) total[0][i] = 0.0f;
      ptx::mbarrier_wait(ring.full(at.stage), at.parity);
      for (int k = 0; k < p.k_steps; ++k) {
        const int stage = ptx::broadcast(at.stage);
        const std::uint32_t a = ring_memory + static_cast<std::uint32_t>(stage * Tile::stage_bytes);
        const std::uint32_t b = a + Tile::a_bytes;
        const float* step = slot(scales, scales_at, k);
        factors now;
#pragma unroll
        for (int i = 0; i < parts; ++i) {
          float part[sums];
          wgmma_fence();
#pragma unroll
          for (int j = 0; j < 4; ++j)
            multiply::run(
                part, wgmma_descriptor(a + own_rows, j),
                wgmma_descriptor(b + static_cast<std::uint32_t>(i * part_n * Tile::k_bytes), j),
                j != 0);
          wgmma_commit();
          // While this is multiplied: this step's scales, and the wait for the next step's stage.
          if (scaled && i == 0) {
            if (k % 4 == 0) ptx::mbarrier_wait(of_scales.full(scales_at.stage), scales_at.parity);
            now.read(step);
          }
          if (i == parts - 1) {
            at.advance();
            if (k + 1 < p.k_steps) ptx::mbarrier_wait(ring.full(at.stage), at.parity);
          }
          wgmma_wait<0>();
          wgmma_settle(part);
          if (i == parts - 1) ring.release(stage);
          const int column = i * part_n + static_cast<int>(threadIdx.x) % 4 * 2;
          add_scaled(total[0] + i * sums, part, now, i, step + 4 * (Tile::m + column));
        }
        if (scaled && (k % 4 == 3 || k + 1 == p.k_steps)) {
          of_scales.release(scales_at.stage);
          scales_at.advance();
        }
      }
      write_tile<writer>(p, state, slabs, factors_at, total);
    }
  }

  /// total += part · scales, of one part's sums; the scales of B's rows are four floats apart.
  static __device__ void add_scaled(float* total, const float (&part)[sums], const factors& now,
                                    int index, const float* column_scale) {
    const float upper = b_rows ? now.upper : now.upper * now.tile[index];
    const float lower = b_rows ? now.lower : now.lower * now.tile[index];
#pragma unroll
    for (int i = 0; i < sums; i += 4) {
      float2 column = {1.0f, 1.0f};
      if constexpr (b_rows) column = {column_scale[8 * i], column_scale[8 * i + 4]};
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float row = j < 2 ? upper : lower;
        if constexpr (!scaled) {
          total[i + j] += part[i + j];
        } else if constexpr (!b_rows) {
          total[i + j] += part[i + j] * row;
        } else {
          total[i + j] += part[i + j] * (row * (j % 2 == 0 ? column.x : column.y));
        }
      }
    }
  }
};

}  // namespace halfbyte::cuda
