#pragma once

#include <cstdint>

#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/epilogue.cuh>
#include <halfbyte/cuda/fold.cuh>
#include <halfbyte/cuda/launch.cuh>
#include <halfbyte/cuda/pipeline.cuh>
#include <halfbyte/cuda/ptx.cuh>
#include <halfbyte/cuda/sm90_tiles.cuh>
#include <halfbyte/cuda/tensor_map.cuh>
#include <halfbyte/cuda/wgmma.cuh>

namespace halfbyte::cuda {

/// D = epilogue(A · Bᵀ) for few rows of A (activations, E4M3): as fast as B (weights) can be read.
///
/// The operands change sides: 64 rows of B are the rows of the instruction, the M rows of A its
/// columns. Packed MXFP4 weights are decoded in registers to E4M3, with the block's power of two
/// relative to the row's folded in (see fold.cuh); E4M3 weights are multiplied from shared memory.
/// Two warpgroups take turns along K, and a cluster of blocks shares K where there are too few rows
/// of B to fill the device; their sums meet in shared memory.
template <bool Packed, int M, output O>
struct gemm_sm90_skinny {
  static constexpr const char* name = "gemm_sm90_skinny";
  static constexpr int architecture = 90;
  static constexpr int tile_n = 64, k_step = 256;  // of B's rows; elements
  static constexpr int multipliers = 256, threads = multipliers + 32;
  static constexpr int weight_bytes = Packed ? tile_n * 128 : 2 * tile_n * 128;
  static constexpr int stage_bytes = weight_bytes + 2 * (M < 8 ? 8 : M) * 128;
  // An even number of stages, so that each belongs to one warpgroup; two blocks per
  // multiprocessor where that leaves four.
  static constexpr int paired_stages = 110 * 1024 / stage_bytes / 2 * 2;
  static constexpr bool paired = paired_stages >= 4;
  static constexpr int stages = !paired ? 4 : paired_stages < 8 ? paired_stages : 8;
  static constexpr int blocks_per_multiprocessor = paired ? 2 : 1;
  static constexpr int sums = M / 2;       // of a thread
  static constexpr int line = tile_n + 2;  // floats from one row of A's sums to the next
  static constexpr int partial_bytes = M * line * 4;
  static constexpr int ring_bytes = stages * stage_bytes;
  static constexpr int shared_bytes =
      (ring_bytes > partial_bytes ? ring_bytes : partial_bytes) + 1024;

  struct arguments {
    CUtensorMap map_a, map_b;
    scale_grid scales;       // of packed B
    const float* row_scale;  // 2^e of packed B's rows, from fold
    epilogue how;
    output_matrix d;
    int k_steps;
  };

  static __device__ void run(const arguments& p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ unsigned char dynamic[];
    __shared__ alignas(8) std::uint64_t barriers[2 * stages];
    const std::uint32_t offset = -ptx::shared_address(dynamic) & 1023u;
    const std::uint32_t memory = ptx::shared_address(dynamic) + offset;
    const pipeline<stages> ring{ptx::shared_address(barriers)};
    const int shares = static_cast<int>(gridDim.y), share = static_cast<int>(blockIdx.y);
    const int first = p.k_steps * share / shares, last = p.k_steps * (share + 1) / shares;
    const int column = static_cast<int>(blockIdx.x) * tile_n;
    __shared__ folded_magnitudes tables[15];  // of k = -8 to 6
    if (threadIdx.x < 15)
      tables[threadIdx.x] = folded_magnitudes(static_cast<int>(threadIdx.x) - 8);
    if (threadIdx.x == 0) ring.initialise(1, 4);
    ptx::let_next_kernel_start();
    __syncthreads();
    ptx::wait_for_earlier_kernels();

    float* partial = reinterpret_cast<float*>(dynamic + offset);
    if (threadIdx.x >= multipliers) {
      if (threadIdx.x == multipliers) load(p, ring, memory, column, first, last);
      __syncwarp();
    } else {
      float sum[sums];
      multiply(p, ring, memory, tables, column, first, last, sum);
      // Where the ring was, one warpgroup leaves its sums and the other adds its own.
      const int warp = static_cast<int>(threadIdx.x) / 32;
      float* mine = partial + warp % 4 * 16 + static_cast<int>(threadIdx.x) % 32 / 4 +
                    static_cast<int>(threadIdx.x) % 4 * 2 * line;
      ptx::named_barrier_wait(1, multipliers);
#pragma unroll
      for (int turn = 0; turn < 2; ++turn) {
        if (warp / 4 == turn) {
#pragma unroll
          for (int i = 0; i < sums; ++i) {
            float& total = mine[(i / 4 * 8 + i % 2) * line + (i % 4 < 2 ? 0 : 8)];
            total = turn == 0 ? sum[i] : total + sum[i];
          }
        }
        ptx::named_barrier_wait(1, multipliers);
      }
    }
    meet(shares);
    if (threadIdx.x < multipliers) write(p, partial, column, shares, share);
    if (shares > 1) meet(shares);
#endif
  }

  /// Queues the product; `a` M x K E4M3, `b` packed or E4M3, K a multiple of 256.
  static void launch(const operand_matrix& a, const operand_matrix& b, const scale_grid& scales,
                     const float* row_scale, const output_matrix& d, const epilogue& how,
                     cudaStream_t stream) {
    prepare_kernel<gemm_sm90_skinny>();
    arguments p{};
    p.map_a = make_tensor_map(CU_TENSOR_MAP_DATA_TYPE_UINT8, 1, a.data, a.rows, a.columns,
                              a.stride_bytes, M);
    p.map_b = make_tensor_map(CU_TENSOR_MAP_DATA_TYPE_UINT8, 1, b.data, b.rows,
                              Packed ? b.columns / 2 : b.columns, b.stride_bytes, tile_n);
    p.scales = scales;
    p.row_scale = row_scale;
    p.how = how;
    p.d = d;
    p.k_steps = a.columns / k_step;
    const int tiles = (d.columns + tile_n - 1) / tile_n;
    int shares = 1;
    while (shares < 8 && 2 * shares <= p.k_steps &&
           2 * shares * tiles <=
               (paired ? 2 : 1) * device_facts::current().multiprocessors + tiles / 2)
      shares *= 2;
    launch_kernel<gemm_sm90_skinny>(
        p, dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(shares)), stream,
        dim3(1, static_cast<unsigned>(shares)));
  }

 private:
  static __device__ void meet(int shares) {
    if (shares > 1) {
      ptx::cluster_arrive();
      ptx::cluster_wait();
    } else {
      __syncthreads();
    }
  }

  static __device__ void load(const arguments& p, const pipeline<stages>& ring,
                              std::uint32_t memory, int column, int first, int last) {
    ring_position<stages> at;
    for (int k = first; k < last; ++k) {
      ptx::mbarrier_wait(ring.empty(at.stage), at.parity ^ 1);
      const std::uint32_t full = ring.full(at.stage);
      const std::uint32_t weights = memory + static_cast<std::uint32_t>(at.stage * stage_bytes);
      ptx::mbarrier_arrive_expect_tx(full, stage_bytes);
#pragma unroll
      for (int i = 0; i < (Packed ? 1 : 2); ++i)
        ptx::tma_load(weights + static_cast<std::uint32_t>(i * tile_n * 128), p.map_b,
                      Packed ? k * 128 : k * 256 + i * 128, column, full, ptx::keep::briefly);
#pragma unroll
      for (int i = 0; i < 2; ++i)
        ptx::tma_load(weights + static_cast<std::uint32_t>(weight_bytes + i * M * 128), p.map_a,
                      k * 256 + i * 128, 0, full, ptx::keep::long_time);
      at.advance();
    }
  }

  /// The scales of eight blocks of a row, a byte each.
  static __device__ uint2 load_scales(const scale_grid& s, int row, int block) {
    std::uint32_t word[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const std::int64_t tile =
          static_cast<std::int64_t>(row / 128) * ((s.blocks + 3) / 4) + block / 4 + i;
      const std::int64_t at = s.swizzled_128x4
                                  ? tile * 512 + row % 32 * 16 + row % 128 / 32 * 4
                                  : static_cast<std::int64_t>(row) * s.blocks + block + 4 * i;
      word[i] = *reinterpret_cast<const std::uint32_t*>(s.data + at);
    }
    return {word[0], word[1]};
  }

  /// Four packed elements to four E4M3 bytes.
  static __device__ std::uint32_t decode(std::uint32_t packed, const folded_magnitudes& table) {
    const std::uint32_t signs = ptx::prmt(packed << 4, packed, 0x5140) & 0x80808080u;
    return ptx::prmt(table.low, table.high, packed & 0x7777u) | signs;
  }

  static __device__ void multiply(const arguments& p, const pipeline<stages>& ring,
                                  std::uint32_t memory, const folded_magnitudes* tables, int column,
                                  int first, int last, float (&sum)[sums]) {
    const int warpgroup = static_cast<int>(threadIdx.x) / 128;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int row = static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane / 4;
    int base[2] = {0, 0}, from[2] = {0, 0};
    uint2 next[2] = {};
    if constexpr (Packed) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        from[i] = min(column + row + 8 * i, p.d.columns - 1);
        base[i] = static_cast<int>(__float_as_uint(p.row_scale[from[i]]) >> 23) - 8;
        if (first + warpgroup < last)
          next[i] = load_scales(p.scales, from[i], (first + warpgroup) * 8);
      }
    }
#pragma unroll
    for (int i = 0; i < sums; ++i) sum[i] = 0.0f;
    for (int k = first + warpgroup; k < last; k += 2) {
      const int step = k - first, stage = step % stages;
      const uint2 scales[2] = {next[0], next[1]};
      if (Packed && k + 2 < last) {
#pragma unroll
        for (int i = 0; i < 2; ++i) next[i] = load_scales(p.scales, from[i], (k + 2) * 8);
      }
      ptx::mbarrier_wait(ring.full(stage), static_cast<std::uint32_t>(step / stages) & 1u);
      const std::uint32_t weights = memory + static_cast<std::uint32_t>(stage * stage_bytes);
      const std::uint32_t activations = weights + weight_bytes;
      std::uint32_t decoded[8][4];
      if constexpr (Packed) {
        std::uint32_t packed[8][4];
#pragma unroll
        for (int j = 0; j < 8; ++j)
#pragma unroll
          for (int i = 0; i < 4; ++i)
            packed[j][i] = ptx::load_shared_half(
                weights +
                static_cast<std::uint32_t>((row + i % 2 * 8) * 128 + ((j ^ (row % 8)) << 4) +
                                           lane % 4 * 2 + i / 2 * 8));
#pragma unroll
        for (int j = 0; j < 8; ++j)
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            const std::uint32_t word = j < 4 ? scales[i].x : scales[i].y;
            const int exponent = static_cast<int>((word >> (8 * (j % 4))) & 0xFFu);
            const folded_magnitudes table = tables[max(0, min(14, exponent - base[i]))];
            decoded[j][i] = decode(packed[j][i], table);
            decoded[j][2 + i] = decode(packed[j][2 + i], table);
          }
      }
      wgmma_fence();
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const std::uint64_t b =
            wgmma_descriptor(activations + static_cast<std::uint32_t>(j / 4 * M * 128), j % 4);
        if constexpr (Packed) {
          wgmma_registers<M>::run(sum, decoded[j], b, 1);
        } else {
          const std::uint64_t a =
              wgmma_descriptor(weights + static_cast<std::uint32_t>(j / 4 * tile_n * 128), j % 4);
          wgmma<element::e4m3, element::e4m3, M>::run(sum, a, b, 1);
        }
      }
      wgmma_commit();
      wgmma_wait<0>();
      wgmma_settle(sum);
      ring.release(stage);
    }
  }

  /// This block's share of the outputs: the sums of every block of the cluster together.
  static __device__ void write(const arguments& p, const float* partial, int column, int shares,
                               int share) {
    for (int i = static_cast<int>(threadIdx.x) + share * multipliers; i < tile_n * M;
         i += multipliers * shares) {
      const int m = i / tile_n, n = i % tile_n;
      if (m >= p.d.rows || column + n >= p.d.columns) continue;
      const float* from = partial + m * line + n;
      float sum = *from;
      for (int i = 1; i < shares; ++i)
        sum += ptx::load_remote(ptx::shared_address(from),
                                static_cast<std::uint32_t>((share + i) % shares));
      const float weight = Packed ? p.row_scale[column + n] : p.how.b(column + n, p.d.columns);
      float value = static_cast<float>(static_cast<double>(sum) *
                                       (p.how.alpha * p.how.a(m, p.d.rows)) * weight);
      if (p.how.bias != nullptr) value += p.how.bias[column + n];
      if (p.how.accumulate) value += load_output<O>(p.d, m, column + n);
      store_output<O>(p.d, m, column + n, value);
    }
  }
};

}  // namespace halfbyte::cuda
