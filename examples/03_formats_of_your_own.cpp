// A format and a block format are values: make your own.

#include <iostream>
#include <random>
#include <vector>

#include <halfbyte/halfbyte.hpp>
#include <halfbyte/io.hpp>

namespace hb = halfbyte;

// 5 bits, sign exponent mantissa 1 3 1, bias 3, no NaN.
inline constexpr hb::format e3m1{3, 1, 3};

// Its numbers in blocks of 16 with a power-of-two scale, and in squares of 8 x 8.
inline constexpr hb::block_format rows_of_16{e3m1, hb::ue8m0, 1, 16};
inline constexpr hb::block_format squares{e3m1, hb::ue8m0, 8, 8};

int main() {
  std::cout << hb::name(e3m1) << ':';
  for (const auto x : hb::every_number<e3m1>()) {
    if (x >= hb::minifloat<e3m1>(0)) std::cout << ' ' << hb::decimal(x);
  }
  std::cout << '\n';

  std::mt19937_64 random(3);
  std::normal_distribution<float> gaussian;
  std::vector<float> numbers(64 * 64), decoded(numbers.size());
  for (float& x : numbers) x = gaussian(random);
  const hb::matrix_view x{numbers.data(), 64, 64};
  const hb::matrix_view back{decoded.data(), 64, 64};
  const auto show = [&](const auto& q) {
    hb::dequantize(q, back);
    std::cout << q << ", SQNR " << static_cast<int>(hb::sqnr(x, back) * 10 + 0.5) / 10.0 << " dB\n";
  };
  show(hb::quantize<rows_of_16>(x, hb::nearest_even{}, hb::ceil_pow2{}));
  show(hb::quantize<squares>(x, hb::nearest_even{}, hb::ceil_pow2{}));

  const auto q = hb::quantize<rows_of_16>(x, hb::nearest_even{}, hb::ceil_pow2{});
  std::cout << hb::describe_block(q, 0, 0) << '\n';
}

// Prints:
// e3m1: 0 0.125 0.25 0.375 0.5 0.75 1 1.5 2 3 4 6 8 12 16 24
// e3m1_ue8m0_1x16 64 x 64, 2816 bytes, SQNR 19.5 dB
// e3m1_ue8m0_8x8 64 x 64, 2624 bytes, SQNR 19.5 dB
// 0.125 * [-12 2 -16 8 -16 6 -4 12 -6 4 2 -8 6 1 8 -6]
