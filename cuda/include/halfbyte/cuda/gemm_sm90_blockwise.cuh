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

    __device__ float operator()(int row_block, int k_block) const {
        const std::int64_t i = row_block * row_step + k_block * k_step;
        if (!exponents) return static_cast<const float*>(data)[i];
        const std::uint32_t e = static_cast<const std::uint8_t*>(data)[i];
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
/// them in float and add them to float sums of their own. Each warpgroup has two sets of sums: one
/// is being multiplied while the other is scaled. The loading warpgroup's other three warps bring
/// the scales into the stages.
template <element A, element B, output O, class Tile, blockwise Scales>
struct gemm_sm90_blockwise {
    static constexpr const char* name = "gemm_sm90_blockwise";
    static constexpr int architecture = 90;
    static constexpr int cluster = Tile::cluster;
    static constexpr int threads = Tile::threads;
    static_assert(Tile::n == 128, "two sets of sums and the totals must fit the registers");

    using multiply = wgmma<A, B, Tile::n>;
    using writer = warp_writer<O, Tile::n, 1>;

    static constexpr int writer_bytes = Tile::multiplying_warps * writer::shared_bytes;
    static constexpr int sums = Tile::n / 2;  // of a thread
    static constexpr int scales_a = Tile::m;
    static constexpr int scales_b = Scales == blockwise::rows_and_rows ? Tile::n : 1;
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
        __shared__ alignas(8) std::uint64_t barriers[2 * Tile::stages];
        const std::uint32_t offset = -ptx::shared_address(dynamic) & 1023u;
        const std::uint32_t ring_memory = ptx::shared_address(dynamic) + offset;
        float* scales =
            reinterpret_cast<float*>(dynamic + offset + Tile::ring_bytes + writer_bytes);
        const typename Tile::ring ring{ptx::shared_address(barriers)};
        start_block<Tile>(p, ring, Scales == blockwise::unscaled ? 1 : 4);

        if (threadIdx.x >= Tile::multiplying_threads) {
            ptx::register_limit_decrease<40>();
            if (threadIdx.x == Tile::multiplying_threads) {
                load_tiles<Tile>(p, ring, ring_memory, Tile::k_bytes);
            } else if (Scales != blockwise::unscaled &&
                       threadIdx.x >= Tile::multiplying_threads + 32) {
                load_scales(p, ring, scales);
            }
        } else {
            ptx::register_limit_increase<232>();
            multiply_tiles(p, ring, ring_memory, scales);
        }
#endif
    }

    /// Queues the product. Rows of A and B 16-byte aligned; all matrices in device memory.
    static void launch(const operand_matrix& a, const block_scales& scale_a,
                       const operand_matrix& b, const block_scales& scale_b,
                       const output_matrix& d, const epilogue& how, cudaStream_t stream,
                       int band = 0) {
        prepare_kernel<gemm_sm90_blockwise>();
        arguments p{make_sm90_arguments<Tile>(A, a, B, b, d, how, band), scale_a, scale_b};
        launch_kernel<gemm_sm90_blockwise>(p, persistent_blocks<Tile>(p.order), stream);
    }

private:
    /// Three warps: this step's scales into the stage, the next step's already on their way.
    static __device__ void load_scales(const arguments& p, const typename Tile::ring& ring,
                                       float* scales) {
        constexpr int lanes = 96, each = (scales_a + scales_b + lanes - 1) / lanes;
        const int lane = static_cast<int>(threadIdx.x) - Tile::multiplying_threads - 32;
        typename Tile::position at;
        for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
            float next[each];
            fetch_scales(p, tile, lane, 0, next);
            for (int k = 0; k < p.k_steps; ++k) {
                float now[each];
#pragma unroll
                for (int i = 0; i < each; ++i) now[i] = next[i];
                if (k + 1 < p.k_steps) fetch_scales(p, tile, lane, k + 1, next);
                ptx::mbarrier_wait(ring.empty(at.stage), at.parity ^ 1);
#pragma unroll
                for (int i = 0; i < each; ++i)
                    if (lane + i * lanes < scales_a + scales_b)
                        scales[at.stage * stage_scales + lane + i * lanes] = now[i];
                __syncwarp();
                if (lane % 32 == 0) ptx::mbarrier_arrive(ring.full(at.stage));
                at.advance();
            }
        }
    }

    template <int Each>
    static __device__ void fetch_scales(const arguments& p, const tile_walk<Tile>& tile, int lane,
                                        int k, float (&value)[Each]) {
#pragma unroll
        for (int i = 0; i < Each; ++i) {
            const int j = lane + i * 96;
            value[i] = 0.0f;
            if (j < scales_a) {
                if (tile.row + j < p.d.rows) value[i] = p.scale_a(tile.row + j, k);
            } else if (j < scales_a + scales_b) {
                const int n = tile.column + j - scales_a;
                if (n < p.d.columns)
                    value[i] = p.scale_b(Scales == blockwise::rows_and_rows ? n : n / 128, k);
            }
        }
    }

    static __device__ void multiply_tiles(const arguments& p, const typename Tile::ring& ring,
                                          std::uint32_t ring_memory, const float* scales) {
        const int warp = static_cast<int>(threadIdx.x) / 32;
        const std::uint32_t half = static_cast<std::uint32_t>(warp / 4 * 64 * Tile::k_bytes);
        const std::uint32_t slabs = ring_memory + Tile::ring_bytes +
                                    static_cast<std::uint32_t>(warp * writer::shared_bytes);
        typename Tile::position next, done;
        // Multiplies the next stage into `part`.
        const auto issue = [&](float(&part)[sums]) {
            ptx::mbarrier_wait(ring.full(next.stage), next.parity);
            const std::uint32_t stage =
                ring_memory + static_cast<std::uint32_t>(next.stage * Tile::stage_bytes);
            const std::uint64_t a = wgmma_descriptor(stage + half);
            const std::uint64_t b = wgmma_descriptor(stage + Tile::a_bytes);
            wgmma_fence();
#pragma unroll
            for (std::uint64_t j = 0; j < 4; ++j)
                multiply::run(part, a + 2 * j, b + 2 * j, j != 0);
            wgmma_commit();
            next.advance();
        };
        for (tile_walk<Tile> tile{p.order}; tile.find(); tile.advance()) {
            float total[sums], even[sums], odd[sums];
#pragma unroll
            for (int i = 0; i < sums; ++i) total[i] = 0.0f;
            issue(even);
            int left = p.k_steps - 1;
            for (; left >= 2; left -= 2) {
                issue(odd);
                wgmma_wait<1>();
                add_scaled(total, even, ring, done, scales);
                issue(even);
                wgmma_wait<1>();
                add_scaled(total, odd, ring, done, scales);
            }
            if (left == 1) {
                issue(odd);
                wgmma_wait<1>();
                add_scaled(total, even, ring, done, scales);
                wgmma_wait<0>();
                add_scaled(total, odd, ring, done, scales);
            } else {
                wgmma_wait<0>();
                add_scaled(total, even, ring, done, scales);
            }
            const int row = tile.row + 16 * warp;
            const writer out{p.how, p.d, slabs, row, tile.column};
            if (row < p.d.rows) out.write(total, out.straight());
        }
    }

    /// total += part · scales of the stage, which then goes back to the loader.
    static __device__ void add_scaled(float (&total)[sums], const float (&part)[sums],
                                      const typename Tile::ring& ring,
                                      typename Tile::position& done, const float* scales) {
        const int warp = static_cast<int>(threadIdx.x) / 32;
        const int lane = static_cast<int>(threadIdx.x) % 32;
        const float* scale_a = scales + done.stage * stage_scales + 16 * warp + lane / 4;
        const float* scale_b = scales + done.stage * stage_scales + scales_a;
        if constexpr (Scales == blockwise::unscaled) {
            ring.template release<cluster>(done.stage);
#pragma unroll
            for (int i = 0; i < sums; ++i) total[i] += part[i];
        } else if constexpr (Scales == blockwise::rows_and_tiles) {
            const float upper = scale_a[0] * scale_b[0], lower = scale_a[8] * scale_b[0];
            ring.template release<cluster>(done.stage);
#pragma unroll
            for (int i = 0; i < sums; ++i) total[i] += part[i] * (i % 4 < 2 ? upper : lower);
        } else {
            const float upper = scale_a[0], lower = scale_a[8];
#pragma unroll
            for (int i = 0; i < sums; i += 4) {
                const float2 column =
                    *reinterpret_cast<const float2*>(scale_b + 2 * i + lane % 4 * 2);
                total[i] += part[i] * (upper * column.x);
                total[i + 1] += part[i + 1] * (upper * column.y);
                total[i + 2] += part[i + 2] * (lower * column.x);
                total[i + 3] += part[i + 3] * (lower * column.y);
            }
            ring.template release<cluster>(done.stage);
        }
        done.advance();
    }
};

}  // namespace halfbyte::cuda
