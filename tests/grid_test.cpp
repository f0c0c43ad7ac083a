#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <random>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include <halfbyte/grid.hpp>

#include "every_format.hpp"
#include "exact.hpp"
#include "tally.hpp"

namespace hb = halfbyte;

namespace {

/// Every 8-bit format with IEEE 754's bias: shape i has i % 9 exponent bits, special patterns of
/// kind i / 9 % 4, and a sign if i / 36 is 1.
constexpr hb::format shape(int i) {
  const int exponent = i % 9, sign = i / 36;
  const int mantissa = 8 - sign - exponent;
  const int bias = exponent == 0 ? 1 - mantissa : (1 << exponent) / 2 - 1;
  return {exponent, mantissa, bias, static_cast<hb::specials>(i / 9 % 4), sign};
}

constexpr bool can_be(int i) {
  return shape(i).mantissa_bits >= 0 && shape(i).exponent_bits >= 0 && shape(i).valid();
}

template <class Function, std::size_t... I>
void for_each_shape(Function& f, std::index_sequence<I...>) {
  const auto one = [&f]<int i>() {
    if constexpr (can_be(i)) f.template operator()<shape(i)>();
  };
  (one.template operator()<static_cast<int>(I)>(), ...);
}

/// Every 8-bit format, and those of other sizes that have a name.
template <class Function>
void for_each_format(Function&& f) {
  for_each_shape(f, std::make_index_sequence<72>{});
  f.template operator()<hb::e4m3fnuz>();
  f.template operator()<hb::e5m2fnuz>();
  f.template operator()<hb::fixed8>();
  f.template operator()<hb::e2m1>();
  f.template operator()<hb::e2m3>();
  f.template operator()<hb::e3m2>();
  f.template operator()<hb::ue4m3>();
  f.template operator()<hb::int4>();
  f.template operator()<hb::float16>();
  f.template operator()<hb::bfloat16>();
}

/// What a pattern means by the definition of its format, in a double; infinities are infinite.
template <hb::format F>
double value_of(const exact::grid& grid, std::uint32_t pattern) {
  const exact::value v = grid.meaning(pattern);
  if (!v.finite()) return v.negative ? -HUGE_VAL : HUGE_VAL;
  return exact::to_double(v.magnitude, v.negative);
}

/// Numbers of F that can be written, infinities too, in increasing order, each once.
template <hb::format F>
std::vector<double> sorted_values(const exact::grid& grid) {
  std::vector<double> values;
  for (std::uint32_t p = 0; p <= F.mask(); ++p) {
    const bool read_only = F.fixed_point() && p == F.sign_mask();
    if (grid.meaning(p).what != exact::value::kind::nan && !read_only) {
      values.push_back(value_of<F>(grid, p) + 0.0);
    }
  }
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

template <hb::format F>
std::string words(std::uint32_t pattern) {
  return "pattern " + hex(pattern) + " of e" + std::to_string(F.exponent_bits) + "m" +
         std::to_string(F.mantissa_bits) + " specials " +
         std::to_string(static_cast<int>(F.special)) + " sign " + std::to_string(F.sign_bits);
}

}  // namespace

static_assert(hb::next_up(hb::float4_e2m1(2.0)) == hb::float4_e2m1(3.0));
static_assert(hb::next_down(hb::float4_e2m1(2.0)) == hb::float4_e2m1(1.5));
static_assert(hb::ulp_distance(hb::float4_e2m1(-6.0), hb::float4_e2m1(6.0)) == 14);
static_assert(hb::every_pattern<hb::e4m3>().size() == 256);
static_assert(hb::every_number<hb::e2m1>().size() == 15);
static_assert(hb::every_midpoint<hb::e2m1>().size() == 14);
static_assert(std::ranges::input_range<decltype(hb::every_midpoint<hb::e2m1>())>);

TEST_CASE("next_up and next_down are the neighbours in the sorted values, for every pattern") {
  tally count;
  int formats = 0;
  for_each_format([&]<hb::format F>() {
    ++formats;
    const exact::grid grid = exact::grid_of(F);
    const std::vector<double> values = sorted_values<F>(grid);
    for (std::uint32_t p = 0; p <= F.mask(); ++p) {
      const auto x = hb::minifloat<F>::from_pattern(p);
      const auto up = hb::next_up(x), down = hb::next_down(x);
      if (grid.meaning(p).what == exact::value::kind::nan) {
        count.expect(up.pattern == p && down.pattern == p, [&] { return words<F>(p); });
        continue;
      }
      const double value = value_of<F>(grid, p);
      const auto above = std::upper_bound(values.begin(), values.end(), value);
      const auto below = std::lower_bound(values.begin(), values.end(), value);
      const double expected_up = above == values.end() ? value : *above;
      const double expected_down = below == values.begin() ? value : *std::prev(below);
      count.expect(value_of<F>(grid, up.pattern) == expected_up, [&] { return words<F>(p); });
      count.expect(value_of<F>(grid, down.pattern) == expected_down, [&] { return words<F>(p); });
    }
  });
  CHECK(formats == 10 + 28 + 22);  // named; signed and unsigned shapes
}

TEST_CASE("the neighbour of a smallest number across zero is the zero of its own sign") {
  using number = hb::float8_e5m2;
  CHECK(hb::next_up(number::from_pattern(0x81)).pattern == 0x80);
  CHECK(hb::next_down(number::from_pattern(0x01)).pattern == 0x00);
  CHECK(hb::next_up(number::from_pattern(0x80)).pattern == 0x01);
  CHECK(hb::next_down(number::from_pattern(0x00)).pattern == 0x81);
  CHECK(hb::next_up(hb::float8_e5m2fnuz::from_pattern(0x81)).pattern == 0x00);
}

TEST_CASE("next_up and next_down of float32 are those of the C library") {
  std::mt19937_64 random(11);
  tally count;
  std::vector<std::uint32_t> patterns = {0,          0x80000000u, 1,           0x80000001u,
                                         0x7f7fffffu, 0xff7fffffu, 0x7f800000u, 0xff800000u};
  for (int i = 0; i < 100000; ++i) patterns.push_back(static_cast<std::uint32_t>(random()));
  for (const std::uint32_t p : patterns) {
    const float x = exact::float_of(p);
    if (std::isnan(x)) continue;
    const auto y = hb::minifloat<hb::float32>::from_pattern(p);
    const float up = exact::float_of(hb::next_up(y).pattern);
    const float down = exact::float_of(hb::next_down(y).pattern);
    count.expect(up == std::nextafter(x, HUGE_VALF), [&] { return "up from " + hex(p); });
    count.expect(down == std::nextafter(x, -HUGE_VALF), [&] { return "down from " + hex(p); });
  }
}

TEST_CASE("ulp_distance counts the numbers from one to the other, for every pair of patterns") {
  tally count;
  const auto check = [&]<hb::format F>() {
    const exact::grid grid = exact::grid_of(F);
    const std::vector<double> values = sorted_values<F>(grid);
    for (const auto a : hb::every_pattern<F>()) {
      for (const auto b : hb::every_pattern<F>()) {
        if (a.is_nan() || b.is_nan()) continue;
        if (F.fixed_point() && (a.pattern == F.sign_mask() || b.pattern == F.sign_mask())) continue;
        const auto place = [&](auto x) {
          return std::lower_bound(values.begin(), values.end(), value_of<F>(grid, x.pattern));
        };
        const auto expected = std::abs(place(a) - place(b));
        count.expect(hb::ulp_distance(a, b) == expected,
                     [&] { return words<F>(a.pattern) + " to " + hex(b.pattern); });
      }
    }
  };
  check.operator()<hb::e2m1>();
  check.operator()<hb::e3m2>();
  check.operator()<hb::e4m3>();
  check.operator()<hb::e5m2>();
  check.operator()<hb::e4m3fnuz>();
  check.operator()<hb::ue8m0>();
  check.operator()<hb::int8>();
}

TEST_CASE("ulp_distance does not overflow between the ends of float32") {
  using number = hb::minifloat<hb::float32>;
  const auto lowest = number::from_pattern(0xff7fffffu), largest = number::from_pattern(0x7f7fffffu);
  CHECK(hb::ulp_distance(lowest, largest) == 2 * std::int64_t{0x7f7fffff});
  CHECK(hb::ulp_distance(largest, lowest) == 2 * std::int64_t{0x7f7fffff});
}

TEST_CASE("every_pattern has each pattern once, in order") {
  for_each_format([]<hb::format F>() {
    std::uint32_t next = 0;
    bool in_order = true;
    for (const auto x : hb::every_pattern<F>()) in_order = in_order && x.pattern == next++;
    CHECK(in_order);
    CHECK(next == F.mask() + 1);
    CHECK(hb::every_pattern<F>().size() == next);
  });
}

TEST_CASE("every_number has each finite number once, from the lowest to the largest") {
  for_each_format([]<hb::format F>() {
    std::vector<double> expected = sorted_values<F>(exact::grid_of(F));
    std::erase_if(expected, [](double x) { return std::isinf(x); });
    std::vector<double> found;
    for (const auto x : hb::every_number<F>()) found.push_back(static_cast<double>(x));
    CHECK(found == expected);
    CHECK(hb::every_number<F>().size() == expected.size());
  });
}

TEST_CASE("every_midpoint has the exact middle of each two neighbours") {
  for_each_format([]<hb::format F>() {
    tally count;
    const exact::grid grid = exact::grid_of(F);
    std::vector<double> expected;
    if (F.has_sign()) {
      for (std::size_t i = grid.values.size() - 1; i > 0; --i) {
        const exact::number m = exact::middle(grid.values[i - 1], grid.values[i]);
        expected.push_back(exact::to_double(m, true));
      }
    }
    for (std::size_t i = 1; i < grid.values.size(); ++i) {
      expected.push_back(exact::to_double(exact::middle(grid.values[i - 1], grid.values[i])));
    }
    const auto midpoints = hb::every_midpoint<F>();
    const std::vector<double> found(midpoints.begin(), midpoints.end());
    CHECK(midpoints.size() == found.size());
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      count.expect(exact::bits_of(found[i]) == exact::bits_of(expected[i]),
                   [&] { return words<F>(static_cast<std::uint32_t>(i)); });
    }
  });
}

TEST_CASE("at every midpoint the two directed modes give neighbours, and the nearest modes differ") {
  const auto check = []<hb::format F>() {
    tally count;
    for (const double x : hb::every_midpoint<F>()) {
      using number = hb::minifloat<F>;
      const auto up = number::from_pattern(hb::encode<F>(x, hb::upward{}));
      const auto down = number::from_pattern(hb::encode<F>(x, hb::downward{}));
      count.expect(hb::ulp_distance(up, down) == 1, [&] { return std::to_string(x); });
      count.expect(hb::encode<F>(x, hb::nearest_away{}) != hb::encode<F>(x, hb::nearest_toward_zero{}),
                   [&] { return std::to_string(x); });
    }
  };
  check.operator()<hb::e2m1>();
  check.operator()<hb::e4m3>();
  check.operator()<hb::e5m2>();
  check.operator()<hb::float16>();
}
