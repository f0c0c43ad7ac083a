#include <cstdint>

#include <doctest/doctest.h>

#include <halfbyte/format.hpp>

#include "every_format.hpp"
#include "exact.hpp"

namespace hb = halfbyte;
using hb::format;
using hb::specials;

// The fields that the specifications print.
static_assert(hb::e2m1 == format{2, 1, 1, specials::none, 1});
static_assert(hb::e2m3 == format{2, 3, 1, specials::none, 1});
static_assert(hb::e3m2 == format{3, 2, 3, specials::none, 1});
static_assert(hb::e3m4 == format{3, 4, 3, specials::infinity, 1});
static_assert(hb::e4m3 == format{4, 3, 7, specials::nan, 1});
static_assert(hb::e5m2 == format{5, 2, 15, specials::infinity, 1});
static_assert(hb::e4m3fnuz == format{4, 3, 8, specials::fnuz, 1});
static_assert(hb::e5m2fnuz == format{5, 2, 16, specials::fnuz, 1});
static_assert(hb::ue8m0 == format{8, 0, 127, specials::nan, 0});
static_assert(hb::ue4m3 == format{4, 3, 7, specials::nan, 0});
static_assert(hb::bfloat16 == format{8, 7, 127, specials::infinity, 1});
static_assert(hb::float16 == format{5, 10, 15, specials::infinity, 1});
static_assert(hb::float32 == format{8, 23, 127, specials::infinity, 1});
static_assert(hb::e2m1.bits() == 4 && hb::e2m3.bits() == 6 && hb::e3m2.bits() == 6);
static_assert(hb::e4m3.bits() == 8 && hb::ue4m3.bits() == 7 && hb::ue8m0.bits() == 8);
static_assert(hb::e4m3.max_pattern() == 0x7e && hb::e5m2.max_pattern() == 0x7b);
static_assert(hb::e4m3.nan_pattern() == 0x7f && hb::e5m2.nan_pattern() == 0x7f);
static_assert(hb::e4m3fnuz.nan_pattern() == 0x80 && hb::ue8m0.nan_pattern() == 0xff);
static_assert(hb::bfloat16.nan_pattern() == 0x7fff && hb::ue4m3.nan_pattern() == 0x7f);
static_assert(hb::e5m2.infinity_pattern() == 0x7c && hb::float32.infinity_pattern() == 0x7f800000);
static_assert(hb::e4m3.max_exponent() == 8 && hb::e5m2.max_exponent() == 15);  // OCP MX emax
static_assert(hb::e3m2.max_exponent() == 4 && hb::e2m3.max_exponent() == 2);
static_assert(hb::e2m1.max_exponent() == 2 && hb::fixed8.max_exponent() == 0);
static_assert(hb::int8.quantum() == 0 && hb::int4.quantum() == 0 && hb::fixed8.quantum() == -6);
static_assert(hb::float32.mask() == 0xffffffffu && hb::float32.sign_mask() == 0x80000000u);

namespace {

void agrees_with_the_definition(const format& f) {
  CAPTURE(f.exponent_bits);
  CAPTURE(f.mantissa_bits);
  CAPTURE(f.bias);
  CAPTURE(static_cast<int>(f.special));
  CAPTURE(f.sign_bits);
  const exact::grid g = exact::grid_of(f);
  REQUIRE(f.valid());
  CHECK(f.bits() == g.is.bits());
  CHECK(f.has_sign() == g.is.sign);
  CHECK(f.has_zero() == (g.values.front().n == 0));
  CHECK(f.has_nan() == g.has_nan);
  CHECK(f.has_infinity() == g.has_infinity);
  CHECK(f.max_pattern() == g.largest());
  CHECK(f.min_pattern() == (g.values.front().n == 0 ? 1u : 0u));
  if (g.has_nan) CHECK(f.nan_pattern() == g.nan());
  if (g.has_infinity) CHECK(f.infinity_pattern() == g.infinity());
  const exact::number smallest = g.values[f.min_pattern()];
  CHECK(exact::compare(smallest, {1, f.has_zero() ? f.quantum() : f.min_exponent()}) == 0);
  const exact::number largest = g.values.back();
  CHECK(f.max_exponent() == largest.k + exact::width(largest.n) - 1);
  std::uint32_t nans = 0;
  std::uint32_t infinities = 0;
  for (std::uint32_t p = 0; p <= f.mask(); ++p) {
    const exact::value v = g.meaning(p);
    const bool right = f.is_nan(p) == (v.what == exact::value::kind::nan) &&
                       f.is_infinity(p) == (v.what == exact::value::kind::infinite);
    if (!right) {
      CAPTURE(p);
      CHECK(right);
    }
    nans += f.is_nan(p) ? 1 : 0;
    infinities += f.is_infinity(p) ? 1 : 0;
  }
  const std::uint32_t signs = g.is.sign ? 2 : 1;
  CHECK(infinities == (g.has_infinity ? signs : 0));
  if (f.special == specials::none) CHECK(nans == 0);
  if (f.special == specials::nan) CHECK(nans == signs);
  if (f.special == specials::fnuz) CHECK(nans == 1);
  if (f.special == specials::infinity) CHECK(nans == signs * ((1u << f.mantissa_bits) - 1));
}

}  // namespace

TEST_CASE("what a format says of itself follows from its definition, for the named formats") {
  for (const format& f :
       {hb::e2m1, hb::e2m3, hb::e3m2, hb::e3m4, hb::e4m3, hb::e5m2, hb::e4m3fnuz, hb::e5m2fnuz,
        hb::ue8m0, hb::ue4m3, hb::bfloat16, hb::float16, hb::int8, hb::int4, hb::fixed8}) {
    agrees_with_the_definition(f);
  }
}

TEST_CASE("what a format says of itself follows from its definition, for every shape to 10 bits") {
  const auto shapes = exact::every_shape(2, 10);
  CHECK(shapes.size() > 200);
  for (const format& f : shapes) agrees_with_the_definition(f);
}

TEST_CASE(
    "what a format says of itself follows from its definition, for shapes of 12 and 16 bits") {
  for (const format& f : exact::every_shape(12, 12)) agrees_with_the_definition(f);
  for (const format& f : exact::every_shape(16, 16)) agrees_with_the_definition(f);
}

TEST_CASE("a format that cannot be held is not valid") {
  CHECK(!format{8, 3, 127}.valid());                      // reaches 2^128
  CHECK(!format{0, 0, 0}.valid());                        // one bit, a sign
  CHECK(!format{1, 0, 0, specials::none, 0}.valid());     // one bit
  CHECK(!format{8, 8, 127, specials::infinity}.valid());  // 17 bits
  CHECK(!format{9, 2, 255, specials::infinity}.valid());  // exponents beyond float
  CHECK(!format{4, 3, 150}.valid());                      // below the smallest float
  CHECK(!format{4, 3, -120}.valid());                     // above the largest float
  CHECK(!format{4, 0, 7, specials::infinity}.valid());    // no pattern left for NaN
  CHECK(!format{4, 3, 7, specials::fnuz, 0}.valid());     // no negative zero to take
  CHECK(!format{0, 7, 0, specials::nan}.valid());         // fixed point has no specials
  CHECK(!format{0, 7, 0, specials::none, 0}.valid());     // fixed point is signed
  CHECK(!format{-1, 5, 0}.valid());
  CHECK(!format{4, -1, 7}.valid());
  CHECK(!format{4, 3, 7, specials::nan, 2}.valid());
  CHECK(format{4, 3, 7, specials::nan}.valid());
}
