#pragma once

#include <algorithm>
#include <cstdint>

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
  // Sums travel as fragments of 16 rows of B by 8 of A; they are dealt out among up to 8 blocks.
  static constexpr int fragments = n / 16 * M / 8, fragment_bytes = 16 * 8 * 4;
  static constexpr int sum_bytes = pairs * (fragments + 6) * fragment_bytes;
  // Where warps take turns each stage belongs to some, which so cannot take one phase of its
  // barrier for another.
  static constexpr int turns = Packed ? std::max(pairs, reordered_activations<M>::teams) : 1;
  // Packed weights leave room for the first-level cache, through which their scales come.
  static constexpr int stages =
      std::min(Packed ? 6 : 10, (232448 - 4096 - sum_bytes) / stage_bytes) / turns * turns;
  static constexpr int shared_bytes = stages * stage_bytes + sum_bytes + 1024;
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
  static constexpr int sums = M / 2;  // of a thread

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
    __shared__ alignas(8) std::uint64_t barriers[2 * stages], ready[stages], sums_barrier[1];
    __shared__ alignas(128) folded_magnitudes tables[16];  // of k = -8 to 6, and one that is unused
    __shared__ factors with;
    const place at{ptx::broadcast((ptx::shared_address(dynamic) + 1023u) & ~1023u),
                   ptx::broadcast(ptx::shared_address(tables)),
                   ptx::broadcast(ptx::shared_address(ready)),
                   ptx::broadcast(ptx::shared_address(sums_barrier)),
                   {ptx::broadcast(ptx::shared_address(barriers))},
                   p.k_steps};
    if (threadIdx.x == 0) {
      for (int stage = 0; stage < stages; ++stage)
        ptx::mbarrier_init(at.ready(stage), reordered::team);
      ptx::mbarrier_init(at.sums_barrier, 1 + 32);
      at.ring.initialise(1, 8);
      ptx::mbarrier_arrive_expect_tx(
          at.sums_barrier,
          static_cast<std::uint32_t>((at.shares - 1) * at.fragments * tile::fragment_bytes));
    }
    if (threadIdx.x == loader) {
      ptx::prefetch_tensor_map(p.map_a);
      ptx::prefetch_tensor_map(p.map_b);
    }
    if (Packed && threadIdx.x < 16)
      tables[threadIdx.x] = folded_magnitudes(min(static_cast<int>(threadIdx.x) - 8, 6));
    __syncthreads();
    if (threadIdx.x == loader) prefetch(p, at);
    ptx::wait_for_earlier_kernels();
    if (at.shares > 1) ptx::cluster_arrive();
    const int warp = ptx::warp_index();
    if (warp < multipliers / 32) {
      // Of 80 registers a thread the warps that reorder give 32, 8 to each of four that multiply.
      if constexpr (tile::pairs == 2) ptx::register_limit_increase<88>();
      float sum[sums];
      multiply(p, at, warp / 8, warp % 8, sum);
      if (at.shares > 1) ptx::cluster_wait();  // until the others' barriers are ready
      send(at, warp / 8, warp % 8, sum);
      ptx::named_barrier_wait(1, multipliers);
      ptx::mbarrier_wait(at.sums_barrier, 0);
      write(p, at, with);
    } else if (warp < loader / 32) {
      if constexpr (tile::pairs == 2) ptx::register_limit_decrease<48>();
      reorder(at, static_cast<int>(threadIdx.x) - multipliers);
    } else if (threadIdx.x == loader) {
      load(p, at);
    } else if (warp == loader / 32 + 1) {
      with.fetch(p, at.column);
      ptx::mbarrier_arrive(at.sums_barrier);
    }
#endif
  }

  /// Queues the product; `a` M x K E4M3, `b` packed or E4M3.
  static void launch(const operand_matrix& a, const operand_matrix& b, const scale_grid& scales,
                     const float* row_scale, const output_matrix& d, const epilogue& how,
                     cudaStream_t stream) {
    prepare_kernel<gemm_sm90_skinny>();
    arguments p{};
    p.map_a = make_tensor_map(CU_TENSOR_MAP_DATA_TYPE_UINT8, 1, a.data, a.rows, a.columns,
                              a.stride_bytes, M);
    p.map_b = make_tensor_map(CU_TENSOR_MAP_DATA_TYPE_UINT8, 1, b.data, b.rows,
                              Packed ? b.columns / 2 : b.columns, b.stride_bytes, tile::n);
    p.scales = scales;
    p.row_scale = row_scale;
    p.how = how;
    p.d = d;
    p.k_steps = (a.columns + tile::k_step - 1) / tile::k_step;
    const int tiles = (d.columns + tile::n - 1) / tile::n;
    const auto shares = static_cast<unsigned>(std::min(shares_at_once(tiles), p.k_steps));
    launch_kernel<gemm_sm90_skinny>(p, dim3(static_cast<unsigned>(tiles), shares), stream,
                                    dim3(1, shares));
  }

 private:
  /// A block's shared memory, its rows of B and its share of K.
  struct place {
    std::uint32_t memory, tables, ready_barriers, sums_barrier;
    pipeline<stages> ring;
    int k_steps;
    int column = static_cast<int>(blockIdx.x) * tile::n;
    int shares = static_cast<int>(gridDim.y), share = static_cast<int>(blockIdx.y);
    int first = k_steps * share / shares, last = k_steps * (share + 1) / shares;
    // Fragment f of the tile is added up by block f % shares: how many this block and the first has.
    int fragments = (tile::fragments - share + shares - 1) / shares;
    int most_fragments = (tile::fragments + shares - 1) / shares;

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
    /// Where a lane's four sums of this block's i-th fragment lie that block `from` left.
    __device__ std::uint32_t sums(int from, int i) const {
      return memory +
             static_cast<std::uint32_t>(stages * tile::stage_bytes +
                                        (from * most_fragments + i) * tile::fragment_bytes) +
             threadIdx.x % 32 * 16;
    }
    /// And where those lie that the second pair left to the first.
    __device__ std::uint32_t left_sums(int fragment) const {
      return memory +
             static_cast<std::uint32_t>(stages * tile::stage_bytes +
                                        (tile::fragments + 6 + fragment) * tile::fragment_bytes) +
             threadIdx.x % 32 * 16;
    }
  };

  /// The epilogue's factors of the tile, fetched meanwhile.
  struct factors {
    float row[M], column[tile::n], bias[tile::n];
    bool wide, unusual;  // a row's needs double; that, or there is a bias, or D is added to

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
        unusual = any_wide || p.how.bias != nullptr || p.how.accumulate;
      }
#pragma unroll
      for (int i = lane; i < tile::n; i += 32) {
        const int n = min(first + i, p.d.columns - 1);
        column[i] = Packed ? p.row_scale[n] : p.how.b(n, p.d.columns);
        bias[i] = p.how.bias != nullptr ? p.how.bias[n] : 0.0f;
      }
    }

    /// From a sum to an output, whatever the epilogue; column n of the tile that begins at `first`.
    __device__ float unusual_output(const arguments& p, int m, int n, int first,
                                    float total) const {
      float value = wide ? static_cast<float>(static_cast<double>(total) * row[m] * column[n])
                         : total * row[m] * column[n];
      if (p.how.bias != nullptr) value += bias[n];
      if (p.how.accumulate) value += load_output<O>(p.d, m, first + n);
      return value;
    }
  };

  /// One thread: into L2, before earlier kernels have ended, the weights of two steps. Nothing is
  /// read from there before, so that it does not matter who writes them; with those of more steps
  /// the copy engine would be late for the activations.
  static __device__ void prefetch(const arguments& p, const place& at) {
#pragma unroll 1
    for (int k = at.first; k < min(at.first + 2, at.last); ++k)
      ptx::tma_prefetch(p.map_b, k * 128, at.column, ptx::keep::briefly);
  }

  /// One thread: what the copy engine brings.
  static __device__ void load(const arguments& p, const place& at) {
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

  /// Four warps: activations in the order that packed weights want. Where fewer warps do for a step,
  /// they take turns.
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
                                  float (&sum)[sums]) {
#pragma unroll
    for (int i = 0; i < sums; ++i) sum[i] = 0.0f;
    if constexpr (Packed) {
      packed_fragment rows(p.scales, p.row_scale, warp, at.column, p.d.columns, at.tables);
      if (rows.aligned) {
        multiply_packed<true>(at, pair, rows, sum);
      } else {
        multiply_packed<false>(at, pair, rows, sum);
      }
    } else {
      multiply_e4m3(at, warp, sum);
    }
    wgmma_wait<0>();
    wgmma_settle(sum);
  }

  static __device__ void multiply_e4m3(const place& at, int warp, float (&sum)[sums]) {
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
                                         float (&sum)[sums]) {
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
          if (half == 0) blocks = rows.load<Aligned>(weights, 1, scales[i]);
          wgmma_wait<0>();
        }
        at.ring.release(stage);
        rows.load_scales<Aligned>(k + ahead * tile::pairs, scales[(i + ahead) % round]);
      }
    }
  }

  /// Leaves a warp's sums, fragment by fragment, where they are added up: in this block or, with a
  /// count of the bytes, in another. Where two pairs took turns, the first takes the second's along.
  static __device__ void send(const place& at, int pair, int warp, float (&sum)[sums]) {
    if constexpr (tile::pairs == 2) {
      const std::uint32_t mine = at.left_sums(warp * (M / 8));
#pragma unroll
      for (int j = 0; j < M / 8; ++j)
        if (pair == 1)
          store(mine + static_cast<std::uint32_t>(j * tile::fragment_bytes), sum + 4 * j);
      ptx::named_barrier_wait(1, multipliers);
      if (pair == 1) return;
#pragma unroll
      for (int j = 0; j < M / 8; ++j)
        add(sum + 4 * j, mine + static_cast<std::uint32_t>(j * tile::fragment_bytes));
    }
    int index = warp * (M / 8) / at.shares, target = warp * (M / 8) % at.shares;
#pragma unroll
    for (int j = 0; j < M / 8; ++j) {
      const std::uint32_t to = at.sums(at.share, index);
      const float* s = sum + 4 * j;
      if (target == at.share) {
        store(to, s);
      } else {
        const auto block = static_cast<std::uint32_t>(target);
        ptx::store_async(ptx::remote_address(to, block), s[0], s[1], s[2], s[3],
                         ptx::remote_address(at.sums_barrier, block));
      }
      if (++target == at.shares) target = 0, ++index;
    }
  }

  static __device__ void store(std::uint32_t to, const float* four) {
    ptx::store_shared(to, uint4{__float_as_uint(four[0]), __float_as_uint(four[1]),
                                __float_as_uint(four[2]), __float_as_uint(four[3])});
  }
  static __device__ void add(float* four, std::uint32_t from) {
    const uint4 v = ptx::load_shared(from);
    four[0] += __uint_as_float(v.x);
    four[1] += __uint_as_float(v.y);
    four[2] += __uint_as_float(v.z);
    four[3] += __uint_as_float(v.w);
  }

  /// This block's part of the outputs, from the sums that all blocks of the cluster sent.
  static __device__ void write(const arguments& p, const place& at, const factors& with) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const bool unusual = with.unusual;
    for (int i = static_cast<int>(threadIdx.x) / 32; i < at.fragments; i += multipliers / 32) {
      float total[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll 1
      for (int from = 0; from < at.shares; ++from) add(total, at.sums(from, i));
      const int fragment = i * at.shares + at.share;
      const int first_m = fragment % (M / 8) * 8 + lane % 4 * 2;
      const int first_n = fragment / (M / 8) * 16 + lane / 4;
      const float row[2] = {with.row[first_m], with.row[first_m + 1]};
      const float column[2] = {with.column[first_n], with.column[first_n + 8]};
      const auto store = [&](auto output_of) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int m = first_m + j % 2, n = first_n + j / 2 * 8;
          if (m < p.d.rows && at.column + n < p.d.columns)
            store_output<O>(p.d, m, at.column + n, output_of(j, m, n));
        }
      };
      if (unusual) {
        store([&](int j, int m, int n) { return with.unusual_output(p, m, n, at.column, total[j]); });
      } else {
        store([&](int j, int, int) { return total[j] * row[j % 2] * column[j / 2]; });
      }
    }
  }

  /// The most blocks that can share the K of so many tiles and still run all at one time.
  static int shares_at_once(int tiles) {
    static thread_local int known = -1, clusters[9];
    if (known != device_facts::current().device) {
      for (unsigned blocks = 2; blocks <= 8; ++blocks) {
        cudaLaunchAttribute cluster{};
        cluster.id = cudaLaunchAttributeClusterDimension;
        cluster.val.clusterDim = {1, blocks, 1};
        cudaLaunchConfig_t config{};
        config.gridDim = dim3(1, blocks);
        config.blockDim = dim3(threads);
        config.dynamicSmemBytes = shared_bytes;
        config.attrs = &cluster;
        config.numAttrs = 1;
        check(cudaOccupancyMaxActiveClusters(&clusters[blocks], kernel_entry<gemm_sm90_skinny>,
                                             &config));
      }
      known = device_facts::current().device;
    }
    int shares = 1;
    for (int blocks = 2; blocks <= 8; ++blocks)
      if (tiles <= clusters[blocks]) shares = blocks;
    return shares;
  }
};

}  // namespace halfbyte::cuda
