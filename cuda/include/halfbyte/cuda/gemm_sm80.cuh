#pragma once

#include <cstdint>

#include <cuda_runtime.h>

#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/epilogue.cuh>
#include <halfbyte/cuda/error.cuh>
#include <halfbyte/cuda/launch.cuh>
#include <halfbyte/cuda/ptx.cuh>
#include <halfbyte/cuda/unpack.cuh>

namespace halfbyte::cuda {

/// Rows of an operand to multiply instead of all: `list[0 .. *count)`, both on the device.
struct row_selection {
  const int* list = nullptr;
  const int* count = nullptr;
  const std::uint8_t* listed = nullptr;  // rows: 1 where a row is in the list

  __device__ int size(int rows) const { return list == nullptr ? rows : *count; }
  __device__ int row(int i) const { return list == nullptr ? i : list[i]; }
};

/// The sum over all of K is one sum: nothing is scaled on the way.
struct whole_sum {
  static constexpr bool in_blocks = false;
};

/// D = epilogue(A · Bᵀ) for any pair of operands, on any GPU from sm_80 on.
///
/// Elements times block scales become bfloat16 (exact), 64 x 64 outputs per block of four warps
/// are summed in float by mma.sync. The simple path: correct first. It is also the exact path for
/// a few rows that another kernel cannot take: then it makes the outputs of A's selected rows and
/// of B's selected rows, each output once. Where `Blocks` is in_blocks, the sum of each 128 of K is
/// multiplied by blocks(m, n, block) and added to a float.
template <element A, int BlockA, element B, int BlockB, output O, class Blocks = whole_sum>
struct gemm_sm80 {
  static constexpr int tile = 64, tile_k = 32, threads = 128;
  static constexpr int line = tile_k + 8;  // elements; the gap spreads lines over the banks

  struct arguments {
    block_scaled_matrix a, b;
    row_selection rows_a, rows_b;
    epilogue how;
    output_matrix d;
    Blocks blocks;
  };

  static __device__ void run(const arguments& p) {
    ptx::wait_for_earlier_kernels();
    // A row of A that is selected leaves B whole, and the other way round.
    if (p.rows_b.list == nullptr) return run(p, p.rows_a, {}, nullptr);
    if (p.rows_a.list != nullptr) run(p, p.rows_a, {}, nullptr);
    run(p, {}, p.rows_b, p.rows_a.listed);
  }

 private:
  static __device__ void run(const arguments& p, const row_selection& rows_a,
                             const row_selection& rows_b, const std::uint8_t* done_rows_a) {
    __shared__ alignas(16) std::uint16_t shared_a[tile * line], shared_b[tile * line];
    const int count_a = rows_a.size(p.a.rows), count_b = rows_b.size(p.b.rows);
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    const int warp_m = warp / 2 * 32, warp_n = warp % 2 * 32;
    const int tiles_n = (count_b + tile - 1) / tile;
    const std::int64_t tiles = static_cast<std::int64_t>((count_a + tile - 1) / tile) * tiles_n;
    for (std::int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
      const int first_m = static_cast<int>(t / tiles_n) * tile;
      const int first_n = static_cast<int>(t % tiles_n) * tile;
      float sum[2][4][4] = {}, total[2][4][4] = {};
      for (int k = 0; k < p.a.columns; k += tile_k) {
        __syncthreads();
        load<A, BlockA>(shared_a, p.a, rows_a, count_a, first_m, k);
        load<B, BlockB>(shared_b, p.b, rows_b, count_b, first_n, k);
        __syncthreads();
#pragma unroll
        for (int step = 0; step < tile_k; step += 16) {
          std::uint32_t a[2][4], b[2][4];
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            ptx::ldmatrix_x4(ptx::shared_address(shared_a + (warp_m + 16 * i + lane % 16) * line +
                                                 step + lane / 16 * 8),
                             a[i]);
            ptx::ldmatrix_x4(ptx::shared_address(shared_b + (warp_n + 16 * i + lane % 16) * line +
                                                 step + lane / 16 * 8),
                             b[i]);
          }
#pragma unroll
          for (int i = 0; i < 2; ++i)
#pragma unroll
            for (int j = 0; j < 4; ++j)
              ptx::mma_bf16(sum[i][j], a[i], b[j / 2][j % 2], b[j / 2][2 + j % 2]);
        }
        if constexpr (Blocks::in_blocks) {
          if ((k + tile_k) % 128 != 0 && k + tile_k < p.a.columns) continue;
          for_each_sum([&](int i, int j, int e, int m, int n) {
            if (first_m + m < count_a && first_n + n < count_b)
              total[i][j][e] += sum[i][j][e] * p.blocks(first_m + m, first_n + n, k / 128);
            sum[i][j][e] = 0.0f;
          });
        }
      }
      for_each_sum([&](int i, int j, int e, int m, int n) {
        m += first_m;
        n += first_n;
        if (m >= count_a || n >= count_b) return;
        if (done_rows_a != nullptr && done_rows_a[rows_a.row(m)] != 0) return;
        store(p, rows_a.row(m), rows_b.row(n), Blocks::in_blocks ? total[i][j][e] : sum[i][j][e]);
      });
    }
  }

  /// Calls f(i, j, e, m, n) for this thread's sums: [i][j][e] is of row m, column n of the tile.
  template <class F>
  static __device__ void for_each_sum(F f) {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j)
#pragma unroll
        for (int e = 0; e < 4; ++e)
          f(i, j, e, warp / 2 * 32 + 16 * i + lane / 4 + e / 2 * 8,
            warp % 2 * 32 + 8 * j + lane % 4 * 2 + e % 2);
  }

  template <element E, int BlockSize>
  static __device__ void load(std::uint16_t* shared, const block_scaled_matrix& m,
                              const row_selection& rows, int count, int first, int k) {
    constexpr unsigned bytes = bits_of(E);  // of eight elements
    if (m.stride_bytes % bytes == 0 && reinterpret_cast<std::uintptr_t>(m.data) % bytes == 0) {
      load<E, BlockSize, true>(shared, m, rows, count, first, k);
    } else {
      load<E, BlockSize, false>(shared, m, rows, count, first, k);
    }
  }

  /// 64 rows of 32 elements as bfloat16: each thread eight neighbours, of two rows.
  template <element E, int BlockSize, bool Aligned>
  static __device__ void load(std::uint16_t* shared, const block_scaled_matrix& m,
                              const row_selection& rows, int count, int first, int k) {
#pragma unroll
    for (int i = 0; i < tile * tile_k / 8 / threads; ++i) {
      const int index = static_cast<int>(threadIdx.x) + i * threads;
      const int r = index / (tile_k / 8), c = index % (tile_k / 8) * 8;
      uint4 eight{};
      if (first + r < count && k + c < m.columns)
        eight = unpack_eight<E, BlockSize, Aligned>(m, rows.row(first + r), k + c);
      *reinterpret_cast<uint4*>(shared + r * line + c) = eight;
    }
  }

  static __device__ void store(const arguments& p, int m, int n, float sum) {
    const float row = p.how.alpha * p.how.a(m, p.d.rows);
    finish_output<O>(p.how, p.d, m, n, sum, row, p.how.b(n, p.d.columns),
                     p.how.bias != nullptr ? p.how.bias[n] : 0.0f, scale_is_wide(row));
  }
};

template <class K>
static __global__ void __launch_bounds__(K::threads)
    fallback_entry(const __grid_constant__ typename K::arguments arguments) {
  K::run(arguments);
}

/// Queues the product of any two operands. BlockA, BlockB: 32 (MX), 16 (NVFP4) or 0 (no scales).
template <element A, int BlockA, element B, int BlockB, output O, class Blocks = whole_sum>
void launch_gemm_sm80(const block_scaled_matrix& a, const row_selection& rows_a,
                      const block_scaled_matrix& b, const row_selection& rows_b,
                      const output_matrix& d, const epilogue& how, cudaStream_t stream,
                      const Blocks& blocks = {}) {
  using kernel = gemm_sm80<A, BlockA, B, BlockB, O, Blocks>;
  const std::int64_t tiles = static_cast<std::int64_t>((a.rows + kernel::tile - 1) / kernel::tile) *
                             ((b.rows + kernel::tile - 1) / kernel::tile);
  if (tiles == 0) return;
  const bool selected = rows_a.list != nullptr || rows_b.list != nullptr;
  const std::int64_t most = selected ? 256 : 65535 * 8;
  static thread_local early_start early;
  queue_kernel(fallback_entry<kernel>, dim3(static_cast<unsigned>(tiles < most ? tiles : most)),
               kernel::threads, 0, dim3(1), early(fallback_entry<kernel>), stream,
               {a, b, rows_a, rows_b, how, d, blocks});
}

}  // namespace halfbyte::cuda
