#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <halfbyte/convert.hpp>
#include <halfbyte/minifloat.hpp>

#include "instruction_sets.hpp"

namespace hb = halfbyte;

namespace {

/// Floats of every kind: any bits at all, numbers in the range of small formats, numbers that are
/// ties or beside one, zeros.
std::vector<float> numbers(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    auto bits = static_cast<std::uint32_t>(random());
    const auto choice = static_cast<std::uint32_t>(random() % 4);
    if (choice == 1) bits = (bits & 0x807fffffu) | (105 + bits % 32) << 23;
    if (choice == 2) {
      bits = (bits & 0x80700000u) | (110 + bits % 30) << 23;
      bits += static_cast<std::uint32_t>(random() % 3) - 1;
    }
    if (choice == 3 && random() % 4 == 0) bits &= 0x80000000u;
    x[i] = hb::bit_cast<float>(bits);
  }
  return x;
}

template <hb::format F, class T, class Rounding, class Overflow>
void compare(const std::vector<T>& x, const Rounding& rounding, const Overflow& overflow) {
  const auto n = static_cast<std::ptrdiff_t>(x.size());
  for (const std::ptrdiff_t cols : {n, std::ptrdiff_t{67}, std::ptrdiff_t{1}}) {
    const hb::matrix_view<const T> view{x.data(), n / cols, cols, cols};
    const auto bytes = hb::packed_bytes(F, cols) * static_cast<std::size_t>(view.rows);
    for_each_instruction_set([&](const char* set) {
      std::vector<std::uint8_t> packed(bytes, 0xcc);
      hb::encode<F>(view, packed.data(), rounding, overflow, 3);
      std::ptrdiff_t wrong = -1;
      for (std::ptrdiff_t i = 0; i < view.rows * cols && wrong < 0; ++i) {
        const auto* row =
            packed.data() + i / cols * static_cast<std::ptrdiff_t>(hb::packed_bytes(F, cols));
        const auto index = static_cast<std::uint64_t>(i) + 3;
        const std::uint32_t expected = hb::encode<F>(x[static_cast<std::size_t>(i)], rounding,
                                                     overflow, index);
        if (hb::load_packed<F>(row, i % cols) != expected) wrong = i;
      }
      INFO("vectors ", std::string(set), ", ", cols, " columns");
      CHECK(wrong == -1);
    });
  }
}

template <hb::format F, class T>
void compare_policies(const std::vector<T>& x) {
  compare<F>(x, hb::nearest_even{}, hb::saturate{});
  compare<F>(x, hb::nearest_even{}, hb::to_special{});
  compare<F>(x, hb::upward{}, hb::to_special{});
  compare<F>(x, hb::stochastic<8>{7, 9}, hb::saturate{});
}

}  // namespace

TEST_CASE("a row of patterns is what the scalar conversion gives, in every instruction set") {
  const auto x = numbers(4 * 67 * 16, 1);
  compare_policies<hb::e4m3>(x);
  compare_policies<hb::e5m2>(x);
  compare_policies<hb::e2m1>(x);
  compare<hb::e2m3>(x, hb::nearest_even{}, hb::saturate{});
  compare<hb::e3m2>(x, hb::downward{}, hb::saturate{});
  compare<hb::e4m3fnuz>(x, hb::nearest_even{}, hb::to_special{});
  compare<hb::int8>(x, hb::nearest_away{}, hb::saturate{});
  compare<hb::float16>(x, hb::nearest_even{}, hb::to_special{});
  compare<hb::bfloat16>(x, hb::nearest_even{}, hb::to_special{});
}

TEST_CASE("every rounding policy and every overflow policy goes through vectors unchanged") {
  const auto x = numbers(67 * 32, 2);
  compare<hb::e4m3>(x, hb::nearest_away{}, hb::saturate_finite{});
  compare<hb::e4m3>(x, hb::nearest_toward_zero{}, hb::to_special{});
  compare<hb::e5m2>(x, hb::toward_zero{}, hb::to_special{});
  compare<hb::e5m2>(x, hb::downward{}, hb::saturate_finite{});
  compare<hb::e5m2>(x, hb::to_odd{}, hb::to_special{});
  compare<hb::e4m3>(x, hb::stochastic<>{1, 2}, hb::saturate{});
  compare<hb::e4m3>(x, hb::stochastic<1>{1, 2}, hb::to_special{});
  compare<hb::e2m1>(x, hb::stochastic_unbiased<8>{1, 2}, hb::saturate{});
}

namespace {

/// Doubles in and beside what F can tell apart: its numbers, the middles of two of them and quarters
/// beside those, one and many units in the last place away; every exponent; infinities and NaNs.
template <hb::format F>
std::vector<double> critical_doubles() {
  std::vector<double> x;
  const auto add = [&](std::uint64_t bits) {
    for (const std::uint64_t away : {0ull, 1ull, 1ull << 28, 1ull << 29, 1ull << 32, 1ull << 33}) {
      for (const std::uint64_t near : {bits + away, bits - away}) {
        x.push_back(hb::bit_cast<double>(near));
        x.push_back(hb::bit_cast<double>(near ^ (1ull << 63)));
      }
    }
  };
  for (std::uint32_t p = 0; p <= F.max_pattern(); p += F.bits() > 8 ? 31 : 1) {
    const double v = hb::decode<F>(p);
    const double next = p < F.max_pattern() ? hb::decode<F>(p + 1) : 2 * v - hb::decode<F>(p - 1);
    for (int quarter = 0; quarter < 4; ++quarter) {
      add(hb::bit_cast<std::uint64_t>(v + (next - v) * quarter / 4));
    }
  }
  for (std::uint64_t exponent = 0; exponent < 2048; ++exponent) add(exponent << 52);
  while (x.size() % 67 != 0) x.push_back(0);
  return x;
}

}  // namespace

TEST_CASE("doubles at and beside every boundary are rounded once") {
  compare_policies<hb::e4m3>(critical_doubles<hb::e4m3>());
  compare_policies<hb::e2m1>(critical_doubles<hb::e2m1>());
  const auto x = critical_doubles<hb::e5m2>();
  compare<hb::e5m2>(x, hb::to_odd{}, hb::to_special{});
  compare<hb::e5m2>(x, hb::downward{}, hb::saturate_finite{});
  compare<hb::e5m2>(x, hb::stochastic<16>{1, 2}, hb::to_special{});
  compare<hb::e5m2>(x, hb::stochastic_unbiased<16>{1, 2}, hb::saturate{});
  compare<hb::int8>(critical_doubles<hb::int8>(), hb::nearest_even{}, hb::saturate{});
  compare<hb::float16>(critical_doubles<hb::float16>(), hb::nearest_away{}, hb::to_special{});
}

TEST_CASE("bfloat16, float16 and double are rounded once") {
  const auto x = numbers(67 * 32, 3);
  std::vector<hb::minifloat<hb::bfloat16>> bf16;
  std::vector<hb::minifloat<hb::float16>> half;
  std::vector<double> wide;
  std::mt19937_64 random(4);
  for (const float f : x) {
    const auto bits = hb::bit_cast<std::uint32_t>(f);
    bf16.push_back(hb::minifloat<hb::bfloat16>::from_pattern(bits >> 16));
    half.push_back(hb::minifloat<hb::float16>::from_pattern(bits >> 13));
    std::uint64_t d = random() % 3 == 0 ? random() : hb::bit_cast<std::uint64_t>(double{f});
    if (random() % 3 == 0) d += random() % 3 - 1;  // beside a tie by less than a float can say
    wide.push_back(hb::bit_cast<double>(d));
  }
  compare_policies<hb::e4m3>(bf16);
  compare_policies<hb::e2m1>(half);
  compare_policies<hb::e5m2>(wide);
  compare<hb::e2m1>(wide, hb::nearest_even{}, hb::saturate{});
  compare<hb::e2m1>(wide, hb::stochastic<>{1, 2}, hb::saturate{});
  compare<hb::float16>(wide, hb::nearest_even{}, hb::to_special{});
}

TEST_CASE("every number of float16") {
  std::vector<hb::minifloat<hb::float16>> x;
  for (std::uint32_t p = 0; p < 65536; ++p) {
    x.push_back(hb::minifloat<hb::float16>::from_pattern(p));
  }
  compare_policies<hb::e4m3>(x);
  compare_policies<hb::e5m2>(x);
  compare_policies<hb::e2m1>(x);
  compare<hb::e2m1>(x, hb::to_odd{}, hb::saturate_finite{});
  compare<hb::e3m2>(x, hb::downward{}, hb::saturate{});
  compare<hb::e5m2>(x, hb::to_odd{}, hb::saturate_finite{});
  compare<hb::e3m4>(x, hb::nearest_away{}, hb::to_special{});
  compare<hb::e4m3fnuz>(x, hb::nearest_even{}, hb::to_special{});
  compare<hb::e5m2fnuz>(x, hb::nearest_toward_zero{}, hb::to_special{});
}

TEST_CASE("decoding a row gives what the scalar decode gives, for every pattern") {
  const auto check = [](auto tag) {
    constexpr hb::format F = decltype(tag)::layout;
    const std::ptrdiff_t cols = (std::ptrdiff_t{1} << F.bits()) + 5;
    std::vector<std::uint8_t> packed(hb::packed_bytes(F, cols));
    for (std::ptrdiff_t j = 0; j < cols; ++j) {
      hb::store_packed<F>(packed.data(), j, static_cast<std::uint32_t>(j) & F.mask());
    }
    for_each_instruction_set([&](const char* set) {
      std::vector<float> out(static_cast<std::size_t>(cols));
      hb::decode<F>(packed.data(), hb::matrix_view<float>{out.data(), 1, cols, cols});
      std::ptrdiff_t wrong = -1;
      for (std::ptrdiff_t j = 0; j < cols; ++j) {
        const float expected = hb::decode<F>(static_cast<std::uint32_t>(j) & F.mask());
        const float got = out[static_cast<std::size_t>(j)];
        if (hb::bit_cast<std::uint32_t>(got) != hb::bit_cast<std::uint32_t>(expected)) wrong = j;
      }
      INFO("vectors ", std::string(set), ", format of ", F.bits(), " bits");
      CHECK(wrong == -1);
    });
  };
  check(hb::minifloat<hb::e2m1>{});
  check(hb::minifloat<hb::e2m3>{});
  check(hb::minifloat<hb::e3m2>{});
  check(hb::minifloat<hb::e3m4>{});
  check(hb::minifloat<hb::e4m3>{});
  check(hb::minifloat<hb::e5m2>{});
  check(hb::minifloat<hb::e4m3fnuz>{});
  check(hb::minifloat<hb::e5m2fnuz>{});
  check(hb::minifloat<hb::int8>{});
  check(hb::minifloat<hb::int4>{});
  check(hb::minifloat<hb::fixed8>{});
  check(hb::minifloat<hb::bfloat16>{});
  check(hb::minifloat<hb::float16>{});
}
