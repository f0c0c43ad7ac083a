#pragma once

#include <concepts>
#include <cstdint>

#include <halfbyte/config.hpp>
#include <halfbyte/format.hpp>

namespace halfbyte {

/// Why a number has no pattern of its own in a format, even after rounding.
enum class outside {
  above,     ///< finite, and its rounded magnitude is beyond the largest finite number
  infinity,  ///< infinite
  nan,       ///< not a number
  below_zero ///< negative, and the format has no sign
};

/// An overflow policy: the pattern that stands for a number outside a format.
template <class O>
concept overflow_policy = requires(const O o, outside why, bool negative) {
  { o.template pattern<e4m3>(why, negative) } -> std::same_as<std::uint32_t>;
};

namespace detail {

template <format F>
HALFBYTE_HD constexpr std::uint32_t signed_pattern(std::uint32_t magnitude, bool negative) {
  if (!negative || !F.has_sign()) return magnitude;
  if (F.fixed_point()) return (F.mask() + 1 - magnitude) & F.mask();  // two's complement
  return magnitude == 0 && !F.has_negative_zero() ? 0 : magnitude | F.sign_mask();
}

/// NaN, positive; the largest number where a format has no NaN, as CUDA's conversions give.
template <format F>
HALFBYTE_HD constexpr std::uint32_t nan_or_max() {
  return F.has_nan() ? F.nan_pattern() : F.max_pattern();
}

template <format F>
HALFBYTE_HD constexpr std::uint32_t special_pattern(bool negative) {
  if (F.special == specials::fnuz) return F.nan_pattern();
  const std::uint32_t magnitude = F.has_infinity() ? F.infinity_pattern() : nan_or_max<F>();
  return signed_pattern<F>(magnitude, negative);
}

}  // namespace detail

/// Numbers beyond the largest, infinity too, become the largest of their sign. OCP OFP8 v1.0
/// saturating mode; CUDA's satfinite.
///
/// NaN becomes NaN, or the positive largest number where there is none; a negative number the
/// smallest one where there is no sign.
struct saturate {
  template <format F>
  HALFBYTE_HD constexpr std::uint32_t pattern(outside why, bool negative) const {
    if (why == outside::nan) return detail::nan_or_max<F>();
    if (why == outside::below_zero) return 0;
    return detail::signed_pattern<F>(F.max_pattern(), negative);
  }
};

/// Numbers beyond the largest become infinity, or NaN (sign kept) where there is none, or the
/// largest number where there is neither. OCP OFP8 v1.0 non-saturating mode.
///
/// A negative number becomes NaN where there is no sign.
struct to_special {
  template <format F>
  HALFBYTE_HD constexpr std::uint32_t pattern(outside why, bool negative) const {
    if (why == outside::nan) return detail::nan_or_max<F>();
    if (why == outside::below_zero) return F.has_nan() ? F.nan_pattern() : 0;
    return detail::special_pattern<F>(negative);
  }
};

/// `saturate` for finite numbers, `to_special` for infinity.
struct saturate_finite {
  template <format F>
  HALFBYTE_HD constexpr std::uint32_t pattern(outside why, bool negative) const {
    return why == outside::infinity ? to_special{}.pattern<F>(why, negative)
                                    : saturate{}.pattern<F>(why, negative);
  }
};

static_assert(overflow_policy<saturate> && overflow_policy<to_special> &&
              overflow_policy<saturate_finite>);

}  // namespace halfbyte
