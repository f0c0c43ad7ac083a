#pragma once

#include <cstddef>
#include <cstdint>

#include <halfbyte/argument_error.hpp>
#include <halfbyte/grid.hpp>
#include <halfbyte/math.hpp>
#include <halfbyte/minifloat.hpp>
#include <halfbyte/view.hpp>

namespace halfbyte {

/// The sums that every measure of error below is made of, over pairs (x, y): y stands for x.
///
/// Sums in double, row by row: deterministic. NaN in, NaN out.
struct error_sums {
  double xx = 0, yy = 0, xy = 0, errors = 0;
  std::ptrdiff_t count = 0;

  /// mean((x - y)^2); 0 for no numbers.
  double mse() const { return count == 0 ? 0 : errors / static_cast<double>(count); }
  /// Signal to quantization noise in decibels, 10 log10(sum x^2 / sum (x - y)^2); infinite for no
  /// error, NaN for two matrices of zeros.
  double sqnr() const { return 10 * detail::log10(xx / errors); }
  /// <x, y> / (|x| |y|).
  double cosine() const { return xy / detail::sqrt(xx * yy); }
  /// 1 - <x, y> / <x, x>: how much y shrinks along x. arXiv 2505.14669, table 2.
  double misalignment() const { return 1 - xy / xx; }
};

namespace detail {

inline void check_equal_sizes(std::ptrdiff_t rows, std::ptrdiff_t cols, std::ptrdiff_t other_rows,
                              std::ptrdiff_t other_cols, const char* function) {
  if (rows == other_rows && cols == other_cols) return;
  throw argument_error("%s: %td x %td with %td x %td", function, rows, cols, other_rows,
                       other_cols);
}

}  // namespace detail

/// Compares y with x, of floats, doubles or minifloats. Needs views of equal size: throws
/// std::invalid_argument otherwise.
template <class T, class U>
error_sums compare(matrix_view<T> x, matrix_view<U> y) {
  detail::check_equal_sizes(x.rows, x.cols, y.rows, y.cols, "compare");
  error_sums sums;
  sums.count = x.rows * x.cols;
  for (std::ptrdiff_t i = 0; i < x.rows; ++i) {
    for (std::ptrdiff_t j = 0; j < x.cols; ++j) {
      const double a = static_cast<double>(x(i, j)), b = static_cast<double>(y(i, j));
      sums.xx += a * a;
      sums.yy += b * b;
      sums.xy += a * b;
      sums.errors += (a - b) * (a - b);
    }
  }
  return sums;
}

template <class T, class U>
double mse(matrix_view<T> x, matrix_view<U> y) {
  return compare(x, y).mse();
}
template <class T, class U>
double sqnr(matrix_view<T> x, matrix_view<U> y) {
  return compare(x, y).sqnr();
}
template <class T, class U>
double cosine(matrix_view<T> x, matrix_view<U> y) {
  return compare(x, y).cosine();
}
template <class T, class U>
double misalignment(matrix_view<T> x, matrix_view<U> y) {
  return compare(x, y).misalignment();
}

/// The largest distance between x and y in steps of F, both rounded to F first. A NaN beside a
/// number counts as the whole of F, two NaNs as equal. Needs views of equal size.
template <format F = float32, class T, class U>
std::int64_t max_ulp(matrix_view<T> x, matrix_view<U> y) {
  detail::check_equal_sizes(x.rows, x.cols, y.rows, y.cols, "max_ulp");
  std::int64_t most = 0;
  for (std::ptrdiff_t i = 0; i < x.rows; ++i) {
    for (std::ptrdiff_t j = 0; j < x.cols; ++j) {
      const minifloat<F> a(x(i, j)), b(y(i, j));
      if (a.is_nan() && b.is_nan()) continue;
      const std::int64_t d = a.is_nan() || b.is_nan() ? std::int64_t{F.mask()} : ulp_distance(a, b);
      if (d > most) most = d;
    }
  }
  return most;
}

}  // namespace halfbyte
