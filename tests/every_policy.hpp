#pragma once

// The policies of the library beside their names in the oracle.

#include <string>

#include <halfbyte/overflow.hpp>
#include <halfbyte/rounding.hpp>

#include "exact.hpp"

namespace exact {

inline const char* name(rounding mode) {
  switch (mode) {
    case rounding::nearest_even:
      return "nearest_even";
    case rounding::nearest_away:
      return "nearest_away";
    case rounding::nearest_toward_zero:
      return "nearest_toward_zero";
    case rounding::toward_zero:
      return "toward_zero";
    case rounding::upward:
      return "upward";
    case rounding::downward:
      return "downward";
    case rounding::to_odd:
      return "to_odd";
  }
  return "?";
}

inline const char* name(overflow rule) {
  switch (rule) {
    case overflow::saturate:
      return "saturate";
    case overflow::to_special:
      return "to_special";
    case overflow::saturate_finite:
      return "saturate_finite";
  }
  return "?";
}

/// Calls f(policy, what the oracle calls it) for every deterministic rounding.
template <class Function>
void for_each_rounding(Function&& f) {
  f(halfbyte::nearest_even{}, rounding::nearest_even);
  f(halfbyte::nearest_away{}, rounding::nearest_away);
  f(halfbyte::nearest_toward_zero{}, rounding::nearest_toward_zero);
  f(halfbyte::toward_zero{}, rounding::toward_zero);
  f(halfbyte::upward{}, rounding::upward);
  f(halfbyte::downward{}, rounding::downward);
  f(halfbyte::to_odd{}, rounding::to_odd);
}

template <class Function>
void for_each_overflow(Function&& f) {
  f(halfbyte::saturate{}, overflow::saturate);
  f(halfbyte::to_special{}, overflow::to_special);
  f(halfbyte::saturate_finite{}, overflow::saturate_finite);
}

inline constexpr rounding every_rounding[] = {
    rounding::nearest_even, rounding::nearest_away, rounding::nearest_toward_zero,
    rounding::toward_zero,  rounding::upward,       rounding::downward,
    rounding::to_odd};
inline constexpr overflow every_overflow[] = {overflow::saturate, overflow::to_special,
                                              overflow::saturate_finite};

/// The library's policies chosen at run time, so that one instantiation of a conversion serves all.
struct any_rounding {
  rounding mode;

  bool away(halfbyte::dropped d, std::uint64_t index) const {
    bool result = false;
    for_each_rounding([&](auto policy, rounding m) {
      if (m == mode) result = policy.away(d, index);
    });
    return result;
  }
};

struct any_overflow {
  overflow rule;

  template <halfbyte::format F>
  std::uint32_t pattern(halfbyte::outside why, bool negative) const {
    std::uint32_t result = 0;
    for_each_overflow([&](auto policy, overflow r) {
      if (r == rule) result = policy.template pattern<F>(why, negative);
    });
    return result;
  }
};

}  // namespace exact
