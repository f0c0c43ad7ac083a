#pragma once

#include <concepts>
#include <cstdint>

#include <halfbyte/bits.hpp>
#include <halfbyte/config.hpp>
#include <halfbyte/format.hpp>
#include <halfbyte/overflow.hpp>
#include <halfbyte/rounding.hpp>
#include <halfbyte/unpacked.hpp>

namespace halfbyte {

/// A type whose values `unpack` turns into exact integers: float, double, integers, minifloat<G>,
/// unpacked.
template <class T>
concept source = requires(const T x) {
  { unpack(x) } -> std::same_as<unpacked>;
};

namespace detail {

/// `encode` of what every source is unpacked to. By reference: of a copy g++ 12 loses parts where
/// it aims at 32-bit x86.
template <format F, rounding Rounding, overflow_policy Overflow>
HALFBYTE_HD constexpr std::uint32_t encode_unpacked(const unpacked& x, const Rounding& rounding,
                                                    const Overflow& overflow,
                                                    std::uint64_t index) {
  static_assert(F.valid(), "not a format that halfbyte can hold: see format::valid()");
  if (x.kind == number_kind::nan) return overflow.template pattern<F>(outside::nan, x.negative);
  if (x.is_zero()) return detail::signed_pattern<F>(0, x.negative);
  if (x.negative && !F.has_sign()) return overflow.template pattern<F>(outside::below_zero, true);
  if (x.kind == number_kind::infinite) {
    return overflow.template pattern<F>(outside::infinity, x.negative);
  }

  // 1. Where the last place stands. Below the smallest full mantissa it stops moving.
  //
  //      1.MMM DDDDDDD...      cut = 63 - mantissa_bits: the D's are dropped
  //      0.00M DDDDDDD...      cut grows by one for each exponent below min_exponent()
  const int lowest = F.min_exponent();
  const int exponent = larger(x.exponent, lowest);
  const int cut = 63 - F.mantissa_bits + (exponent - x.exponent);
  if (!F.has_zero() && x.exponent < lowest) return 0;

  // 2. The magnitude's pattern, rounded towards zero. The hidden bit is what makes the exponent
  //    field of full mantissas start at 1 (at 0 in a format without zero).
  const std::uint64_t kept = cut < 64 ? x.significand >> cut : 0;
  const std::uint64_t hidden = F.has_zero() ? 0 : std::uint64_t{1} << F.mantissa_bits;
  const auto steps = static_cast<std::uint64_t>(exponent - lowest);
  std::uint64_t magnitude = kept - hidden + (steps << F.mantissa_bits);

  // 3. What was dropped, as a fraction of 2^63 with a sticky last bit.
  const std::uint64_t rest = x.significand & low_mask(cut);
  std::uint64_t fraction = 0;
  if (cut <= 63) {
    fraction = rest << (63 - cut);
  } else {
    const int lost = cut - 63;
    fraction = lost < 64 ? (rest >> lost) | ((rest & low_mask(lost)) != 0 ? 1u : 0u) : 1u;
  }

  // 4. Round. A carry out of the mantissa flows into the exponent as it should; a magnitude beyond
  //    the largest number asks whether the step after that one is taken.
  if (magnitude > F.max_pattern()) {
    magnitude = F.max_pattern();
    fraction = dropped::whole;
  }
  const bool odd = (magnitude & 1) != 0;
  if (fraction != 0 && rounding.away({fraction, odd, x.negative}, index)) ++magnitude;
  if (magnitude > F.max_pattern()) {
    return overflow.template pattern<F>(outside::above, x.negative);
  }
  return detail::signed_pattern<F>(static_cast<std::uint32_t>(magnitude), x.negative);
}

}  // namespace detail

/// The pattern of format F for `number`, rounded once whatever its type.
///
/// Needs nothing of `number`: every number, infinity and NaN has a result, see overflow.hpp.
/// `index` is the element's position in its tensor, for policies that draw random bits.
template <format F, source Source, rounding Rounding = nearest_even,
          overflow_policy Overflow = saturate>
HALFBYTE_HD constexpr std::uint32_t encode(Source number, Rounding rounding = {},
                                           Overflow overflow = {}, std::uint64_t index = 0) {
  return detail::encode_unpacked<format(F)>(unpack(number), rounding, overflow, index);
}

/// The float that pattern `pattern` of format F means, exactly. Bits above F.bits() are ignored.
template <format F>
HALFBYTE_HD constexpr float decode(std::uint32_t pattern) {
  return bit_cast<float>(encode<float32>(unpack<format(F)>(pattern), toward_zero{}, to_special{}));
}

}  // namespace halfbyte
