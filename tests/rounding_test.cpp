// Every deterministic rounding of every named format against the oracle, from every bfloat16 and
// half, and from the floats and doubles at which a rounding can go wrong.

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <halfbyte/minifloat.hpp>
#include <halfbyte/rounding.hpp>

#include "every_format.hpp"
#include "every_policy.hpp"
#include "exact.hpp"
#include "inputs.hpp"
#include "tally.hpp"

namespace hb = halfbyte;

namespace {

template <hb::format... F, class Function>
void for_each_format(Function&& f) {
  (f.template operator()<F>(), ...);
}

template <class Function>
void for_each_small_format(Function&& f) {
  for_each_format<hb::e2m1, hb::e2m3, hb::e3m2, hb::e3m4, hb::e4m3, hb::e5m2, hb::e4m3fnuz,
                  hb::e5m2fnuz, hb::ue8m0, hb::ue4m3, hb::int8, hb::int4, hb::fixed8>(f);
}

template <class Function>
void for_each_wide_format(Function&& f) {
  for_each_format<hb::bfloat16, hb::float16>(f);
}

/// Every rounding of every source in `sources` into F, against the oracle.
template <hb::format F, class Source, class Make>
void compare(tally& t, const std::vector<Source>& sources, Make&& value_of) {
  const exact::grid g = exact::grid_of(F);
  for (const Source x : sources) {
    const exact::value v = value_of(x);
    const exact::place p = v.finite() ? g.find(v.magnitude) : exact::place{};
    for (const exact::rounding mode : exact::every_rounding) {
      const std::uint32_t got = hb::encode<F>(x, exact::any_rounding{mode}, hb::to_special{});
      const std::uint32_t want = g.round(v, p, mode, exact::overflow::to_special);
      t.expect(got == want, [&] {
        return std::string(exact::name(mode)) + " e" + std::to_string(F.exponent_bits) + "m" +
               std::to_string(F.mantissa_bits) + " of " + std::to_string(double(x)) + " gave " +
               hex(got) + ", not " + hex(want);
      });
    }
    const std::uint32_t plain = hb::encode<F>(x);
    const std::uint32_t want =
        g.round(v, p, exact::rounding::nearest_even, exact::overflow::saturate);
    t.expect(plain == want, [&] {
      return std::string("by default e") + std::to_string(F.exponent_bits) + "m" +
             std::to_string(F.mantissa_bits) + " of " + std::to_string(double(x)) + " gave " +
             hex(plain) + ", not " + hex(want);
    });
  }
}

template <class Value, class Bits, class Convert>
std::vector<Value> values_of(const std::vector<Bits>& bits, Convert&& convert) {
  std::vector<Value> values;
  values.reserve(bits.size());
  for (const Bits b : bits) values.push_back(convert(b));
  return values;
}

template <hb::format G>
std::vector<hb::minifloat<G>> every_pattern() {
  std::vector<hb::minifloat<G>> all;
  for (std::uint32_t p = 0; p <= G.mask(); ++p) all.push_back(hb::minifloat<G>::from_pattern(p));
  return all;
}

template <hb::format F>
void compare_floats(tally& t, const std::vector<std::uint32_t>& bits) {
  compare<F>(t, values_of<float>(bits, exact::float_of), [](float x) { return exact::of(x); });
}

template <hb::format F>
void compare_doubles(tally& t, const std::vector<std::uint64_t>& bits) {
  compare<F>(t, values_of<double>(bits, exact::double_of), [](double x) { return exact::of(x); });
}

}  // namespace

TEST_CASE("every rounding of every bfloat16 is right in every format") {
  tally t;
  const auto all = every_pattern<hb::bfloat16>();
  for_each_small_format([&]<hb::format F>() {
    compare<F>(t, all, [](auto x) { return exact::from_ieee(x.pattern, 8, 7); });
  });
  CHECK(t.total == 65536u * 8 * 13);
}

TEST_CASE("every rounding of every half is right in every format") {
  tally t;
  const auto all = every_pattern<hb::float16>();
  for_each_small_format([&]<hb::format F>() {
    compare<F>(t, all, [](auto x) { return exact::from_ieee(x.pattern, 5, 10); });
  });
}

TEST_CASE("the values, middles and next floats of every small format round right in every mode") {
  tally t;
  for_each_small_format(
      [&]<hb::format F>() { compare_floats<F>(t, exact::critical_floats(exact::grid_of(F))); });
}

TEST_CASE("the values, middles and next doubles of every small format round right in every mode") {
  tally t;
  for_each_small_format(
      [&]<hb::format F>() { compare_doubles<F>(t, exact::critical_doubles(exact::grid_of(F))); });
}

TEST_CASE("zeros, subnormals, the largest floats, infinities and NaN payloads convert right") {
  tally t;
  const auto edges = exact::edge_floats();
  for_each_small_format([&]<hb::format F>() { compare_floats<F>(t, edges); });
  for_each_wide_format([&]<hb::format F>() { compare_floats<F>(t, edges); });
}

TEST_CASE("subnormal and huge doubles convert right, and so does any double NaN") {
  tally t;
  const auto edges = exact::edge_doubles();
  for_each_small_format([&]<hb::format F>() { compare_doubles<F>(t, edges); });
  for_each_wide_format([&]<hb::format F>() { compare_doubles<F>(t, edges); });
}

TEST_CASE("random floats and doubles of every exponent round right in every mode") {
  tally t;
  std::mt19937_64 random(20);
  std::vector<std::uint32_t> floats;
  std::vector<std::uint64_t> doubles;
  for (int i = 0; i < 4000; ++i) floats.push_back(static_cast<std::uint32_t>(random()));
  for (int i = 0; i < 4000; ++i) doubles.push_back(random());
  for (int i = 0; i < 4000; ++i) {  // exponents near those of small formats
    doubles.push_back((random() >> 12) | (1013 + random() % 20) << 52 | (random() & 1) << 63);
  }
  for_each_small_format([&]<hb::format F>() {
    compare_floats<F>(t, floats);
    compare_doubles<F>(t, doubles);
  });
  for_each_wide_format([&]<hb::format F>() {
    compare_floats<F>(t, floats);
    compare_doubles<F>(t, doubles);
  });
}

TEST_CASE("bfloat16 and half themselves: values, middles and their neighbours in every mode") {
  tally t;
  for_each_wide_format([&]<hb::format F>() {
    compare_floats<F>(t, exact::critical_floats(exact::grid_of(F)));
    compare_doubles<F>(t, exact::critical_doubles(exact::grid_of(F)));
  });
}

TEST_CASE("a double rounds to float once, at every exponent, with ties to even") {
  tally t;
  std::mt19937_64 random(21);
  for (std::uint64_t exponent = 0; exponent < 2047; ++exponent) {
    for (const std::uint64_t tail :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0xfffffff}, std::uint64_t{0x10000000},
          std::uint64_t{0x10000001}, std::uint64_t{0x1fffffff}}) {
      const std::uint64_t head = (random() & 0x7fffff) << 29;
      const double x = exact::double_of((random() & 1) << 63 | exponent << 52 | head | tail);
      const exact::value v = exact::of(x);
      const std::uint32_t got = hb::encode<hb::float32>(x, hb::toward_zero{}, hb::to_special{});
      const exact::value back = exact::from_ieee(got, 8, 23);
      // Towards zero: the largest float that is not beyond x.
      const bool below = exact::compare(back.magnitude, v.magnitude) <= 0;
      const exact::value after = exact::from_ieee((got & 0x7fffffffu) + 1, 8, 23);
      const bool next_is_beyond =
          !after.finite() || exact::compare(after.magnitude, v.magnitude) > 0;
      const bool sign = back.negative == v.negative;
      t.expect(back.finite() && below && next_is_beyond && sign, [&] {
        return std::string("toward_zero of double ") + hex(exact::bits_of(x)) + ": " + hex(got);
      });
      // To nearest: compare with the middle of the two floats around x.
      if (!after.finite()) continue;
      const int side = exact::compare(v.magnitude, exact::middle(back.magnitude, after.magnitude));
      const std::uint32_t up = side > 0 || (side == 0 && got % 2 == 1) ? 1 : 0;
      t.expect(hb::encode<hb::float32>(x, hb::nearest_even{}, hb::to_special{}) == got + up,
               [&] { return std::string("nearest_even of double ") + hex(exact::bits_of(x)); });
    }
  }
}

TEST_CASE("a double is rounded once, not through float") {
  CHECK(hb::decode<hb::e4m3>(hb::encode<hb::e4m3>(-431.99999999999994)) == -416.0f);
  CHECK(hb::decode<hb::bfloat16>(hb::encode<hb::bfloat16>(16973823.0)) == 16908288.0f);
  CHECK(hb::decode<hb::e4m3>(hb::encode<hb::e4m3>(1.0625 + 0x1p-40)) == 1.125f);
  CHECK(hb::decode<hb::e4m3>(hb::encode<hb::e4m3>(1.0625)) == 1.0f);
}

TEST_CASE("a float is rounded once, not through half or bfloat16") {
  const float above_half_of_smallest = 0x1.000002p-10f;  // a half would drop the last bit
  CHECK(hb::encode<hb::e4m3>(above_half_of_smallest) == 1);
  CHECK(hb::encode<hb::e4m3>(0x1p-10f) == 0);
  CHECK(hb::encode<hb::e4m3>(0x1.100002p0f) == 0x39);  // bfloat16 would make it the tie 1.0625
  CHECK(hb::encode<hb::e2m1>(0x1.400002p0f) == 3);
  CHECK(hb::encode<hb::e2m1>(0x1.4p0f) == 2);
}

TEST_CASE("an exponent scale does not move because its source was rounded to bfloat16 first") {
  const float just_below_two = 0x1.fffffep0f;  // bfloat16 would make it 2
  CHECK(hb::encode<hb::ue8m0>(just_below_two, hb::toward_zero{}) == 127);
  CHECK(hb::encode<hb::ue8m0>(0x1.000002p0f, hb::upward{}) == 128);
}

TEST_CASE("a wide integer is rounded once, not through float") {
  CHECK(hb::minifloat<hb::bfloat16>(16973823).pattern == 0x4b81);
  CHECK(
      hb::minifloat<hb::bfloat16>((std::int64_t{1} << 62) + (std::int64_t{1} << 54) + 1).pattern ==
      0x5e81);  // 2^62 * (1 + 2^-8) is a tie; the last bit says up
  CHECK(hb::minifloat<hb::bfloat16>((std::int64_t{1} << 62) + (std::int64_t{1} << 54)).pattern ==
        0x5e80);
}

TEST_CASE("rounding to odd and then to nearest is rounding once") {
  tally t;  // half has 8 bits more than e5m2, at the same exponents
  std::mt19937_64 random(22);
  for (int i = 0; i < 200000; ++i) {
    const float x =
        exact::float_of(static_cast<std::uint32_t>(random()) % 0x0b000000u + 0x39000000u);
    const auto odd = hb::minifloat<hb::float16>::from_pattern(
        hb::encode<hb::float16>(x, hb::to_odd{}, hb::to_special{}));
    t.expect(hb::encode<hb::e5m2>(odd) == hb::encode<hb::e5m2>(x),
             [&] { return std::string("of ") + hex(exact::bits_of(x)); });
  }
}

TEST_CASE("ties go where each rounding says: even, away, towards zero, never a fixed direction") {
  // 2.5 lies between 2 (pattern 4, even) and 3; 3.5 between 3 (pattern 5, odd) and 4.
  CHECK(hb::encode<hb::e2m1>(2.5f) == 4);
  CHECK(hb::encode<hb::e2m1>(3.5f) == 6);
  CHECK(hb::encode<hb::e2m1>(2.5f, hb::nearest_away{}) == 5);
  CHECK(hb::encode<hb::e2m1>(3.5f, hb::nearest_away{}) == 6);
  CHECK(hb::encode<hb::e2m1>(2.5f, hb::nearest_toward_zero{}) == 4);
  CHECK(hb::encode<hb::e2m1>(3.5f, hb::nearest_toward_zero{}) == 5);
  CHECK(hb::encode<hb::e2m1>(-2.5f) == 0xc);
  CHECK(hb::encode<hb::e2m1>(-3.5f, hb::nearest_toward_zero{}) == 0xd);
  CHECK(hb::encode<hb::e2m1>(-2.5f, hb::upward{}) == 0xc);
  CHECK(hb::encode<hb::e2m1>(-2.5f, hb::downward{}) == 0xd);
  CHECK(hb::encode<hb::e2m1>(2.5f, hb::to_odd{}) == 5);
  CHECK(hb::encode<hb::e2m1>(3.5f, hb::to_odd{}) == 5);
}

TEST_CASE("a number far below the smallest of a format is zero or the smallest: no shift wraps") {
  tally t;
  for (int k = -1074; k <= -20; ++k) {
    const double x = exact::to_double({1, k});
    const auto check = [&](std::uint32_t got, std::uint32_t want) {
      t.expect(got == want,
               [&] { return std::string("2^") + std::to_string(k) + " gave " + hex(got); });
    };
    check(hb::encode<hb::e5m2>(x), 0);
    check(hb::encode<hb::e5m2>(x, hb::upward{}), 1);
    check(hb::encode<hb::e5m2>(-x, hb::downward{}), 0x81);
    check(hb::encode<hb::e2m1>(x, hb::to_odd{}), 1);
    check(hb::encode<hb::int8>(x, hb::upward{}), 1);
    if (k >= -149) {
      check(hb::encode<hb::e5m2>(static_cast<float>(x)), 0);
      check(hb::encode<hb::e5m2>(exact::to_float({1, k}, true), hb::downward{}), 0x81);
    }
  }
  CHECK(hb::encode<hb::e5m2>(1e-24f) == 0);
}

TEST_CASE("subnormals round on their own grid, to zero, to each other and up to the first normal") {
  CHECK(hb::encode<hb::e4m3>(0x1p-10f) == 0);       // half of the smallest: the tie is even
  CHECK(hb::encode<hb::e4m3>(0x1.8p-9f) == 2);      // 1.5 of the smallest: the tie goes to 2
  CHECK(hb::encode<hb::e4m3>(0x1.4p-8f) == 2);      // 2.5: to 2
  CHECK(hb::encode<hb::e4m3>(0x1.ep-7f) == 8);      // 7.5: up to the first normal
  CHECK(hb::encode<hb::e4m3>(-0x1.fp-5f) == 0x98);  // between -0.0586 and the even -0.0625
  CHECK(hb::encode<hb::e5m2>(0x1p-17f) == 0);
  CHECK(hb::encode<hb::e5m2>(0x1.000002p-17f) == 1);
  CHECK(hb::encode<hb::e2m1>(0.25f) == 0);
  CHECK(hb::encode<hb::e2m1>(0.75f) == 2);
  CHECK(hb::encode<hb::e2m3>(0.9375f) == 8);
  for (std::uint32_t i = 0; i < 8; ++i) {
    CHECK(hb::decode<hb::e4m3>(i) == static_cast<float>(i) / 512);
    CHECK(hb::decode<hb::e5m2>(i & 3) == static_cast<float>(i & 3) / 65536);
  }
}

TEST_CASE("a power-of-two scale rounds its ties to the even pattern") {
  CHECK(hb::encode<hb::ue8m0>(1.5f) == 128);  // between 127 and 128
  CHECK(hb::encode<hb::ue8m0>(3.0f) == 128);  // between 128 and 129
  CHECK(hb::encode<hb::ue8m0>(6.0f) == 130);
  CHECK(hb::encode<hb::ue8m0>(0x1p-127f) == 0);
  CHECK(hb::encode<hb::ue8m0>(0x1.8p-127f) == 0);
  CHECK(hb::encode<hb::ue8m0>(0x1p-126f) == 1);
  CHECK(hb::encode<hb::ue8m0>(0x1p-149f) == 0);
  CHECK(hb::encode<hb::ue8m0>(0x1p127f) == 254);
}
