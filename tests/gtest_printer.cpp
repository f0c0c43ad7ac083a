// GoogleTest prints a number with its bits, and finds the comparisons.

#include <functional>
#include <vector>

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <halfbyte/halfbyte.hpp>
#include <halfbyte/io.hpp>

namespace hb = halfbyte;

TEST(printer, shows_the_bits_of_a_number) {
  EXPECT_EQ(testing::PrintToString(hb::float4_e2m1(3.0)), "0 10 1 = 3");
}

TEST(printer, shows_the_bits_of_both_numbers_of_a_failed_comparison) {
  EXPECT_NONFATAL_FAILURE(EXPECT_EQ(hb::float4_e2m1(3.0), hb::float4_e2m1(2.0)), "0 10 1 = 3");
  EXPECT_NONFATAL_FAILURE(EXPECT_EQ(hb::float4_e2m1(3.0), hb::float4_e2m1(2.0)), "0 10 0 = 2");
  EXPECT_NONFATAL_FAILURE(EXPECT_LT(hb::float8_e4m3(1.0), hb::float8_e4m3(1.0)), "0 0111 000 = 1");
}

TEST(printer, shows_the_numbers_of_a_container) {
  const std::vector<hb::float4_e2m1> x{hb::float4_e2m1(1.0), hb::float4_e2m1(-6.0)};
  EXPECT_EQ(testing::PrintToString(x), "{ 0 01 0 = 1, 1 11 1 = -6 }");
}

TEST(printer, shows_the_names_of_formats) {
  EXPECT_EQ(testing::PrintToString(hb::e5m2), "e5m2");
  EXPECT_EQ(testing::PrintToString(hb::mxfp8_e4m3), "mxfp8_e4m3");
}
