#pragma once

#include <cstddef>
#include <cstdint>

#include <halfbyte/argument_error.hpp>
#include <halfbyte/bits.hpp>
#include <halfbyte/hadamard.hpp>
#include <halfbyte/simd.hpp>
#include <halfbyte/view.hpp>

namespace halfbyte {

namespace detail {

template <bool Inverse>
void hadamard_rows(matrix_view<float> x, int n, sign_vector signs) {
  if (!has_hadamard(n) || x.cols % n != 0) {
    throw argument_error("%s: blocks of %d in %td columns",
                         Inverse ? "inverse_hadamard" : "hadamard", n, x.cols);
  }
  const bool power_of_two = hadamard_base(n) == 1;
  const float scale = hadamard_scale(n);
  for_each_part(x.rows, grain_of(x.cols), [&](std::ptrdiff_t first, std::ptrdiff_t last) {
    bool done = false;
    with_kernels([&](auto kernels) {
      if (!power_of_two || n < kernels.word) return;
      for (std::ptrdiff_t i = first; i < last; ++i) {
        for (std::ptrdiff_t j = 0; j < x.cols; j += n) {
          kernels.hadamard(x.row(i) + j, n, scale, signs.bits, Inverse);
        }
      }
      done = true;
    });
    for (std::ptrdiff_t i = first; i < last && !done; ++i) {
      for (std::ptrdiff_t j = 0; j < x.cols; j += n) {
        if constexpr (Inverse) {
          inverse_hadamard(x.row(i) + j, n, signs);
        } else {
          hadamard(x.row(i) + j, n, signs);
        }
      }
    }
  });
}

}  // namespace detail

/// `hadamard` of each n consecutive numbers of each row of x, in place. The bits are those of the
/// scalar function. Throws std::invalid_argument unless n has a transform and divides the columns.
inline void hadamard(matrix_view<float> x, int n, sign_vector signs = {}) {
  detail::hadamard_rows<false>(x, n, signs);
}

/// `inverse_hadamard` of each n consecutive numbers of each row of x, in place.
inline void inverse_hadamard(matrix_view<float> x, int n, sign_vector signs = {}) {
  detail::hadamard_rows<true>(x, n, signs);
}

}  // namespace halfbyte
