#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include <halfbyte/minifloat.hpp>

#include "every_format.hpp"
#include "exact.hpp"
#include "tally.hpp"

namespace hb = halfbyte;

namespace {

template <class Function>
void for_each_format(Function&& f) {
  f.template operator()<hb::e2m1>();
  f.template operator()<hb::e2m3>();
  f.template operator()<hb::e3m2>();
  f.template operator()<hb::e3m4>();
  f.template operator()<hb::e4m3>();
  f.template operator()<hb::e5m2>();
  f.template operator()<hb::e4m3fnuz>();
  f.template operator()<hb::e5m2fnuz>();
  f.template operator()<hb::ue8m0>();
  f.template operator()<hb::ue4m3>();
  f.template operator()<hb::int8>();
  f.template operator()<hb::int4>();
  f.template operator()<hb::fixed8>();
}

template <class Function>
void for_each_format_to_16_bits(Function&& f) {
  for_each_format(f);
  f.template operator()<hb::bfloat16>();
  f.template operator()<hb::float16>();
}

template <hb::format F>
std::string name() {
  return std::string("e") + std::to_string(F.exponent_bits) + "m" +
         std::to_string(F.mantissa_bits) + " bias " + std::to_string(F.bias);
}

/// The bits of the float that a value is; the one NaN that halfbyte decodes to.
std::uint32_t float_bits(const exact::value& v) {
  if (v.what == exact::value::kind::nan) return 0x7fffffffu;
  if (v.what == exact::value::kind::infinite) return v.negative ? 0xff800000u : 0x7f800000u;
  return static_cast<std::uint32_t>(exact::to_ieee(v.magnitude, v.negative, 8, 23));
}

/// -1, 0, 1, or 2 where a NaN is in the pair.
int order(const exact::value& a, const exact::value& b) {
  using kind = exact::value::kind;
  if (a.what == kind::nan || b.what == kind::nan) return 2;
  const auto size = [](const exact::value& v) {
    return v.finite() ? v.magnitude : exact::number{1, 2000};
  };
  const bool a_zero = size(a).n == 0;
  const bool b_zero = size(b).n == 0;
  const bool a_negative = a.negative && !a_zero;
  const bool b_negative = b.negative && !b_zero;
  if (a_negative != b_negative) return a_negative ? -1 : 1;
  const int c = exact::compare(size(a), size(b));
  return a_negative ? -c : c;
}

/// a / b to far more bits than any middle of two values has, the last one sticky.
exact::number divide(exact::number a, exact::number b) {
  const std::uint64_t scaled = a.n << 40;
  return {scaled / b.n * 2 + (scaled % b.n != 0 ? 1 : 0), a.k - b.k - 41};
}

exact::number multiply(exact::number a, exact::number b) { return {a.n * b.n, a.k + b.k}; }

exact::value plus(const exact::value& a, const exact::value& b) {
  if (a.negative == b.negative) {
    return {exact::value::kind::finite, a.negative, exact::add(a.magnitude, b.magnitude)};
  }
  const int c = exact::compare(a.magnitude, b.magnitude);
  if (c == 0) return {exact::value::kind::finite, false, {}};
  const exact::value& large = c > 0 ? a : b;
  const exact::value& small = c > 0 ? b : a;
  return {exact::value::kind::finite, large.negative,
          exact::subtract(large.magnitude, small.magnitude)};
}

template <hb::format F>
constexpr bool every_pattern_returns() {
  for (std::uint32_t p = 0; p <= F.mask(); ++p) {
    const auto x = hb::minifloat<F>::from_pattern(p);
    const bool held = hb::encode<F>(hb::decode<F>(p), hb::nearest_even{}, hb::to_special{}) == p;
    const bool unwritten = F.fixed_point() && p == F.sign_mask();
    if (!held && !x.is_nan() && !unwritten) return false;
    if (x.is_nan() && hb::encode<F>(hb::decode<F>(p)) != F.nan_pattern()) return false;
  }
  return true;
}

// The language's own evaluator runs all patterns.
static_assert(every_pattern_returns<hb::e2m1>() && every_pattern_returns<hb::e2m3>());
static_assert(every_pattern_returns<hb::e3m2>() && every_pattern_returns<hb::e3m4>());
static_assert(every_pattern_returns<hb::e4m3>() && every_pattern_returns<hb::e5m2>());
static_assert(every_pattern_returns<hb::e4m3fnuz>() && every_pattern_returns<hb::e5m2fnuz>());
static_assert(every_pattern_returns<hb::ue8m0>() && every_pattern_returns<hb::ue4m3>());
static_assert(every_pattern_returns<hb::int8>() && every_pattern_returns<hb::int4>());
static_assert(every_pattern_returns<hb::fixed8>());

static_assert(std::is_trivially_copyable_v<hb::float8_e4m3> && std::is_trivial_v<hb::float4_e2m1>);
static_assert(sizeof(hb::float4_e2m1) == 1 && sizeof(hb::float8_e4m3) == 1);
static_assert(sizeof(hb::minifloat<hb::bfloat16>) == 2 && sizeof(hb::minifloat<hb::float32>) == 4);
static_assert(!std::is_convertible_v<float, hb::float8_e4m3>);  // a loss of bits is asked for
static_assert(!std::is_convertible_v<hb::float8_e4m3, float>);
static_assert(!std::is_convertible_v<hb::float8_e4m3, hb::float8_e5m2>);
static_assert(!std::is_convertible_v<int, hb::float8_e4m3>);

template <hb::format F>
struct compile_time_table {
  std::uint32_t decoded[256] = {};
  constexpr compile_time_table() {
    for (std::uint32_t p = 0; p <= F.mask(); ++p) {
      decoded[p] = hb::bit_cast<std::uint32_t>(hb::decode<F>(p));
    }
  }
};

}  // namespace

TEST_CASE("every pattern of every format decodes to what its definition says") {
  tally t;
  for_each_format_to_16_bits([&]<hb::format F>() {
    const exact::grid g = exact::grid_of(F);
    for (std::uint32_t p = 0; p <= F.mask(); ++p) {
      const exact::value v = g.meaning(p);
      const std::uint32_t want = float_bits(v);
      const std::uint32_t got = exact::bits_of(hb::decode<F>(p));
      // Fixed point has one zero; its magnitude 0 never carries a sign.
      t.expect(got == want, [&] { return name<F>() + " " + hex(p) + ": " + hex(got); });
      const auto x = hb::minifloat<F>::from_pattern(p);
      const bool nan = v.what == exact::value::kind::nan;
      t.expect(x.is_nan() == nan && x.is_finite() == v.finite() &&
                   x.is_infinity() == (!nan && !v.finite()),
               [&] { return std::string("kind of ") + name<F>() + " " + hex(p); });
      if (v.finite()) {
        t.expect(exact::bits_of(static_cast<double>(x)) ==
                     exact::to_ieee(v.magnitude, v.negative, 11, 52),
                 [&] { return std::string("double of ") + name<F>() + " " + hex(p); });
        t.expect(exact::bits_of(static_cast<float>(x)) == want,
                 [&] { return std::string("float of ") + name<F>() + " " + hex(p); });
      }
    }
  });
}

TEST_CASE("NaN and infinity survive decoding to float and to double, whatever the source") {
  for_each_format_to_16_bits([&]<hb::format F>() {
    if constexpr (F.has_nan()) {
      const auto x = hb::minifloat<F>::from_pattern(F.nan_pattern());
      CHECK(exact::of(static_cast<float>(x)).what == exact::value::kind::nan);
      CHECK(exact::of(static_cast<double>(x)).what == exact::value::kind::nan);
      CHECK(hb::minifloat<hb::bfloat16>(x).is_nan());
      CHECK(hb::minifloat<hb::float16>(x).is_nan());
    }
    if constexpr (F.has_infinity()) {
      const auto x = hb::minifloat<F>::from_pattern(F.infinity_pattern() | F.sign_mask());
      CHECK(exact::of(static_cast<float>(x)).what == exact::value::kind::infinite);
      CHECK(exact::of(static_cast<double>(x)).what == exact::value::kind::infinite);
      CHECK(exact::of(static_cast<double>(x)).negative);
      CHECK(hb::encode<hb::bfloat16>(x, hb::nearest_even{}, hb::to_special{}) == 0xff80);
    }
  });
}

// Numbers lost between two small formats: NaN that became a number on one way of two
// (intel-xpu-backend-for-triton#7771), scales of 2^-24 to 2^-15 flushed in half (1Cat-vLLM#222).
TEST_CASE("every number of every small format becomes the nearest of every other format") {
  tally t;
  std::vector<hb::unpacked> numbers;
  std::vector<exact::value> meanings;
  for_each_format([&]<hb::format G>() {
    const exact::grid g = exact::grid_of(G);
    const exact::grid half = exact::grid_of(hb::float16);
    for (std::uint32_t p = 0; p <= G.mask(); ++p) {
      const auto x = hb::minifloat<G>::from_pattern(p);
      numbers.push_back(hb::unpack(x));
      meanings.push_back(g.meaning(p));
      const std::uint32_t got = hb::minifloat<hb::float16>(x).pattern;
      t.expect(got == half.round(meanings.back(), exact::rounding::nearest_even,
                                 exact::overflow::saturate),
               [&] { return name<G>() + " " + hex(p) + " to half: " + hex(got); });
    }
  });
  for_each_format_to_16_bits([&]<hb::format F>() {
    const exact::grid g = exact::grid_of(F);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const std::uint32_t want =
          g.round(meanings[i], exact::rounding::nearest_even, exact::overflow::saturate);
      const std::uint32_t got = hb::encode<F>(numbers[i]);
      t.expect(got == want, [&] {
        return "number " + std::to_string(i) + " to " + name<F>() + ": " + hex(got);
      });
    }
  });
}

TEST_CASE("e4m3 has no infinity: 7f and ff are NaN, not 480, and 78 to 7e are 256 to 448") {
  CHECK(hb::float8_e4m3::from_pattern(0x7f).is_nan());
  CHECK(hb::float8_e4m3::from_pattern(0xff).is_nan());
  for (std::uint32_t i = 0; i < 7; ++i) {
    CHECK(hb::decode<hb::e4m3>(0x78 + i) == 256.0f + 32.0f * static_cast<float>(i));
  }
  CHECK(hb::decode<hb::ue4m3>(0x7e) == 448.0f);
}

TEST_CASE("ue8m0: 0 is 2^-127 and not zero, 254 is 2^127, 255 is NaN and not 2^128") {
  CHECK(exact::bits_of(hb::decode<hb::ue8m0>(0)) == 0x00400000u);
  CHECK(exact::bits_of(hb::decode<hb::ue8m0>(1)) == 0x00800000u);
  CHECK(hb::decode<hb::ue8m0>(134) == 128.0f);  // a number like another
  CHECK(hb::decode<hb::ue8m0>(254) == 0x1p127f);
  CHECK(hb::float8_ue8m0::from_pattern(255).is_nan());
  CHECK(!hb::float8_ue8m0::from_pattern(134).is_nan());
}

TEST_CASE("patterns are unsigned bytes: bits above the format are ignored, 0x80 is not negative") {
  CHECK(hb::decode<hb::e2m1>(0xf7) == 6.0f);
  CHECK(hb::float4_e2m1::from_pattern(0xf7).pattern == 7);
  CHECK(hb::decode<hb::ue4m3>(0xb8) == hb::decode<hb::ue4m3>(0x38));  // 7 bits, no sign
  CHECK(hb::decode<hb::ue8m0>(0x80) == 2.0f);
  CHECK(hb::decode<hb::int8>(0x81) == -127.0f);
  CHECK(hb::decode<hb::int8>(0x80) == -128.0f);  // read, never written
  CHECK(hb::encode<hb::int8>(-128.0f) == 0x81);
  CHECK(hb::decode<hb::fixed8>(0x40) == 1.0f);
  CHECK(hb::decode<hb::int4>(0x9) == -7.0f);
}

TEST_CASE("encoding what was decoded gives the pattern back, from float, double and itself") {
  tally t;
  for_each_format_to_16_bits([&]<hb::format F>() {
    for (std::uint32_t p = 0; p <= F.mask(); ++p) {
      const auto x = hb::minifloat<F>::from_pattern(p);
      std::uint32_t want = p;
      if (x.is_nan()) want = F.nan_pattern();
      if (F.fixed_point() && p == F.sign_mask()) want = p + 1;
      const hb::nearest_even even;
      const hb::to_special special;
      t.expect(hb::encode<F>(hb::decode<F>(p), even, special) == want &&
                   hb::encode<F>(static_cast<double>(x), even, special) == want &&
                   hb::encode<F>(x, even, special) == want,
               [&] { return name<F>() + " " + hex(p); });
    }
  });
}

TEST_CASE("values grow with the pattern, and the sign bit only turns the sign") {
  tally t;
  for_each_format_to_16_bits([&]<hb::format F>() {
    for (std::uint32_t p = 1; p <= F.max_pattern(); ++p) {
      const float x = hb::decode<F>(p);
      t.expect(
          exact::compare(exact::of(hb::decode<F>(p - 1)).magnitude, exact::of(x).magnitude) < 0,
          [&] { return name<F>() + " " + hex(p); });
      if (F.has_sign() && !F.fixed_point()) {
        t.expect(
            (exact::bits_of(x) ^ exact::bits_of(hb::decode<F>(p | F.sign_mask()))) == 0x80000000u,
            [&] { return std::string("sign of ") + name<F>() + " " + hex(p); });
      }
    }
  });
}

TEST_CASE("the compiler's constant evaluation and the program give the same values") {
  const auto check = []<hb::format F>() {
    static constexpr compile_time_table<F> table;
    for (std::uint32_t p = 0; p <= F.mask(); ++p) {
      volatile std::uint32_t hidden = p;
      CHECK(exact::bits_of(hb::decode<F>(hidden)) == table.decoded[p]);
    }
  };
  check.operator()<hb::e2m1>();
  check.operator()<hb::e2m3>();
  check.operator()<hb::e3m2>();
  check.operator()<hb::e4m3>();
  check.operator()<hb::e5m2>();
  check.operator()<hb::e4m3fnuz>();
  check.operator()<hb::ue8m0>();
  check.operator()<hb::ue4m3>();
  check.operator()<hb::int8>();
}

TEST_CASE("all comparisons of all pairs are those of the numbers, NaN and zeros included") {
  tally t;
  for_each_format([&]<hb::format F>() {
    const exact::grid g = exact::grid_of(F);
    std::vector<exact::value> values;
    for (std::uint32_t p = 0; p <= F.mask(); ++p) values.push_back(g.meaning(p));
    for (std::uint32_t p = 0; p <= F.mask(); ++p) {
      for (std::uint32_t q = 0; q <= F.mask(); ++q) {
        const auto a = hb::minifloat<F>::from_pattern(p);
        const auto b = hb::minifloat<F>::from_pattern(q);
        const int o = order(values[p], values[q]);
        const bool right = (a == b) == (o == 0) && (a != b) == (o != 0) && (a < b) == (o == -1) &&
                           (a > b) == (o == 1) && (a <= b) == (o == -1 || o == 0) &&
                           (a >= b) == (o == 1 || o == 0) && ((a <=> b) == 0) == (o == 0) &&
                           ((a <=> b) < 0) == (o == -1) && ((a <=> b) > 0) == (o == 1);
        t.expect(right, [&] { return name<F>() + " " + hex(p) + " and " + hex(q); });
      }
    }
  });
}

TEST_CASE("equal numbers have equal hashes, different ones different hashes") {
  for_each_format([&]<hb::format F>() {
    const std::hash<hb::minifloat<F>> hash;
    for (std::uint32_t p = 0; p <= F.mask(); ++p) {
      for (std::uint32_t q = 0; q < p; ++q) {
        const auto a = hb::minifloat<F>::from_pattern(p);
        const auto b = hb::minifloat<F>::from_pattern(q);
        if (a.is_nan() || b.is_nan()) continue;
        if ((a == b) != (hash(a) == hash(b))) {
          FAIL_CHECK(name<F>(), " ", p, " and ", q);
        }
      }
    }
  });
}

TEST_CASE("unary minus turns the sign of every number, infinity and zero, and keeps NaN") {
  for_each_format_to_16_bits([&]<hb::format F>() {
    if constexpr (F.has_sign()) {
      const exact::grid g = exact::grid_of(F);
      tally t;
      for (std::uint32_t p = 0; p <= F.mask(); ++p) {
        const auto x = hb::minifloat<F>::from_pattern(p);
        const auto minus = -x;
        if (x.is_nan()) {
          t.expect(minus.is_nan(), [&] { return name<F>() + " " + hex(p); });
          continue;
        }
        if (F.fixed_point() && p == F.sign_mask()) {
          t.expect(minus.pattern == F.max_pattern(), [&] { return name<F>() + " lowest"; });
          continue;
        }
        const std::uint32_t magnitude =
            p < F.sign_mask() ? p : (F.fixed_point() ? F.mask() + 1 - p : p - F.sign_mask());
        const std::uint32_t want = g.with_sign(magnitude, p < F.sign_mask());
        t.expect(minus.pattern == want, [&] { return name<F>() + " " + hex(p); });
        t.expect((+x).pattern == p, [&] { return name<F>() + " " + hex(p); });
      }
    }
  });
}

namespace {

#if defined(__FAST_MATH__)
constexpr bool float_arithmetic_is_ieee = false;  // nor are the signs of zeros, nor 1 / 0
#else
constexpr bool float_arithmetic_is_ieee = true;
#endif

template <hb::format F>
void arithmetic(tally& t) {
  using number = hb::minifloat<F>;
  using kind = exact::value::kind;
  const exact::grid g = exact::grid_of(F);
  const auto expected = [&](const exact::value& v) {
    return g.round(v, exact::rounding::nearest_even, exact::overflow::saturate);
  };
  const exact::value nan{kind::nan, false, {}};
  for (std::uint32_t p = 0; p <= F.mask(); ++p) {
    for (std::uint32_t q = 0; q <= F.mask(); ++q) {
      const number a = number::from_pattern(p);
      const number b = number::from_pattern(q);
      const exact::value x = g.meaning(p);
      const exact::value y = g.meaning(q);
      if ((!x.finite() || !y.finite()) && !float_arithmetic_is_ieee) continue;
      exact::value sum = nan, difference = nan, product = nan, ratio = nan;
      if (x.finite() && y.finite()) {
        exact::value minus_y = y;
        minus_y.negative = !y.negative;
        sum = plus(x, y);
        difference = plus(x, minus_y);
        const bool sign = x.negative != y.negative;
        product = {kind::finite, sign, multiply(x.magnitude, y.magnitude)};
        if (y.magnitude.n != 0) {
          ratio = {kind::finite, sign, divide(x.magnitude, y.magnitude)};
        } else if (x.magnitude.n != 0) {
          ratio = {kind::infinite, sign, {}};
        }
      } else if (x.what != kind::nan && y.what != kind::nan) {
        continue;  // infinities: their own test
      }
      const auto same = [&](number got, const exact::value& want) {
        if (!float_arithmetic_is_ieee) {
          if (!want.finite()) return true;
          const std::uint32_t zero = F.sign_mask();
          const std::uint32_t w = expected(want);
          return got.pattern == w || ((got.pattern & ~zero) == 0 && (w & ~zero) == 0);
        }
        return got.pattern == expected(want);
      };
      t.expect(same(a + b, sum), [&] { return name<F>() + " " + hex(p) + " + " + hex(q); });
      t.expect(same(a - b, difference), [&] { return name<F>() + " " + hex(p) + " - " + hex(q); });
      t.expect(same(a * b, product), [&] { return name<F>() + " " + hex(p) + " * " + hex(q); });
      t.expect(same(a / b, ratio), [&] { return name<F>() + " " + hex(p) + " / " + hex(q); });
    }
  }
}

}  // namespace

TEST_CASE("sums, differences, products and ratios of all pairs are the exact ones rounded once") {
  tally t;
  arithmetic<hb::e2m1>(t);
  arithmetic<hb::e2m3>(t);
  arithmetic<hb::e3m2>(t);
  arithmetic<hb::e4m3>(t);
  arithmetic<hb::e5m2>(t);
  arithmetic<hb::e4m3fnuz>(t);
  arithmetic<hb::int4>(t);
  arithmetic<hb::fixed8>(t);
}

TEST_CASE("sums and products with infinity are those of floats, and saturate") {
  if (!float_arithmetic_is_ieee) return;
  const auto check = []<hb::format F>() {
    using number = hb::minifloat<F>;
    const number infinity = std::numeric_limits<number>::infinity();
    const number largest = std::numeric_limits<number>::max(), one(1), zero(0);
    CHECK((infinity + one).pattern == largest.pattern);
    CHECK((one - infinity).pattern == (-largest).pattern);
    CHECK((infinity * -one).pattern == (-largest).pattern);
    CHECK((infinity / one).pattern == largest.pattern);
    CHECK((one / infinity).pattern == zero.pattern);
    CHECK((-one / infinity).pattern == (-zero).pattern);
    CHECK((infinity - infinity).is_nan());
    CHECK((infinity * zero).is_nan());
    CHECK((infinity / infinity).is_nan());
    CHECK((infinity + number::from_pattern(F.nan_pattern())).is_nan());
  };
  check.operator()<hb::e5m2>();
  check.operator()<hb::float16>();
}

TEST_CASE("assignment operators do what the operators do") {
  hb::float8_e4m3 x(3.0f);
  x += hb::float8_e4m3(0.25f);
  CHECK(static_cast<float>(x) == 3.25f);
  x -= hb::float8_e4m3(1.0f);
  CHECK(static_cast<float>(x) == 2.25f);
  x *= hb::float8_e4m3(2.0f);
  CHECK(static_cast<float>(x) == 4.5f);
  x /= hb::float8_e4m3(-4.0f);
  CHECK(static_cast<float>(x) == -1.125f);
}

TEST_CASE("integers of every type and size convert as the numbers they are") {
  using hb::minifloat;
  tally t;
  for (int i = -200; i <= 200; ++i) {
    const float f = static_cast<float>(i);
    t.expect(minifloat<hb::e4m3>(i).pattern == hb::encode<hb::e4m3>(f) &&
                 minifloat<hb::e2m1>(i).pattern == hb::encode<hb::e2m1>(f) &&
                 minifloat<hb::int8>(i).pattern == hb::encode<hb::int8>(f) &&
                 minifloat<hb::ue4m3>(i).pattern == hb::encode<hb::ue4m3>(f),
             [&] { return std::to_string(i); });
  }
  for (int i = -128; i <= 127; ++i) {
    t.expect(minifloat<hb::bfloat16>(static_cast<signed char>(i)).pattern ==
                 hb::encode<hb::bfloat16>(static_cast<float>(i)),
             [&] { return std::string("signed char ") + std::to_string(i); });
  }
  CHECK(minifloat<hb::bfloat16>(static_cast<unsigned char>(0xff)).pattern ==
        hb::encode<hb::bfloat16>(255.0f));
  CHECK(minifloat<hb::e4m3>(true).pattern == 0x38);
  CHECK(minifloat<hb::bfloat16>(std::numeric_limits<std::int64_t>::min()).pattern == 0xdf00);
  CHECK(minifloat<hb::bfloat16>(std::numeric_limits<std::uint64_t>::max()).pattern == 0x5f80);
  CHECK(minifloat<hb::float32>(std::uint32_t{0xffffffffu}).pattern == 0x4f800000u);
  CHECK(minifloat<hb::float32>(16777217).pattern == 0x4b800000u);
}
