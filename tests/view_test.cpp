#include <doctest/doctest.h>

#include <cstddef>
#include <type_traits>
#include <vector>

#include <halfbyte/view.hpp>

namespace hb = halfbyte;

static_assert(std::is_aggregate_v<hb::matrix_view<float>>);
static_assert(std::is_trivially_copyable_v<hb::matrix_view<float>>);  // goes to a kernel by value
static_assert(std::is_convertible_v<hb::matrix_view<float>, hb::matrix_view<const float>>);
static_assert(!std::is_convertible_v<hb::matrix_view<const float>, hb::matrix_view<float>>);

TEST_CASE("a view reads element (i, j) at i rows of stride and j columns") {
  std::vector<int> data(40);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<int>(i);
  const hb::matrix_view<int> v{data.data(), 4, 7, 10};
  for (std::ptrdiff_t i = 0; i < v.rows; ++i) {
    CHECK(v.row(i) == data.data() + 10 * i);
    for (std::ptrdiff_t j = 0; j < v.cols; ++j) CHECK(v(i, j) == 10 * i + j);
  }
  v(2, 3) = -1;
  CHECK(data[23] == -1);
}

TEST_CASE("a view without a stride has rows that follow each other") {
  std::vector<int> data(12);
  const hb::matrix_view v{data.data(), 3, 4};
  CHECK(v.stride == 4);
  CHECK(&v(2, 3) == &data[11]);
  const hb::matrix_view<const int> reader = v;
  CHECK(reader.data == v.data);
  CHECK(reader.rows == 3);
  CHECK(reader.cols == 4);
  CHECK(reader.stride == 4);
}

TEST_CASE("a block of a view is cut at the edges and keeps the stride") {
  std::vector<int> data(60);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<int>(i);
  const hb::matrix_view<int> v{data.data(), 5, 9, 12};
  const auto inner = v.block(1, 2, 3, 4);
  CHECK(inner.rows == 3);
  CHECK(inner.cols == 4);
  CHECK(inner.stride == 12);
  CHECK(inner(0, 0) == 14);
  CHECK(inner(2, 3) == 41);
  const auto corner = v.block(3, 8, 16, 16);
  CHECK(corner.rows == 2);
  CHECK(corner.cols == 1);
  CHECK(corner(1, 0) == 56);
}
