// A rounding policy is a struct with one function: write your own, and use it everywhere.

#include <cstdint>
#include <cstdio>
#include <vector>

#include <halfbyte/halfbyte.hpp>

namespace hb = halfbyte;

/// Away from zero where the element's index is odd, towards zero where it is even: a deterministic
/// dither that is right on average for slowly varying rows.
struct alternating {
  constexpr bool away(hb::dropped, std::uint64_t index) const { return index % 2 == 1; }
};
static_assert(hb::rounding<alternating>);

int main() {
  const std::vector<float> row(64, 2.5f);
  const hb::matrix_view x{row.data(), 1, 64};
  std::vector<float> out(64);
  const hb::matrix_view y{out.data(), 1, 64};

  const auto mean_after = [&](const char* name, auto rounding) {
    hb::fake_quantize<hb::mxfp4>(x, y, rounding, hb::ceil_pow2{});
    double sum = 0;
    for (const float v : out) sum += static_cast<double>(v);
    std::printf("%-14s mean of 64 times 2.5: %.4f\n", name, sum / 64);
  };
  mean_after("nearest_even", hb::nearest_even{});
  mean_after("upward", hb::upward{});
  mean_after("alternating", alternating{});
  mean_after("stochastic", hb::stochastic<>{11});
}

// Prints:
// nearest_even   mean of 64 times 2.5: 2.0000
// upward         mean of 64 times 2.5: 3.0000
// alternating    mean of 64 times 2.5: 2.5000
// stochastic     mean of 64 times 2.5: 2.5312
