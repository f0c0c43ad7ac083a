#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/epilogue.cuh>
#include <halfbyte/cuda/error.cuh>

/// Operands and products for the tests with random shapes, made and checked on the device.
///
/// An operand's elements are small numbers and its scales powers of two, both pure functions of
/// (seed, place), so that the expected product needs neither the operand's bytes nor any layout:
/// exact sums in double, one rounding to the output. Written for clarity, without the library's
/// kernels; checked against the CPU's reading of the same bytes on small shapes.
namespace random_cases {

using halfbyte::cuda::output;

__host__ __device__ inline std::uint32_t mix(std::uint64_t seed, std::uint64_t place) {
  std::uint64_t x = seed * 0x9E3779B97F4A7C15u + place * 0xBF58476D1CE4E5B9u + 0x94D049BB133111EBu;
  x = (x ^ (x >> 31)) * 0xD6E8FEB86659FD93u;
  x = (x ^ (x >> 29)) * 0xBF58476D1CE4E5B9u;
  return static_cast<std::uint32_t>(x >> 32);
}

enum class scale_kind { none, ue8m0, ue4m3, float32 };

/// What an operand is and where its parts lie.
struct spec {
  std::uint64_t seed = 0;
  int rows = 0, columns = 0;
  // Elements: patterns[i] of `bits` bits is the number values[i]; values[0] is 0.
  int bits = 8, choices = 1;
  std::uint16_t patterns[8] = {};
  float values[8] = {};
  std::int64_t stride_bytes = 0;
  // Scales: of blocks of block_rows x block_columns, powers 2^-spread/2 to 2^spread/2.
  scale_kind scales = scale_kind::none;
  int block_rows = 1, block_columns = 1, spread = 0;
  bool swizzled = false;
  // Or row by row, block by block if `down`, with so many scales from one line to the next.
  bool down = false;
  int scale_line = 0;
  // One scale is twice what it would be.
  int hot_row = -1, hot_block = -1;
  // Every so manieth row spans 18 octaves: two elements of its first block, two of its last.
  int wide_every = 0;
  bool wide_upside_down = false;

  __host__ __device__ int row_blocks() const { return (rows + block_rows - 1) / block_rows; }
  __host__ __device__ int blocks() const { return (columns + block_columns - 1) / block_columns; }
  __host__ __device__ std::int64_t row_step() const { return down ? 1 : scale_line; }
  __host__ __device__ std::int64_t block_step() const { return down ? scale_line : 1; }
  __host__ __device__ bool wide(int row) const {
    return wide_every != 0 && row % wide_every == wide_every / 2 && blocks() > 1;
  }
  __host__ __device__ int choice(int row, int k) const {
    if (wide(row)) {
      const int block = k / block_columns;
      if (k % block_columns >= 2 || (block != 0 && block != blocks() - 1)) return 0;
      return 1 + static_cast<int>(mix(seed, static_cast<std::uint64_t>(row)) % 2);
    }
    const std::uint64_t place = static_cast<std::uint64_t>(row) << 32 | static_cast<unsigned>(k);
    return static_cast<int>(mix(seed, place) % static_cast<unsigned>(choices));
  }
  __host__ __device__ int power(int row_block, int block) const {
    if (scales == scale_kind::none) return 0;
    const int hot = row_block == hot_row && block == hot_block ? 1 : 0;
    if (block_rows == 1 && wide(row_block))
      return (block == 0) != wide_upside_down ? 10 + hot : -8 + hot;
    const std::uint64_t place =
        static_cast<std::uint64_t>(row_block) << 32 | static_cast<unsigned>(block);
    return static_cast<int>(mix(seed + 1, place) % static_cast<unsigned>(spread + 1)) - spread / 2 +
           hot;
  }
  __host__ __device__ float value(int row, int k) const {
    return values[choice(row, k)] * ldexpf(1.0f, power(row / block_rows, k / block_columns));
  }
};

/// Every byte of `rows` + 2 rows: elements in their places, poison everywhere else.
static __global__ void write_elements(const spec s, std::uint8_t* bytes, std::uint8_t poison) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= s.stride_bytes * (s.rows + 2)) return;
  const int row = static_cast<int>(i / s.stride_bytes);
  const std::int64_t first_bit = i % s.stride_bytes * 8;
  unsigned byte = 0;
  for (int b = 0; b < 8; ++b) {
    const std::int64_t k = (first_bit + b) / s.bits;
    const unsigned bit =
        row < s.rows && k < s.columns
            ? s.patterns[s.choice(row, static_cast<int>(k))] >> ((first_bit + b) % s.bits)
            : static_cast<unsigned>(poison) >> b;
    byte |= (bit & 1u) << b;
  }
  bytes[i] = static_cast<std::uint8_t>(byte);
}

/// Bytes of the scales, and room for poison behind them.
__host__ __device__ inline std::int64_t scale_room(const spec& s) {
  if (s.swizzled)
    return static_cast<std::int64_t>((s.rows + 127) / 128) * ((s.blocks() + 3) / 4) * 512;
  return static_cast<std::int64_t>(s.down ? s.blocks() : s.row_blocks()) * s.scale_line *
         (s.scales == scale_kind::float32 ? 4 : 1);
}

static __global__ void write_scales(const spec s, std::uint8_t* bytes) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= static_cast<std::int64_t>(s.row_blocks()) * s.blocks()) return;
  const int row = static_cast<int>(i / s.blocks()), block = static_cast<int>(i % s.blocks());
  const int power = s.power(row, block);
  const std::int64_t at = row * s.row_step() + block * s.block_step();
  if (s.scales == scale_kind::float32) {
    reinterpret_cast<float*>(bytes)[at] = ldexpf(1.0f, power);
    return;
  }
  const int bias = s.scales == scale_kind::ue8m0 ? 127 : 7;
  const auto pattern =
      static_cast<std::uint8_t>(power + bias << (s.scales == scale_kind::ue4m3 ? 3 : 0));
  if (!s.swizzled) {
    bytes[at] = pattern;
    return;
  }
  // 128 rows x 4 blocks in 512 bytes: row % 32, then row / 32, then block.
  const std::int64_t tile =
      static_cast<std::int64_t>(row / 128) * ((s.blocks() + 3) / 4) + block / 4;
  bytes[512 * tile + 16 * (row % 32) + 4 * (row / 32 % 4) + block % 4] = pattern;
}

static __global__ void write_values(const spec s, float* values) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < static_cast<std::int64_t>(s.rows) * s.columns)
    values[i] = s.value(static_cast<int>(i / s.columns), static_cast<int>(i % s.columns));
}

/// The rest of the product: D = alpha · sum + bias[n] (+ what D held).
struct finish {
  double alpha = 1;
  bool bias = false, accumulate = false;
  std::uint64_t seed = 0;

  __host__ __device__ float bias_of(int n) const {
    return static_cast<float>(static_cast<int>(mix(seed + 7, static_cast<unsigned>(n)) % 9) - 4);
  }
  /// What D holds before: small integers where it is added to, poison elsewhere.
  __host__ __device__ float before(int m, int n) const {
    const std::uint64_t place = static_cast<std::uint64_t>(m) << 32 | static_cast<unsigned>(n);
    return static_cast<float>(static_cast<int>(mix(seed + 8, place) % 17) - 8);
  }
};

/// The bits of x rounded once to the output's format, by CUDA's own conversions.
__device__ inline std::uint32_t output_bits(output o, double x) {
  const float y = static_cast<float>(x);
  if (o == output::float32) return __float_as_uint(y);
  if (o == output::float16) return __half_as_ushort(__float2half_rn(y));
  return __bfloat16_as_ushort(__float2bfloat16_rn(y));
}

constexpr std::uint8_t output_poison = 0xC5;

/// D with a frame: `lead` elements before it, its rows, two rows behind it.
struct framed_output {
  output kind;
  int rows, columns;
  std::int64_t stride, lead;

  __host__ __device__ std::int64_t size() const { return lead + stride * (rows + 2); }
  __host__ __device__ int bytes() const { return halfbyte::cuda::bytes_of(kind); }
  /// Row and column of element i of the frame, if it is D's.
  __host__ __device__ bool find(std::int64_t i, int& m, int& n) const {
    if (i < lead || (i - lead) / stride >= rows || (i - lead) % stride >= columns) return false;
    m = static_cast<int>((i - lead) / stride);
    n = static_cast<int>((i - lead) % stride);
    return true;
  }
  __device__ std::uint32_t load(const void* d, std::int64_t i) const {
    return bytes() == 4 ? static_cast<const std::uint32_t*>(d)[i]
                        : static_cast<const std::uint16_t*>(d)[i];
  }
  __device__ void store(void* d, std::int64_t i, std::uint32_t bits) const {
    if (bytes() == 4) {
      static_cast<std::uint32_t*>(d)[i] = bits;
    } else {
      static_cast<std::uint16_t*>(d)[i] = static_cast<std::uint16_t>(bits);
    }
  }
};

static __global__ void write_before(const framed_output f, const finish how, void* d) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= f.size()) return;
  int m = 0, n = 0;
  const bool inside = f.find(i, m, n);
  f.store(d, i,
          inside && how.accumulate ? output_bits(f.kind, how.before(m, n))
                                   : 0x01010101u * output_poison);
}

/// The expected bits of every element of D, from sums in double: exact for these operands.
static __global__ void write_expected(const float* a, const float* b, int depth,
                                      const framed_output f, const finish how,
                                      std::uint32_t* bits) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= static_cast<std::int64_t>(f.rows) * f.columns) return;
  const int m = static_cast<int>(i / f.columns), n = static_cast<int>(i % f.columns);
  double sum = 0;
  for (int k = 0; k < depth; ++k)
    sum += static_cast<double>(a[static_cast<std::int64_t>(m) * depth + k]) *
           static_cast<double>(b[static_cast<std::int64_t>(n) * depth + k]);
  sum *= how.alpha;
  if (how.bias) sum += static_cast<double>(how.bias_of(n));
  if (how.accumulate) sum += static_cast<double>(how.before(m, n));
  bits[i] = output_bits(f.kind, sum);
}

/// counts[0]: elements of D that are not as expected; counts[1]: bytes of the frame overwritten;
/// counts[2]: elements that moved (or stayed) though the change of one scale says otherwise.
static __global__ void count_wrong(const framed_output f, const void* d,
                                   const std::uint32_t* expected, unsigned long long* counts) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= f.size()) return;
  int m = 0, n = 0;
  const std::uint32_t bits = f.load(d, i);
  if (f.find(i, m, n)) {
    const std::uint32_t want = expected[static_cast<std::int64_t>(m) * f.columns + n];
    // Zero has two signs; sums of exact zeros may take either.
    const std::uint32_t sign = f.bytes() == 4 ? 0x80000000u : 0x8000u;
    if (bits != want && ((bits | want) & ~sign) != 0) atomicAdd(counts, 1ull);
  } else if (bits != (f.bytes() == 4 ? 0x01010101u : 0x0101u) * output_poison) {
    atomicAdd(counts + 1, 1ull);
  }
}

/// Rows [first_m, last_m) and columns [first_n, last_n) of D are those that one scale reaches: the
/// outputs before and after it was doubled differ nowhere else, and there where expected.
struct footprint {
  int first_m, last_m, first_n, last_n;
};

static __global__ void count_strayed(const framed_output f, const footprint reach,
                                     const void* before, const void* after,
                                     const std::uint32_t* expected_before,
                                     const std::uint32_t* expected_after,
                                     unsigned long long* counts) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  int m = 0, n = 0;
  if (i >= f.size() || !f.find(i, m, n)) return;
  const bool moved = f.load(before, i) != f.load(after, i);
  const std::int64_t at = static_cast<std::int64_t>(m) * f.columns + n;
  const bool reached =
      m >= reach.first_m && m < reach.last_m && n >= reach.first_n && n < reach.last_n;
  if (moved != (reached && expected_before[at] != expected_after[at])) atomicAdd(counts + 2, 1ull);
}

inline unsigned blocks_of(std::int64_t threads) {
  return static_cast<unsigned>((threads + 255) / 256);
}

}  // namespace random_cases
