#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <halfbyte/format.hpp>
#include <halfbyte/random.hpp>

/// Sums of FP8 products as an NVIDIA H200 gave them, and the operands they were made of.
namespace tensor_core_answers {

using halfbyte::format;

/// Row `row` of the operand that `seed` makes: any finite pattern, or with `close` numbers of four
/// octaves below 2.
template <format F>
std::vector<std::uint8_t> row_of(std::uint64_t seed, bool close, std::uint64_t row, std::size_t k) {
  std::vector<std::uint8_t> patterns(k);
  for (std::size_t i = 0; i < k; ++i) {
    const std::uint32_t r = halfbyte::random_bits(seed, row, i);
    std::uint32_t p = r & F.mask();
    if (close) {
      const std::uint32_t field = static_cast<std::uint32_t>(F.bias) - ((r >> 8) & 3);
      p = (r & F.sign_mask()) | field << F.mantissa_bits | (r & ((1u << F.mantissa_bits) - 1));
    }
    if (F.is_nan(p) || F.is_infinity(p)) p &= ~(1u << F.mantissa_bits);
    patterns[i] = static_cast<std::uint8_t>(p);
  }
  return patterns;
}

/// Sums of rows 0 and 1 of A (seed 1) with rows 0 and 1 of B (seed 2): 00, 01, 10, 11.
struct answer {
  bool e5m2_a, e5m2_b, close;
  int k;
  std::uint32_t bits[4];
};

inline constexpr answer answers[] = {
#include "tensor_core_answers.inc"
};

/// Calls f with the formats of an answer as types' values: f.template operator()<A, B>().
template <class F>
void with_formats(const answer& a, F f) {
  using halfbyte::e4m3, halfbyte::e5m2;
  if (!a.e5m2_a && !a.e5m2_b) f.template operator()<e4m3, e4m3>();
  if (!a.e5m2_a && a.e5m2_b) f.template operator()<e4m3, e5m2>();
  if (a.e5m2_a && !a.e5m2_b) f.template operator()<e5m2, e4m3>();
  if (a.e5m2_a && a.e5m2_b) f.template operator()<e5m2, e5m2>();
}

}  // namespace tensor_core_answers
