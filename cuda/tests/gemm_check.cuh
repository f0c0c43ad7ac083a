#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <halfbyte/cuda/buffer.cuh>
#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/epilogue.cuh>
#include <halfbyte/cuda/gemm_sm90.cuh>

/// What the GEMM tests share: operands with known values, an exact product, a count of failures.
namespace check {

using namespace halfbyte::cuda;

struct tally {
  int passed = 0, failed = 0;
  void operator()(bool good, const std::string& what) {
    good ? ++passed : ++failed;
    if (!good && failed <= 40) std::printf("FAILED %s\n", what.c_str());
  }
};

inline std::uint16_t to_bfloat16(float x) {
  std::uint32_t u;
  std::memcpy(&u, &x, 4);
  if (std::isnan(x)) return 0x7FFF;
  return static_cast<std::uint16_t>((u + 0x7FFF + ((u >> 16) & 1)) >> 16);
}

inline float from_bfloat16(std::uint16_t pattern) {
  const std::uint32_t u = std::uint32_t{pattern} << 16;
  float x;
  std::memcpy(&x, &u, 4);
  return x;
}

inline float from_float16(std::uint16_t pattern) {
  const int exponent = (pattern >> 10) & 31, fraction = pattern & 1023;
  const float magnitude = exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                          : exponent == 31
                              ? (fraction == 0 ? INFINITY : NAN)
                              : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return (pattern & 0x8000) != 0 ? -magnitude : magnitude;
}

/// OCP OFP8, written from the standard's tables rather than from the library.
inline float from_fp8(std::uint8_t pattern, bool e5m2) {
  const int mantissa_bits = e5m2 ? 2 : 3, bias = e5m2 ? 15 : 7;
  const int exponent = (pattern & 0x7F) >> mantissa_bits;
  const int fraction = pattern & ((1 << mantissa_bits) - 1);
  if (e5m2 && exponent == 31) return fraction == 0 ? INFINITY : NAN;
  if (!e5m2 && (pattern & 0x7F) == 0x7F) return NAN;
  const float magnitude = exponent == 0
                              ? std::ldexp(static_cast<float>(fraction), 1 - bias - mantissa_bits)
                              : std::ldexp(static_cast<float>((1 << mantissa_bits) + fraction),
                                           exponent - bias - mantissa_bits);
  return (pattern & 0x80) != 0 ? -magnitude : magnitude;
}

inline float from_element(element e, const unsigned char* bytes, std::int64_t i) {
  if (e == element::int8) return static_cast<float>(static_cast<signed char>(bytes[i]));
  if (e == element::bfloat16)
    return from_bfloat16(static_cast<std::uint16_t>(bytes[2 * i] | bytes[2 * i + 1] << 8));
  return from_fp8(bytes[i], e == element::e5m2);
}

/// The pattern whose value is the small integer x (|x| <= 8).
inline std::uint32_t pattern_of(element e, int x) {
  if (e == element::int8) return static_cast<std::uint8_t>(x);
  if (e == element::bfloat16) return to_bfloat16(static_cast<float>(x));
  for (unsigned p = 0; p < 256; ++p)
    if (from_fp8(static_cast<std::uint8_t>(p), e == element::e5m2) == static_cast<float>(x))
      return p;
  return 0;
}

/// An operand on the device with poison between and after its rows, and its values on the host.
struct operand {
  element kind;
  int rows, columns;
  std::int64_t stride;  // bytes
  std::vector<unsigned char> bytes;
  std::vector<float> values;
  buffer<unsigned char> device;

  operand_matrix view() const { return {device.data(), stride, rows, columns}; }
};

/// `integer(random)` gives each element's value; with a negative `largest`, any finite pattern.
inline operand make_operand(element kind, int rows, int columns, int largest, std::uint64_t seed,
                            int padding = 16) {
  std::mt19937_64 random(seed);
  operand o{kind, rows, columns, 0, {}, {}, {}};
  const int size = bytes_of(kind);
  o.stride = (static_cast<std::int64_t>(columns) * size + 15) / 16 * 16 + padding;
  o.bytes.assign(static_cast<std::size_t>(o.stride * (rows + 3)), 0x7F);
  o.values.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
  std::vector<std::uint32_t> table;
  for (int x = -largest; x <= largest; ++x) table.push_back(pattern_of(kind, x));
  for (int r = 0; r < rows; ++r) {
    unsigned char* row = o.bytes.data() + r * o.stride;
    for (int c = 0; c < columns; ++c) {
      std::uint32_t p;
      if (largest >= 0) {
        p = table[random() % table.size()];
      } else {
        // A normal variate times 2^±3, rounded to the format by search from below.
        const double u = (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53;
        const double v = static_cast<double>(random() >> 11) * 0x1p-53;
        const double x = std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v) *
                         std::ldexp(1.0, static_cast<int>(random() % 7) - 3);
        if (kind == element::bfloat16) {
          p = to_bfloat16(static_cast<float>(x));
        } else if (kind == element::int8) {
          p = static_cast<std::uint8_t>(
              static_cast<int>(std::fmax(-127.0, std::fmin(127.0, std::rint(20 * x)))));
        } else {
          std::uint8_t low = 0;
          for (int bit = 6; bit >= 0; --bit) {
            const auto next = static_cast<std::uint8_t>(low | 1 << bit);
            if (from_fp8(next, kind == element::e5m2) <= std::fabs(x)) low = next;
          }
          p = low | (x < 0 ? 0x80u : 0u);
        }
      }
      for (int i = 0; i < size; ++i) row[c * size + i] = static_cast<unsigned char>(p >> (8 * i));
      o.values[static_cast<std::size_t>(r) * static_cast<std::size_t>(columns) +
               static_cast<std::size_t>(c)] = from_element(kind, row, c);
    }
  }
  o.device = buffer<unsigned char>(o.bytes);
  return o;
}

/// Σ a[m,k] b[n,k] in double: exact for the integer operands of these tests.
static __global__ void exact_product(const float* a, const float* b, double* d, int m, int n,
                                     int k) {
  const int column = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int row = static_cast<int>(blockIdx.y);
  if (column >= n || row >= m) return;
  double sum = 0;
  for (int i = 0; i < k; ++i)
    sum += static_cast<double>(a[static_cast<std::int64_t>(row) * k + i]) *
           static_cast<double>(b[static_cast<std::int64_t>(column) * k + i]);
  d[static_cast<std::int64_t>(row) * n + column] = sum;
}

inline std::vector<double> product(const std::vector<float>& a, const std::vector<float>& b, int m,
                                   int n, int k) {
  const buffer<float> da(a), db(b);
  buffer<double> dd(static_cast<std::size_t>(m) * static_cast<std::size_t>(n));
  exact_product<<<dim3(static_cast<unsigned>((n + 127) / 128), static_cast<unsigned>(m)), 128>>>(
      da.data(), db.data(), dd.data(), m, n, k);
  halfbyte::cuda::check(cudaGetLastError());
  return dd.to_host();
}

/// D on the device among poison, and reading it back.
struct result {
  output kind;
  int rows, columns;
  std::int64_t stride;
  buffer<unsigned char> device;

  result(output o, int m, int n, int padding)
      : kind(o),
        rows(m),
        columns(n),
        stride(n + padding),
        device(static_cast<std::size_t>(stride * (m + 2) * bytes_of(o))) {
    device.fill(0xC5);
  }
  output_matrix view() { return {device.data(), stride, rows, columns}; }

  float at(const std::vector<unsigned char>& bytes, int m, int n) const {
    const unsigned char* p = bytes.data() + (m * stride + n) * bytes_of(kind);
    if (kind == output::float32) {
      float x;
      std::memcpy(&x, p, 4);
      return x;
    }
    const auto pattern = static_cast<std::uint16_t>(p[0] | p[1] << 8);
    return kind == output::bfloat16 ? from_bfloat16(pattern) : from_float16(pattern);
  }
  /// True if nothing but the m x n elements was written.
  bool poison_intact(const std::vector<unsigned char>& bytes) const {
    for (int m = 0; m < rows + 2; ++m)
      for (std::int64_t i = (m < rows ? columns : 0) * bytes_of(kind); i < stride * bytes_of(kind);
           ++i)
        if (bytes[static_cast<std::size_t>(m * stride * bytes_of(kind) + i)] != 0xC5) return false;
    return true;
  }
  float rounded(double x) const {
    const float y = static_cast<float>(x);
    if (kind == output::bfloat16) return from_bfloat16(to_bfloat16(y));
    if (kind == output::float16) {
      const int e = std::max(std::ilogb(y == 0 ? 1.0f : y), -14) - 10;
      return std::ldexp(std::nearbyint(std::ldexp(y, -e)), e);
    }
    return y;
  }
};

}  // namespace check
