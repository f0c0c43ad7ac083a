#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <halfbyte/minifloat.hpp>
#include <halfbyte/unpacked.hpp>

#include "every_format.hpp"
#include "exact.hpp"
#include "inputs.hpp"
#include "tally.hpp"

namespace hb = halfbyte;

namespace {

/// The magnitude of a finite unpacked number.
exact::number magnitude_of(const hb::unpacked& x) { return {x.significand, x.exponent - 63}; }

bool is(const hb::unpacked& got, const exact::value& want) {
  using kind = exact::value::kind;
  if (want.what == kind::nan) return got.kind == hb::number_kind::nan;
  if (got.negative != want.negative) return false;
  if (want.what == kind::infinite) return got.kind == hb::number_kind::infinite;
  if (want.magnitude.n == 0) return got.kind == hb::number_kind::zero && got.is_zero();
  return got.kind == hb::number_kind::finite && (got.significand >> 63) == 1 &&
         exact::compare(magnitude_of(got), want.magnitude) == 0;
}

/// a * b as high * 2^64 + low, by schoolbook digits of 16 bits.
struct wide_product {
  std::uint64_t high = 0, low = 0;
  wide_product(std::uint64_t a, std::uint64_t b) {
    for (int i = 3; i >= 0; --i) {
      high = (high << 16) | (low >> 48);
      low <<= 16;
      const std::uint64_t digit = (a >> (16 * i)) & 0xffff;
      for (int j = 0; j < 4; ++j) {
        const std::uint64_t part = digit * ((b >> (16 * j)) & 0xffff);
        add(part, 16 * j);
      }
    }
  }
  void add(std::uint64_t part, int shift) {
    const std::uint64_t before = low;
    low += part << shift;
    high += low < before ? 1 : 0;
    if (shift > 0) high += part >> (64 - shift);
  }
};

/// Random significands of many shapes: all bits, few bits, all ones, a power of two.
std::uint64_t significand(std::mt19937_64& random) {
  const std::uint64_t top = std::uint64_t{1} << 63;
  switch (random() % 5) {
    case 0:
      return top | random();
    case 1:
      return top | (random() << (random() % 63 + 1));
    case 2:
      return top;
    case 3:
      return ~std::uint64_t{0} << (random() % 64);
    default:
      return top | (random() & ~std::uint64_t{0x1fffffff});
  }
}

hb::unpacked finite(std::uint64_t bits, int exponent, bool negative = false) {
  return {bits, exponent, hb::number_kind::finite, negative};
}

const hb::unpacked zero{0, 0, hb::number_kind::zero, false};
const hb::unpacked infinite{0, 0, hb::number_kind::infinite, false};
const hb::unpacked nan_number{0, 0, hb::number_kind::nan, false};

}  // namespace

TEST_CASE("every pattern of every small format unpacks to its value") {
  tally t;
  const auto check = [&]<hb::format F>() {
    const exact::grid g = exact::grid_of(F);
    for (std::uint32_t p = 0; p <= F.mask(); ++p) {
      const hb::unpacked x = hb::unpack<F>(p);
      t.expect(is(x, g.meaning(p)), [&] { return hex(p); });
      t.expect(is(hb::magnitude(x), {g.meaning(p).what, false, g.meaning(p).magnitude}),
               [&] { return std::string("magnitude of ") + hex(p); });
    }
  };
  check.operator()<hb::e2m1>();
  check.operator()<hb::e2m3>();
  check.operator()<hb::e3m2>();
  check.operator()<hb::e3m4>();
  check.operator()<hb::e4m3>();
  check.operator()<hb::e5m2>();
  check.operator()<hb::e4m3fnuz>();
  check.operator()<hb::e5m2fnuz>();
  check.operator()<hb::ue8m0>();
  check.operator()<hb::ue4m3>();
  check.operator()<hb::int8>();
  check.operator()<hb::int4>();
  check.operator()<hb::fixed8>();
  check.operator()<hb::bfloat16>();
  check.operator()<hb::float16>();
}

TEST_CASE("floats and doubles of every exponent unpack to their values, subnormals and NaN too") {
  tally t;
  for (const std::uint32_t b : exact::edge_floats()) {
    t.expect(is(hb::unpack(exact::float_of(b)), exact::from_ieee(b, 8, 23)),
             [&] { return hex(b); });
  }
  for (const std::uint64_t b : exact::edge_doubles()) {
    t.expect(is(hb::unpack(exact::double_of(b)), exact::from_ieee(b, 11, 52)),
             [&] { return hex(b); });
  }
  std::mt19937_64 random(31);
  for (int i = 0; i < 100000; ++i) {
    const std::uint64_t b = random();
    const auto f = static_cast<std::uint32_t>(b);
    t.expect(is(hb::unpack(exact::double_of(b)), exact::from_ieee(b, 11, 52)),
             [&] { return hex(b); });
    t.expect(is(hb::unpack(exact::float_of(f)), exact::from_ieee(f, 8, 23)),
             [&] { return hex(f); });
  }
}

TEST_CASE("an integer times a power of two unpacks to itself") {
  tally t;
  std::mt19937_64 random(32);
  for (int i = 0; i < 10000; ++i) {
    const std::uint64_t n = random() >> (random() % 65 == 64 ? 63 : random() % 64);
    const int k = static_cast<int>(random() % 400) - 200;
    const bool negative = random() % 2 == 0;
    const exact::value want{exact::value::kind::finite, negative, {n, k}};
    t.expect(is(hb::unpack_integer(n, k, negative), want), [&] { return hex(n); });
    const exact::value shifted{exact::value::kind::finite, negative, {n, k + 37}};
    if (n != 0) {
      t.expect(is(hb::times_exp2(hb::unpack_integer(n, k, negative), 37), shifted),
               [&] { return std::string("times 2^37 of ") + hex(n); });
    }
  }
  CHECK(is(hb::unpack_integer(0, 5, true), {exact::value::kind::finite, true, {0, 0}}));
}

TEST_CASE("magnitudes compare as numbers") {
  tally t;
  std::mt19937_64 random(33);
  std::vector<hb::unpacked> numbers{zero};
  for (int i = 0; i < 300; ++i) {
    numbers.push_back(
        finite(significand(random), static_cast<int>(random() % 5) - 2, random() % 2 == 0));
  }
  for (const auto& a : numbers) {
    for (const auto& b : numbers) {
      const exact::number x = a.is_zero() ? exact::number{} : magnitude_of(a);
      const exact::number y = b.is_zero() ? exact::number{} : magnitude_of(b);
      t.expect(hb::magnitude_less(a, b) == (exact::compare(x, y) < 0),
               [&] { return hex(a.significand) + " < " + hex(b.significand); });
    }
  }
}

TEST_CASE("a product has the highest 64 bits of the exact one, and its last bit is sticky") {
  tally t;
  std::mt19937_64 random(34);
  for (int i = 0; i < 100000; ++i) {
    const std::uint64_t a = significand(random), b = significand(random);
    const int ea = static_cast<int>(random() % 300) - 150;
    const int eb = static_cast<int>(random() % 300) - 150;
    wide_product exact_product(a, b);
    int exponent = ea + eb + 1;
    if ((exact_product.high >> 63) == 0) {
      exact_product.high = (exact_product.high << 1) | (exact_product.low >> 63);
      exact_product.low <<= 1;
      --exponent;
    }
    const std::uint64_t want = exact_product.high | (exact_product.low != 0 ? 1 : 0);
    const bool na = random() % 2 == 0, nb = random() % 2 == 0;
    const hb::unpacked p = hb::product(finite(a, ea, na), finite(b, eb, nb));
    t.expect(p.significand == want && p.exponent == exponent && p.negative == (na != nb) &&
                 p.kind == hb::number_kind::finite,
             [&] { return hex(a) + " * " + hex(b) + ": " + hex(p.significand); });
  }
}

TEST_CASE(
    "a quotient has 63 bits of the exact one, and its last bit is sticky, as is that of the "
    "dividend") {
  tally t;
  std::mt19937_64 random(35);
  for (int i = 0; i < 100000; ++i) {
    const std::uint64_t a = significand(random);
    const std::uint64_t b = significand(random) & ~std::uint64_t{0xffffffff};
    const int ea = static_cast<int>(random() % 300) - 150;
    const int eb = static_cast<int>(random() % 300) - 150;
    const hb::unpacked q = hb::quotient(finite(a, ea), finite(b, eb, true));
    t.expect(q.kind == hb::number_kind::finite && q.negative && (q.significand >> 63) == 1,
             [&] { return std::string("form of ") + hex(a) + " / " + hex(b); });
    const int e = q.exponent - (ea - eb);
    t.expect(e == 0 || e == -1,
             [&] { return std::string("exponent of ") + hex(a) + " / " + hex(b); });
    // Long division, bit by bit: floor(even * 2^(63 - e) / b), where even is a without bit 0.
    const std::uint64_t even = a & ~std::uint64_t{1};
    std::uint64_t rest = 0, quotient = 0;
    const int digits = 64 + 63 - e;
    bool overflow = false;
    for (int k = 0; k < digits; ++k) {
      const std::uint64_t bit = k < 64 ? (even >> (63 - k)) & 1 : 0;
      const bool carry = (rest >> 63) != 0;
      rest = (rest << 1) | bit;
      overflow = overflow || (quotient >> 63) != 0;
      quotient <<= 1;
      if (carry || rest >= b) {
        rest -= b;
        quotient |= 1;
      }
    }
    const std::uint64_t sticky = rest != 0 || a % 2 == 1 ? 1 : 0;
    t.expect(!overflow && q.significand == (quotient | sticky), [&] {
      return hex(a) + " / " + hex(b) + ": " + hex(q.significand) + ", not " +
             hex(quotient | sticky);
    });
  }
}

TEST_CASE("a quotient rounded to a format is the exact ratio rounded, ties included") {
  // a = m * b for every middle m and every 8-bit divisor b: the ratio is exactly a tie.
  tally t;
  const exact::grid g = exact::grid_of(hb::e4m3);
  for (std::uint32_t divisor = 128; divisor < 256; ++divisor) {
    for (std::size_t i = 0; i + 1 < g.values.size(); ++i) {
      const exact::number m = exact::middle(g.values[i], g.values[i + 1]);
      for (const int nudge : {-1, 0, 1}) {
        exact::number a{m.n * divisor, m.k};
        a = {a.n * 1024 + static_cast<std::uint64_t>(nudge), a.k - 10};
        const hb::unpacked ratio =
            hb::quotient(hb::unpack_integer(a.n, a.k), hb::unpack_integer(divisor, 0));
        const std::uint32_t up = nudge > 0 || (nudge == 0 && i % 2 == 1) ? 1 : 0;
        t.expect(hb::encode<hb::e4m3>(ratio) == i + up,
                 [&] { return std::to_string(i) + " by " + std::to_string(divisor); });
      }
    }
  }
}

TEST_CASE("the sticky bit breaks a tie wherever the last place stands") {
  const std::uint64_t one = std::uint64_t{1} << 63;
  for (int k = -6; k < 8; ++k) {
    CAPTURE(k);
    const std::uint32_t plain = hb::encode<hb::e4m3>(finite(one, k));
    const std::uint64_t tie = one | (one >> 4);  // halfway from 2^k to the next number
    CHECK(hb::encode<hb::e4m3>(finite(tie, k)) == plain);
    CHECK(hb::encode<hb::e4m3>(finite(tie | 1, k)) == plain + 1);
  }
  CHECK(hb::encode<hb::e4m3>(finite(one, -10)) == 0);
  CHECK(hb::encode<hb::e4m3>(finite(one | 1, -10)) == 1);
  CHECK(hb::encode<hb::e4m3>(finite(one | 1, -11)) == 0);
  CHECK(hb::encode<hb::e2m1>(finite(one, -2)) == 0);
  CHECK(hb::encode<hb::e2m1>(finite(one | 1, -2)) == 1);
}

TEST_CASE(
    "products of specials: zero times infinity is NaN, NaN stays, the sign is the product's") {
  const hb::unpacked two = finite(std::uint64_t{1} << 63, 1, true);
  CHECK(hb::product(zero, infinite).kind == hb::number_kind::nan);
  CHECK(hb::product(infinite, zero).kind == hb::number_kind::nan);
  CHECK(hb::product(nan_number, two).kind == hb::number_kind::nan);
  CHECK(hb::product(two, nan_number).kind == hb::number_kind::nan);
  CHECK(hb::product(nan_number, zero).kind == hb::number_kind::nan);
  CHECK(hb::product(infinite, two).kind == hb::number_kind::infinite);
  CHECK(hb::product(infinite, two).negative);
  CHECK(hb::product(two, two).kind == hb::number_kind::finite);
  CHECK(!hb::product(two, two).negative);
  CHECK(hb::product(zero, two).is_zero());
  CHECK(hb::product(zero, two).negative);
  CHECK(hb::quotient(zero, two).is_zero());
  CHECK(hb::quotient(infinite, two).kind == hb::number_kind::infinite);
  CHECK(hb::quotient(nan_number, two).kind == hb::number_kind::nan);
}

TEST_CASE("a square root has 32 bits: its square is at most x, that of the next is above") {
  tally t;
  std::mt19937_64 random(36);
  for (int i = 0; i < 50000; ++i) {
    const hb::unpacked x = finite(significand(random), static_cast<int>(random() % 300) - 150);
    const hb::unpacked root = hb::square_root(x);
    const std::uint64_t r = root.significand >> 32;
    t.expect((root.significand & 0xffffffffu) == 0 && (root.significand >> 63) == 1,
             [&] { return std::string("form of the root of ") + hex(x.significand); });
    // root = r * 2^(exponent - 31)
    const exact::number below{r * r, 2 * (root.exponent - 31)};
    t.expect(exact::compare(below, magnitude_of(x)) <= 0,
             [&] { return std::string("root too large of ") + hex(x.significand); });
    if (r < 0xffffffffu) {
      const exact::number above{(r + 1) * (r + 1), 2 * (root.exponent - 31)};
      t.expect(exact::compare(above, magnitude_of(x)) > 0,
               [&] { return std::string("root too small of ") + hex(x.significand); });
    }
  }
  for (std::uint64_t n = 1; n < 3000; ++n) {  // exact squares, even and odd exponents
    const hb::unpacked root = hb::square_root(hb::unpack_integer(n * n, 0));
    t.expect(exact::compare(magnitude_of(root), {n, 0}) == 0, [&] { return std::to_string(n); });
  }
  CHECK(hb::square_root(zero).is_zero());
}

TEST_CASE("an unpacked number returns to the float and the double it came from") {
  tally t;
  std::mt19937_64 random(37);
  for (int i = 0; i < 50000; ++i) {
    const auto b = static_cast<std::uint32_t>(random());
    const exact::value v = exact::from_ieee(b, 8, 23);
    if (v.what == exact::value::kind::nan) continue;
    t.expect(hb::encode<hb::float32>(hb::unpack(exact::float_of(b)), hb::nearest_even{},
                                     hb::to_special{}) == b,
             [&] { return hex(b); });
    if (v.finite()) {
      t.expect(exact::bits_of(hb::to_double(hb::unpack(exact::float_of(b)))) ==
                   exact::to_ieee(v.magnitude, v.negative, 11, 52),
               [&] { return std::string("double of ") + hex(b); });
    }
  }
}
