#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <halfbyte/view.hpp>

namespace hb = halfbyte;

namespace {

constexpr int sum_of_corner() {
  const int x[6] = {1, 2, 3, 4, 5, 6};
  const hb::matrix_view<const int> v{x, 2, 3};
  const auto corner = v.block(1, 1, 9, 9);
  return corner(0, 0) + corner(0, 1) + static_cast<int>(corner.rows * corner.cols);
}
static_assert(sum_of_corner() == 5 + 6 + 2);

}  // namespace

TEST_CASE("element (i, j) of a view is at data + i * stride + j") {
  std::vector<float> x(40);
  const hb::matrix_view<float> v{x.data(), 4, 7, 10};
  for (std::ptrdiff_t i = 0; i < 4; ++i) {
    CHECK(v.row(i) == x.data() + i * 10);
    for (std::ptrdiff_t j = 0; j < 7; ++j) CHECK(&v(i, j) == x.data() + i * 10 + j);
  }
  v(2, 3) = 5;
  CHECK(x[23] == 5);
}

TEST_CASE("without a stride the rows of a view follow each other") {
  double x[6] = {};
  const hb::matrix_view<double> v{x, 2, 3};
  CHECK(v.stride == 3);
  CHECK(&v(1, 2) == x + 5);
}

TEST_CASE("a default view is empty") {
  const hb::matrix_view<float> v;
  CHECK(v.data == nullptr);
  CHECK(v.rows == 0);
  CHECK(v.cols == 0);
}

TEST_CASE("a block is cut off at the edges of its matrix, and keeps the stride") {
  std::vector<float> x(30);
  const hb::matrix_view<float> v{x.data(), 5, 6};
  const auto inside = v.block(1, 2, 3, 4);
  CHECK(inside.data == x.data() + 8);
  CHECK(inside.rows == 3);
  CHECK(inside.cols == 4);
  CHECK(inside.stride == 6);
  const auto corner = v.block(4, 5, 3, 4);
  CHECK(corner.data == x.data() + 29);
  CHECK(corner.rows == 1);
  CHECK(corner.cols == 1);
  const auto whole = v.block(0, 0, 5, 6);
  CHECK(whole.rows == 5);
  CHECK(whole.cols == 6);
  const auto part = corner.block(0, 0, 1, 1);
  CHECK(part.data == corner.data);
}

TEST_CASE("offsets are counted in 64 bits") {
  static_assert(std::same_as<decltype(hb::matrix_view<float>::rows), std::ptrdiff_t>);
  if constexpr (sizeof(std::ptrdiff_t) == 8) {
    // An empty part of a matrix of 2^40 rows: sizes alone, nothing is read.
    const auto rows = static_cast<std::ptrdiff_t>(std::int64_t{1} << 40);
    const char first = 0;
    const hb::matrix_view<const char> v{&first, rows, 1, 0};
    CHECK(v.block(rows / 2, 0, 2 * rows, 1).rows == rows / 2);
  }
}

TEST_CASE("a writable view is a read-only view too, and not the other way round") {
  using writable = hb::matrix_view<float>;
  using readable = hb::matrix_view<const float>;
  static_assert(std::is_convertible_v<writable, readable>);
  static_assert(!std::is_convertible_v<readable, writable>);
  static_assert(!std::is_convertible_v<hb::matrix_view<double>, readable>);
  static_assert(std::is_trivially_copyable_v<writable> && std::is_aggregate_v<writable>);
  float x[2] = {1, 2};
  const readable r = writable{x, 1, 2, 9};
  CHECK(r.data == x);
  CHECK(r.rows == 1);
  CHECK(r.cols == 2);
  CHECK(r.stride == 9);
}
