// What each format holds, as a table.

#include <cstdio>
#include <set>

#include <halfbyte/halfbyte.hpp>
#include <halfbyte/io.hpp>

namespace hb = halfbyte;

/// How many patterns of F are finite, how many numbers they are, how many are NaN.
template <hb::format F>
void print_counts() {
  if constexpr (F.bits() <= 16) {
    int finite = 0, nans = 0;
    std::set<double> numbers;
    for (const auto x : hb::every_pattern<F>()) {
      finite += x.is_finite();
      nans += x.is_nan();
      if (x.is_finite()) numbers.insert(static_cast<double>(x));
    }
    std::printf("%7d%8zu%6d", finite, numbers.size(), nans);
  }
}

int main() {
  std::printf("%-9s%5s%5s  %-15s%-15s%-15s%-8s%7s%8s%6s\n", "", "bits", "bias", "largest",
              "normal from", "smallest", "specials", "finite", "numbers", "NaNs");
  hb::for_each_format([](auto f) {
    constexpr hb::format F = f.value;
    const auto text = [](std::uint32_t p) {
      return hb::decimal(hb::minifloat<F>::from_pattern(p));
    };
    const char* const kinds[] = {"none", "nan", "infinity", "fnuz"};
    std::printf("%-9s%5d%5d  %-15s%-15s%-15s%-8s", hb::name(F).c_str(), F.bits(), F.bias,
                text(F.max_pattern()).c_str(), text(F.min_normal_pattern()).c_str(),
                text(F.min_pattern()).c_str(), kinds[static_cast<int>(F.special)]);
    print_counts<F>();
    std::printf("\n");
  });
}

// Prints:
//           bits bias  largest        normal from    smallest       specials finite numbers  NaNs
// e2m1         4    1  6              1              0.5            none         16      15     0
// int4         4   -2  7              1              1              none         16      16     0
// e2m3         6    1  7.5            1              0.125          none         64      63     0
// e3m2         6    3  28             0.25           0.0625         none         64      63     0
// ue4m3        7    7  448            0.015625       0.001953125    nan         127     127     1
// e3m4         8    3  15.5           0.25           0.015625       infinity    224     223    30
// e4m3         8    7  448            0.015625       0.001953125    nan         254     253     2
// e5m2         8   15  57344          6.1035156e-05  1.5258789e-05  infinity    248     247     6
// e4m3fnuz     8    8  240            0.0078125      0.0009765625   fnuz        255     255     1
// e5m2fnuz     8   16  57344          3.0517578e-05  7.6293945e-06  fnuz        255     255     1
// ue8m0        8  127  1.7014118e+38  5.877472e-39   5.877472e-39   nan         255     255     1
// int8         8   -6  127            1              1              none        256     256     0
// fixed8       8    0  1.984375       0.015625       0.015625       none        256     256     0
// float16     16   15  65504          6.1035156e-05  5.9604645e-08  infinity  63488   63487  2046
// bfloat16    16  127  3.3895314e+38  1.1754944e-38  9.1835e-41     infinity  65280   65279   254
// float32     32  127  3.4028235e+38  1.1754944e-38  1e-45          infinity
