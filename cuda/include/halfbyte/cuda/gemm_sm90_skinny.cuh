#pragma once

#include <algorithm>
#include <cstdint>

#include <halfbyte/cuda/cluster_sums.cuh>
#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/epilogue.cuh>
#include <halfbyte/cuda/fold.cuh>
#include <halfbyte/cuda/launch.cuh>
#include <halfbyte/cuda/packed_fragment.cuh>
#include <halfbyte/cuda/pipeline.cuh>
#include <halfbyte/cuda/ptx.cuh>
#include <halfbyte/cuda/sm90_tiles.cuh>
#include <halfbyte/cuda/tensor_map.cuh>
#include <halfbyte/cuda/wgmma.cuh>

namespace halfbyte::cuda {

/// The shape of products of few rows: M rows of A, 128 rows of B in a block, K in steps of 128
/// bytes of B's rows.
template <bool Packed, int M>
struct skinny_tile {
  static constexpr int n = 128, k_step = Packed ? 256 : 128;
  static constexpr int weight_bytes = n * 128, stage_bytes = weight_bytes + M * k_step;
  // Decoding wants many warps: two pairs of warpgroups, where registers allow, take turns along K.
  static constexpr int pairs = Packed && M <= 64 ? 2 : 1;
  using sums = cluster_sums<n / 16 * M / 8>;
  // Where warps take turns each stage belongs to some, which so cannot take one phase of its
  // barrier for another.
  static constexpr int turns = Packed ? std::max(pairs, reordered_activations<M>::teams) : 1;
  // Packed weights leave room for the first-level cache, through which their scales come.
  static constexpr int stages =
      std::min(Packed ? 6 : 10, (232448 - 4096 - sums::received_bytes) / stage_bytes) / turns *
      turns;
  static constexpr int shared_bytes = stages * stage_bytes + sums::received_bytes + 1024;
  // What is added up within the block lies, in the end, where stages were.
  static_assert(sums::own_bytes <= (pairs == 2 ? 1 : stages) * stage_bytes);
};

/// D = epilogue(A · Bᵀ) for few rows of A (activations, E4M3): as fast as B (weights) can be read.
///
/// The operands change sides: each of two warpgroups has 64 rows of B as the rows of its
/// instructions, the M rows of A are their columns. E4M3 weights are multiplied from shared memory,
/// packed MXFP4 weights decoded in registers, with the block's power of two relative to the row's
/// folded in (see packed_fragment.cuh). A cluster of blocks shares K where there are too few rows
/// of B to fill the device: each adds up its part of the outputs, to which all send their sums.
template <bool Packed, int M, output O>
struct gemm_sm90_skinny {
  static constexpr const char* name = "gemm_sm90_skinny";
  static constexpr int architecture = 90;
  using tile = skinny_tile<Packed, M>;
  using reordered = reordered_activations<M>;
  // Pairs of warpgroups multiply, one reorders activations if the weights are packed; then a warp
  // whose first thread loads, and one for the epilogue's factors.
  static constexpr int multipliers = 256 * tile::pairs, loader = multipliers + (Packed ? 128 : 0);
  static constexpr int threads = loader + 64, blocks_per_multiprocessor = 1;
  static constexpr int shared_bytes = tile::shared_bytes, stages = tile::stages;
  using own_sums = float[M / 2];  // of a thread

  struct arguments {
    CUtensorMap map_a, map_b;
    scale_grid scales;       // of packed B
    const float* row_scale;  // 2^e of packed B's rows, from fold
    epilogue how;
    output_matrix d;
    small_divisor shares;        // blocks of a cluster
    int steps_each, steps_left;  // along K: steps / shares, steps % shares
  };

  /// Every role prepares what it can before it waits for earlier kernels: a block has all of its
  /// multiprocessor, so that it starts where another has just ended, and nothing else runs there.
  static __device__ void run(const arguments& p) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ unsigned char dynamic[];
    __shared__ alignas(8) std::uint64_t barriers[2 * stages], ready[stages], sums_barrier[1];
    __shared__ alignas(128) folded_magnitudes tables[16];  // of k = -8 to 6, and one that is unused
    __shared__ factors with;
    const std::uint32_t memory = ptx::broadcast((ptx::shared_address(dynamic) + 1023u) & ~1023u);
    const place at{memory,
                   ptx::broadcast(ptx::shared_address(tables)),
                   ptx::broadcast(ptx::shared_address(ready)),
                   {ptx::broadcast(ptx::shared_address(barriers))},
                   {memory + stages * tile::stage_bytes,
                    ptx::broadcast(ptx::shared_address(sums_barrier)), p.shares},
                   p.steps_each,
                   p.steps_left};
    if (threadIdx.x == 0) {
      for (int stage = 0; stage < stages; ++stage)
        ptx::mbarrier_init(at.ready(stage), reordered::team);
      at.ring.initialise(1, 8);
      at.sums.initialise(32);
    }
    if (threadIdx.x == loader) {
      ptx::prefetch_tensor_map(p.map_a);
      ptx::prefetch_tensor_map(p.map_b);
    }
    if (Packed && threadIdx.x < 16)
      tables[threadIdx.x] = folded_magnitudes(min(static_cast<int>(threadIdx.x) - 8, 6));
    __syncthreads();
    if (p.shares.by > 1) ptx::cluster_arrive();
    const int warp = ptx::warp_index();
    if (warp < multipliers / 32) {
      // Of 80 registers a thread the warps that reorder give 32, 8 to each of four that multiply.
      if constexpr (tile::pairs == 2) ptx::register_limit_increase<88>();
      own_sums sum;
      multiply(p, at, warp / 8, warp % 8, sum);
      const std::uint32_t own = add_up_pairs(at, warp / 8, warp % 8, sum);
      ptx::named_barrier_wait(1, multipliers);
      at.sums.wait();
      write(p, at, own, with);
    } else if (warp < loader / 32) {
      if constexpr (tile::pairs == 2) ptx::register_limit_decrease<48>();
      prefetch_scales(p, at, static_cast<int>(threadIdx.x) - multipliers);
      reorder(at, static_cast<int>(threadIdx.x) - multipliers);
    } else if (threadIdx.x == loader) {
      prefetch_weights(p, at);
      load(p, at);
    } else if (warp == loader / 32 + 1) {
      ptx::wait_for_earlier_kernels();
      with.fetch(p, at.column);
      at.sums.arrive();
    }
#endif
  }

  /// Queues the product; `a` M x K E4M3, `b` packed or E4M3.
  static void launch(const operand_matrix& a, const operand_matrix& b, const scale_grid& scales,
                     const float* row_scale, const output_matrix& d, const epilogue& how,
                     cudaStream_t stream) {
    prepare_kernel<gemm_sm90_skinny>();
    const int tiles = (d.columns + tile::n - 1) / tile::n;
    const int steps = (a.columns + tile::k_step - 1) / tile::k_step;
    arguments p{};
    p.map_a = make_tensor_map(CU_TENSOR_MAP_DATA_TYPE_UINT8, 1, a.data, a.rows, a.columns,
                              a.stride_bytes, M);
    p.map_b = make_tensor_map(CU_TENSOR_MAP_DATA_TYPE_UINT8, 1, b.data, b.rows,
                              Packed ? b.columns / 2 : b.columns, b.stride_bytes, tile::n);
    p.scales = scales;
    p.row_scale = row_scale;
    p.how = how;
    p.d = d;
    p.shares = small_divisor(std::min(shares_at_once<gemm_sm90_skinny>(tiles), steps));
    p.steps_each = steps / p.shares.by;
    p.steps_left = steps % p.shares.by;
    const auto shares = static_cast<unsigned>(p.shares.by);
    launch_kernel<gemm_sm90_skinny>(p, dim3(static_cast<unsigned>(tiles), shares), stream,
                                    dim3(1, shares));
  }

 private:
  /// A block's shared memory, its rows of B and its share of K: steps `first` to `last` - 1.
  struct place {
    std::uint32_t memory, tables, ready_barriers;
    pipeline<stages> ring;
    typename tile::sums sums;
    int steps_each, steps_left;  // along K: of every block, and one more in so many of them
    int column = static_cast<int>(blockIdx.x) * tile::n;
    int first = sums.share * steps_each + min(sums.share, steps_left);
    int last = first + steps_each + (sums.share < steps_left ? 1 : 0);

    __device__ std::uint32_t weights(int stage) const {
      return memory + static_cast<std::uint32_t>(stage * tile::stage_bytes);
    }
    __device__ std::uint32_t activations(int stage) const {
      return weights(stage) + tile::weight_bytes;
    }
    /// Ends its phase when packed weights' activations are in order.
    __device__ std::uint32_t ready(int stage) const {
      return ready_barriers + 8u * static_cast<std::uint32_t>(stage);
    }
  };

  /// The epilogue's factors of the tile, fetched meanwhile.
  struct factors {
    alignas(16) float row[M], column[tile::n], bias[tile::n];
    bool wide, one_by_one;  // a row's needs double; outputs cannot be simply stored four at a time

    __device__ void fetch(const arguments& p, int first) {
      const int lane = static_cast<int>(threadIdx.x) % 32;
      bool any_wide = false;
      for (int m = lane; m < M; m += 32) {
        row[m] = p.how.alpha * p.how.a(m, p.d.rows);
        any_wide = any_wide || scale_is_wide(row[m]);
      }
      any_wide = __any_sync(~0u, any_wide);
      if (lane == 0) {
        wide = any_wide;
        one_by_one = any_wide || p.how.bias != nullptr || p.how.accumulate ||
                     !stores_four<O>(p.d);
      }
#pragma unroll
      for (int i = lane; i < tile::n; i += 32) {
        const int n = min(first + i, p.d.columns - 1);
        column[i] = Packed ? p.row_scale[n] : p.how.b(n, p.d.columns);
        bias[i] = p.how.bias != nullptr ? p.how.bias[n] : 0.0f;
      }
    }
  };

  /// One thread: into L2, before earlier kernels have ended, the weights of two steps. Nothing is
  /// read from there before, so that it does not matter who writes them; with those of more steps
  /// the copy engine would be late for the activations.
  static __device__ void prefetch_weights(const arguments& p, const place& at) {
#pragma unroll 1
    for (int k = at.first; k < min(at.first + 2, at.last); ++k)
      ptx::tma_prefetch(p.map_b, k * 128, at.column, ptx::keep::briefly);
  }

  /// A thread for each row of B: likewise its scale and those of its first blocks.
  static __device__ void prefetch_scales(const arguments& p, const place& at, int thread) {
    const int row = min(at.column + thread, p.d.columns - 1);
    ptx::prefetch(p.scales.data + p.scales.offset(row, at.first * 8));
    if (thread % 8 == 0) ptx::prefetch(p.row_scale + row);
  }

  /// One thread: what the copy engine brings.
  static __device__ void load(const arguments& p, const place& at) {
    ptx::wait_for_earlier_kernels();
    ring_position<stages> step;
    for (int k = at.first; k < at.last; ++k) {
      ptx::mbarrier_wait(at.ring.empty(step.stage), step.parity ^ 1);
      const std::uint32_t full = at.ring.full(step.stage);
      ptx::mbarrier_arrive_expect_tx(full, tile::stage_bytes);
      ptx::tma_load(at.weights(step.stage), p.map_b, k * 128, at.column, full, ptx::keep::briefly);
#pragma unroll
      for (int i = 0; i < tile::k_step / 128; ++i)
        ptx::tma_load(at.activations(step.stage) + static_cast<std::uint32_t>(i * M * 128), p.map_a,
                      k * tile::k_step + i * 128, 0, full, ptx::keep::long_time);
      step.advance();
    }
    ptx::let_next_kernel_start();  // see load_tiles
  }

  /// Four warps: activations in the order that packed weights want. Where fewer warps do for a
  /// step, they take turns.
  static __device__ void reorder(const place& at, int thread) {
    const int team = thread / reordered::team;
    ring_position<stages> step;
    step.advance(team);
    for (int k = at.first + team; k < at.last; k += reordered::teams) {
      ptx::mbarrier_wait(at.ring.full(step.stage), step.parity);
      reordered::run(at.activations(step.stage), thread % reordered::team);
      ptx::fence_proxy_async();
      ptx::mbarrier_arrive(at.ready(step.stage));
      step.advance(reordered::teams);
    }
  }

  /// A pair of warpgroups: the products of their rows of B, in every `pairs`-th step.
  static __device__ void multiply(const arguments& p, const place& at, int pair, int warp,
                                  own_sums& sum) {
#pragma unroll
    for (int i = 0; i < M / 2; ++i) sum[i] = 0.0f;
    if constexpr (Packed) {
      packed_fragment rows(p.scales, warp, at.column, p.d.columns, at.tables);
      others_are_ready(at);
      ptx::wait_for_earlier_kernels();
      rows.load_row_scales(p.row_scale);
      if (rows.aligned) {
        multiply_packed<true>(at, pair, rows, sum);
      } else {
        multiply_packed<false>(at, pair, rows, sum);
      }
    } else {
      others_are_ready(at);
      ptx::wait_for_earlier_kernels();
      multiply_e4m3(at, warp, sum);
    }
    wgmma_wait<0>();
    wgmma_settle(sum);
  }

  /// Waits for the barriers that `send` counts at.
  static __device__ void others_are_ready(const place& at) {
    if (at.sums.shares.by > 1) ptx::cluster_wait();
  }

  static __device__ void multiply_e4m3(const place& at, int warp, own_sums& sum) {
    ring_position<stages> step;
    int previous = -1;
    for (int k = at.first; k < at.last; ++k) {
      const int stage = ptx::broadcast(step.stage);
      const std::uint32_t a = at.weights(stage) + static_cast<std::uint32_t>(warp / 4 * 64 * 128);
      ptx::mbarrier_wait(at.ring.full(stage), step.parity);
      wgmma_fence();
#pragma unroll
      for (int j = 0; j < 4; ++j)
        wgmma<element::e4m3, element::e4m3, M>::run(
            sum, wgmma_descriptor(a, j), wgmma_descriptor(at.activations(stage), j), 1);
      wgmma_commit();
      wgmma_wait<1>();
      if (previous >= 0) at.ring.release(previous);
      previous = stage;
      step.advance();
    }
  }

  /// Rows are decoded while the instructions of the other pair are under way; what is to be decoded
  /// next is read from shared memory while this pair's own are.
  template <bool Aligned>
  static __device__ void multiply_packed(const place& at, int pair, packed_fragment& rows,
                                         own_sums& sum) {
    constexpr int round = stages / tile::pairs;  // steps of a pair until it meets a stage again
    constexpr int ahead = 2;                     // steps whose scales are on their way
    packed_fragment::scale_pairs scales[round];
    static_assert(ahead <= round);
#pragma unroll
    for (int i = 0; i < ahead; ++i)
      rows.load_scales<Aligned>(at.first + pair + i * tile::pairs, scales[i]);
    rows.wait_for_row_scales();
    std::uint32_t parity = 0;
    for (int first = at.first + pair; first < at.last; first += stages, parity ^= 1) {
#pragma unroll
      for (int i = 0; i < round; ++i) {
        const int k = first + i * tile::pairs, stage = pair + i * tile::pairs;
        if (k >= at.last) break;
        const std::uint32_t weights = at.weights(stage), b = at.activations(stage);
        ptx::mbarrier_wait(at.ready(stage), parity);
        packed_fragment::packed_blocks blocks = rows.load<Aligned>(weights, 0, scales[i]);
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          std::uint32_t operand[4][4];
          rows.decode(blocks, operand);
          // Or the compiler may decode between the instructions, which then wait for each other.
#pragma unroll
          for (int j = 0; j < 4; ++j) wgmma_settle(operand[j]);
          wgmma_fence();
#pragma unroll
          for (int j = 0; j < 4; ++j)
            wgmma_registers<M>::run(
                sum, operand[j],
                wgmma_descriptor(b + static_cast<std::uint32_t>(half * M * 128), j), 1);
          wgmma_commit();
          if (half == 0) {
            blocks = rows.load<Aligned>(weights, 1, scales[i]);
          } else {
            rows.load_scales<Aligned>(k + ahead * tile::pairs, scales[(i + ahead) % round]);
          }
          wgmma_wait<0>();
        }
        at.ring.release(stage);
      }
    }
  }

  /// Sends a warp's sums to where they are added up; returns where this block's own lie. Where two
  /// pairs took turns, the one that ends first leaves its sums to the other.
  static __device__ std::uint32_t add_up_pairs(const place& at, int pair, int warp, own_sums& sum) {
    constexpr int fragments = M / 8;
    const int steps = at.last - at.first, last_pair = tile::pairs == 2 ? (steps + 1) % 2 : 0;
    const std::uint32_t own = at.weights(last_pair), left = at.weights(1 - last_pair);
    if (tile::pairs == 2 && pair != last_pair) {
      // The stage where they come to lie is free when all warps of this pair gave it back.
      const int uses = (steps - pair + stages - 1) / stages;
      if (uses > 0) ptx::mbarrier_wait(at.ring.empty(pair), (uses + 1) % 2);
#pragma unroll
      for (int j = 0; j < fragments; ++j)
        tile::sums::store(left, warp * fragments + j, sum + 4 * j);
    }
    ptx::named_barrier_wait(1, multipliers);
    if (pair != last_pair) return own;
#pragma unroll
    for (int j = 0; j < fragments && tile::pairs == 2; ++j)
      tile::sums::add(left, warp * fragments + j, sum + 4 * j);
    at.sums.template send<fragments>(own, warp * fragments, sum);
    return own;
  }

  /// This block's part of the outputs, from the sums that all blocks of the cluster sent.
  static __device__ void write(const arguments& p, const place& at, std::uint32_t own,
                               const factors& with) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const bool one_by_one = with.one_by_one;
    for (int i = static_cast<int>(threadIdx.x) / 32; i < at.sums.count; i += multipliers / 32) {
      float total[4];
      at.sums.add_up(own, i, total);
      const int fragment = i * at.sums.shares.by + at.sums.share;
      const int m = fragment % (M / 8) * 8 + lane / 4, n = fragment / (M / 8) * 16 + lane % 4 * 4;
      const int left = p.d.columns - at.column - n;
      if (m >= p.d.rows || left <= 0) continue;
      const float row = with.row[m];
      if (!one_by_one && left >= 4) {
        const float4 column = *reinterpret_cast<const float4*>(with.column + n);
        const float factor[4] = {column.x, column.y, column.z, column.w};
#pragma unroll
        for (int j = 0; j < 4; ++j) total[j] = total[j] * row * factor[j];
        store_four<O>(p.d, m, at.column + n, total);
      } else {
#pragma unroll
        for (int j = 0; j < 4; ++j)
          if (j < left)
            finish_output<O>(p.how, p.d, m, at.column + n + j, total[j], row, with.column[n + j],
                             with.bias[n + j], with.wide);
      }
    }
  }
};

}  // namespace halfbyte::cuda
