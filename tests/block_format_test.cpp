#include <doctest/doctest.h>

#include <cstddef>

#include <halfbyte/block_format.hpp>

#include "every_block.hpp"

namespace hb = halfbyte;

TEST_CASE("the named block formats are those of their specifications") {
  // OCP MX v1.0, table 1: 32 elements, E8M0.
  for (const hb::block_format& b : {hb::mxfp4, hb::mxfp6_e2m3, hb::mxfp6_e3m2, hb::mxfp8_e4m3,
                                    hb::mxfp8_e5m2, hb::mxint8}) {
    CHECK(b.rows == 1);
    CHECK(b.cols == 32);
    CHECK(b.scale == hb::ue8m0);
    CHECK_FALSE(b.tensor_scale);
    CHECK(b.valid());
  }
  CHECK(hb::mxfp4.element == hb::e2m1);
  CHECK(hb::mxfp6_e2m3.element == hb::e2m3);
  CHECK(hb::mxfp6_e3m2.element == hb::e3m2);
  CHECK(hb::mxfp8_e4m3.element == hb::e4m3);
  CHECK(hb::mxfp8_e5m2.element == hb::e5m2);
  CHECK(hb::mxint8.element == hb::fixed8);
  CHECK(hb::nvfp4 == hb::block_format{hb::e2m1, hb::ue4m3, 1, 16, true});
  CHECK(hb::nvfp4_2d == hb::block_format{hb::e2m1, hb::ue4m3, 16, 16, true});
  CHECK(hb::fp8_1x128 == hb::block_format{hb::e4m3, hb::float32, 1, 128, false});
  CHECK(hb::fp8_128x128 == hb::block_format{hb::e4m3, hb::float32, 128, 128, false});
}

TEST_CASE("a row, a column, a tensor are blocks of the whole extent") {
  CHECK(hb::per_row(hb::e4m3).block_rows(7) == 1);
  CHECK(hb::per_row(hb::e4m3).block_cols(9) == 9);
  CHECK(hb::per_row(hb::e4m3).grid_rows(7) == 7);
  CHECK(hb::per_row(hb::e4m3).grid_cols(9) == 1);
  CHECK(hb::per_column(hb::e4m3).block_rows(7) == 7);
  CHECK(hb::per_column(hb::e4m3).block_cols(9) == 1);
  CHECK(hb::per_column(hb::e4m3).grid_rows(7) == 1);
  CHECK(hb::per_column(hb::e4m3).grid_cols(9) == 9);
  CHECK(hb::per_tensor(hb::e4m3).grid_rows(7) == 1);
  CHECK(hb::per_tensor(hb::e4m3).grid_cols(9) == 1);
  for (const auto& b : {hb::per_row(hb::int8), hb::per_column(hb::int8), hb::per_tensor(hb::int8)}) {
    CHECK(b.element == hb::int8);
    CHECK(b.scale == hb::float32);
    CHECK_FALSE(b.tensor_scale);
  }
}

TEST_CASE("the grid covers a matrix of any size, and an empty matrix has no blocks") {
  for (std::ptrdiff_t n = 0; n < 100; ++n) {
    const std::ptrdiff_t blocks = hb::mxfp4.grid_cols(n);
    CHECK(blocks * 32 >= n);
    CHECK(blocks * 32 - 32 < n + (n == 0 ? 1 : 0));
    CHECK(hb::mxfp4.grid_rows(n) == n);
    CHECK(hb::nvfp4_2d.grid_rows(n) == hb::nvfp4_2d.grid_cols(n));
    CHECK(hb::per_tensor(hb::e4m3).grid_rows(n) == (n == 0 ? 0 : 1));
  }
}

TEST_CASE("transposed block formats lie along columns, and transposed twice they are as before") {
  CHECK(hb::transposed(hb::mxfp4) == hb::block_format{hb::e2m1, hb::ue8m0, 32, 1, false});
  CHECK(hb::transposed(hb::nvfp4) == hb::block_format{hb::e2m1, hb::ue4m3, 16, 1, true});
  CHECK(hb::transposed(hb::nvfp4_2d) == hb::nvfp4_2d);
  CHECK(hb::transposed(hb::per_row(hb::e4m3)) == hb::per_column(hb::e4m3));
  CHECK(hb::transposed(hb::transposed(hb::fp8_1x128)) == hb::fp8_1x128);
}

TEST_CASE("block formats that cannot be held are not valid") {
  CHECK_FALSE(hb::block_format{hb::float32, hb::float32, 1, 32}.valid());   // wide elements
  CHECK_FALSE(hb::block_format{hb::e2m1, hb::int8, 1, 32}.valid());         // fixed-point scales
  CHECK_FALSE(hb::block_format{hb::e2m1, hb::ue8m0, -1, 32}.valid());
  CHECK_FALSE(hb::block_format{hb::e2m1, hb::ue8m0, 1, -32}.valid());
  CHECK_FALSE(hb::block_format{hb::e2m1, hb::float32, 1, 16, true}.valid());
  CHECK_FALSE(hb::block_format{hb::float16, hb::ue4m3, 1, 16, true}.valid());
  CHECK_FALSE(hb::block_format{{2, 1, 300}, hb::ue4m3, 1, 16}.valid());
  CHECK_FALSE(hb::block_format{hb::e2m1, {2, 1, 300}, 1, 16}.valid());
  CHECK(hb::block_format{hb::int8, hb::ue4m3, 1, 16, true}.valid());
  CHECK(hb::block_format{hb::bfloat16, hb::bfloat16, 1, 16, true}.valid());
  CHECK(hb::block_format{hb::e3m4, hb::bfloat16, 1, 16, true}.valid());
  CHECK(hb::block_format{hb::bfloat16, hb::bfloat16, 1, 16}.valid());
  CHECK(hb::block_format{hb::float16, hb::float32, 0, 0}.valid());
  exact::for_each_named_block_format([](auto b) { CHECK(decltype(b)::value.valid()); });
  exact::for_each_own_block_format([](auto b) { CHECK(decltype(b)::value.valid()); });
}
