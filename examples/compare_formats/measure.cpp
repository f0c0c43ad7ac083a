#include "measure.hpp"

#include <cmath>
#include <stdexcept>

#include <halfbyte/names.hpp>

namespace hb = halfbyte;

void error_histogram::add(double relative_error) {
  const double size = std::abs(relative_error);
  if (size == 0) {
    ++exact;
    return;
  }
  const double place = (std::log10(size) - first) * bins_per_decade;
  // Also the place of a NaN, which no comparison holds for.
  const int bin = place >= bins ? bins - 1 : place >= 0 ? static_cast<int>(place) : 0;
  ++counts[static_cast<std::size_t>(bin)];
}

double error_histogram::quantile(double part) const {
  auto total = static_cast<double>(exact);
  for (const std::size_t count : counts) total += static_cast<double>(count);
  double seen = static_cast<double>(exact);
  for (int i = 0; i < bins; ++i) {
    const auto here = static_cast<double>(counts[static_cast<std::size_t>(i)]);
    if (seen < part * total && seen + here >= part * total) {
      const double inside = (part * total - seen) / here;
      return std::pow(10, exponent(i) + inside / bins_per_decade);
    }
    seen += here;
  }
  return 0;
}

double measurement::bits_per_value() const {
  return 8 * static_cast<double>(bytes) / static_cast<double>(errors.count);
}

double measurement::gigabytes_per_second() const {
  return 1e-9 * static_cast<double>(sizeof(float)) * static_cast<double>(errors.count) / seconds;
}

measurement& measurement::operator+=(const measurement& other) {
  errors.xx += other.errors.xx;
  errors.yy += other.errors.yy;
  errors.xy += other.errors.xy;
  errors.errors += other.errors.errors;
  errors.count += other.errors.count;
  bytes += other.bytes;
  seconds += other.seconds;
  histogram.exact += other.histogram.exact;
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    histogram.counts[i] += other.histogram.counts[i];
  }
  return *this;
}

measurement measure(hb::matrix_view<const float> x, const choice& how) {
  measurement result;
  const bool found =
      hb::with_block_format(how.format, [&](auto b) { result = measure_in<b.value>(x, how); });
  if (!found) throw std::invalid_argument("no block format " + how.format);
  return result;
}
