// Published numbers of quantization errors beside ours: Gaussian data through block formats, scale
// rules and roundings, and single formats at the clip that is best for a distribution.
//
// Usage: gaussian [log2 of the number of samples, 22 by default]. Exits with 1 where a number is
// further than 1 % from the published one (a decibel is compared as the power that it stands for;
// misalignment has its sampling error on top).

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numbers>
#include <optional>
#include <random>
#include <vector>

#include <halfbyte/quantize.hpp>

namespace hb = halfbyte;

namespace {

constexpr std::ptrdiff_t columns = 4096;

/// torchao's CEIL: the power of two at or above amax, less the element's exponent.
struct torchao_ceil {
  template <hb::block_format B, class T>
  constexpr std::uint32_t block_scale(hb::matrix_view<const T>, const hb::unpacked& amax,
                                      hb::tensor_scaling) const {
    const int up = amax.significand == std::uint64_t{1} << 63 ? 0 : 1;
    return hb::positive_scale<B.scale>(
        hb::unpack_integer(1, amax.exponent + up - B.element.max_exponent()));
  }
};

/// floor_pow2 for elements that are rounded at 3/4 of their size, and so never saturate: what comes
/// back is times 3/4. arXiv 2502.20586.
struct three_quarters : hb::floor_pow2 {
  template <hb::block_format B>
  constexpr hb::unpacked scaled(const hb::unpacked& x, std::uint32_t pattern,
                                hb::tensor_scaling tensor) const {
    if (x.is_zero()) return x;
    return hb::quotient(hb::product(x, hb::unpack_integer(3, -2)), hb::divisor<B>(pattern, tensor));
  }
};

struct errors {
  double mse = 0;           ///< mean of (x - y)^2 over that of x^2
  double misalignment = 0;  ///< 1 - <x, y> / <x, x>

  double decibels() const { return -10 * std::log10(mse); }
};

/// A quantizer: the numbers that come back for x.
using quantizer = std::function<void(hb::matrix_view<const float>, hb::matrix_view<float>)>;

template <hb::block_format B, class Rounding = hb::nearest_even, class Rule = hb::default_scale<B>>
quantizer make(Rule rule = {}, Rounding rounding = {}, float after = 1) {
  return [=](hb::matrix_view<const float> x, hb::matrix_view<float> y) {
    hb::fake_quantize<B>(x, y, rounding, rule);
    for (std::ptrdiff_t i = 0; i < y.rows; ++i) {
      for (std::ptrdiff_t j = 0; j < y.cols; ++j) y(i, j) *= after;
    }
  };
}

/// Rows of Gaussian numbers, and the same with a standard deviation that runs through an octave.
struct samples {
  std::vector<float> plain, octave;
  std::ptrdiff_t rows;

  explicit samples(int log2) : rows((std::ptrdiff_t{1} << log2) / columns) {
    std::mt19937_64 random(1);
    std::normal_distribution<double> normal;
    for (std::ptrdiff_t i = 0; i < rows * columns; ++i) {
      const double x = normal(random);
      const double octave_part = (static_cast<double>(i / columns % 32) + 0.5) / 32;
      plain.push_back(static_cast<float>(x));
      octave.push_back(static_cast<float>(x * std::exp2(octave_part)));
    }
  }
};

errors errors_of(const std::vector<float>& x, std::ptrdiff_t rows, const quantizer& q) {
  std::vector<float> y(x.size());
  q({x.data(), rows, columns, columns}, {y.data(), rows, columns, columns});
  errors mean;
  for (std::ptrdiff_t i = 0; i < rows; ++i) {  // by rows: each has a deviation of its own
    double noise = 0, signal = 0, kept = 0;
    for (std::ptrdiff_t j = 0; j < columns; ++j) {
      const auto at = static_cast<std::size_t>(i * columns + j);
      const double a = double{x[at]}, b = double{y[at]};
      noise += (a - b) * (a - b);
      signal += a * a;
      kept += a * b;
    }
    mean.mse += noise / signal;
    mean.misalignment += 1 - kept / signal;
  }
  mean.mse /= static_cast<double>(rows);
  mean.misalignment /= static_cast<double>(rows);
  return mean;
}

int wrong = 0, rows_printed = 0;

/// One line of the table; `close` is how far ours may be from the published number.
void print(const char* name, const char* what, double published, double ours, double difference,
           double close = 0.01) {
  const bool far = !(std::abs(difference) <= close);
  std::printf("%-44s %-14s %11.5g %11.5g %+7.2f %%%s\n", name, what, published, ours,
              100 * difference, far ? "  <-- too far" : "");
  std::fflush(stdout);
  wrong += far ? 1 : 0;
  ++rows_printed;
}

void print_decibels(const char* name, const char* what, double published, double ours) {
  print(name, what, published, ours, std::pow(10, (published - ours) / 10) - 1);
}

void print_number(const char* name, const char* what, double published, double ours) {
  print(name, what, published, ours, ours / published - 1);
}

/// Numbers published for one quantizer: those that are there are compared.
struct row {
  const char* name;
  quantizer run;
  std::optional<double> sqnr, mse, octave_mse, octave_misalignment;
};

void compare(const samples& data, const row& r) {
  if (r.sqnr || r.mse) {
    const errors e = errors_of(data.plain, data.rows, r.run);
    if (r.sqnr) print_decibels(r.name, "SQNR dB", *r.sqnr, e.decibels());
    if (r.mse) print_number(r.name, "MSE", *r.mse, e.mse);
  }
  if (r.octave_mse || r.octave_misalignment) {
    const errors e = errors_of(data.octave, data.rows, r.run);
    if (r.octave_mse) print_number(r.name, "MSE octave", *r.octave_mse, e.mse);
    if (r.octave_misalignment) {
      // A mean of numbers of both signs: half a unit of the last published digit, and three standard
      // deviations, on top.
      const double slack = 0.00005 + 3 * std::sqrt(e.mse / static_cast<double>(data.plain.size()));
      print(r.name, "misaligned", *r.octave_misalignment, e.misalignment,
            e.misalignment / *r.octave_misalignment - 1, 0.01 + slack / *r.octave_misalignment);
    }
  }
}

template <hb::block_format B>
void compare_powers(const samples& data, const char* name, double floor, double ceil, double even,
                    double rceil, std::optional<double> floor_mse = {},
                    std::optional<double> ceil_mse = {}, std::optional<double> floor_octave = {},
                    std::optional<double> ceil_octave = {}) {
  char title[64];
  const auto titled = [&](const char* rule) {
    std::snprintf(title, sizeof title, "%s %s", name, rule);
    return title;
  };
  compare(data, {titled("floor_pow2"), make<B>(hb::floor_pow2{}), floor, floor_mse, floor_octave, {}});
  compare(data, {titled("torchao's CEIL"), make<B>(torchao_ceil{}), ceil, {}, {}, {}});
  compare(data, {titled("nearest_pow2"), make<B>(hb::nearest_pow2{}), even, {}, {}, {}});
  compare(data, {titled("ceil_pow2"), make<B>(hb::ceil_pow2{}), rceil, ceil_mse, ceil_octave, {}});
}

void compare_blocks(const samples& data) {
  using hb::block_format;
  constexpr block_format e2m1_float{hb::e2m1, hb::float32, 1, 32};
  constexpr block_format int4_float{hb::int4, hb::float32, 1, 32};
  constexpr block_format fp8_power{hb::e4m3, hb::ue8m0, 1, 128};
  const hb::stochastic<> random(1);
  const hb::nearest_even even;
  const float root = std::numbers::sqrt2_v<float>;

  std::puts("\nalgorithms on N(0, 1): block formats, scale rules, roundings");
  compare_powers<hb::mxfp8_e4m3>(data, "mxfp8_e4m3", 30.642, 31.516, 31.171, 31.516, 8.63e-4,
                                 7.05e-4, 8.95e-4, 7.02e-4);
  compare_powers<hb::mxfp8_e5m2>(data, "mxfp8_e5m2", 25.362, 25.545, 25.545, 25.545, 2.91e-3,
                                 2.79e-3, 2.92e-3, 2.78e-3);
  compare_powers<hb::mxfp6_e3m2>(data, "mxfp6_e3m2", 25.362, 25.544, 25.545, 25.545, 2.91e-3,
                                 2.79e-3, 2.92e-3, 2.78e-3);
  compare_powers<hb::mxfp6_e2m3>(data, "mxfp6_e2m3", 30.937, 28.763, 30.984, 30.953, 8.06e-4,
                                 8.03e-4, 7.99e-4, 7.98e-4);
  compare_powers<hb::mxfp4>(data, "mxfp4", 18.788, 16.820, 19.025, 18.757, .01322, .01332, .01336,
                            .01367);
  const std::optional<double> none;
  const row rows[] = {
      {"mxint8 floor_pow2", make<hb::mxint8>(), 41.668, 6.8e-5, none, none},
      {"nvfp4 absmax", make<hb::nvfp4>(), 20.434, .00904, none, .0044},
      {"nvfp4_2d absmax", make<hb::nvfp4_2d>(), 19.070, .01239, none, none},
      {"nvfp4 nvfp4_te", make<hb::nvfp4>(hb::nvfp4_te{}), 20.434, .00904, none, none},
      {"nvfp4 four_over_six", make<hb::nvfp4>(hb::four_over_six{}), 21.216, .00756, none, none},
      {"nvfp4 mean_square_search", make<hb::nvfp4>(hb::mean_square_search{}), none, .00667, none,
       none},
      {"nvfp4 rms_clip{1}", make<hb::nvfp4>(hb::rms_clip{1.0f}), none, .01223, none, none},
      {"nvfp4 absmax, stochastic", make<hb::nvfp4>(hb::absmax{}, random), none, .01885, none, none},
      {"fp8_1x128 absmax", make<hb::fp8_1x128>(), 31.802, none, none, none},
      {"e4m3 1x128, ue8m0, ceil_pow2", make<fp8_power>(hb::ceil_pow2{}), 31.516, none, none, none},
      {"fp8_128x128 absmax", make<hb::fp8_128x128>(), 31.552, none, none, none},
      {"mxfp4 floor_pow2", make<hb::mxfp4>(), none, none, none, .0218},
      {"mxfp4 floor_pow2 of 3/4 x", make<hb::mxfp4>(three_quarters{}, even, 4.0f / 3), none, .01386,
       .01367, .0094},
      {"mxfp4 floor_pow2 of 3/4 x, stochastic",
       make<hb::mxfp4>(three_quarters{}, random, 4.0f / 3), none, .02817, .02779, none},
      {"mxfp4 floor_pow2 of 3/4 x, times 1.009276",
       make<hb::mxfp4>(three_quarters{}, even, 1.009276f * 4 / 3), none, .01403, .0138, none},
      {"mxfp4 floor_pow2, stochastic", make<hb::mxfp4>(hb::floor_pow2{}, random), none, .02521,
       .02495, .0135},
      {"mxfp4 ceil_pow2", make<hb::mxfp4>(hb::ceil_pow2{}), none, none, none, .0095},
      {"mxfp4 ceil_pow2, stochastic", make<hb::mxfp4>(hb::ceil_pow2{}, random), none, .02711,
       .02780, none},
      {"mxfp4 mean_square_search", make<hb::mxfp4>(hb::mean_square_search{}), none, .01245, none,
       none},
      {"mxfp4 rms_clip{1}", make<hb::mxfp4>(hb::rms_clip{1.0f}), none, .02695, .02232, .0516},
      {"mxfp4 rms_clip{sqrt 2}", make<hb::mxfp4>(hb::rms_clip{root}), none, .01271, .01337, .0151},
      {"mxfp4 rms_clip{1.5}", make<hb::mxfp4>(hb::rms_clip{}), none, .01270, .01330, .0129},
      {"mxfp4 rms_clip{2}", make<hb::mxfp4>(hb::rms_clip{2.0f}), none, .01573, .0155, .0088},
      {"e2m1 1x32, float32, absmax", make<e2m1_float>(), none, .01022, none, .0058},
      {"per_row(e2m1) of 4096, absmax", make<hb::per_row(hb::e2m1)>(), none, .01413, none, .0090},
      {"per_row(e2m1) of 4096, ceil_pow2", make<hb::per_row(hb::e2m1)>(hb::ceil_pow2{}), none,
       .02321, none, none},
      {"per_row(int8) of 4096, absmax", make<hb::per_row(hb::int8)>(), none, 7.5e-5, none, none},
      {"per_row(int4) of 4096, absmax", make<hb::per_row(hb::int4)>(), none, .02474, none, none},
      {"int4 1x32, float32, absmax", make<int4_float>(), none, .00941, none, none},
      {"per_tensor(e4m3) absmax", make<hb::per_tensor(hb::e4m3)>(), none, 7.03e-4, none, none},
      {"per_tensor(e3m2) absmax", make<hb::per_tensor(hb::e3m2)>(), none, 2.79e-3, none, none},
  };
  for (const row& r : rows) compare(data, r);
}

enum class distribution { uniform, normal, student8 };

double density(distribution d, double x) {
  switch (d) {
    case distribution::uniform: return x <= 1 ? 0.5 : 0;
    case distribution::normal: return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
    case distribution::student8: {
      const double c = std::tgamma(4.5) / (std::sqrt(8 * std::numbers::pi) * std::tgamma(4.0));
      return c * std::pow(1 + x * x / 8, -4.5);
    }
  }
  return 0;
}

/// Mean squared error of x / s rounded to F, s = clip / largest number of F: the midpoint rule, on
/// x = t / (1 - t) where x has no end.
template <hb::format F>
double error_at(distribution d, double clip, int steps) {
  const double largest = double{hb::decode<F>(F.max_pattern())};
  const double s = clip / largest;
  double sum = 0;
  for (int i = 0; i < steps; ++i) {
    const double t = (i + 0.5) / steps;
    const bool bounded = d == distribution::uniform;
    const double x = bounded ? t : t / (1 - t);
    const double weight = bounded ? 1 : 1 / ((1 - t) * (1 - t));
    const double p = density(d, x) * weight;
    if (p * x * x < 1e-14) continue;
    const double e = x - s * double{hb::decode<F>(hb::encode<F>(x / s))};
    sum += e * e * p;
  }
  return 2 * sum / steps;
}

struct optimum {
  double clip, mse;
};

/// The best clip up to `most`: a scan, then ever finer steps around the best.
template <hb::format F>
optimum best_clip(distribution d, double most, int steps) {
  optimum best{most, error_at<F>(d, most, steps)};
  const auto attempt = [&](double clip) {
    if (clip > most) return;
    const double e = error_at<F>(d, clip, steps);
    if (e < best.mse) best = {clip, e};
  };
  const double least = d == distribution::uniform ? 0.8 : 2.0;
  for (double clip = least; clip < most; clip *= 1.04) attempt(clip);
  for (double step = 0.02; step > 0.0005; step /= 2) {
    for (const double factor : {1 - step, 1 + step}) attempt(best.clip * factor);
  }
  return best;
}

template <hb::format F>
void compare_clips(const char* name, double uniform, double normal, double student, int steps) {
  char title[64];
  const auto line = [&](const char* data, distribution d, double most, double published) {
    const optimum o = best_clip<F>(d, most, steps);
    std::snprintf(title, sizeof title, "%s on %s, clip %.3f", name, data, o.clip);
    print_decibels(title, "-10 log10 MSE", published, -10 * std::log10(o.mse));
  };
  line("U[-1, 1]", distribution::uniform, 1.05, uniform);
  line("N(0, 1)", distribution::normal, 10, normal);
  line("Student t, 8", distribution::student8, 100, student);
}

/// Every pattern finite, as in arXiv 2208.09225.
template <int E, int M>
inline constexpr hb::format finite{E, M, (1 << (E - 1)) - 1};

void compare_single_formats(int steps) {
  std::puts("\nsingle formats, every pattern finite, at the best clip (arXiv 2208.09225)");
  compare_clips<finite<5, 2>>("e5m2", 31.05, 25.58, 24.31, steps);
  compare_clips<finite<4, 3>>("e4m3", 37.18, 31.56, 30.29, steps);
  compare_clips<finite<3, 4>>("e3m4", 43.26, 37.56, 36.27, steps);
  compare_clips<finite<2, 5>>("e2m5", 49.26, 42.67, 37.18, steps);
  compare_clips<hb::int8>("int8", 52.90, 40.54, 33.14, steps);
  compare_clips<hb::e2m1>("e2m1", 24.83, 18.97, 16.51, steps);
  compare_clips<hb::e2m3>("e2m3", 37.12, 30.81, 27.27, steps);
  compare_clips<hb::int4>("int4", 28.29, 18.90, 15.16, steps);
  print_number("e2m1 on N(0, 1), clip 2.92247856", "MSE", .0126849041,
               error_at<hb::e2m1>(distribution::normal, 2.92247856, steps));
}

}  // namespace

int main(int argc, char** argv) {
  const int log2 = argc > 1 ? std::atoi(argv[1]) : 22;
  if (log2 < 12 || log2 > 28) {
    std::fputs("usage: gaussian [log2 of the number of samples, 12 to 28]\n", stderr);
    return 2;
  }
  std::printf("%ld samples, mt19937_64 seed 1\n%-44s %-14s %11s %11s %9s\n", 1L << log2, "quantizer",
              "quantity", "published", "ours", "apart");
  compare_blocks(samples(log2));
  compare_single_formats(log2 >= 22 ? 60000 : 15000);
  std::printf("\n%d of %d numbers are close enough\n", rows_printed - wrong, rows_printed);
  return wrong == 0 ? 0 : 1;
}
