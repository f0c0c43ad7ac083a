#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <halfbyte/format.hpp>
#include <halfbyte/pack.hpp>

#include "every_format.hpp"
#include "tally.hpp"

namespace hb = halfbyte;

namespace {

/// Bit i of a packed row: bit i % 8 of byte i / 8.
bool bit(const std::vector<std::uint8_t>& bytes, std::size_t i) {
  return (bytes[i / 8] >> (i % 8)) % 2 == 1;
}

template <hb::format F>
void packs(tally& t) {
  const auto bits = static_cast<std::size_t>(F.bits());
  std::mt19937_64 random(bits);
  for (std::size_t n = 1; n <= 35; ++n) {
    std::vector<std::uint32_t> patterns(n);
    for (auto& p : patterns) p = static_cast<std::uint32_t>(random()) & F.mask();
    const std::size_t size = hb::packed_bytes(F, static_cast<std::ptrdiff_t>(n));
    t.expect(size == (n * bits + 7) / 8,
             [&] { return std::string("size of ") + std::to_string(n); });
    std::vector<std::uint8_t> row(size);  // no byte more: a sanitizer sees a write beyond
    for (auto& byte : row) byte = static_cast<std::uint8_t>(random());
    const std::vector<std::uint8_t> before = row;
    std::vector<std::size_t> order(n);
    for (std::size_t i = 0; i < n; ++i) order[i] = i;
    for (std::size_t i = n; i-- > 1;) std::swap(order[i], order[random() % (i + 1)]);
    for (const std::size_t i : order) {
      // Bits above the format must not leak into neighbours.
      const auto dirty = patterns[i] | (F.bits() < 32 ? ~F.mask() : 0u);
      hb::store_packed<F>(row.data(), static_cast<std::ptrdiff_t>(i), dirty);
    }
    for (std::size_t i = 0; i < n; ++i) {
      t.expect(hb::load_packed<F>(row.data(), static_cast<std::ptrdiff_t>(i)) == patterns[i], [&] {
        return std::string("element ") + std::to_string(i) + " of " + std::to_string(n);
      });
      for (std::size_t k = 0; k < bits; ++k) {
        t.expect(bit(row, i * bits + k) == ((patterns[i] >> k) % 2 == 1), [&] {
          return std::string("bit ") + std::to_string(k) + " of " + std::to_string(i);
        });
      }
    }
    for (std::size_t i = n * bits; i < 8 * size; ++i) {
      t.expect(bit(row, i) == bit(before, i), [&] { return "bit after the last element"; });
    }
  }
}

template <hb::format F>
void changes_only_its_own_bits(tally& t) {
  const auto bits = static_cast<std::size_t>(F.bits());
  constexpr std::size_t n = 11;
  for (std::size_t i = 0; i < n; ++i) {
    for (const std::uint8_t fill : {std::uint8_t{0x00}, std::uint8_t{0xff}}) {
      std::vector<std::uint8_t> row(hb::packed_bytes(F, n), fill);
      hb::store_packed<F>(row.data(), static_cast<std::ptrdiff_t>(i), fill == 0 ? F.mask() : 0);
      for (std::size_t k = 0; k < 8 * row.size(); ++k) {
        const bool own = k >= i * bits && k < (i + 1) * bits;
        t.expect(bit(row, k) == (own == (fill == 0)), [&] {
          return std::string("bit ") + std::to_string(k) + " for " + std::to_string(i);
        });
      }
    }
  }
}

template <hb::format F>
void scales(tally& t) {
  const auto size = static_cast<std::size_t>(hb::scale_bytes(F));
  t.expect(size == static_cast<std::size_t>(F.bits() + 7) / 8, [] { return "scale_bytes"; });
  std::mt19937_64 random(size);
  std::vector<std::uint8_t> bytes(7 * size, 0xa5);
  std::vector<std::uint32_t> patterns(7);
  for (std::size_t i = 7; i-- > 0;) {
    patterns[i] = static_cast<std::uint32_t>(random()) & F.mask();
    hb::store_scale<F>(bytes.data(), static_cast<std::ptrdiff_t>(i), patterns[i]);
  }
  for (std::size_t i = 0; i < 7; ++i) {
    t.expect(hb::load_scale<F>(bytes.data(), static_cast<std::ptrdiff_t>(i)) == patterns[i],
             [&] { return std::string("scale ") + std::to_string(i); });
    for (std::size_t k = 0; k < size; ++k) {
      t.expect(bytes[i * size + k] == ((patterns[i] >> (8 * k)) & 0xff), [&] {
        return std::string("byte ") + std::to_string(k) + " of scale " + std::to_string(i);
      });
    }
  }
}

}  // namespace

TEST_CASE("element i of a packed row stands at bit i * bits, least significant bit first") {
  tally t;
  packs<hb::format{1, 0, 0}>(t);
  packs<hb::format{2, 0, 1}>(t);
  packs<hb::e2m1>(t);
  packs<hb::int4>(t);
  packs<hb::format{2, 2, 1}>(t);
  packs<hb::e2m3>(t);
  packs<hb::e3m2>(t);
  packs<hb::ue4m3>(t);
  packs<hb::e4m3>(t);
  packs<hb::format{4, 4, 7}>(t);
  packs<hb::format{5, 6, 15}>(t);
  packs<hb::format{5, 9, 15}>(t);
  packs<hb::bfloat16>(t);
  packs<hb::float32>(t);
}

TEST_CASE("storing an element changes no bit of its neighbours") {
  tally t;
  changes_only_its_own_bits<hb::e2m1>(t);
  changes_only_its_own_bits<hb::e2m3>(t);
  changes_only_its_own_bits<hb::e3m2>(t);
  changes_only_its_own_bits<hb::format{2, 2, 1}>(t);
  changes_only_its_own_bits<hb::ue4m3>(t);
  changes_only_its_own_bits<hb::e4m3>(t);
  changes_only_its_own_bits<hb::format{5, 6, 15}>(t);
}

TEST_CASE("element 0 of a 4-bit row is the low nibble") {
  std::uint8_t row[2] = {0, 0};
  hb::store_packed<hb::e2m1>(row, 0, 0x3);
  hb::store_packed<hb::e2m1>(row, 1, 0xc);
  hb::store_packed<hb::e2m1>(row, 2, 0x9);
  CHECK(row[0] == 0xc3);
  CHECK(row[1] == 0x09);
}

TEST_CASE("four 6-bit elements fill three bytes") {
  std::uint8_t row[3] = {0, 0, 0};
  const std::uint32_t patterns[4] = {0x01, 0x3f, 0x20, 0x15};
  for (int i = 0; i < 4; ++i) hb::store_packed<hb::e2m3>(row, i, patterns[i]);
  CHECK(row[0] == 0xc1);  // 111111 000001, low bits first
  CHECK(row[1] == 0x0f);
  CHECK(row[2] == 0x56);
  CHECK(hb::packed_bytes(hb::e2m3, 4) == 3);
  CHECK(hb::packed_bytes(hb::e2m3, 5) == 4);
}

TEST_CASE("an empty row takes no bytes, and large sizes do not wrap at 32 bits") {
  CHECK(hb::packed_bytes(hb::e2m1, 0) == 0);
  CHECK(hb::packed_bytes(hb::e2m1, 1) == 1);
  if constexpr (sizeof(std::ptrdiff_t) == 8) {
    const auto n = static_cast<std::ptrdiff_t>(std::int64_t{1} << 33);
    CHECK(hb::packed_bytes(hb::e2m1, n + 1) == (std::uint64_t{1} << 32) + 1);
    CHECK(hb::packed_bytes(hb::e2m3, n) == std::uint64_t{6} << 30);
    CHECK(hb::packed_bytes(hb::e4m3, n) == std::uint64_t{1} << 33);
  }
}

TEST_CASE("scales are whole bytes, least significant first") {
  tally t;
  scales<hb::ue8m0>(t);
  scales<hb::ue4m3>(t);
  scales<hb::e4m3>(t);
  scales<hb::bfloat16>(t);
  scales<hb::float32>(t);
}

TEST_CASE("packing works in constant expressions") {
  constexpr std::uint32_t back = [] {
    std::uint8_t row[3] = {};
    hb::store_packed<hb::e3m2>(row, 1, 0x2a);
    return hb::load_packed<hb::e3m2>(row, 1) + hb::load_packed<hb::e3m2>(row, 0);
  }();
  static_assert(back == 0x2a);
}
