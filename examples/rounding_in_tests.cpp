// A unit test of one's own function under every rounding mode, with doctest: what holds in all of
// them, and where they differ.

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <iomanip>
#include <iostream>
#include <iterator>
#include <set>
#include <string>

#include <halfbyte/halfbyte.hpp>
#include <halfbyte/io.hpp>

namespace hb = halfbyte;
using number = hb::float4_e2m1;

constexpr number doubtful[] = {number(-1.5), number(2.0), number(3.0)};

/// The function under test: the mean of two numbers, kept in 4 bits.
template <hb::rounding Rounding>
number mean(number a, number b, Rounding rounding) {
  const double exact = (static_cast<double>(a) + static_cast<double>(b)) / 2;
  return number::from_pattern(hb::encode<hb::e2m1>(exact, rounding));
}

TEST_CASE("the mean of two numbers lies between them, in every mode") {
  hb::for_each_rounding([](auto rounding) {
    CAPTURE(hb::name(rounding));
    for (const number a : hb::every_number<hb::e2m1>()) {
      for (const number b : hb::every_number<hb::e2m1>()) {
        if (b < a) continue;
        CHECK(mean(a, b, rounding) >= a);
        CHECK(mean(a, b, rounding) <= b);
      }
    }
  });
}

TEST_CASE("where the mean falls between two neighbours, the modes differ, by one step") {
  std::cout << std::left << std::setw(24) << "mean of";
  for (const number a : doubtful) {
    std::cout << std::setw(16) << hb::decimal(a) + " and " + hb::decimal(hb::next_up(a));
  }
  std::set<std::string> results[std::size(doubtful)];
  hb::for_each_rounding([&](auto rounding) {
    std::cout << '\n' << std::setw(24) << hb::name(rounding);
    auto* result = results;
    for (const number a : doubtful) {
      const number m = mean(a, hb::next_up(a), rounding);
      CHECK(hb::ulp_distance(m, a) <= 1);
      result++->insert(hb::bits(m));
      std::cout << std::setw(16) << hb::describe(m);
    }
  });
  std::cout << '\n';
  for (const auto& result : results) CHECK(result.size() == 2);
}

// Prints:
// mean of                 -1.5 and -1     2 and 3         3 and 4
// nearest_even            1 01 0 = -1     0 10 0 = 2      0 11 0 = 4
// nearest_away            1 01 1 = -1.5   0 10 1 = 3      0 11 0 = 4
// nearest_toward_zero     1 01 0 = -1     0 10 0 = 2      0 10 1 = 3
// toward_zero             1 01 0 = -1     0 10 0 = 2      0 10 1 = 3
// upward                  1 01 0 = -1     0 10 1 = 3      0 11 0 = 4
// downward                1 01 1 = -1.5   0 10 0 = 2      0 10 1 = 3
// to_odd                  1 01 1 = -1.5   0 10 1 = 3      0 10 1 = 3
// stochastic<32>          1 01 0 = -1     0 10 0 = 2      0 10 1 = 3
// stochastic<8>           1 01 0 = -1     0 10 0 = 2      0 10 1 = 3
// stochastic_unbiased<8>  1 01 0 = -1     0 10 0 = 2      0 10 1 = 3
