#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

#include <doctest/doctest.h>

#include <halfbyte/storage.hpp>

using halfbyte::detail::storage;
using halfbyte::detail::unset;

TEST_CASE("storage starts at a multiple of 64 bytes, with zeros in it") {
  for (const std::size_t n : {1, 2, 63, 64, 65, 4096, 5 << 20, 9 << 20}) {
    // What was there before is not zero.
    std::memset(storage<std::uint8_t>(n, unset{}).data(), 0xa5, n);
    const storage<std::uint8_t> bytes(n);
    CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % 64 == 0);
    REQUIRE(bytes.size() == n);
    CHECK(std::count(bytes.data(), bytes.data() + n, 0) == static_cast<std::ptrdiff_t>(n));
  }
}

TEST_CASE("storage without values needs no memory, and without enough memory throws") {
  CHECK(storage<float>().data() == nullptr);
  CHECK(storage<float>(0).data() == nullptr);
  CHECK(storage<float>() == storage<float>(0));
  CHECK_THROWS_AS(storage<float>(SIZE_MAX / 2, unset{}), std::bad_alloc);
}

TEST_CASE("storage is copied by value and moved without copying") {
  storage<int> a(3);
  for (int i = 0; i < 3; ++i) a.data()[i] = i;
  storage<int> b = a;
  CHECK(b == a);
  CHECK(b.data() != a.data());
  b.data()[2] = 7;
  CHECK_FALSE(b == a);
  CHECK(a.data()[2] == 2);
  CHECK_FALSE(a == storage<int>(4));

  const int* const place = b.data();
  storage<int> c = std::move(b);
  CHECK(c.data() == place);
  a = std::move(c);
  CHECK(a.data() == place);
  CHECK(a.size() == 3);
  a = storage<int>(2);
  CHECK(a == storage<int>(2));
  storage<int>& same = a;
  a = same;
  CHECK(a == storage<int>(2));
}
