#pragma once

// The formats that the tests run through, and what the oracle calls them.

#include <vector>

#include <halfbyte/format.hpp>

#include "exact.hpp"

namespace exact {

constexpr definition definition_of(const halfbyte::format& f) {
  special_patterns special = special_patterns::none;
  if (f.special == halfbyte::specials::nan) special = special_patterns::highest;
  if (f.special == halfbyte::specials::infinity) special = special_patterns::ieee;
  if (f.special == halfbyte::specials::fnuz) special = special_patterns::minus_zero;
  return {f.exponent_bits, f.mantissa_bits, f.bias, special, f.sign_bits != 0};
}

inline grid grid_of(const halfbyte::format& f) { return grid(definition_of(f)); }

/// Every shape of `least` to `most` bits with every kind of specials, signed and unsigned, biased
/// as IEEE 754 would; those that no library could hold are left out.
inline std::vector<halfbyte::format> every_shape(int least, int most) {
  using halfbyte::format;
  using halfbyte::specials;
  std::vector<format> shapes;
  for (int sign = 0; sign <= 1; ++sign) {
    for (int exponent = 0; exponent <= 8; ++exponent) {
      for (int mantissa = 0; mantissa <= 15; ++mantissa) {
        const int bits = sign + exponent + mantissa;
        if (bits < least || bits > most) continue;
        for (const auto special :
             {specials::none, specials::nan, specials::infinity, specials::fnuz}) {
          const int bias = exponent == 0 ? 1 - mantissa : (1 << (exponent - 1)) - 1;
          const format f{exponent, mantissa, bias, special, sign};
          const bool fixed = exponent == 0;
          if (fixed && (sign == 0 || special != specials::none)) continue;
          if (special == specials::fnuz && sign == 0) continue;
          if (special == specials::infinity && mantissa == 0) continue;
          if (special == specials::nan && exponent + mantissa < 2) continue;
          const bool values_up_to_2_to_128 = exponent == 8 && special != specials::infinity &&
                                             !(special == specials::nan && mantissa == 0);
          if (values_up_to_2_to_128) continue;
          if (exponent == 8 && mantissa == 0 && sign == 1) continue;
          shapes.push_back(f);
        }
      }
    }
  }
  return shapes;
}

}  // namespace exact
