#pragma once

#include <cstddef>
#include <cstdint>

#include <halfbyte/bits.hpp>
#include <halfbyte/config.hpp>
#include <halfbyte/encode.hpp>
#include <halfbyte/format.hpp>
#include <halfbyte/random.hpp>
#include <halfbyte/unpacked.hpp>

namespace halfbyte {

/// Which numbers change their sign before they are mixed: bit i (byte i / 8, least significant bit
/// first) negates number i. No bits, no change.
struct sign_vector {
  const std::uint8_t* bits = nullptr;

  HALFBYTE_HD constexpr bool negative(std::ptrdiff_t i) const {
    return bits != nullptr && ((bits[i / 8] >> (i % 8)) & 1) != 0;
  }
};

/// Byte `i` of random signs: of numbers 8 * i to 8 * i + 7.
HALFBYTE_HD constexpr std::uint8_t random_signs(std::uint64_t seed, std::uint64_t stream,
                                                std::uint64_t i) {
  return static_cast<std::uint8_t>(random_bits(seed, stream, i / 4) >> (8 * (i % 4)));
}

namespace detail {

HALFBYTE_HD constexpr bool is_prime(int n) {
  for (int d = 2; d * d <= n; ++d) {
    if (n % d == 0) return false;
  }
  return n >= 2;
}

/// The longest base matrix.
inline constexpr int most_base = 512;

/// Whether Paley's first (second) construction has a matrix of order m. J. Math. Phys. 12, 1933.
HALFBYTE_HD constexpr bool paley_first(int m) { return m % 4 == 0 && is_prime(m - 1); }
HALFBYTE_HD constexpr bool paley_second(int m) { return m % 8 == 4 && is_prime(m / 2 - 1); }

/// The base matrix of order m, which is 1 or an order of Paley's.
struct base_matrix {
  int m, q;
  bool square[most_base] = {};  ///< square[a]: a is a square modulo the prime q, and not 0

  HALFBYTE_HD constexpr explicit base_matrix(int order)
      : m(order), q(paley_first(order) ? order - 1 : order / 2 - 1) {
    for (int a = 1; a < q; ++a) square[a * a % q] = true;
  }
  /// Whether entry (i, j) is -1.
  HALFBYTE_HD constexpr bool negative(int i, int j) const {
    if (m == 1) return false;
    if (paley_first(m)) {  // I + S, S skew
      if (i == j || i == 0) return false;
      return j == 0 || !square[(i - j + q) % q];
    }
    // C x (1 1; 1 -1) + I x (1 -1; -1 -1), C the conference matrix
    const int a = i / 2, b = j / 2, lower = i % 2, right = j % 2;
    if (a == b) return lower != 0 || right != 0;
    const bool c = a > 0 && b > 0 && !square[(a - b + q) % q];
    return c != (lower != 0 && right != 0);
  }
};

/// The order of the base matrix that n numbers need: n is that order times a power of two. 0 where
/// there is none.
HALFBYTE_HD constexpr int hadamard_base(int n) {
  if (n < 1) return 0;
  int m = n;
  while (m % 2 == 0) m /= 2;
  if (m == 1) return 1;
  for (m *= 4; n % m == 0; m *= 2) {
    if (paley_first(m) || paley_second(m)) return m;
  }
  return 0;
}

/// 1 / sqrt(n) within 0.51 ulp, the nearest float for all transforms of up to 4096 numbers. By
/// integers, so that CPU and GPU agree.
HALFBYTE_HD constexpr float hadamard_scale(int n) {
  const unpacked root = square_root(unpack_integer(static_cast<std::uint64_t>(n), 0));
  return bit_cast<float>(encode<float32>(quotient(unpack_integer(1, 0), root)));
}

/// Sums and differences at distance 1, 2, 4 ... below n, a power of two.
HALFBYTE_HD constexpr void mix_pairs(float* x, std::ptrdiff_t n) {
  for (std::ptrdiff_t h = 1; h < n; h *= 2) {
    for (std::ptrdiff_t i = 0; i < n; ++i) {
      if ((i & h) != 0) continue;
      const float a = x[i], b = x[i + h];
      x[i] = a + b;
      x[i + h] = a - b;
    }
  }
}

/// x * M across `m` runs of `n` numbers, M the base matrix (its transpose for the inverse): number
/// j of run b becomes the sum over a = 0, 1, 2 ... of +-(number j of run a), in that order.
HALFBYTE_HD constexpr void mix_base(float* x, int m, std::ptrdiff_t n, bool inverse) {
  const base_matrix base(m);
  float sum[most_base] = {};
  for (std::ptrdiff_t j = 0; j < n; ++j) {
    for (int b = 0; b < m; ++b) {
      float s = 0;
      for (int a = 0; a < m; ++a) {
        const bool negative = inverse ? base.negative(b, a) : base.negative(a, b);
        s = negative ? s - x[a * n + j] : s + x[a * n + j];
      }
      sum[b] = s;
    }
    for (int b = 0; b < m; ++b) x[b * n + j] = sum[b];
  }
}

}  // namespace detail

/// Whether there is a transform of n numbers: n is a power of two, or 12, 20, 28, 36, 44, 60 ...
/// (an order of Paley's matrices, up to 512) times one.
HALFBYTE_HD constexpr bool has_hadamard(int n) {
  const int m = detail::hadamard_base(n);
  return 1 <= m && m <= detail::most_base;
}

/// x becomes x * diag(signs) * H / sqrt(n), in place; H a Hadamard matrix of order n. Needs
/// has_hadamard(n).
///
/// Orthonormal: lengths stay. H is (base matrix) x (Sylvester matrix): sums and differences at
/// distance 1, 2, 4 ... within each run of n / base numbers, then sums across the runs in ascending
/// order, then one product with the float 1 / sqrt(n). That order is part of the result: every
/// implementation in this library has the same bits, compiled without -ffast-math.
HALFBYTE_HD constexpr void hadamard(float* x, int n, sign_vector signs = {}) {
  for (int i = 0; i < n; ++i) {
    if (signs.negative(i)) x[i] = -x[i];
  }
  const int m = detail::hadamard_base(n);
  const std::ptrdiff_t run = n / m;
  for (int a = 0; a < m; ++a) detail::mix_pairs(x + a * run, run);
  if (m > 1) detail::mix_base(x, m, run, false);
  const float scale = detail::hadamard_scale(n);
  for (int i = 0; i < n; ++i) x[i] *= scale;
}

/// What undoes `hadamard` with the same signs, up to rounding: x * H^T / sqrt(n) * diag(signs). The
/// order of additions is the same.
HALFBYTE_HD constexpr void inverse_hadamard(float* x, int n, sign_vector signs = {}) {
  const int m = detail::hadamard_base(n);
  const std::ptrdiff_t run = n / m;
  for (int a = 0; a < m; ++a) detail::mix_pairs(x + a * run, run);
  if (m > 1) detail::mix_base(x, m, run, true);
  const float scale = detail::hadamard_scale(n);
  for (int i = 0; i < n; ++i) x[i] *= scale;
  for (int i = 0; i < n; ++i) {
    if (signs.negative(i)) x[i] = -x[i];
  }
}

}  // namespace halfbyte
