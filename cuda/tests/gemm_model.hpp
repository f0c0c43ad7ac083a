#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace halfbyte {

/// A number mantissa · 2^(exponent - 13), or zero. What a Hopper FP8 accumulator holds.
struct tensor_core_sum {
  std::int64_t mantissa = 0;
  int exponent = 0;  ///< of the leading one; meaningless for zero

  /// The float of the same value.
  constexpr float value() const {
    float result = static_cast<float>(mantissa);
    for (int i = exponent - 13; i > 0; --i) result *= 2.0f;
    for (int i = exponent - 13; i < 0; ++i) result *= 0.5f;
    return result;
  }
};

/// How an FP8 operand's pattern is read: E4M3 {4, 3, 7}, E5M2 {5, 2, 15}.
struct fp8_fields {
  int exponent_bits, mantissa_bits, bias;
};

namespace detail {

/// A product of two patterns: significand of `fraction_bits` fraction bits, not renormalised.
struct fp8_product {
  std::int64_t significand = 0;
  int exponent = 0;
};

constexpr fp8_product multiply_fp8(std::uint32_t a, fp8_fields fa, std::uint32_t b, fp8_fields fb) {
  const std::uint32_t exponent_a = (a & 0x7F) >> fa.mantissa_bits;
  const std::uint32_t exponent_b = (b & 0x7F) >> fb.mantissa_bits;
  const std::uint32_t fraction_a = a & ((1u << fa.mantissa_bits) - 1);
  const std::uint32_t fraction_b = b & ((1u << fb.mantissa_bits) - 1);
  const std::uint32_t hidden_a = exponent_a != 0 ? 1u << fa.mantissa_bits : 0;
  const std::uint32_t hidden_b = exponent_b != 0 ? 1u << fb.mantissa_bits : 0;
  fp8_product product;
  product.significand = static_cast<std::int64_t>(hidden_a | fraction_a) *
                        static_cast<std::int64_t>(hidden_b | fraction_b);
  if (((a ^ b) & 0x80) != 0) product.significand = -product.significand;
  product.exponent = static_cast<int>(exponent_a != 0 ? exponent_a : 1) - fa.bias +
                     static_cast<int>(exponent_b != 0 ? exponent_b : 1) - fb.bias;
  return product;
}

/// value · 2^shift, truncated toward zero.
constexpr std::int64_t shift_toward_zero(std::int64_t value, int shift) {
  if (shift >= 0) return value << shift;
  if (shift < -62) return 0;
  const std::int64_t magnitude = (value < 0 ? -value : value) >> -shift;
  return value < 0 ? -magnitude : magnitude;
}

}  // namespace detail

/// One step of Hopper's FP8 tensor core: `sum` and the products of `count` <= 32 finite patterns.
///
/// All terms are aligned to the largest exponent among them and truncated toward zero to 13
/// fraction bits, added exactly, and the total is truncated to 13 bits after its leading one.
/// Measured on an H200, see docs/kernels.md; products of zero do not take part in the largest
/// exponent.
constexpr tensor_core_sum tensor_core_step(tensor_core_sum sum, const std::uint8_t* a,
                                           fp8_fields fa, const std::uint8_t* b, fp8_fields fb,
                                           std::size_t count) {
  bool any = sum.mantissa != 0;
  int largest = sum.exponent;
  for (std::size_t i = 0; i < count; ++i) {
    const detail::fp8_product product = detail::multiply_fp8(a[i], fa, b[i], fb);
    if (product.significand == 0) continue;
    if (!any || product.exponent > largest) largest = product.exponent;
    any = true;
  }
  if (!any) return {};
  const int fraction_bits = fa.mantissa_bits + fb.mantissa_bits;
  std::int64_t total = detail::shift_toward_zero(sum.mantissa, sum.exponent - largest);
  for (std::size_t i = 0; i < count; ++i) {
    const detail::fp8_product product = detail::multiply_fp8(a[i], fa, b[i], fb);
    if (product.significand == 0) continue;
    total += detail::shift_toward_zero(product.significand,
                                       13 - fraction_bits + product.exponent - largest);
  }
  if (total == 0) return {};
  const std::uint64_t magnitude = static_cast<std::uint64_t>(total < 0 ? -total : total);
  const int leading = 63 - std::countl_zero(magnitude);
  return {detail::shift_toward_zero(total, 13 - leading), largest + leading - 13};
}

/// The bits that Hopper's fast FP8 accumulation gives for the dot product of `count` finite patterns.
///
/// Equal to gemm_sm90's float output, scales unset, for K up to 512 on an H200: all of 130 x 70 sums
/// of E4M3 and E5M2 in three mixes, K = 16 to 512.
constexpr float tensor_core_dot(const std::uint8_t* a, fp8_fields fa, const std::uint8_t* b,
                                fp8_fields fb, std::size_t count) {
  tensor_core_sum sum;
  for (std::size_t first = 0; first < count; first += 32)
    sum = tensor_core_step(sum, a + first, fa, b + first, fb,
                           count - first < 32 ? count - first : 32);
  return sum.value();
}

}  // namespace halfbyte
