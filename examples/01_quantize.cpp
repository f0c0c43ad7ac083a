// A matrix in 4 bits and back.

#include <cstdio>
#include <random>
#include <vector>

#include <halfbyte/halfbyte.hpp>

namespace hb = halfbyte;

int main() {
  std::mt19937_64 random(1);
  std::normal_distribution<float> gaussian(0.0f, 0.02f);
  std::vector<float> numbers(256 * 1024), decoded(numbers.size());
  for (float& x : numbers) x = gaussian(random);
  const hb::matrix_view w{numbers.data(), 256, 1024};
  const hb::matrix_view back{decoded.data(), 256, 1024};

  const auto show = [&](const char* name, const auto& q) {
    hb::dequantize(q, back);
    std::printf("%-34s %7zu bytes  SQNR %5.2f dB\n", name, q.bytes(), hb::sqnr(w, back));
  };
  show("mxfp8_e4m3", hb::quantize<hb::mxfp8_e4m3>(w));
  show("mxfp4", hb::quantize<hb::mxfp4>(w));
  show("nvfp4", hb::quantize<hb::nvfp4>(w));
  show("nvfp4, four_over_six", hb::quantize<hb::nvfp4>(w, hb::nearest_even{}, hb::four_over_six{}));
  show("nvfp4, stochastic", hb::quantize<hb::nvfp4>(w, hb::stochastic<>{7}));
}

// Prints:
// mxfp8_e4m3                          270336 bytes  SQNR 30.66 dB
// mxfp4                               139264 bytes  SQNR 18.86 dB
// nvfp4                               147460 bytes  SQNR 20.43 dB
// nvfp4, four_over_six                147460 bytes  SQNR 21.22 dB
// nvfp4, stochastic                   147460 bytes  SQNR 17.22 dB
