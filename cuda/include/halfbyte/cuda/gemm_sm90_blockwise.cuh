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
    const std::uint32_t e = static_cast<const std::uint8_t*>(data)[index];
    return __uint_as_float(e == 0 ? 0x00400000u : e == 255 ? 0x7FFFFFFFu : e << 23);
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
/// them in float and add them to float sums of their own. The two warpgroups take turns: one
/// multiplies its 64 rows with 128 of B's rows while the other scales. Two more warps of the
/// loading warpgroup bring the scales into the stages.
template <element A, element B, output O, class Tile, blockwise Scales>
struct gemm_sm90_blockwise {
  static constexpr const char* name = "gemm_sm90_blockwise";
  static constexpr int architecture = 90;
  static constexpr int cluster = Tile::cluster;
  static constexpr int threads = Tile::threads, blocks_per_multiprocessor = 1;
  static constexpr int half_n = 128, halves = Tile::n / half_n;
  static constexpr int sums = half_n / 2;  // of a thread in a half

  using multiply = wgmma<A, B, half_n>;
  using writer = warp_writer<O, Tile::n, 1>;

  static constexpr int writer_bytes = Tile::multiplying_warps * writer::shared_bytes;
  static constexpr int scale_warps = 2;
  static constexpr int scales_a = Tile::m;
  static constexpr int scales_b = Scales == blockwise::rows_and_rows ? Tile::n : halves;
  static constexpr int stage_scales = Tile::m + Tile::n;
  static constexpr int shared_bytes =
      Tile::ring_bytes + writer_bytes + Tile::stages * stage_scales * 4 + 1024;
  static_assert(shared_bytes <= 232448 - 1024);

  struct arguments : sm90_arguments {
    block_scales scale_a, scale_b;
  };

  static __device__ void run(const arguments& p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ unsigned char dynamic[];
    __shared__ block_state<Tile> state;
    const std::uint32_t offset = -ptx::shared_address(dynamic) & 1023u;
    const std::uint32_t ring_memory = ptx::shared_address(dynamic) + offset;
    float* scales = reinterpret_cast<float*>(dynamic + offset + Tile::ring_bytes + writer_bytes);
    state.start(p, Scales == blockwise::unscaled ? 1 : 1 + 32 * scale_warps);
    const int loading_warp = static_cast<int>(threadIdx.x) / 32 - Tile::multiplying_warps;
    if (loading_warp >= 0) {
      ptx::register_limit_decrease<56>();
      if (threadIdx.x == Tile::multiplying_threads)
        load_tiles<Tile>(p, state.ring(), ring_memory, Tile::k_bytes);
      if (loading_warp == 1) load_factors(p, state);
      if (loading_warp >= 2 && Scales != blockwise::unscaled) load_scales(p, state.ring(), scales);
    } else {
      ptx::register_limit_increase<224>();
      multiply_tiles(p, state, ring_memory, scales);
    }
#endif
  }

  /// Queues the product. Rows of A and B 16-byte aligned; all matrices in device memory.
  static void launch(const operand_matrix& a, const block_scales& scale_a, const operand_matrix& b,
                     const block_scales& scale_b, const output_matrix& d, const epilogue& how,
                     cudaStream_t stream, int band = 0) {
    prepare_kernel<gemm_sm90_blockwise>();
    arguments p{make_sm90_arguments<Tile>(A, a, B, b, d, how, band), scale_a, scale_b};
    launch_kernel<gemm_sm90_blockwise>(p, persistent_blocks<Tile>(p.order), stream,
                                       dim3(Tile::cluster));
  }

 private:
  /// Two warps: the step's scales into the stage. A lane brings the scales of the same rows in
  /// every step, and has those of the next `ahead` steps on their way. Rows outside D take the
  /// last one's.
  static __device__ void load_scales(const arguments& p, const typename Tile::ring& ring,
                                     float* scales) {
    constexpr int lanes = 32 * scale_warps, each_a = scales_a / lanes;
    constexpr int each_b = (scales_b + lanes - 1) / lanes, each = each_a + each_b;
    constexpr int ahead = Scales == blockwise::rows_and_rows ? 2 : 4;
    constexpr bool rows = Scales == blockwise::rows_and_rows;
    const int lane = static_cast<int>(threadIdx.x) - Tile::multiplying_threads - 64;
    typename Tile::position at;
    for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
      std::int64_t from[each];
#pragma unroll
      for (int i = 0; i < each_a; ++i)
        from[i] = min(tile.row + lane + i * lanes, p.d.rows - 1) * p.scale_a.row_step;
#pragma unroll
      for (int i = 0; i < each_b; ++i) {
        const int column = tile.column + (rows ? lane + i * lanes : lane % halves * half_n);
        const int n = min(column, p.d.columns - 1);
        from[each_a + i] = (rows ? n : n / 128) * p.scale_b.row_step;
      }
      float value[ahead][each];
      const auto fetch = [&](float(&v)[each], int k) {
        if (k >= p.k_steps) return;
#pragma unroll
        for (int i = 0; i < each; ++i)
          v[i] = i < each_a ? p.scale_a(from[i] + k * p.scale_a.k_step)
                            : p.scale_b(from[i] + k * p.scale_b.k_step);
      };
#pragma unroll
      for (int j = 0; j + 1 < ahead; ++j) fetch(value[j], j);
      for (int k = 0; k < p.k_steps; k += ahead) {
#pragma unroll
        for (int j = 0; j < ahead; ++j) {
          if (k + j >= p.k_steps) break;
          fetch(value[(j + ahead - 1) % ahead], k + j + ahead - 1);
          ptx::mbarrier_wait(ring.empty(at.stage), at.parity ^ 1);
          float* target = scales + at.stage * stage_scales + lane;
#pragma unroll
          for (int i = 0; i < each; ++i)
            if (rows || i < each_a || lane < scales_b) target[i * lanes] = value[j][i];
          ptx::mbarrier_arrive(ring.full(at.stage));
          at.advance();
        }
      }
    }
  }

  static __device__ void multiply_tiles(const arguments& p, const block_state<Tile>& state,
                                        std::uint32_t ring_memory, const float* scales) {
    const typename Tile::ring ring = state.ring();
    const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
    const std::uint32_t upper_half = static_cast<std::uint32_t>(warp / 4 * 64 * Tile::k_bytes);
    const std::uint32_t slabs =
        ring_memory + Tile::ring_bytes + static_cast<std::uint32_t>(warp * writer::shared_bytes);
    // Barrier 1 + w tells warpgroup w that its turn has come; warpgroup 0 begins.
    const int my_turn = 1 + warp / 4, other_turn = 2 - warp / 4;
    if (warp / 4 == 1) ptx::named_barrier_arrive(other_turn, Tile::multiplying_threads);
    typename Tile::position at;
    ring_position<1> factors_at;
    for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
      float total[Tile::n / 2];
#pragma unroll
      for (int i = 0; i < Tile::n / 2; ++i) total[i] = 0.0f;
      for (int k = 0; k < p.k_steps; ++k) {
        ptx::mbarrier_wait(ring.full(at.stage), at.parity);
        const std::uint32_t a =
            ring_memory + static_cast<std::uint32_t>(at.stage * Tile::stage_bytes);
        const std::uint32_t b = a + Tile::a_bytes;
        // Read before the multiplications are issued: afterwards they would queue behind.
        const float* scale = scales + at.stage * stage_scales;
        float upper = 1.0f, lower = 1.0f;
        if constexpr (Scales != blockwise::unscaled) {
          upper = scale[warp * 16 + thread % 32 / 4];
          lower = scale[warp * 16 + thread % 32 / 4 + 8];
        }
        float tile_scale[halves] = {};
        if constexpr (Scales == blockwise::rows_and_tiles) {
#pragma unroll
          for (int half = 0; half < halves; ++half) tile_scale[half] = scale[scales_a + half];
        }
#pragma unroll
        for (int half = 0; half < halves; ++half) {
          float part[sums];
          ptx::named_barrier_wait(my_turn, Tile::multiplying_threads);
          wgmma_fence();
#pragma unroll
          for (std::uint32_t j = 0; j < 4; ++j)
            multiply::run(
                part, wgmma_descriptor(a + upper_half + 32 * j),
                wgmma_descriptor(b + static_cast<std::uint32_t>(half * half_n * Tile::k_bytes) +
                                 32 * j),
                j != 0);
          wgmma_commit();
          ptx::named_barrier_arrive(other_turn, Tile::multiplying_threads);
          wgmma_wait<0>();
          wgmma_settle(part);
          if (half == halves - 1 && Scales != blockwise::rows_and_rows)
            ring.template release<cluster>(at.stage);
          const float* column_scale = scale + scales_a + half * half_n + thread % 4 * 2;
          add_scaled(total + half * sums, part, upper, lower, tile_scale[half], column_scale);
        }
        if constexpr (Scales == blockwise::rows_and_rows) ring.template release<cluster>(at.stage);
        at.advance();
      }
      write_tile<writer>(p, state, tile, slabs, factors_at, total);
    }
    if (warp / 4 == 0) ptx::named_barrier_wait(my_turn, Tile::multiplying_threads);
  }

  /// total += part · scales, of 64 sums.
  static __device__ void add_scaled(float* total, const float (&part)[sums], float upper,
                                    float lower, float tile_scale, const float* column_scale) {
    if constexpr (Scales == blockwise::rows_and_tiles) {
      upper *= tile_scale;
      lower *= tile_scale;
    }
#pragma unroll
    for (int i = 0; i < sums; i += 4) {
      float2 column = {1.0f, 1.0f};
      if constexpr (Scales == blockwise::rows_and_rows)
        column = *reinterpret_cast<const float2*>(column_scale + 2 * i);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float row = j < 2 ? upper : lower;
        if constexpr (Scales == blockwise::unscaled) {
          total[i + j] += part[i + j];
        } else if constexpr (Scales == blockwise::rows_and_tiles) {
          total[i + j] += part[i + j] * row;
        } else {
          total[i + j] += part[i + j] * (row * (j % 2 == 0 ? column.x : column.y));
        }
      }
    }
  }
};

}  // namespace halfbyte::cuda
