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
