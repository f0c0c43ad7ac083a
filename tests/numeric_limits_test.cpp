#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include <halfbyte/minifloat.hpp>

#include "every_format.hpp"
#include "exact.hpp"

namespace hb = halfbyte;

namespace {

/// Every field of numeric_limits against the list of the format's values.
template <hb::format F>
void limits() {
  using number = hb::minifloat<F>;
  using l = std::numeric_limits<number>;
  INFO("e" << F.exponent_bits << "m" << F.mantissa_bits << " bias " << F.bias);
  const exact::grid g = exact::grid_of(F);
  const bool integer = F == hb::int8 || F == hb::int4;
  const bool fixed = F.exponent_bits == 0;
  CHECK(l::is_specialized);
  CHECK(l::is_signed == g.is.sign);
  CHECK(l::is_integer == integer);
  CHECK(l::is_exact == integer);
  CHECK(l::has_infinity == g.has_infinity);
  CHECK(l::has_quiet_NaN == g.has_nan);
  CHECK(!l::has_signaling_NaN);
  const bool subnormals = !fixed && F.mantissa_bits > 0;
  CHECK(l::has_denorm == (subnormals ? std::denorm_present : std::denorm_absent));
  CHECK(!l::has_denorm_loss);
  CHECK(l::round_style == std::round_to_nearest);
  CHECK(!l::is_iec559);
  CHECK(l::is_bounded);
  CHECK(!l::is_modulo);
  CHECK(!l::traps);
  CHECK(!l::tinyness_before);
  CHECK(l::radix == 2);

  CHECK(l::max().pattern == g.largest());
  CHECK(l::lowest().pattern == (g.is.sign ? g.with_sign(g.largest(), true) : 0));
  if (g.has_infinity) CHECK(l::infinity().pattern == g.infinity());
  if (g.has_nan) CHECK(l::quiet_NaN().pattern == g.nan());

  if (integer) {
    CHECK(l::digits == F.mantissa_bits);
    CHECK(l::digits10 == (F.mantissa_bits == 7 ? 2 : 0));
    CHECK(l::max_digits10 == 0);
    CHECK(l::min_exponent == 0);
    CHECK(l::min_exponent10 == 0);
    CHECK(l::max_exponent == 0);
    CHECK(l::max_exponent10 == 0);
    CHECK(l::min() == l::lowest());
    CHECK(static_cast<float>(l::epsilon()) == 0.0f);
    CHECK(static_cast<float>(l::round_error()) == 0.0f);
    CHECK(static_cast<float>(l::denorm_min()) == 0.0f);
    return;
  }

  // The smallest number from which on every number has all its digits.
  const std::size_t normal = subnormals ? std::size_t{1} << F.mantissa_bits : (g.is.zero() ? 1 : 0);
  const exact::number least = g.values[normal];
  CHECK(l::min().pattern == normal);
  CHECK(l::denorm_min().pattern == (g.is.zero() ? 1 : 0));
  const int least_exponent = least.k + exact::width(least.n) - 1;
  CHECK(l::min_exponent == least_exponent + 1);
  CHECK(exact::compare(g.values.back(), {1, l::max_exponent}) < 0);
  CHECK(exact::compare(g.values.back(), {1, l::max_exponent - 1}) >= 0);

  // Powers of ten: the smallest in the range of full numbers, and the largest.
  const auto ten_to = [](int n) {
    double power = 1;
    for (int i = 0; i < (n < 0 ? -n : n); ++i) power *= 10;
    return n < 0 ? 1 / power : power;
  };
  const double small = exact::to_double(least);
  const double large = exact::to_double(g.values.back());
  CHECK(ten_to(l::min_exponent10) >= small);
  CHECK(ten_to(l::min_exponent10 - 1) < small);
  CHECK(ten_to(l::max_exponent10) <= large);
  CHECK(ten_to(l::max_exponent10 + 1) > large);

  // The step above 1, and half of it in units of itself.
  std::size_t one = 0;
  while (exact::compare(g.values[one], {1, 0}) != 0) ++one;
  const exact::number step = exact::subtract(g.values[one + 1], g.values[one]);
  CHECK(exact::compare(exact::of(static_cast<double>(l::epsilon())).magnitude, step) == 0);
  CHECK(static_cast<double>(l::round_error()) == 0.5);

  const int digits = fixed ? F.mantissa_bits : F.mantissa_bits + 1;
  CHECK(l::digits == digits);
  int decimal = 0;  // floor((digits - 1) * log10(2)): the largest d with 10^d <= 2^(digits - 1)
  for (double ten = 10; ten <= double(1 << (digits - 1)); ten *= 10) ++decimal;
  CHECK(l::digits10 == decimal);
  int enough = 1;  // ceil(1 + digits * log10(2)): the smallest d with 10^(d - 1) >= 2^digits
  for (double ten = 1; ten < double(1 << digits); ten *= 10) ++enough;
  CHECK(l::max_digits10 == enough);
}

}  // namespace

TEST_CASE("every field of numeric_limits follows from the format's list of values") {
  limits<hb::e2m1>();
  limits<hb::e2m3>();
  limits<hb::e3m2>();
  limits<hb::e3m4>();
  limits<hb::e4m3>();
  limits<hb::e5m2>();
  limits<hb::e4m3fnuz>();
  limits<hb::e5m2fnuz>();
  limits<hb::ue8m0>();
  limits<hb::ue4m3>();
  limits<hb::int8>();
  limits<hb::int4>();
  limits<hb::fixed8>();
  limits<hb::bfloat16>();
  limits<hb::float16>();
}

TEST_CASE("every field is right for formats of one's own too") {
  using hb::format;
  using hb::specials;
  limits<format{3, 0, 3}>();
  limits<format{1, 2, 1}>();
  limits<format{2, 5, 1}>();
  limits<format{3, 2, 4, specials::fnuz}>();
  limits<format{4, 3, 7, specials::infinity}>();
  limits<format{5, 3, 15, specials::none, 0}>();
  limits<format{3, 12, 3, specials::nan}>();
}

TEST_CASE("numeric_limits of float32 is that of float, but for arithmetic that saturates") {
  using l = std::numeric_limits<hb::minifloat<hb::float32>>;
  using f = std::numeric_limits<float>;
  CHECK(l::digits == f::digits);
  CHECK(l::digits10 == f::digits10);
  CHECK(l::max_digits10 == f::max_digits10);
  CHECK(l::min_exponent == f::min_exponent);
  CHECK(l::min_exponent10 == f::min_exponent10);
  CHECK(l::max_exponent == f::max_exponent);
  CHECK(l::max_exponent10 == f::max_exponent10);
  CHECK(l::max().pattern == exact::bits_of(f::max()));
  CHECK(l::lowest().pattern == exact::bits_of(f::lowest()));
  CHECK(l::min().pattern == 0x00800000u);
  CHECK(l::denorm_min().pattern == 1u);
  CHECK(l::epsilon().pattern == exact::bits_of(f::epsilon()));
}

TEST_CASE("where 1 is the largest number, or none, epsilon is still a step above zero") {
  using hb::format;
  const auto epsilon = []<format F>() {
    return static_cast<double>(std::numeric_limits<hb::minifloat<F>>::epsilon());
  };
  CHECK(epsilon.operator()<format{2, 1, 3, hb::specials::nan}>() == 0.5);  // up to 1
  CHECK(epsilon.operator()<format{2, 1, 4}>() == 0.5);                     // up to 0.75
  CHECK(epsilon.operator()<format{2, 1, -3}>() == 8);                      // multiples of 8
  CHECK(epsilon.operator()<format{1, 0, 1}>() == 1);                       // 0 and 1
  CHECK(epsilon.operator()<format{0, 3, 5}>() == 0x1p-7);                  // steps of 1/128
}
