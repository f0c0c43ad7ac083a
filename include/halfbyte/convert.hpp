#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <halfbyte/bits.hpp>
#include <halfbyte/encode.hpp>
#include <halfbyte/format.hpp>
#include <halfbyte/overflow.hpp>
#include <halfbyte/pack.hpp>
#include <halfbyte/rounding.hpp>
#include <halfbyte/simd.hpp>
#include <halfbyte/simd_plan.hpp>
#include <halfbyte/view.hpp>

namespace halfbyte {

namespace detail {

/// Whether rounding a double to the odd neighbour among floats leaves what is encoded unchanged:
/// every place that F and the random bits look at is above the last bit of a float.
template <format F, class Rounding>
inline constexpr bool through_odd_float = F.min_exponent() >= -60 && F.max_exponent() <= 100 &&
                                          F.mantissa_bits + rounding_traits<Rounding>::bits <= 21;

/// The float next to x whose last bit is one, or x itself; subnormal and infinite only where x is
/// beyond all formats with through_odd_float. Boldo and Melquiond, IEEE TC 57(4), 2008.
inline float odd_float(double x) {
  const auto bits = bit_cast<std::uint64_t>(x);
  const std::uint64_t magnitude = bits & low_mask(63);
  const std::uint64_t infinity = std::uint64_t{0x7ff} << 52;
  std::uint32_t result = 0;
  if (magnitude >= infinity) {
    result = magnitude > infinity ? 0x7fffffffu : 0x7f800000u;
  } else if (magnitude >= std::uint64_t{1023 + 128} << 52) {
    result = 0x7f7fffffu;
  } else if (magnitude >= std::uint64_t{1023 - 126} << 52) {
    const std::uint64_t moved = magnitude - (std::uint64_t{1023 - 127} << 52);
    result = static_cast<std::uint32_t>(moved >> 29) | ((moved & low_mask(29)) != 0 ? 1u : 0u);
  } else if (magnitude != 0) {
    result = 1;
  }
  return bit_cast<float>(result | static_cast<std::uint32_t>(bits >> 63) << 31);
}

}  // namespace detail

/// Encodes x [rows, cols] in format F: row i becomes packed_bytes(F, cols) bytes at
/// `out` + i * packed_bytes(F, cols), packed as pack.hpp says, padding zero.
///
/// Element (i, j) has index `first_index` + i * cols + j. The patterns are those of the scalar
/// `encode`. `out` must not overlap x.
template <format F, rounding Rounding = nearest_even, overflow_policy Overflow = saturate,
          class T = const float>
void encode(matrix_view<T> x, std::uint8_t* out, Rounding rounding = {}, Overflow overflow = {},
            std::uint64_t first_index = 0) {
  using number = std::remove_const_t<T>;
  constexpr format f = F;
  if (x.stride == x.cols && x.cols * f.bits() % 8 == 0) x = detail::as_one_row(x);
  const auto row_bytes = static_cast<std::ptrdiff_t>(packed_bytes(F, x.cols));
  const detail::strips cut(x.rows, x.cols);
  cut.for_each([&](std::ptrdiff_t i, std::ptrdiff_t j) {
    const std::ptrdiff_t n = smaller(cut.width, x.cols - j);
    const number* from = x.row(i) + j;
    std::uint8_t* to = out + i * row_bytes + j * f.bits() / 8;
    const std::uint64_t index = first_index + static_cast<std::uint64_t>(i * x.cols + j);
    if constexpr (detail::vector_encode<F, number, Rounding, Overflow>) {
      if (detail::with_kernels([&](auto kernels) {
            kernels.template encode<f, Overflow>(from, n, to, rounding, index);
          })) {
        return;
      }
    }
    if constexpr (std::is_same_v<number, double> && detail::through_odd_float<F, Rounding> &&
                  detail::vector_encode<F, float, Rounding, Overflow>) {
      if (detail::with_kernels([&](auto kernels) {
            float odd[detail::chunk];
            for (std::ptrdiff_t k = 0; k < n; k += detail::chunk) {
              const auto part = smaller<std::ptrdiff_t>(detail::chunk, n - k);
              for (std::ptrdiff_t l = 0; l < part; ++l) odd[l] = detail::odd_float(from[k + l]);
              kernels.template encode<f, Overflow>(odd, part, to + k * f.bits() / 8, rounding,
                                                   index + static_cast<std::uint64_t>(k));
            }
          })) {
        return;
      }
    }
    const auto bytes = static_cast<std::ptrdiff_t>(packed_bytes(F, n));
    for (std::ptrdiff_t k = 0; k < bytes; ++k) to[k] = 0;
    for (std::ptrdiff_t k = 0; k < n; ++k) {
      store_packed<f>(
          to, k, encode<f>(from[k], rounding, overflow, index + static_cast<std::uint64_t>(k)));
    }
  });
}

/// Decodes patterns of format F, packed row by row as `encode` writes them, into floats, exactly.
template <format F>
void decode(const std::uint8_t* packed, matrix_view<float> out) {
  constexpr format f = F;
  if (out.stride == out.cols && out.cols * f.bits() % 8 == 0) out = detail::as_one_row(out);
  const auto row_bytes = static_cast<std::ptrdiff_t>(packed_bytes(F, out.cols));
  const detail::strips cut(out.rows, out.cols);
  cut.for_each([&](std::ptrdiff_t i, std::ptrdiff_t j) {
    const std::ptrdiff_t n = smaller(cut.width, out.cols - j);
    const std::uint8_t* from = packed + i * row_bytes + j * f.bits() / 8;
    float* to = out.row(i) + j;
    if constexpr (detail::vector_format<F>) {
      const auto run = [&](auto kernels) { kernels.template decode<f>(from, n, to); };
      if (detail::with_kernels(run)) return;
    }
    for (std::ptrdiff_t k = 0; k < n; ++k) to[k] = decode<f>(load_packed<f>(from, k));
  });
}

}  // namespace halfbyte
