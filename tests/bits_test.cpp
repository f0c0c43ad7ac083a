#include <cmath>
#include <cstdint>
#include <random>

#include <doctest/doctest.h>

#include <halfbyte/bits.hpp>

#include "exact.hpp"

namespace hb = halfbyte;

static_assert(hb::bit_cast<std::uint32_t>(1.0f) == 0x3f800000u);
static_assert(hb::bit_cast<double>(std::uint64_t{0x3ff0000000000000}) == 1.0);
static_assert(hb::smaller(2, -3) == -3 && hb::smaller(-3, 2) == -3);
static_assert(hb::larger(2, -3) == 2 && hb::larger(-3, 2) == 2);
static_assert(hb::exp2i(0) == 1.0f && hb::exp2i(-1) == 0.5f && hb::exp2i(10) == 1024.0f);

TEST_CASE("ceil_div is the smallest integer at or above the quotient") {
  for (int a = 0; a <= 70; ++a) {
    for (int b = 1; b <= 70; ++b) {
      const int q = hb::ceil_div(a, b);
      CHECK(q * b >= a);
      CHECK((q - 1) * b < a);
    }
  }
}

TEST_CASE("bit_width counts the bits of every power of two and its neighbours") {
  CHECK(hb::bit_width(0) == 0);
  for (int k = 0; k < 64; ++k) {
    const std::uint64_t power = std::uint64_t{1} << k;
    CHECK(hb::bit_width(power) == k + 1);
    CHECK(hb::bit_width(power - 1) == k);
    CHECK(hb::bit_width(power | (power - 1)) == k + 1);
  }
  std::mt19937_64 random(7);
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t x = random() >> (random() % 64);
    CHECK(hb::bit_width(x) == exact::width(x));
  }
}

TEST_CASE("low_mask has its low n bits set, for every n from 0 to 64") {
  std::uint64_t mask = 0;
  for (int n = 0; n <= 64; ++n) {
    CHECK(hb::low_mask(n) == mask);
    mask = 2 * mask + 1;
  }
}

TEST_CASE("exp2i is 2^k to the last bit, subnormals included, 0 below and infinity above") {
  for (int k = -149; k <= 127; ++k) {
    CAPTURE(k);
    CHECK(exact::bits_of(hb::exp2i(k)) == exact::bits_of(exact::to_float({1, k})));
  }
  for (int k : {-150, -151, -180, -1000, -100000}) CHECK(exact::bits_of(hb::exp2i(k)) == 0);
  for (int k : {128, 129, 200, 1000, 100000}) CHECK(exact::bits_of(hb::exp2i(k)) == 0x7f800000u);
}

TEST_CASE("integer_sqrt is the floor of the root at squares, their neighbours and the ends") {
  const auto check = [](std::uint64_t x) {
    const std::uint64_t root = hb::integer_sqrt(x);
    CAPTURE(x);
    REQUIRE(root <= 0xffffffffu);
    CHECK(root * root <= x);
    if (root < 0xffffffffu) CHECK((root + 1) * (root + 1) > x);
  };
  for (std::uint64_t x = 0; x < 5000; ++x) check(x);
  for (std::uint64_t root = 0xffffffffu; root > 0; root -= root / 7 + 1) {
    for (const std::uint64_t x : {root * root - 1, root * root, root * root + 1}) check(x);
  }
  check(~std::uint64_t{0});
  check(~std::uint64_t{0} - 1);
  std::mt19937_64 random(11);
  for (int i = 0; i < 5000; ++i) check(random() >> (random() % 64));
}
