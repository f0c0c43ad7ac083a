#pragma once

// Numbers at which conversions go wrong, made from the oracle's list of a format's values.

#include <cstdint>
#include <vector>

#include "exact.hpp"

namespace exact {

inline bool fits(number x, int exponent_bits, int fraction_bits) {
  const int bias = (1 << exponent_bits) / 2 - 1;
  while (x.n != 0 && x.n % 2 == 0) {
    x.n /= 2;
    ++x.k;
  }
  return x.k >= 1 - bias - fraction_bits && width(x.n) <= fraction_bits + 1 &&
         x.k + width(x.n) - 1 <= bias;
}

/// Bits of a number and of its two neighbours in IEEE 754 order, with both signs.
template <class Bits>
void add_around(std::vector<Bits>& out, Bits middle) {
  const Bits sign = static_cast<Bits>(Bits{1} << (8 * sizeof(Bits) - 1));
  for (const Bits b :
       {static_cast<Bits>(middle == 0 ? 0 : middle - 1), middle, static_cast<Bits>(middle + 1)}) {
    out.push_back(b);
    out.push_back(b | sign);
  }
}

/// Every value of the format, the value that would come next, every middle of two of them, and
/// the two floats beside each: as bits of floats.
inline std::vector<std::uint32_t> critical_floats(const grid& g) {
  std::vector<std::uint32_t> out;
  const auto add = [&](number x) {
    if (fits(x, 8, 23)) add_around(out, static_cast<std::uint32_t>(to_ieee(x, false, 8, 23)));
  };
  for (std::size_t i = 0; i < g.values.size(); ++i) {
    const number upper = i + 1 < g.values.size() ? g.values[i + 1] : g.next;
    add(g.values[i]);
    add(middle(g.values[i], upper));
  }
  add(g.next);
  return out;
}

/// The same with doubles.
inline std::vector<std::uint64_t> critical_doubles(const grid& g) {
  std::vector<std::uint64_t> out;
  const auto add = [&](number x) {
    if (fits(x, 11, 52)) add_around(out, to_ieee(x, false, 11, 52));
  };
  for (std::size_t i = 0; i < g.values.size(); ++i) {
    const number upper = i + 1 < g.values.size() ? g.values[i + 1] : g.next;
    add(g.values[i]);
    add(middle(g.values[i], upper));
  }
  add(g.next);
  return out;
}

/// Floats at the edges of their own format, of both signs: zeros, subnormals, powers of two, the
/// largest, infinities, quiet and signalling NaNs.
inline std::vector<std::uint32_t> edge_floats() {
  std::vector<std::uint32_t> out;
  for (const std::uint32_t b : {0u, 2u, 0x003fffffu, 0x00400000u, 0x00400001u, 0x007fffffu,
                                0x00800000u, 0x7f7fffffu, 0x7f7ffffeu}) {
    add_around(out, b);
  }
  for (std::uint32_t exponent = 0; exponent < 255; ++exponent) {
    for (const std::uint32_t fraction : {0u, 1u, 0x3fffffu, 0x400000u, 0x400001u, 0x7fffffu}) {
      out.push_back(exponent << 23 | fraction);
      out.push_back(0x80000000u | exponent << 23 | fraction);
    }
  }
  for (const std::uint32_t nan : {0x7f800001u, 0x7fa00000u, 0x7fbfffffu, 0x7fc00000u, 0x7fc00001u,
                                  0x7fffffffu, 0x7f800000u}) {
    out.push_back(nan);
    out.push_back(0x80000000u | nan);
  }
  return out;
}

inline std::vector<std::uint64_t> edge_doubles() {
  std::vector<std::uint64_t> out;
  const std::uint64_t sign = std::uint64_t{1} << 63;
  for (std::uint64_t exponent = 0; exponent < 2047; ++exponent) {
    for (const std::uint64_t fraction :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x7ffffffffffff},
          std::uint64_t{0x8000000000000}, std::uint64_t{0x8000000000001},
          std::uint64_t{0xfffffffffffff}}) {
      out.push_back(exponent << 52 | fraction);
      out.push_back(sign | exponent << 52 | fraction);
    }
  }
  for (const std::uint64_t fraction :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x7ffffffffffff},
        std::uint64_t{0x8000000000000}, std::uint64_t{0xfffffffffffff}, std::uint64_t{0x20000000},
        std::uint64_t{0x1fffffff}}) {
    out.push_back(std::uint64_t{2047} << 52 | fraction);
    out.push_back(sign | std::uint64_t{2047} << 52 | fraction);
  }
  return out;
}

}  // namespace exact
