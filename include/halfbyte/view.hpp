#pragma once

#include <concepts>
#include <cstddef>
#include <type_traits>

#include <halfbyte/config.hpp>

namespace halfbyte {

/// A matrix that somebody else owns: row-major, `stride` elements from one row to the next.
///
/// Needs stride >= cols, unless rows <= 1. Rows and columns may be 0.
template <class T>
struct matrix_view {
  T* data = nullptr;
  std::ptrdiff_t rows = 0;
  std::ptrdiff_t cols = 0;
  std::ptrdiff_t stride = cols;

  HALFBYTE_HD constexpr T* row(std::ptrdiff_t i) const { return data + i * stride; }
  HALFBYTE_HD constexpr T& operator()(std::ptrdiff_t i, std::ptrdiff_t j) const {
    return data[i * stride + j];
  }
  /// The part that starts at (`i`, `j`), of at most `r` rows and `c` columns: less at the edges.
  HALFBYTE_HD constexpr matrix_view block(std::ptrdiff_t i, std::ptrdiff_t j, std::ptrdiff_t r,
                                          std::ptrdiff_t c) const {
    return {row(i) + j, rows - i < r ? rows - i : r, cols - j < c ? cols - j : c, stride};
  }

  /// Writable views are read-only views too.
  template <class U>
    requires(std::same_as<U, const T> && !std::is_const_v<T>)
  HALFBYTE_HD constexpr operator matrix_view<U>() const {
    return {data, rows, cols, stride};
  }
};

template <class T>
matrix_view(T*, std::ptrdiff_t, std::ptrdiff_t) -> matrix_view<T>;
template <class T>
matrix_view(T*, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t) -> matrix_view<T>;

namespace detail {
/// The same numbers as one row. Needs rows that follow each other in memory.
template <class T>
HALFBYTE_HD constexpr matrix_view<T> as_one_row(matrix_view<T> x) {
  return {x.data, 1, x.rows * x.cols};
}
}  // namespace detail

}  // namespace halfbyte
