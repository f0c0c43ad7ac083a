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
template <int M, int N>
struct tile_factors {
  alignas(16) float row[M], column[N];
  int first_row, first_column, wide;

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
    for (int i = 0; i < N; i += 32) column[i + lane] = how.b(tile_column + i + lane, d.columns);
    any_wide = __any_sync(~0u, any_wide);
    if (lane == 0) {
      first_row = tile_row;
      first_column = tile_column;
      wide = any_wide;
    }
    __syncwarp();
  }
};

/// How a warp of a warpgroup writes its 16 x N accumulators, slab by slab through shared memory.
///
/// Inside D, with rows of 16-byte multiples: 16 rows of 128 bytes are turned into 16 bytes per
/// lane. This path is short and straight, because every tile runs it and its instructions are
/// fetched anew each time. Everything else (edges, bias, D += , extreme scales) goes one element
/// per lane. No warp waits for another. All loops that index registers are unrolled.
template <output O, int N, int Slabs = 2>
struct warp_writer {
  static constexpr int slab_bytes = 16 * 128;
  static constexpr int shared_bytes = Slabs * slab_bytes;
  static constexpr int slab_columns = 128 / bytes_of(O);
  static constexpr int slabs = N / slab_columns;
  static constexpr int sums = slab_columns / 2;  // of this thread in a slab
  static_assert(slabs * slab_columns == N);

  const epilogue& how;
  const output_matrix& d;
  std::uint32_t shared;                     // this warp's slabs, 128-byte aligned
  const float *row_factor, *column_factor;  // of the warp's first row and column
  bool wide;
  int row, column;  // of the warp's first element

  template <class T>
  __device__ void write(const T (&sum)[N / 2]) const {
    const auto address = reinterpret_cast<std::uintptr_t>(d.data) |
                         static_cast<std::uintptr_t>(d.stride * bytes_of(O));
    const bool inside = row + 16 <= d.rows && column + N <= d.columns;
    if (inside && address % 16 == 0 && how.bias == nullptr && !how.accumulate && !wide) {
      write_straight(sum);
    } else {
      write_elements(sum);
    }
  }

 private:
  static __device__ int lane() { return static_cast<int>(threadIdx.x) % 32; }

  template <class T>
  __device__ void write_straight(const T (&sum)[N / 2]) const {
    const float upper = row_factor[lane() / 4], lower = row_factor[lane() / 4 + 8];
    const float2* factor = reinterpret_cast<const float2*>(column_factor) + lane() % 4;
    std::uint32_t written[4], read[4];
    unsigned char* target[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int line = 4 * i + lane() / 8;
      read[i] = shared + place(line, lane() % 8);
      written[i] = shared + (O == output::float32
                                 ? place(lane() / 4, 2 * i + lane() % 4 / 2) + lane() % 2 * 8u
                                 : place(lane() % 16, 2 * i + lane() / 16));
      target[i] = static_cast<unsigned char*>(d.data) +
                  ((row + line) * d.stride + column) * bytes_of(O) + lane() % 8 * 16;
    }
#pragma unroll
    for (int slab = 0; slab < slabs; ++slab) {
      const std::uint32_t buffer = static_cast<std::uint32_t>(slab % Slabs * slab_bytes);
      float value[sums];
#pragma unroll
      for (int i = 0; i < sums; i += 4) {
        const float2 columns = factor[slab * slab_columns / 2 + i];
        const T* s = sum + slab * sums + i;
        value[i] = static_cast<float>(s[0]) * upper * columns.x;
        value[i + 1] = static_cast<float>(s[1]) * upper * columns.y;
        value[i + 2] = static_cast<float>(s[2]) * lower * columns.x;
        value[i + 3] = static_cast<float>(s[3]) * lower * columns.y;
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if constexpr (O == output::float32) {
          const std::uint32_t at = written[i] + buffer;
          ptx::store_shared(at, value[4 * i], value[4 * i + 1]);
          ptx::store_shared(at + 8 * 128, value[4 * i + 2], value[4 * i + 3]);
        } else {
          const float* v = value + 8 * i;
          ptx::stmatrix_x4(written[i] + buffer, packed(v[0], v[1]), packed(v[2], v[3]),
                           packed(v[4], v[5]), packed(v[6], v[7]));
        }
      }
      __syncwarp();
#pragma unroll
      for (int i = 0; i < 4; ++i)
        __stcs(reinterpret_cast<uint4*>(target[i] + slab * 128),
               ptx::load_shared(read[i] + buffer));
      if constexpr (Slabs == 1) __syncwarp();
    }
  }

  /// Byte of the 16-byte chunk of a line in a slab; chunks are swizzled against bank conflicts.
  static __device__ std::uint32_t place(int line, int chunk) {
    return static_cast<std::uint32_t>(line * 128 + ((chunk ^ (line % 8)) << 4));
  }

  /// 32 columns at a time as floats in shared memory; then a lane per column, row by row.
  template <class T>
  __device__ void write_elements(const T (&sum)[N / 2]) const {
#pragma unroll
    for (int part = 0; part < N / 32; ++part) {
      const int n = column + 32 * part + lane();
      if (n - lane() >= d.columns) break;
#pragma unroll
      for (int i = 0; i < 16; i += 2) {
        const int line = lane() / 4 + (i % 4 < 2 ? 0 : 8);
        const std::uint32_t at = shared + place(line, 2 * (i / 4) + lane() % 4 / 2);
        ptx::store_shared(at + lane() % 2 * 8u, static_cast<float>(sum[16 * part + i]),
                          static_cast<float>(sum[16 * part + i + 1]));
      }
      __syncwarp();
      const float factor = column_factor[32 * part + lane()];
      const float bias = how.bias != nullptr && n < d.columns ? how.bias[n] : 0.0f;
#pragma unroll 1
      for (int line = 0; line < 16 && row + line < d.rows; ++line) {
        const float total =
            ptx::load_shared_float(shared + place(line, lane() / 4) + lane() % 4 * 4u);
        if (n < d.columns) write_element(line, n, total, factor, bias);
      }
      __syncwarp();
    }
  }

  __device__ void write_element(int line, int n, float total, float factor, float bias) const {
    const float scale = row_factor[line];
    float value = wide ? static_cast<float>(static_cast<double>(total) * scale * factor)
                       : total * scale * factor;
    if (how.bias != nullptr) value += bias;
    if (how.accumulate) value += load_output<O>(d, row + line, n);
    store_output<O>(d, row + line, n, value);
  }

  static __device__ std::uint32_t packed(float low, float high) {
    return O == output::float16 ? ptx::to_float16x2(low, high) : ptx::to_bfloat16x2(low, high);
  }
};

}  // namespace halfbyte::cuda
