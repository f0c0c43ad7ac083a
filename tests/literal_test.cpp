#include <type_traits>

#include <doctest/doctest.h>

#include <halfbyte/literal.hpp>
#include <halfbyte/minifloat.hpp>

namespace hb = halfbyte;
using namespace hb::literals;

TEST_CASE("literals say what they mean") {
  CHECK((1.5_e2m1).pattern == 3);
  CHECK((-1.5_e2m1).pattern == 0xb);
  CHECK((7.5_e2m3).pattern == 0x1f);
  CHECK((28.0_e3m2).pattern == 0x1f);
  CHECK((448.0_e4m3).pattern == 0x7e);
  CHECK((57344.0_e5m2).pattern == 0x7b);
  CHECK((0.0_e4m3).pattern == 0);
  CHECK((-0.0_e4m3).pattern == 0x80);
  static_assert((0.5_e2m1).pattern == 1);
  static_assert(std::is_same_v<decltype(1.5_e4m3), hb::float8_e4m3>);
}

TEST_CASE("literals in every notation that C++ has") {
  CHECK((.5_e4m3).pattern == 0x30);
  CHECK((5e-1_e4m3).pattern == 0x30);
  CHECK((5.E-1_e4m3).pattern == 0x30);
  CHECK((0.0'5e+1_e4m3).pattern == 0x30);
  CHECK((00.5_e4m3).pattern == 0x30);
  CHECK((0x1p-1_e4m3).pattern == 0x30);
  CHECK((0x.8p0_e4m3).pattern == 0x30);
  CHECK((0X1'0.P-5_e4m3).pattern == 0x30);
  CHECK((0x0.0001p+15_e4m3).pattern == 0x30);
  CHECK((0xAp0_e4m3).pattern == 0x52);
  CHECK((0xa.p-0_e4m3).pattern == 0x52);
  CHECK((10_e4m3).pattern == 0x52);
  CHECK((1e1_e4m3).pattern == 0x52);
  CHECK((012_e4m3).pattern == 0x52);
  CHECK((0b1010_e4m3).pattern == 0x52);
  CHECK((0xa_e4m3).pattern == 0x52);
  CHECK((-3_e2m1).pattern == 0xd);
  CHECK((7_e2m3).pattern == 0x1e);
  CHECK((3_e3m2).pattern == 0x12);
  CHECK((1'024_e5m2).pattern == 0x64);
  CHECK((1.024e3_e5m2).pattern == 0x64);
}

TEST_CASE("literals beyond the largest number saturate and those below the smallest are zero") {
  CHECK((1e9_e4m3).pattern == 0x7e);
  CHECK((18446744073709551615_e4m3).pattern == 0x7e);
  CHECK((123456789012345678901234567890.0_e5m2).pattern == 0x7b);
  CHECK((1e300_e5m2).pattern == 0x7b);
  CHECK((0x1p9999_e5m2).pattern == 0x7b);
  CHECK((1e-300_e5m2).pattern == 0);
  CHECK((0x1p-9999_e5m2).pattern == 0);
  CHECK((1000000000000e-12_e4m3).pattern == 0x38);
  CHECK((0x10000000000p-40_e4m3).pattern == 0x38);
  CHECK((0.0000000000000000000000000000001e31_e4m3).pattern == 0x38);
}

// Each is a midpoint or nearer to one than any double or long double: by way of those, it would
// be a tie.
TEST_CASE("literals are rounded once, whatever their digits") {
  CHECK((1.25_e2m1).pattern == 2);
  CHECK((1.2500000000000000000000000000000000000001_e2m1).pattern == 3);
  CHECK((1.7499999999999999999999999999999999999999_e2m1).pattern == 3);
  CHECK((1.75_e2m1).pattern == 4);
  CHECK((0x1.4p0_e2m1).pattern == 2);
  CHECK((0x1.40000000000000000000000000000001p0_e2m1).pattern == 3);
  CHECK((0x1.bfffffffffffffffffffffffffffffffp0_e2m1).pattern == 3);
  CHECK((0x1.cp0_e2m1).pattern == 4);
  CHECK((0x14'0000'0000'0000'0000'0000'0001p-100_e2m1).pattern == 3);
  CHECK((0x5p-2_e2m1).pattern == 2);
  CHECK((125e-2_e2m1).pattern == 2);
  CHECK((125000000000000000000000000000000000001e-38_e2m1).pattern == 3);
  // 2^-17, half of E5M2's smallest number.
  CHECK((0.00000762939453125_e5m2).pattern == 0);
  CHECK((7.62939453125e-6_e5m2).pattern == 0);
  CHECK((7.629394531250000000000000000000000000000001e-6_e5m2).pattern == 1);
  CHECK((22.88818359375e-6_e5m2).pattern == 2);  // 3 * 2^-17
  CHECK((22.88818359374999999999999999999999999999999e-6_e5m2).pattern == 1);
  CHECK((463.9999999999999999999999999999999999999_e4m3).pattern == 0x7e);
}
