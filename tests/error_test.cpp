#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <halfbyte/error.hpp>

namespace hb = halfbyte;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

hb::matrix_view<const float> line(const std::vector<float>& x) {
  return {x.data(), 1, static_cast<std::ptrdiff_t>(x.size())};
}

/// Numbers in rows of `cols`, `gap` NaNs after each row.
template <class T>
struct padded {
  std::ptrdiff_t rows, cols, gap;
  std::vector<T> numbers{};

  template <class Draw>
  void fill(Draw draw) {
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      for (std::ptrdiff_t j = 0; j < cols + gap; ++j) {
        numbers.push_back(T(j < cols ? draw() : static_cast<double>(not_a_number)));
      }
    }
  }
  hb::matrix_view<const T> view() const { return {numbers.data(), rows, cols, cols + gap}; }
};

/// The five measures in plain loops over long doubles.
struct expected {
  long double xx = 0, yy = 0, xy = 0, errors = 0, count = 0;

  template <class T, class U>
  expected(hb::matrix_view<const T> x, hb::matrix_view<const U> y) {
    for (std::ptrdiff_t i = 0; i < x.rows; ++i) {
      for (std::ptrdiff_t j = 0; j < x.cols; ++j) {
        const long double a = static_cast<double>(x(i, j)), b = static_cast<double>(y(i, j));
        xx += a * a;
        yy += b * b;
        xy += a * b;
        errors += (a - b) * (a - b);
        count += 1;
      }
    }
  }
};

void check_close(double found, long double wanted) {
  CHECK(std::abs(static_cast<long double>(found) - wanted) <= 1e-12L * std::abs(wanted) + 1e-14L);
}

template <class T, class U>
void check_measures(hb::matrix_view<const T> x, hb::matrix_view<const U> y) {
  const expected e(x, y);
  check_close(hb::mse(x, y), e.errors / e.count);
  check_close(hb::sqnr(x, y), 10 * std::log10(e.xx / e.errors));
  check_close(hb::cosine(x, y), e.xy / std::sqrt(e.xx * e.yy));
  check_close(hb::misalignment(x, y), 1 - e.xy / e.xx);
  CHECK(hb::compare(x, y).count == static_cast<std::ptrdiff_t>(e.count));
}

template <class T, class U>
void check_random(std::ptrdiff_t rows, std::ptrdiff_t cols, double noise) {
  std::mt19937_64 random(static_cast<std::uint64_t>(rows * 1000 + cols));
  std::normal_distribution<double> gaussian;
  padded<T> x{rows, cols, 3};
  padded<U> y{rows, cols, 5};
  x.fill([&] { return gaussian(random); });
  std::ptrdiff_t i = 0;
  y.fill([&] {
    const double near = static_cast<double>(x.view()(i / cols, i % cols));
    ++i;
    return near + noise * gaussian(random);
  });
  check_measures(x.view(), y.view());
}

std::string message_of(auto&& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("the measures of four numbers are those computed by hand") {
  const std::vector<float> x{1, 2, 3, 4}, y{1, 2, 3, 5};
  const hb::error_sums sums = hb::compare(line(x), line(y));
  CHECK(sums.xx == 30);
  CHECK(sums.yy == 39);
  CHECK(sums.xy == 34);
  CHECK(sums.errors == 1);
  CHECK(sums.count == 4);
  CHECK(hb::mse(line(x), line(y)) == 0.25);
  CHECK(hb::sqnr(line(x), line(y)) == doctest::Approx(14.77121254719662).epsilon(1e-14));
  CHECK(hb::cosine(line(x), line(y)) == doctest::Approx(0.9939990885479664).epsilon(1e-14));
  CHECK(hb::misalignment(line(x), line(y)) == doctest::Approx(-4.0 / 30).epsilon(1e-14));
}

TEST_CASE("the measures are those of long-double loops, for strided views of every element type") {
  check_random<float, float>(1, 1, 0.1);
  check_random<float, float>(7, 129, 0.1);
  check_random<float, float>(64, 33, 1e-3);
  check_random<double, double>(31, 17, 1e-9);
  check_random<double, float>(5, 100, 0.3);
  check_random<hb::minifloat<hb::bfloat16>, float>(9, 40, 0.01);
  check_random<float, hb::float8_e4m3>(9, 40, 0.01);
}

TEST_CASE("doubles are compared as doubles") {
  const double x = 1, y = 1 + 1e-10;
  const hb::matrix_view<const double> a{&x, 1, 1}, b{&y, 1, 1};
  CHECK(hb::mse(a, b) == doctest::Approx(1e-20).epsilon(1e-4));
}

TEST_CASE("a matrix and its multiple have the SQNR, cosine and misalignment of the factor") {
  std::mt19937_64 random(3);
  std::normal_distribution<float> gaussian;
  std::vector<float> x, y;
  for (int i = 0; i < 500; ++i) x.push_back(gaussian(random));
  for (const float v : x) y.push_back(0.75f * v);
  CHECK(hb::sqnr(line(x), line(y)) == doctest::Approx(-20 * std::log10(0.25)).epsilon(1e-6));
  CHECK(hb::cosine(line(x), line(y)) == doctest::Approx(1).epsilon(1e-9));
  CHECK(hb::misalignment(line(x), line(y)) == doctest::Approx(0.25).epsilon(1e-6));
}

TEST_CASE("equal matrices have no error, and a matrix of zeros has 0 dB and misalignment 1") {
  const std::vector<float> x{1, -2, 3}, zeros{0, 0, 0};
  CHECK(hb::mse(line(x), line(x)) == 0);
  CHECK(hb::sqnr(line(x), line(x)) == HUGE_VAL);
  CHECK(hb::cosine(line(x), line(x)) == 1);
  CHECK(hb::misalignment(line(x), line(x)) == 0);
  CHECK(hb::max_ulp(line(x), line(x)) == 0);
  CHECK(hb::sqnr(line(x), line(zeros)) == 0);
  CHECK(hb::misalignment(line(x), line(zeros)) == 1);
}

TEST_CASE("no numbers have no mean squared error, and no distance") {
  const hb::matrix_view<const float> none{nullptr, 0, 5}, narrow{nullptr, 5, 0};
  CHECK(hb::mse(none, none) == 0);
  CHECK(hb::mse(narrow, narrow) == 0);
  CHECK(hb::max_ulp(none, none) == 0);
  CHECK(hb::compare(none, none).count == 0);
}

TEST_CASE("a NaN on either side is a NaN in every measure") {
  const std::vector<float> x{1, not_a_number, 3}, y{1, 2, 3};
  for (const auto& [a, b] : {std::pair(line(x), line(y)), std::pair(line(y), line(x))}) {
    CHECK(std::isnan(hb::mse(a, b)));
    CHECK(std::isnan(hb::sqnr(a, b)));
    CHECK(std::isnan(hb::cosine(a, b)));
  }
  CHECK(std::isnan(hb::misalignment(line(x), line(y))));
}

TEST_CASE("large floats are squared without overflow and small ones without underflow") {
  const std::vector<float> large{3e38f, -3e38f}, small{1e-40f, -1e-40f}, zeros{0, 0};
  CHECK(hb::mse(line(large), line(zeros)) == doctest::Approx(9e76).epsilon(1e-6));
  CHECK(hb::mse(line(small), line(zeros)) == doctest::Approx(1e-80).epsilon(1e-4));
}

TEST_CASE("max_ulp is the largest number of steps between two numbers of a pair") {
  const std::vector<float> x{1, 2, 0, -4}, y{1, std::nextafter(2.0f, 3.0f), 0, -4};
  CHECK(hb::max_ulp(line(x), line(y)) == 1);
  CHECK(hb::max_ulp<hb::e4m3>(line(x), line(y)) == 0);
  const std::vector<float> z{1, 2.5f, -0.0f, -4.5f};
  CHECK(hb::max_ulp<hb::e4m3>(line(x), line(z)) == 2);
  CHECK(hb::max_ulp<hb::e5m2>(line(x), line(z)) == 1);
  CHECK(hb::max_ulp<hb::e2m1>(line(z), line(x)) == 0);
}

TEST_CASE("max_ulp counts a NaN beside a number as the whole format, and two NaNs as equal") {
  const std::vector<float> x{1, not_a_number}, y{1, 2};
  CHECK(hb::max_ulp<hb::e4m3>(line(x), line(y)) == 255);
  CHECK(hb::max_ulp<hb::e4m3>(line(y), line(x)) == 255);
  CHECK(hb::max_ulp<hb::float32>(line(x), line(y)) == std::int64_t{0xffffffff});
  CHECK(hb::max_ulp<hb::e4m3>(line(x), line(x)) == 0);
}

TEST_CASE("max_ulp of infinities follows the format: saturated in e4m3, equal in float32") {
  const std::vector<float> x{infinity}, y{448}, z{-infinity};
  CHECK(hb::max_ulp<hb::e4m3>(line(x), line(y)) == 0);
  CHECK(hb::max_ulp<hb::e4m3>(line(x), line(z)) == 2 * 126);
}

TEST_CASE("views of unequal sizes throw, naming the function and the sizes") {
  const std::vector<float> x(12);
  const hb::matrix_view<const float> a{x.data(), 3, 4}, b{x.data(), 4, 3}, c{x.data(), 3, 3};
  CHECK(message_of([&] { hb::compare(a, b); }) == "halfbyte::compare: 3 x 4 with 4 x 3");
  CHECK(message_of([&] { hb::max_ulp(a, c); }) == "halfbyte::max_ulp: 3 x 4 with 3 x 3");
  CHECK_THROWS_AS(hb::mse(a, c), std::invalid_argument);
  CHECK_THROWS_AS(hb::sqnr(a, c), std::invalid_argument);
  CHECK_THROWS_AS(hb::cosine(a, c), std::invalid_argument);
  CHECK_THROWS_AS(hb::misalignment(a, c), std::invalid_argument);
}
