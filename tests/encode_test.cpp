// Every ExMy of 2 to 8 bits with every kind of specials, and some up to 16 bits: all patterns,
// values, middles and their neighbours, in every rounding, under every overflow rule.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <halfbyte/minifloat.hpp>
#include <halfbyte/names.hpp>

#include "every_format.hpp"
#include "every_policy.hpp"
#include "exact.hpp"
#include "inputs.hpp"
#include "tally.hpp"

namespace hb = halfbyte;
using hb::specials;

namespace {

/// Valid shapes of `Least` to `Most` bits with one kind of specials, biased as IEEE 754 would.
template <int Least, int Most, specials Special>
struct shapes {
  static constexpr hb::format at(int sign, int exponent, int mantissa) {
    const int bias = exponent == 0 ? 1 - mantissa : (1 << (exponent - 1)) - 1;
    return {exponent, mantissa, bias, Special, sign};
  }
  template <class Function>
  static constexpr void each(Function&& f) {
    for (int sign = 0; sign <= 1; ++sign) {
      for (int exponent = 0; exponent <= 8; ++exponent) {
        for (int mantissa = 0; mantissa <= 15; ++mantissa) {
          const hb::format s = at(sign, exponent, mantissa);
          if (s.bits() >= Least && s.bits() <= Most && s.valid()) f(s);
        }
      }
    }
  }
  static constexpr std::size_t count = [] {
    std::size_t n = 0;
    each([&](const hb::format&) { ++n; });
    return n;
  }();
  static constexpr std::array<hb::format, count> list = [] {
    std::array<hb::format, count> all{};
    std::size_t n = 0;
    each([&](const hb::format& f) { all[n++] = f; });
    return all;
  }();
};

using encoder = std::uint32_t (*)(double, float, bool, exact::rounding, exact::overflow);
using decoder = float (*)(std::uint32_t);

template <hb::format F>
std::uint32_t encode_any(double wide, float narrow, bool is_wide, exact::rounding mode,
                         exact::overflow rule) {
  const hb::unpacked x = is_wide ? hb::unpack(wide) : hb::unpack(narrow);
  return hb::encode<F>(x, exact::any_rounding{mode}, exact::any_overflow{rule});
}

void check(tally& t, const hb::format& f, encoder encode, decoder decode) {
  const exact::grid g = exact::grid_of(f);
  const auto name = [&] {
    return std::string("e") + std::to_string(f.exponent_bits) + "m" +
           std::to_string(f.mantissa_bits) + " specials " +
           std::to_string(static_cast<int>(f.special)) + " sign " + std::to_string(f.sign_bits);
  };
  const auto even = exact::rounding::nearest_even;
  for (std::uint32_t p = 0; p <= f.mask(); ++p) {
    const exact::value v = g.meaning(p);
    const float x = decode(p);
    const exact::value got = exact::of(x);
    const bool same = got.what == v.what &&
                      (v.what == exact::value::kind::nan || got.negative == v.negative) &&
                      (!v.finite() || exact::compare(got.magnitude, v.magnitude) == 0);
    t.expect(same, [&] { return name() + " decodes " + hex(p); });
    std::uint32_t want = v.what == exact::value::kind::nan ? g.nan() : p;
    if (f.fixed_point() && p == f.sign_mask()) want = p + 1;
    t.expect(encode(0, x, false, even, exact::overflow::to_special) == want,
             [&] { return name() + " does not return " + hex(p); });
  }
  const auto compare = [&](double wide, float narrow, bool is_wide) {
    const exact::value v = is_wide ? exact::of(wide) : exact::of(narrow);
    const exact::place p = v.finite() ? g.find(v.magnitude) : exact::place{};
    for (const exact::rounding mode : exact::every_rounding) {
      for (const exact::overflow rule : exact::every_overflow) {
        const std::uint32_t got = encode(wide, narrow, is_wide, mode, rule);
        const std::uint32_t want = g.round(v, p, mode, rule);
        t.expect(got == want, [&] {
          return name() + " " + exact::name(mode) + " " + exact::name(rule) + " of " +
                 (is_wide ? hex(exact::bits_of(wide)) : hex(exact::bits_of(narrow))) + " gave " +
                 hex(got) + ", not " + hex(want);
        });
      }
    }
  };
  for (const auto bits : exact::critical_floats(g)) compare(0, exact::float_of(bits), false);
  for (const auto bits : exact::critical_doubles(g)) compare(exact::double_of(bits), 0, true);
  for (const std::uint32_t bits : {0x00000001u, 0x80000001u, 0x7f7fffffu, 0xff7fffffu, 0x7f800000u,
                                   0xff800000u, 0x7f800001u, 0xffc00000u}) {
    compare(0, exact::float_of(bits), false);
  }
}

template <hb::format F>
void check_format(tally& t) {
  check(t, F, encode_any<F>, [](std::uint32_t p) { return hb::decode<F>(p); });
}

template <int Least, int Most, specials Special>
void check_shapes() {
  using s = shapes<Least, Most, Special>;
  tally t;
  [&]<std::size_t... I>(std::index_sequence<I...>) { (check_format<s::list[I]>(t), ...); }
  (std::make_index_sequence<s::count>{});
  MESSAGE(s::count, " formats, ", t.total, " conversions");
}

}  // namespace

TEST_CASE("every shape of 2 to 8 bits without specials converts right in every mode") {
  check_shapes<2, 8, specials::none>();
}

TEST_CASE("every shape of 2 to 8 bits with NaN alone converts right in every mode") {
  check_shapes<2, 8, specials::nan>();
}

TEST_CASE("every shape of 2 to 8 bits with infinity converts right in every mode") {
  check_shapes<2, 8, specials::infinity>();
}

TEST_CASE("every shape of 2 to 8 bits with NaN for minus zero converts right in every mode") {
  check_shapes<2, 8, specials::fnuz>();
}

TEST_CASE("the highest exponent of a format with NaN alone holds numbers, as in UE5M3 248 to 254") {
  constexpr hb::format ue5m3{5, 3, 15, specials::nan, 0};
  for (std::uint32_t p = 248; p < 255; ++p) {
    CHECK(hb::decode<ue5m3>(p) == static_cast<float>(8 + p % 8) * 8192);
  }
  CHECK(hb::minifloat<ue5m3>::from_pattern(255).is_nan());
  CHECK(hb::encode<ue5m3>(114688.0f) == 254);
}

TEST_CASE("shapes of 9 to 16 bits and with other biases convert right in every mode") {
  tally t;
  check_format<hb::format{3, 5, 3, specials::infinity}>(t);
  check_format<hb::format{4, 5, 7, specials::nan}>(t);
  check_format<hb::format{5, 4, 15, specials::none}>(t);
  check_format<hb::format{6, 5, 31, specials::fnuz}>(t);
  check_format<hb::format{7, 4, 63, specials::infinity}>(t);
  check_format<hb::format{2, 9, 1, specials::nan}>(t);
  check_format<hb::format{5, 6, 15, specials::nan, 0}>(t);
  check_format<hb::format{0, 11, -10}>(t);
  check_format<hb::format{4, 3, 11, specials::fnuz}>(t);  // E4M3B11FNUZ
  check_format<hb::format{4, 3, 0, specials::nan}>(t);    // large numbers only
  check_format<hb::format{5, 2, 40, specials::infinity}>(t);
  check_format<hb::format{4, 3, 146, specials::none}>(t);   // multiples of 2^-148
  check_format<hb::format{5, 3, 15, specials::nan, 0}>(t);  // UE5M3: 248 to 254 are numbers
  check_format<hb::format{1, 14, 0, specials::none}>(t);
}

TEST_CASE("integers are rounded once, in every mode") {
  tally t;
  hb::for_each_rounding([&](auto rounding) {
    for (int i = -600; i <= 600; ++i) {
      const std::uint32_t expected = hb::encode<hb::e4m3>(1.0 * i, rounding, hb::to_special{});
      t.expect(hb::encode<hb::e4m3>(i, rounding, hb::to_special{}) == expected,
               [&] { return std::to_string(i) + " " + hb::name(rounding); });
    }
  });
  // One more than a tie of float32 that a double cannot say: 2^63 + 2^39 + 1.
  const std::uint64_t above = (std::uint64_t{1} << 63) + (std::uint64_t{1} << 39) + 1;
  CHECK(hb::encode<hb::float32>(above) == 0x5f000001u);
  CHECK(hb::encode<hb::float32>(above - 1) == 0x5f000000u);
  CHECK(hb::encode<hb::float32>(INT64_MIN) == 0xdf000000u);
}
