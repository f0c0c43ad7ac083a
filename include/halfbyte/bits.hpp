#pragma once

#include <cstdint>

#include <halfbyte/config.hpp>

namespace halfbyte {

/// The bits of `x` read as another type of the same size.
template <class To, class From>
HALFBYTE_HD constexpr To bit_cast(const From& x) {
  return __builtin_bit_cast(To, x);
}

template <class T>
HALFBYTE_HD constexpr T smaller(T a, T b) {
  return b < a ? b : a;
}

template <class T>
HALFBYTE_HD constexpr T larger(T a, T b) {
  return a < b ? b : a;
}

/// Smallest integer that is at least `a / b`. Needs a >= 0, b > 0.
template <class T>
HALFBYTE_HD constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

/// Number of bits needed to write `x`; 0 for 0.
HALFBYTE_HD constexpr int bit_width(std::uint64_t x) {
  int width = 0;
  for (int step = 32; step > 0; step /= 2) {
    if ((x >> step) != 0) {
      x >>= step;
      width += step;
    }
  }
  return width + static_cast<int>(x);
}

/// The low `n` bits set, 0 <= n <= 64.
HALFBYTE_HD constexpr std::uint64_t low_mask(int n) {
  return n >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << n) - 1;
}

/// 2^k, exact for -149 <= k <= 127; 0 below, infinity above. Built from bits: no flag changes it.
HALFBYTE_HD constexpr float exp2i(int k) {
  if (k > 127) return bit_cast<float>(0x7f800000u);
  if (k >= -126) return bit_cast<float>(static_cast<std::uint32_t>(k + 127) << 23);
  return bit_cast<float>(k < -149 ? 0u : 1u << (k + 149));
}

/// Largest integer whose square is at most `x`.
HALFBYTE_HD constexpr std::uint64_t integer_sqrt(std::uint64_t x) {
  std::uint64_t root = 0;
  for (int i = 31; i >= 0; --i) {
    const std::uint64_t trial = root | (std::uint64_t{1} << i);
    if (trial * trial <= x) root = trial;
  }
  return root;
}

}  // namespace halfbyte
