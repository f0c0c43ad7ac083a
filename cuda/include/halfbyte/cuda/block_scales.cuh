#pragma once

#include <cstdint>

#include <halfbyte/cuda/tensor_map.cuh>

namespace halfbyte::cuda {

/// Scales of blocks of 128 along K: that of row block r, K block k is data[r·row_step + k·k_step].
///
/// Row blocks are rows (1x128) or 128 of them (128x128). `exponents`: UE8M0 bytes, else floats.
/// Floats that follow each other, along K or along the rows, in lines that are 16-byte aligned, are
/// fetched fastest.
struct block_scales {
  const void* data = nullptr;
  std::int64_t row_step = 0, k_step = 0;
  bool exponents = false;

  __device__ float operator()(std::int64_t index) const {
    if (!exponents) return static_cast<const float*>(data)[index];
    return from_exponent(static_cast<const std::uint8_t*>(data)[index]);
  }
  /// Are `count` floats that follow each other along K one aligned word, in every row?
  __device__ bool in_words(int count) const {
    return k_step == 1 && row_step % count == 0 &&
           reinterpret_cast<std::uintptr_t>(data) % (4u * static_cast<unsigned>(count)) == 0;
  }
  /// 2^(e - 127); 255 is NaN.
  static __device__ float from_exponent(std::uint32_t e) {
    return __uint_as_float(e << 23 | (e == 0 || e == 255 ? 0x00400000u : 0u));
  }
};

/// Which blocks carry a scale.
enum class blockwise {
  unscaled,        ///< none: sums are only taken out of the tensor core every 128
  rows_and_tiles,  ///< A 1x128, B 128x128
  rows_and_rows    ///< A 1x128, B 1x128
};

/// Scales of `Rows` rows in `Steps` steps along K in shared memory, a box as the copy engine brings
/// it: scales that follow each other in memory, along K or else along the rows, do so here.
template <int Rows, int Steps>
struct scale_box {
  static constexpr int floats = Rows * Steps;
  bool along_k;

  __host__ __device__ explicit scale_box(const block_scales& s) : along_k(s.k_step == 1) {}
  __host__ __device__ int row_step() const { return along_k ? Steps : 1; }
  __host__ __device__ int k_step() const { return along_k ? 1 : Rows; }

  /// Can the copy engine bring them: floats that follow each other, lines 16-byte aligned?
  static bool fits(const block_scales& s) {
    return !s.exponents && (s.k_step == 1 || s.row_step == 1) && line_bytes(s) > 0 &&
           fits_tensor_map(s.data, line_bytes(s));
  }
  static CUtensorMap map_of(const block_scales& s, int rows, int k_steps) {
    const bool along_k = s.k_step == 1;
    return make_tensor_map(CU_TENSOR_MAP_DATA_TYPE_FLOAT32, s.data, along_k ? rows : k_steps,
                           along_k ? k_steps : rows, line_bytes(s), along_k ? Rows : Steps,
                           along_k ? Steps : Rows, CU_TENSOR_MAP_SWIZZLE_NONE);
  }
  __device__ void load(std::uint32_t to, const CUtensorMap& map, int row, int k,
                       std::uint32_t barrier) const {
    ptx::tma_load(to, map, along_k ? k : row, along_k ? row : k, barrier, ptx::keep::long_time);
  }

 private:
  /// From one line of floats that follow each other to the next.
  static std::int64_t line_bytes(const block_scales& s) {
    return 4 * (s.k_step == 1 ? s.row_step : s.k_step);
  }
};

/// The scales of `Rows` rows in `Steps` steps on their way from global to shared memory through a
/// warp, a row a lane at a time: floats, or the bytes of exponents. There is one branch around all
/// reads, since the warp waits for what was read where branches meet.
template <int Rows, int Steps>
struct scale_words {
  static constexpr int each = (Rows + 31) / 32;
  std::uint32_t word[each][Steps];

  /// Rows from `first` on; those after `last` take its scale, and steps after `steps` the last one.
  __device__ void load(const block_scales& scales, int first, int last, int k, int steps) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const auto* bytes = static_cast<const std::uint8_t*>(scales.data);
    const auto* floats = static_cast<const std::uint32_t*>(scales.data);
    const bool whole = scales.in_words(Steps) && steps == Steps;
#pragma unroll
    for (int i = 0; i < each; ++i) {
      const std::int64_t from =
          min(first + 32 * i + lane % Rows, last) * scales.row_step + k * scales.k_step;
      if (scales.exponents) {
#pragma unroll
        for (int u = 0; u < Steps; ++u)
          word[i][u] = bytes[from + min(u, steps - 1) * scales.k_step];
      } else if (whole && Steps == 4) {
        const uint4 v = *reinterpret_cast<const uint4*>(floats + from);
        word[i][0] = v.x, word[i][1] = v.y, word[i][Steps - 2] = v.z, word[i][Steps - 1] = v.w;
      } else if (whole) {
        const uint2 v = *reinterpret_cast<const uint2*>(floats + from);
        word[i][0] = v.x, word[i][1] = v.y;
      } else {
#pragma unroll
        for (int u = 0; u < Steps; ++u)
          word[i][u] = floats[from + min(u, steps - 1) * scales.k_step];
      }
    }
  }

  /// The u-th scale of a row goes to slot[place(row, u)].
  template <class Place>
  __device__ void store(const block_scales& scales, float* slot, Place place) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (lane >= Rows) return;
#pragma unroll
    for (int i = 0; i < each; ++i)
#pragma unroll
      for (int u = 0; u < Steps; ++u)
        slot[place(32 * i + lane, u)] =
            scales.exponents ? scales.from_exponent(word[i][u]) : __uint_as_float(word[i][u]);
  }
};

}  // namespace halfbyte::cuda
