// A user's program: it must build and run however halfbyte was found.

#include <halfbyte/halfbyte.hpp>

#include <cstdio>
#include <vector>

namespace hb = halfbyte;

int main() {
  std::vector<float> x(4 * 32);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = 0.25f * static_cast<float>(hb::random_bits(1, 0, i) % 64);
  }
  const hb::matrix_view<const float> view{x.data(), 4, 32, 32};
  const auto q = hb::quantize<hb::nvfp4>(view);
  std::vector<float> back(x.size());
  hb::dequantize(q, hb::matrix_view<float>{back.data(), 4, 32, 32});
  double largest = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double error = static_cast<double>(x[i]) - static_cast<double>(back[i]);
    if (error > largest) largest = error;
    if (-error > largest) largest = -error;
  }
  // Values up to 16 in blocks of 16: the coarsest step of e2m1 there is 16 / 6 * 2.
  std::printf("halfbyte %s: %zu bytes, largest error %.3f\n", HALFBYTE_VERSION, q.bytes(), largest);
  return largest > 0 && largest < 2.8 ? 0 : 1;
}
