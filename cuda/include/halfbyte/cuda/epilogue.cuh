#pragma once

#include <cstdint>

#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/ptx.cuh>

namespace halfbyte::cuda {

/// Scales of one operand: one float for every row, or one for all of it; null is 1.
struct row_scales {
  const float* scale = nullptr;
  bool per_row = false;

  __device__ float operator()(int row, int rows) const {
    if (scale == nullptr) return 1.0f;
    if (!per_row) return *scale;
    return row < rows ? scale[row] : 0.0f;
  }
};

/// From a sum to an element of D: D = alpha · a[m] · b[n] · sum + bias[n] (+ D).
///
/// One rounding to float per operation, one to the output's format. Products of a scale outside
/// 2^±80 are taken in double, so that no intermediate overflows or loses bits.
struct epilogue {
  float alpha = 1.0f;
  row_scales a, b;
  const float* bias = nullptr;
  bool accumulate = false;
};

/// D in device memory, rows of `stride` elements.
struct output_matrix {
  void* data = nullptr;
  std::int64_t stride = 0;
  int rows = 0, columns = 0;
};

template <output O>
inline __device__ float load_output(const output_matrix& d, int row, int column) {
  const std::int64_t i = row * d.stride + column;
  if constexpr (O == output::float32) return static_cast<const float*>(d.data)[i];
  const std::uint16_t pattern = static_cast<const std::uint16_t*>(d.data)[i];
  if constexpr (O == output::float16) return ptx::from_float16(pattern);
  return __uint_as_float(std::uint32_t{pattern} << 16);
}

template <output O>
inline __device__ void store_output(const output_matrix& d, int row, int column, float value) {
  const std::int64_t i = row * d.stride + column;
  if constexpr (O == output::float32) {
    static_cast<float*>(d.data)[i] = value;
  } else {
    const std::uint32_t pattern =
        O == output::float16 ? ptx::to_float16x2(value, 0.0f) : ptx::to_bfloat16x2(value, 0.0f);
    static_cast<std::uint16_t*>(d.data)[i] = static_cast<std::uint16_t>(pattern);
  }
}

/// True if a product with this scale needs double to be safe; NaN and infinity do no harm there.
inline __device__ bool scale_is_wide(float scale) {
  const float magnitude = fabsf(scale);
  return !(scale == 0.0f || (magnitude >= 0x1p-80f && magnitude <= 0x1p80f));
}

/// A tile's place and the factors of its M rows and N columns in shared memory, so that no warp
/// waits for them when its sums are ready. `wide`: a row's factor needs double.
///
/// The columns lie so that the four of a thread in two neighbouring groups of eight are one word of
/// 16 bytes: `place` of column 8j + 2q + e is 16 (j/2) + 4q + 2 (j%2) + e.
template <int M, int N>
struct tile_factors {
  alignas(16) float row[M], column[N];
  int first_row, first_column, wide;

  static __device__ int place(int c) { return c / 16 * 16 + c % 8 / 2 * 4 + c / 8 % 2 * 2 + c % 2; }

  /// One warp fetches alpha · a[m] and b[n]; outside D the factors are zero.
  __device__ void fetch(const epilogue& how, const output_matrix& d, int tile_row,
                        int tile_column) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    bool any_wide = false;
#pragma unroll
    for (int i = 0; i < M; i += 32) {
      const float factor = how.alpha * how.a(tile_row + i + lane, d.rows);
      any_wide = any_wide || scale_is_wide(factor);
      row[i + lane] = factor;
    }
#pragma unroll
    for (int i = 0; i < N; i += 32)
      column[place(i + lane)] = how.b(tile_column + i + lane, d.columns);
    any_wide = __any_sync(~0u, any_wide);
    if (lane == 0) {
      first_row = tile_row;
      first_column = tile_column;
      wide = any_wide;
    }
    __syncwarp();
  }
};

/// How a warp of a warpgroup writes its 16 x N accumulators of each of the tile's blocks of 64
/// rows, slab by slab through shared memory.
///
/// A slab is 16 rows of 128 bytes, which the copy engine writes while the warp goes on. This path
/// is short and straight, because every tile runs it and its instructions are fetched anew each
/// time, and touches shared memory little, because the tensor cores read it at the same time.
/// Everything else (rows that are not 16-byte aligned, bias, D += , extreme scales) goes one
/// element per lane. No warp waits for another. All loops that index registers are unrolled.
template <output O, int M, int N>
struct warp_writer {
  using factors = tile_factors<M, N>;
  static constexpr int shared_bytes = 16 * 128;
  static constexpr int slab_columns = 128 / bytes_of(O);
  static constexpr int slabs = N / slab_columns;
  static constexpr int sums = slab_columns / 2;  // of this thread in a slab
  static_assert(slabs * slab_columns == N);

  const epilogue& how;
  const output_matrix& d;
  const CUtensorMap* map;  // of D in slabs; null: not by the copy engine
  std::uint32_t shared;    // this warp's slab, 1024-byte aligned
  const factors& tile;
  int line;  // of the tile: the warp's first

  template <int Blocks, class T>
  __device__ void write(const T (&sum)[Blocks][N / 2]) const {
    if (map != nullptr && tile.wide == 0 && (ends_whole() || tile.first_column + N <= d.columns)) {
      if (how.b.scale != nullptr) {
        write_slabs<true>(sum);
      } else {
        write_slabs<false>(sum);
      }
    } else {
      wait_for_slab();
#pragma unroll
      for (int i = 0; i < Blocks; ++i) write_elements(sum[i], line + 64 * i);
    }
  }

  /// The copy engine has read all that this warp gave it.
  static __device__ void wait_for_slab() {
    if (lane() == 0) ptx::tma_store_wait_read<0>();
    __syncwarp();
  }

 private:
  static __device__ int lane() { return static_cast<int>(threadIdx.x) % 32; }

  /// The copy engine writes whole units of 16 bytes, also where a row of D ends within one.
  __device__ bool ends_whole() const { return d.columns * bytes_of(O) % 16 == 0; }

  template <bool ScaledColumns, int Blocks, class T>
  __device__ void write_slabs(const T (&sum)[Blocks][N / 2]) const {
    std::uint32_t written[4];
#pragma unroll
    for (int i = 0; i < 4; ++i)
      written[i] = shared + (O == output::float32
                                 ? place(lane() / 4, 2 * i + lane() % 4 / 2) + lane() % 2 * 8u
                                 : place(lane() % 16, 2 * i + lane() / 16));
#pragma unroll
    for (int slab = 0; slab < slabs; ++slab) {
      float columns[sums / 2];
      if constexpr (ScaledColumns) {
        const auto* from = reinterpret_cast<const float4*>(tile.column + slab * slab_columns);
#pragma unroll
        for (int i = 0; i < sums / 8; ++i)
          *reinterpret_cast<float4*>(columns + 4 * i) = from[4 * i + lane() % 4];
      }
#pragma unroll
      for (int block = 0; block < Blocks; ++block) {
        const int first = line + 64 * block;
        if (tile.first_row + first >= d.rows) break;
        const float upper = tile.row[first + lane() / 4], lower = tile.row[first + lane() / 4 + 8];
        float value[sums];
#pragma unroll
        for (int i = 0; i < sums; ++i) {
          value[i] = static_cast<float>(sum[block][slab * sums + i]) * (i % 4 < 2 ? upper : lower);
          if constexpr (ScaledColumns) value[i] *= columns[i / 4 * 2 + i % 2];
        }
        wait_for_slab();
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          if constexpr (O == output::float32) {
            ptx::store_shared(written[i], value[4 * i], value[4 * i + 1]);
            ptx::store_shared(written[i] + 8 * 128, value[4 * i + 2], value[4 * i + 3]);
          } else {
            const float* v = value + 8 * i;
            ptx::stmatrix_x4(written[i], packed(v[0], v[1]), packed(v[2], v[3]), packed(v[4], v[5]),
                             packed(v[6], v[7]));
          }
        }
        ptx::fence_proxy_async();
        __syncwarp();
        if (lane() == 0) {
          ptx::tma_store(*map, tile.first_column + slab * slab_columns, tile.first_row + first,
                         shared, ptx::keep::briefly);
          ptx::tma_store_commit();
        }
      }
    }
  }

  /// Byte of the 16-byte chunk of a line in a slab; chunks are swizzled as the copy engine does,
  /// against bank conflicts.
  static __device__ std::uint32_t place(int line, int chunk) {
    return static_cast<std::uint32_t>(line * 128 + ((chunk ^ (line % 8)) << 4));
  }

  /// 32 columns at a time as floats in shared memory; then a lane per column, row by row.
  template <class T>
  __device__ void write_elements(const T (&sum)[N / 2], int first) const {
    const int row = tile.first_row + first;
#pragma unroll
    for (int part = 0; part < N / 32; ++part) {
      const int n = tile.first_column + 32 * part + lane();
      if (n - lane() >= d.columns) break;
#pragma unroll
      for (int i = 0; i < 16; i += 2) {
        const int line = lane() / 4 + (i % 4 < 2 ? 0 : 8);
        const std::uint32_t at = shared + place(line, 2 * (i / 4) + lane() % 4 / 2);
        ptx::store_shared(at + lane() % 2 * 8u, static_cast<float>(sum[16 * part + i]),
                          static_cast<float>(sum[16 * part + i + 1]));
      }
      __syncwarp();
      const float factor = tile.column[factors::place(32 * part + lane())];
      const float bias = how.bias != nullptr && n < d.columns ? how.bias[n] : 0.0f;
#pragma unroll 1
      for (int i = 0; i < 16 && row + i < d.rows; ++i) {
        const float total = ptx::load_shared_float(shared + place(i, lane() / 4) + lane() % 4 * 4u);
        if (n < d.columns) write_element(row + i, n, total, tile.row[first + i], factor, bias);
      }
      __syncwarp();
    }
  }

  __device__ void write_element(int m, int n, float total, float scale, float factor,
                                float bias) const {
    float value = tile.wide != 0 ? static_cast<float>(static_cast<double>(total) * scale * factor)
                                 : total * scale * factor;
    if (how.bias != nullptr) value += bias;
    if (how.accumulate) value += load_output<O>(d, m, n);
    store_output<O>(d, m, n, value);
  }

  static __device__ std::uint32_t packed(float low, float high) {
    return O == output::float16 ? ptx::to_float16x2(low, high) : ptx::to_bfloat16x2(low, high);
  }
};

}  // namespace halfbyte::cuda
