#pragma once

#include <cstdint>

#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/ptx.cuh>
#include <halfbyte/cuda/tensor_map.cuh>

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

/// Two elements of 16 bits; the first is the low half.
template <output O>
inline __device__ std::uint32_t packed_output(float low, float high) {
  return O == output::float16 ? ptx::to_float16x2(low, high) : ptx::to_bfloat16x2(low, high);
}

template <output O>
inline __device__ void store_output(const output_matrix& d, int row, int column, float value) {
  const std::int64_t i = row * d.stride + column;
  if constexpr (O == output::float32) {
    static_cast<float*>(d.data)[i] = value;
  } else {
    static_cast<std::uint16_t*>(d.data)[i] =
        static_cast<std::uint16_t>(packed_output<O>(value, 0.0f));
  }
}

/// Can four neighbouring elements of D, from a multiple of four on, be stored at once?
template <output O>
inline __device__ bool stores_four(const output_matrix& d) {
  constexpr unsigned bytes = 4 * bytes_of(O);
  return d.stride % 4 == 0 && reinterpret_cast<std::uintptr_t>(d.data) % bytes == 0;
}

template <output O>
inline __device__ void store_four(const output_matrix& d, int row, int column,
                                  const float (&value)[4]) {
  const std::int64_t i = (row * d.stride + column) / 4;
  if constexpr (O == output::float32) {
    static_cast<float4*>(d.data)[i] = {value[0], value[1], value[2], value[3]};
  } else {
    static_cast<uint2*>(d.data)[i] = {packed_output<O>(value[0], value[1]),
                                      packed_output<O>(value[2], value[3])};
  }
}

/// Stores an element of D, whatever the epilogue: `row` is alpha · a[m], `column` b[n]; `wide` if
/// row's product needs double.
template <output O>
inline __device__ void finish_output(const epilogue& how, const output_matrix& d, int m, int n,
                                     float total, float row, float column, float bias, bool wide) {
  float value = wide ? static_cast<float>(static_cast<double>(total) * row * column)
                     : total * row * column;
  if (how.bias != nullptr) value += bias;
  if (how.accumulate) value += load_output<O>(d, m, n);
  store_output<O>(d, m, n, value);
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
/// A slab is 16 rows of `Line` bytes, which the copy engine writes while the warp goes on; there is
/// room for `Buffers` of them. This path is short and straight, because every tile runs it and its
/// instructions are fetched anew each time, and touches shared memory little, because the tensor
/// cores read it at the same time. Everything else (rows that are not 16-byte aligned, bias, D += ,
/// extreme scales) goes one element per lane. No warp waits for another. All loops that index
/// registers are unrolled.
template <output O, int M, int N, int Line = 128, int Buffers = 1>
struct warp_writer {
  using factors = tile_factors<M, N>;
  static constexpr int slab_bytes = 16 * Line, shared_bytes = Buffers * slab_bytes;
  static constexpr int slab_columns = Line / bytes_of(O), pieces = Line / 32;
  static constexpr int slabs = N / slab_columns;
  static constexpr int sums = slab_columns / 2;  // of this thread in a slab
  static_assert((Line == 64 || Line == 128) && slabs * slab_columns == N);
  static_assert(shared_bytes >= 16 * 128);  // as `write_elements` needs
  using four_words = std::uint32_t[4];  // this thread's outputs in 32 bytes of a slab's lines

  const epilogue& how;
  const output_matrix& d;
  const CUtensorMap* map;  // of D in slabs; null: not by the copy engine
  std::uint32_t shared;    // this warp's slab, 1024-byte aligned
  const factors& tile;
  int line;  // of the tile: the warp's first

  /// All of a tile, or the first of `Parts` groups of columns, with which D ends; blocks of 64 rows
  /// one below the other.
  template <int Parts = 1, int Blocks, class T>
  __device__ void write(const T (&sum)[Blocks][N / 2]) const {
    if (in_slabs()) {
      write_part<0, Parts>(sum);
    } else {
      write_elements(sum);
    }
  }

  /// One of `Parts` groups of columns of a tile that is `in_slabs`.
  template <int Part, int Parts, int Blocks, class T>
  __device__ void write_part(const T (&sum)[Blocks][N / 2]) const {
    constexpr int count = slabs / Parts;
    if (how.b.scale != nullptr) {
      write_slabs<true, Part * count, count>(sum);
    } else {
      write_slabs<false, Part * count, count>(sum);
    }
  }

  /// All of any tile, an element per lane.
  template <int Blocks, class T>
  __device__ void write_elements(const T (&sum)[Blocks][N / 2]) const {
    wait_for_slabs();
#pragma unroll
    for (int i = 0; i < Blocks; ++i) write_elements(sum[i], line + 64 * i);
  }

  /// Does this tile go through the copy engine?
  __device__ bool in_slabs() const {
    return map != nullptr && tile.wide == 0 && (ends_whole() || tile.first_column + N <= d.columns);
  }

  /// Outputs of a tile of one block of 64 rows that is `in_slabs`, for `store_slab` later.
  template <class T>
  __device__ void keep(const T (&sum)[N / 2], four_words (&kept)[slabs][pieces]) const {
    if (how.b.scale != nullptr) {
      keep_slabs<true>(sum, kept);
    } else {
      keep_slabs<false>(sum, kept);
    }
  }

  /// Hands such outputs of a slab, from this row and column of D on, to the copy engine, or nothing.
  static __device__ void store_slab(const CUtensorMap& map, std::uint32_t shared, int row,
                                    int column, const four_words (&words)[pieces], bool anything) {
    wait_for_slabs();
#pragma unroll
    for (int i = 0; i < pieces; ++i) store_words(shared, i, words[i]);
    copy_slab(map, shared, row, column, anything);
  }

  /// The copy engine has read all that this warp gave it, but for the last so many slabs.
  template <int Slabs = 0>
  static __device__ void wait_for_slabs() {
    if (lane() == 0) ptx::tma_store_wait_read<Slabs>();
    __syncwarp();
  }

  /// Can the copy engine write D, and what it then needs to know.
  static bool fits(const output_matrix& d) {
    return fits_tensor_map(d.data, d.stride * bytes_of(O));
  }
  static CUtensorMap map_of(const output_matrix& d) {
    return make_tensor_map(tensor_map_type(O), d.data, d.rows, d.columns, d.stride * bytes_of(O),
                           16, slab_columns,
                           Line == 64 ? CU_TENSOR_MAP_SWIZZLE_64B : CU_TENSOR_MAP_SWIZZLE_128B);
  }

 private:
  static __device__ int lane() { return static_cast<int>(threadIdx.x) % 32; }

  /// The copy engine writes whole units of 16 bytes, also where a row of D ends within one.
  __device__ bool ends_whole() const { return d.columns * bytes_of(O) % 16 == 0; }

  template <bool ScaledColumns, int First, int Count, int Blocks, class T>
  __device__ void write_slabs(const T (&sum)[Blocks][N / 2]) const {
#pragma unroll
    for (int slab = First; slab < First + Count; ++slab) {
#pragma unroll
      for (int block = 0; block < Blocks; ++block) {
        const int first = line + 64 * block;
        if (Blocks > 1 && tile.first_row + first >= d.rows) break;
        const float2 rows = row_factors(first);
        const std::uint32_t buffer =
            shared + static_cast<std::uint32_t>((slab * Blocks + block) % Buffers * slab_bytes);
        if (slab == 0 && block == 0) {
          wait_for_slabs();
        } else {
          wait_for_slabs<Buffers - 1>();
        }
#pragma unroll
        for (int i = 0; i < pieces; ++i) {
          four_words words;
          scale<ScaledColumns>(sum[block], slab, i, rows, words);
          store_words(buffer, i, words);
        }
        copy_slab(*map, buffer, tile.first_row + first, tile.first_column + slab * slab_columns,
                  true);
      }
    }
  }

  template <bool ScaledColumns, class T>
  __device__ void keep_slabs(const T (&sum)[N / 2], four_words (&kept)[slabs][pieces]) const {
    const float2 rows = row_factors(line);
#pragma unroll
    for (int slab = 0; slab < slabs; ++slab)
#pragma unroll
      for (int i = 0; i < pieces; ++i) scale<ScaledColumns>(sum, slab, i, rows, kept[slab][i]);
  }

  /// The factors of this thread's rows in the 16 from line `first` of the tile on.
  __device__ float2 row_factors(int first) const {
    return {tile.row[first + lane() / 4], tile.row[first + lane() / 4 + 8]};
  }

  /// Sums to outputs: this thread's in the i-th 32 bytes of a slab's lines.
  template <bool ScaledColumns, class T>
  __device__ void scale(const T (&sum)[N / 2], int slab, int i, float2 rows,
                        four_words& words) const {
    constexpr int count = sums / pieces;
    float column[4];
    if constexpr (ScaledColumns) {
      const int group = slab * slab_columns + i * count / 8 * 16;
      *reinterpret_cast<float4*>(column) =
          *reinterpret_cast<const float4*>(tile.column + group + lane() % 4 * 4);
    }
    float value[count];
#pragma unroll
    for (int j = 0; j < count; ++j) {
      const int at = i * count + j;
      value[j] = static_cast<float>(sum[slab * sums + at]) * (j % 4 < 2 ? rows.x : rows.y);
      if constexpr (ScaledColumns) value[j] *= column[at / 4 % 2 * 2 + j % 2];
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if constexpr (O == output::float32) {
        words[j] = __float_as_uint(value[j]);
      } else {
        words[j] = packed_output<O>(value[2 * j], value[2 * j + 1]);
      }
    }
  }

  static __device__ void store_words(std::uint32_t shared, int i, const four_words& w) {
    if constexpr (O == output::float32) {
      const std::uint32_t to = shared + place(lane() / 4, 2 * i + lane() % 4 / 2) + lane() % 2 * 8u;
      ptx::store_shared(to, __uint_as_float(w[0]), __uint_as_float(w[1]));
      ptx::store_shared(to + 8 * Line, __uint_as_float(w[2]), __uint_as_float(w[3]));
    } else {
      ptx::stmatrix_x4(shared + place(lane() % 16, 2 * i + lane() / 16), w[0], w[1], w[2], w[3]);
    }
  }

  static __device__ void copy_slab(const CUtensorMap& map, std::uint32_t shared, int row,
                                   int column, bool anything) {
    ptx::fence_proxy_async();
    __syncwarp();
    if (lane() == 0 && anything) {
      ptx::tma_store(map, column, row, shared, ptx::keep::briefly);
      ptx::tma_store_commit();
    }
  }

  /// Byte of the 16-byte chunk of a line in a slab; chunks are swizzled as the copy engine does,
  /// against bank conflicts.
  template <int Bytes = Line>
  static __device__ std::uint32_t place(int line, int chunk) {
    const int swizzled = chunk ^ (Bytes == 64 ? line / 2 % 4 : line % 8);
    return static_cast<std::uint32_t>(line * Bytes + (swizzled << 4));
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
        const std::uint32_t at = shared + place<128>(line, 2 * (i / 4) + lane() % 4 / 2);
        ptx::store_shared(at + lane() % 2 * 8u, static_cast<float>(sum[16 * part + i]),
                          static_cast<float>(sum[16 * part + i + 1]));
      }
      __syncwarp();
      const float factor = tile.column[factors::place(32 * part + lane())];
      const float bias = how.bias != nullptr && n < d.columns ? how.bias[n] : 0.0f;
#pragma unroll 1
      for (int i = 0; i < 16 && row + i < d.rows; ++i) {
        const float total =
            ptx::load_shared_float(shared + place<128>(i, lane() / 4) + lane() % 4 * 4u);
        if (n < d.columns)
          finish_output<O>(how, d, row + i, n, total, tile.row[first + i], factor, bias,
                           tile.wide != 0);
      }
      __syncwarp();
    }
  }
};

}  // namespace halfbyte::cuda
