// Numbers of 8 bits and fewer, as scalars.

#include <cstdio>
#include <iostream>
#include <limits>

#include <halfbyte/halfbyte.hpp>
#include <halfbyte/io.hpp>

namespace hb = halfbyte;
using namespace hb::literals;

int main() {
  const hb::float8_e4m3 x(0.3);
  std::cout << x << '\n' << x * x << '\n' << 1.5_e2m1 + 1.0_e2m1 << '\n';

  // Each number has neighbours; the largest one saturates, or overflows if you ask.
  std::cout << hb::next_down(x) << '\n' << hb::next_up(x) << '\n';
  std::cout << std::numeric_limits<hb::float8_e5m2>::max() << '\n';
  const auto saturated = hb::encode<hb::e5m2>(1e6f);
  const auto overflowed = hb::encode<hb::e5m2>(1e6f, hb::nearest_even{}, hb::to_special{});
  std::cout << hb::float8_e5m2::from_pattern(saturated) << '\n'
            << hb::float8_e5m2::from_pattern(overflowed) << '\n';

  // All of it also runs while compiling.
  static_assert(hb::encode<hb::e2m1>(2.4) == 0b0100);
  static_assert(hb::decode<hb::e2m1>(0b0111) == 6.0f);

  // Four-bit patterns lie two in a byte, the first in the low half.
  unsigned char bytes[2] = {};
  for (int i = 0; i < 4; ++i) {
    hb::store_packed<hb::e2m1>(bytes, i, hb::encode<hb::e2m1>(static_cast<float>(i)));
  }
  std::printf("0 1 2 3 in e2m1: %02x %02x\n", bytes[0], bytes[1]);
}

// Prints:
// 0 0101 010 = 0.3125
// 0 0011 100 = 0.09375
// 0 10 0 = 2
// 0 0101 001 = 0.28125
// 0 0101 011 = 0.34375
// 0 11110 11 = 57344
// 0 11110 11 = 57344
// 0 11111 00 = inf
// 0 1 2 3 in e2m1: 20 54
