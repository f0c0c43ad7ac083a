#pragma once

#include <array>
#include <cstddef>

#include <halfbyte/block_format.hpp>
#include <halfbyte/error.hpp>
#include <halfbyte/quantized.hpp>
#include <halfbyte/view.hpp>

#include "choices.hpp"

/// How many errors are how large: bins of 1/8 decade of |error| / rms of the tensor, from
/// 10^first to 10^last. Smaller errors count in the first bin, larger ones in the last, and numbers
/// met exactly apart.
struct error_histogram {
  static constexpr int first = -6, last = 1, bins_per_decade = 8;
  static constexpr int bins = (last - first) * bins_per_decade;

  std::array<std::size_t, bins> counts{};
  std::size_t exact = 0;

  void add(double relative_error);
  /// The power of ten at which a bin begins.
  static double exponent(int bin) { return first + static_cast<double>(bin) / bins_per_decade; }
  /// The size that `part` of the errors are below, to the resolution of the bins; 0 if those are
  /// exact.
  double quantile(double part) const;
};

/// What quantizing one or more matrices cost.
struct measurement {
  halfbyte::error_sums errors;
  std::size_t bytes = 0;  ///< elements, scales and tensor scales
  double seconds = 0;     ///< spent in quantize()
  error_histogram histogram;

  double bits_per_value() const;
  /// Of float input, read by quantize().
  double gigabytes_per_second() const;
  measurement& operator+=(const measurement& other);
};

/// Quantizes x as told and compares what comes back. Throws std::invalid_argument for a choice that
/// there is not.
measurement measure(halfbyte::matrix_view<const float> x, const choice& how);

/// measure() in one block format: each is compiled in a file of its own, or the compiler would be
/// at it for minutes.
template <halfbyte::block_format B>
measurement measure_in(halfbyte::matrix_view<const float> x, const choice& how);

template <halfbyte::block_format B>
halfbyte::quantized<B> quantize_as(halfbyte::matrix_view<const float> x, const choice& how);
