#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <halfbyte/hadamard.hpp>
#include <halfbyte/transform.hpp>

#include "instruction_sets.hpp"
#include "normal.hpp"

namespace hb = halfbyte;

TEST_CASE("the rows of every matrix are orthogonal and made of ones") {
  int orders = 0;
  for (int n = 1; n <= 256; ++n) {
    if (!hb::has_hadamard(n)) continue;
    ++orders;
    // Row i is the transform of unit vector i, times sqrt(n).
    std::vector<std::vector<int>> h;
    for (int i = 0; i < n; ++i) {
      std::vector<float> unit(static_cast<std::size_t>(n));
      unit[static_cast<std::size_t>(i)] = 1;
      hb::hadamard(unit.data(), n);
      std::vector<int> row;
      for (const float x : unit) row.push_back(x > 0 ? 1 : -1);
      for (const float x : unit) REQUIRE(std::fabs(x) == hb::detail::hadamard_scale(n));
      h.push_back(row);
    }
    for (std::size_t i = 0; i < h.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        int dot = 0;
        for (std::size_t k = 0; k < h.size(); ++k) dot += h[i][k] * h[j][k];
        REQUIRE(dot == 0);
      }
    }
  }
  CHECK(orders >= 25);
  for (const int n : {12, 20, 24, 28, 36, 40, 44, 60, 768, 14336}) CHECK(hb::has_hadamard(n));
  for (const int n : {-4, 0, 3, 6, 10, 92 + 1}) CHECK_FALSE(hb::has_hadamard(n));
}

TEST_CASE("the scale is the float nearest to 1 / sqrt(n)") {
  for (int n = 1; n <= 4096; ++n) {
    if (!hb::has_hadamard(n)) continue;
    CHECK(hb::detail::hadamard_scale(n) == static_cast<float>(1 / std::sqrt(double(n))));
  }
}

TEST_CASE("the inverse undoes the transform, signs included") {
  std::uint8_t bits[64];
  for (std::uint64_t i = 0; i < 64; ++i) bits[i] = hb::random_signs(5, 0, i);
  for (const int n : {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 12, 20, 28, 40, 48, 80, 112}) {
    const auto x = normal(n, 1);
    auto y = x;
    hb::hadamard(y.data(), n, {bits});
    hb::inverse_hadamard(y.data(), n, {bits});
    // Each of log2(n) + 1 roundings (n for the base) of either pass moves a number by at most half
    // an ulp of the length of x, which both transforms keep.
    double length = 0;
    for (const float v : x) length += double{v} * v;
    const double roundings = 2 * (hb::detail::hadamard_base(n) + std::log2(n) + 1);
    const double bound = roundings * std::sqrt(length) * 0x1p-24 * std::sqrt(double(n));
    for (std::size_t i = 0; i < x.size(); ++i) CHECK(std::fabs(y[i] - x[i]) <= bound);
  }
}

TEST_CASE("signs come before the mixing, not after") {
  const std::uint8_t bits[2] = {0x01, 0};
  std::vector<float> x(16);
  x[0] = 4;
  hb::hadamard(x.data(), 16, {bits});
  for (const float v : x) CHECK(v == -1);  // all of row 0 is negated, not its first number
}

TEST_CASE("matrices have the bits of the scalar transform, in every instruction set") {
  std::uint8_t bits[512];
  for (std::uint64_t i = 0; i < 512; ++i) bits[i] = hb::random_signs(6, 1, i);
  for (const int n : {1, 2, 4, 8, 12, 16, 20, 32, 64, 128, 256, 1024, 4096}) {
    const std::ptrdiff_t cols = 3 * n, rows = 3, stride = cols + 5;
    const auto x = normal(rows * stride, 2);
    for (const bool inverse : {false, true}) {
      for (const hb::sign_vector signs : {hb::sign_vector{}, hb::sign_vector{bits}}) {
        auto expected = x;
        for (std::ptrdiff_t i = 0; i < rows; ++i) {
          for (std::ptrdiff_t j = 0; j < cols; j += n) {
            float* run = expected.data() + i * stride + j;
            inverse ? hb::inverse_hadamard(run, n, signs) : hb::hadamard(run, n, signs);
          }
        }
        for_each_instruction_set([&](const char* set) {
          auto y = x;
          const hb::matrix_view<float> view{y.data(), rows, cols, stride};
          inverse ? hb::inverse_hadamard(view, n, signs) : hb::hadamard(view, n, signs);
          INFO("vectors ", std::string(set), ", n = ", n);
          CHECK(y == expected);
        });
      }
    }
  }
}

TEST_CASE("blocks that do not fit are refused") {
  std::vector<float> x(48);
  const hb::matrix_view<float> view{x.data(), 1, 48, 48};
  CHECK_THROWS_AS(hb::hadamard(view, 32), std::invalid_argument);
  CHECK_THROWS_AS(hb::hadamard(view, 6), std::invalid_argument);
  CHECK_THROWS_AS(hb::inverse_hadamard(view, 0), std::invalid_argument);
}
