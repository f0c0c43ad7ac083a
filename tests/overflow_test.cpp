#include <cstdint>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include <halfbyte/minifloat.hpp>
#include <halfbyte/overflow.hpp>

#include "every_format.hpp"
#include "every_policy.hpp"
#include "exact.hpp"
#include "inputs.hpp"
#include "tally.hpp"

namespace hb = halfbyte;

namespace {

const float infinite_float = exact::float_of(0x7f800000u);
const float nan_float = exact::float_of(0x7fc00000u);
const float negative_nan_float = exact::float_of(0xffc00000u);
const float signalling_nan_float = exact::float_of(0x7f800001u);

/// One row of the table in the documentation: patterns for a number just too large, a huge one,
/// infinity, their negatives, and NaN.
template <hb::format F, class Overflow>
struct row {
  float too_large;
  std::uint32_t above, minus_above, infinite, minus_infinite, not_a_number;

  void check(Overflow o = {}) const {
    const hb::nearest_even even;
    CHECK(hb::encode<F>(too_large, even, o) == above);
    CHECK(hb::encode<F>(0x1.fffffep127f, even, o) == above);
    CHECK(hb::encode<F>(std::numeric_limits<double>::max(), even, o) == above);
    CHECK(hb::encode<F>(-too_large, even, o) == minus_above);
    CHECK(hb::encode<F>(-0x1.fffffep127f, even, o) == minus_above);
    CHECK(hb::encode<F>(infinite_float, even, o) == infinite);
    CHECK(hb::encode<F>(-infinite_float, even, o) == minus_infinite);
    CHECK(hb::encode<F>(nan_float, even, o) == not_a_number);
    CHECK(hb::encode<F>(negative_nan_float, even, o) == not_a_number);
    CHECK(hb::encode<F>(signalling_nan_float, even, o) == not_a_number);
  }
};

template <hb::format F>
void agrees_near_the_largest(tally& t) {
  const exact::grid g = exact::grid_of(F);
  std::vector<double> inputs;
  const auto add = [&](exact::number x) {
    std::vector<std::uint64_t> around;
    exact::add_around(around, exact::to_ieee(x, false, 11, 52));
    for (const std::uint64_t b : around) inputs.push_back(exact::double_of(b));
  };
  exact::number beyond = g.next;
  add(g.values[g.values.size() - 2]);
  add(exact::middle(g.values[g.values.size() - 2], g.values.back()));
  add(g.values.back());
  add(exact::middle(g.values.back(), g.next));
  for (int i = 0; i < 8; ++i, ++beyond.k) add(beyond);
  for (const std::uint32_t b : exact::edge_floats()) {
    if ((b & 0x7f800000u) != 0x7f800000u) inputs.push_back(double(exact::float_of(b)));
  }
  for (const std::uint64_t b :
       {std::uint64_t{0x7ff} << 52, std::uint64_t{0xfff} << 52, std::uint64_t{0x7ff8} << 48,
        std::uint64_t{0xfff8} << 48, (std::uint64_t{0x7ff} << 52) + 1}) {
    inputs.push_back(exact::double_of(b));
  }
  for (const double x : inputs) {
    const exact::value v = exact::of(x);
    for (const exact::rounding mode : exact::every_rounding) {
      for (const exact::overflow rule : exact::every_overflow) {
        const std::uint32_t got =
            hb::encode<F>(x, exact::any_rounding{mode}, exact::any_overflow{rule});
        const std::uint32_t want = g.round(v, mode, rule);
        t.expect(got == want, [&] {
          return std::string(exact::name(mode)) + " " + exact::name(rule) + " e" +
                 std::to_string(F.exponent_bits) + "m" + std::to_string(F.mantissa_bits) + " of " +
                 hex(exact::bits_of(x)) + " gave " + hex(got) + ", not " + hex(want);
        });
      }
    }
  }
}

}  // namespace

TEST_CASE("what stands for a number too large, infinity and NaN is as documented, saturating") {
  row<hb::e4m3, hb::saturate>{465, 0x7e, 0xfe, 0x7e, 0xfe, 0x7f}.check();
  row<hb::e5m2, hb::saturate>{61440, 0x7b, 0xfb, 0x7b, 0xfb, 0x7f}.check();
  row<hb::e3m4, hb::saturate>{15.75, 0x6f, 0xef, 0x6f, 0xef, 0x7f}.check();
  row<hb::e4m3fnuz, hb::saturate>{248, 0x7f, 0xff, 0x7f, 0xff, 0x80}.check();
  row<hb::e5m2fnuz, hb::saturate>{61440, 0x7f, 0xff, 0x7f, 0xff, 0x80}.check();
  row<hb::e2m1, hb::saturate>{7, 0x7, 0xf, 0x7, 0xf, 0x7}.check();
  row<hb::e2m3, hb::saturate>{7.75, 0x1f, 0x3f, 0x1f, 0x3f, 0x1f}.check();
  row<hb::e3m2, hb::saturate>{30, 0x1f, 0x3f, 0x1f, 0x3f, 0x1f}.check();
  row<hb::ue4m3, hb::saturate>{465, 0x7e, 0, 0x7e, 0, 0x7f}.check();
  row<hb::int8, hb::saturate>{127.5, 0x7f, 0x81, 0x7f, 0x81, 0x7f}.check();
  row<hb::int4, hb::saturate>{7.5, 0x7, 0x9, 0x7, 0x9, 0x7}.check();
  row<hb::fixed8, hb::saturate>{2, 0x7f, 0x81, 0x7f, 0x81, 0x7f}.check();
}

TEST_CASE("what stands for a number too large, infinity and NaN is as documented, not saturating") {
  row<hb::e4m3, hb::to_special>{465, 0x7f, 0xff, 0x7f, 0xff, 0x7f}.check();
  row<hb::e5m2, hb::to_special>{61440, 0x7c, 0xfc, 0x7c, 0xfc, 0x7f}.check();
  row<hb::e3m4, hb::to_special>{15.75, 0x70, 0xf0, 0x70, 0xf0, 0x7f}.check();
  row<hb::e4m3fnuz, hb::to_special>{248, 0x80, 0x80, 0x80, 0x80, 0x80}.check();
  row<hb::e5m2fnuz, hb::to_special>{61440, 0x80, 0x80, 0x80, 0x80, 0x80}.check();
  row<hb::e2m1, hb::to_special>{7, 0x7, 0xf, 0x7, 0xf, 0x7}.check();
  row<hb::e2m3, hb::to_special>{7.75, 0x1f, 0x3f, 0x1f, 0x3f, 0x1f}.check();
  row<hb::e3m2, hb::to_special>{30, 0x1f, 0x3f, 0x1f, 0x3f, 0x1f}.check();
  row<hb::ue4m3, hb::to_special>{465, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f}.check();
  row<hb::int8, hb::to_special>{127.5, 0x7f, 0x81, 0x7f, 0x81, 0x7f}.check();
}

TEST_CASE("saturate_finite saturates finite numbers and keeps infinity") {
  row<hb::e4m3, hb::saturate_finite>{465, 0x7e, 0xfe, 0x7f, 0xff, 0x7f}.check();
  row<hb::e5m2, hb::saturate_finite>{61440, 0x7b, 0xfb, 0x7c, 0xfc, 0x7f}.check();
  row<hb::e4m3fnuz, hb::saturate_finite>{248, 0x7f, 0xff, 0x80, 0x80, 0x80}.check();
  row<hb::e2m1, hb::saturate_finite>{7, 0x7, 0xf, 0x7, 0xf, 0x7}.check();
}

TEST_CASE(
    "a power-of-two scale takes its largest for what is above, its smallest for what is not") {
  CHECK(hb::encode<hb::ue8m0>(infinite_float) == 0xfe);
  CHECK(hb::encode<hb::ue8m0>(infinite_float, hb::nearest_even{}, hb::to_special{}) == 0xff);
  CHECK(hb::encode<hb::ue8m0>(0x1.fffffep127f) == 0xfe);
  CHECK(hb::encode<hb::ue8m0>(0x1.8p127f, hb::toward_zero{}, hb::to_special{}) == 0xfe);
  CHECK(hb::encode<hb::ue8m0>(0x1.000002p127f, hb::upward{}, hb::to_special{}) == 0xff);
  CHECK(hb::encode<hb::ue8m0>(nan_float) == 0xff);
  CHECK(hb::encode<hb::ue8m0>(negative_nan_float) == 0xff);
  CHECK(hb::encode<hb::ue8m0>(0.0f) == 0);
  CHECK(hb::encode<hb::ue8m0>(-0.0f, hb::nearest_even{}, hb::to_special{}) == 0);
  CHECK(hb::encode<hb::ue8m0>(-1.0f) == 0);
  CHECK(hb::encode<hb::ue8m0>(-1.0f, hb::nearest_even{}, hb::to_special{}) == 0xff);
}

TEST_CASE("e4m3 reaches 448: 256 to 464 do not overflow as an IEEE exponent would, 465 does") {
  const hb::nearest_even even;
  const hb::to_special special;
  CHECK(hb::encode<hb::e4m3>(256.0f, even, special) == 0x78);
  CHECK(hb::encode<hb::e4m3>(448.0f, even, special) == 0x7e);
  CHECK(hb::encode<hb::e4m3>(464.0f, even, special) == 0x7e);  // the tie goes to the even 448
  CHECK(hb::encode<hb::e4m3>(0x1.d00002p8f, even, special) == 0x7f);
  CHECK(hb::encode<hb::e4m3>(hb::minifloat<hb::float16>(464.0f), even, special) == 0x7e);
  CHECK(hb::encode<hb::e4m3>(0x1.d000000000001p8, even, special) == 0x7f);
  CHECK(hb::encode<hb::e4m3>(1e30f, hb::toward_zero{}, special) == 0x7e);
}

TEST_CASE("e5m2 overflows from 61440, not from its largest number") {
  const hb::nearest_even even;
  const hb::to_special special;
  CHECK(hb::encode<hb::e5m2>(57345.0f, even, special) == 0x7b);
  CHECK(hb::encode<hb::e5m2>(0x1.dffffep15f, even, special) == 0x7b);
  CHECK(hb::encode<hb::e5m2>(61440.0f, even, special) == 0x7c);
  CHECK(hb::encode<hb::e5m2>(65504.0f) == 0x7b);
}

TEST_CASE("a tiny negative number is zero, not NaN, where negative zero is the pattern of NaN") {
  CHECK(hb::encode<hb::e4m3fnuz>(-1e-5f) == 0);
  CHECK(hb::encode<hb::e4m3fnuz>(-0.0f) == 0);
  CHECK(hb::encode<hb::e5m2fnuz>(-1e-30f) == 0);
  CHECK(hb::encode<hb::e4m3fnuz>(-1e-5f, hb::upward{}, hb::to_special{}) == 0);
}

TEST_CASE("the sign of zero and of what becomes zero is kept where a format has two zeros") {
  CHECK(hb::encode<hb::e2m1>(-0.0f) == 0x8);
  CHECK(hb::encode<hb::e2m1>(-0.1f) == 0x8);
  CHECK(hb::encode<hb::e2m1>(-0.5f) == 0x9);
  CHECK(hb::encode<hb::e4m3>(-0.0) == 0x80);
  CHECK(hb::encode<hb::e4m3>(-5e-324) == 0x80);
  CHECK(hb::encode<hb::e5m2>(-0x1p-149f) == 0x80);
  CHECK(hb::encode<hb::bfloat16>(-5e-324) == 0x8000);
  CHECK(hb::encode<hb::int8>(-0.25f) == 0);
  CHECK(hb::encode<hb::ue4m3>(-0.0f) == 0);
}

TEST_CASE("a NaN whose payload is small, or would carry when rounded, stays NaN") {
  for (const std::uint32_t bits :
       {0x7f800001u, 0x7f80ffffu, 0x7fa00000u, 0x7fffffffu, 0xff800001u, 0xffffffffu}) {
    CAPTURE(bits);
    const float x = exact::float_of(bits);
    CHECK(hb::encode<hb::bfloat16>(x) == 0x7fff);
    CHECK(hb::encode<hb::float16>(x) == 0x7fff);
    CHECK(hb::encode<hb::e5m2>(x) == 0x7f);
    CHECK(hb::encode<hb::e5m2>(x, hb::upward{}, hb::to_special{}) == 0x7f);
    CHECK(hb::encode<hb::e4m3>(x, hb::toward_zero{}, hb::to_special{}) == 0x7f);
    CHECK(hb::encode<hb::ue8m0>(x, hb::downward{}, hb::saturate_finite{}) == 0xff);
  }
}

TEST_CASE(
    "every rounding under every overflow rule is right around the largest number and beyond") {
  tally t;
  agrees_near_the_largest<hb::e2m1>(t);
  agrees_near_the_largest<hb::e2m3>(t);
  agrees_near_the_largest<hb::e3m2>(t);
  agrees_near_the_largest<hb::e3m4>(t);
  agrees_near_the_largest<hb::e4m3>(t);
  agrees_near_the_largest<hb::e5m2>(t);
  agrees_near_the_largest<hb::e4m3fnuz>(t);
  agrees_near_the_largest<hb::e5m2fnuz>(t);
  agrees_near_the_largest<hb::ue8m0>(t);
  agrees_near_the_largest<hb::ue4m3>(t);
  agrees_near_the_largest<hb::bfloat16>(t);
  agrees_near_the_largest<hb::float16>(t);
  agrees_near_the_largest<hb::int8>(t);
  agrees_near_the_largest<hb::int4>(t);
  agrees_near_the_largest<hb::fixed8>(t);
}

TEST_CASE("no input of any rounding gives a pattern outside the format, or NaN without cause") {
  tally t;
  const auto check = [&]<hb::format F>() {
    for (const std::uint32_t b : exact::critical_floats(exact::grid_of(hb::e4m3))) {
      for (const exact::rounding mode : exact::every_rounding) {
        const std::uint32_t p = hb::encode<F>(exact::float_of(b), exact::any_rounding{mode});
        t.expect(p <= F.mask() && !F.is_nan(p) && !F.is_infinity(p), [&] { return hex(b); });
      }
    }
  };
  check.operator()<hb::e2m1>();
  check.operator()<hb::e2m3>();
  check.operator()<hb::e4m3>();
  check.operator()<hb::e5m2>();
  check.operator()<hb::e4m3fnuz>();
  check.operator()<hb::ue4m3>();
  check.operator()<hb::ue8m0>();
  check.operator()<hb::int4>();
}
