// Conversions against LLVM's APFloat, an arbitrary-precision software float: every `step`-th float
// in five roundings, and the middles of neighbours with the doubles beside them.
//
//   g++ -std=c++20 -O3 -Iinclude -I/usr/lib/llvm-19/include tests/slow/apfloat.cpp -pthread
//       -L/usr/lib/llvm-19/lib -lLLVM-19
//   ./a.out [step]        default 257; 1 takes all 2^32 floats and some hours
//
// Only finite inputs: APFloat has no answer for infinity in a format without one. Exit code 1 if
// one pattern differs.

#include <cstdint>
#include <cstdio>

#include <llvm/ADT/APFloat.h>

#include <halfbyte/minifloat.hpp>

#include "sweep.hpp"

namespace hb = halfbyte;
using llvm::APFloat;

namespace {

/// The format that LLVM calls Float8E4M3: with infinity.
constexpr hb::format e4m3_ieee{4, 3, 7, hb::specials::infinity};
constexpr hb::format e4m3b11fnuz{4, 3, 11, hb::specials::fnuz};

bool finite(float x) { return (hb::bit_cast<std::uint32_t>(x) & 0x7f800000u) != 0x7f800000u; }

template <class Source>
std::uint32_t by_llvm(Source x, const llvm::fltSemantics& semantics, llvm::RoundingMode mode) {
  APFloat value(x);
  bool inexact = false;
  value.convert(semantics, mode, &inexact);
  return static_cast<std::uint32_t>(value.bitcastToAPInt().getZExtValue());
}

/// The same pattern, or two NaNs: halfbyte's NaN is always the canonical one.
template <hb::format F>
std::uint32_t canonical(std::uint32_t pattern) {
  return F.is_nan(pattern) ? F.nan_pattern() : pattern;
}

template <hb::format F, class Rounding>
finding one(const char* format, const char* rounding, std::uint32_t step,
            const llvm::fltSemantics& semantics, llvm::RoundingMode mode) {
  char name[64];
  std::snprintf(name, sizeof name, "%s %s", format, rounding);
  const auto ours = [](auto x) {
    return canonical<F>(hb::encode<F>(x, Rounding{}, hb::to_special{}));
  };
  finding f = sweep(
      name, step,
      [&](std::uint32_t b) {
        const float x = hb::bit_cast<float>(b);
        return finite(x) ? ours(x) : 0;
      },
      [&](std::uint32_t b) {
        const float x = hb::bit_cast<float>(b);
        return finite(x) ? canonical<F>(by_llvm(x, semantics, mode)) : 0;
      });
  for (std::uint32_t p = 0; p < F.max_pattern(); ++p) {
    const double low = static_cast<double>(hb::minifloat<F>::from_pattern(p));
    const double high = static_cast<double>(hb::minifloat<F>::from_pattern(p + 1));
    const auto middle = hb::bit_cast<std::uint64_t>((low + high) / 2);
    for (std::uint64_t nudge = 0; nudge < 100; ++nudge) {
      for (const double x :
           {hb::bit_cast<double>(middle + nudge), hb::bit_cast<double>(middle - nudge)}) {
        for (const double signed_x : {x, -x}) {
          ++f.total;
          if (ours(signed_x) != canonical<F>(by_llvm(signed_x, semantics, mode)) &&
              ++f.wrong <= 3) {
            std::printf("    %a: ours %x, theirs %x\n", signed_x,
                        static_cast<unsigned>(ours(signed_x)),
                        static_cast<unsigned>(by_llvm(signed_x, semantics, mode)));
          }
        }
      }
    }
  }
  return f;
}

template <hb::format F>
finding every_rounding(const char* name, std::uint32_t step, const llvm::fltSemantics& s) {
  using llvm::RoundingMode;
  finding sum;
  for (const finding f :
       {one<F, hb::nearest_even>(name, "nearest_even", step, s, RoundingMode::NearestTiesToEven),
        one<F, hb::nearest_away>(name, "nearest_away", step, s, RoundingMode::NearestTiesToAway),
        one<F, hb::toward_zero>(name, "toward_zero", step, s, RoundingMode::TowardZero),
        one<F, hb::upward>(name, "upward", step, s, RoundingMode::TowardPositive),
        one<F, hb::downward>(name, "downward", step, s, RoundingMode::TowardNegative)}) {
    sum = {sum.total + f.total, sum.wrong + f.wrong};
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint32_t step = step_of(argc, argv, 257);
  finding sum;
  for (const finding f :
       {every_rounding<hb::e4m3>("e4m3", step, APFloat::Float8E4M3FN()),
        every_rounding<hb::e5m2>("e5m2", step, APFloat::Float8E5M2()),
        every_rounding<hb::e2m3>("e2m3", step, APFloat::Float6E2M3FN()),
        every_rounding<hb::e3m2>("e3m2", step, APFloat::Float6E3M2FN()),
        every_rounding<hb::e2m1>("e2m1", step, APFloat::Float4E2M1FN()),
        every_rounding<hb::e4m3fnuz>("e4m3fnuz", step, APFloat::Float8E4M3FNUZ()),
        every_rounding<hb::e5m2fnuz>("e5m2fnuz", step, APFloat::Float8E5M2FNUZ()),
        every_rounding<e4m3b11fnuz>("e4m3b11fnuz", step, APFloat::Float8E4M3B11FNUZ()),
        every_rounding<e4m3_ieee>("e4m3 with infinity", step, APFloat::Float8E4M3()),
        every_rounding<hb::bfloat16>("bfloat16", step, APFloat::BFloat()),
        every_rounding<hb::float16>("float16", step, APFloat::IEEEhalf())}) {
    sum = {sum.total + f.total, sum.wrong + f.wrong};
  }
  std::printf("%llu comparisons, %llu mismatches\n", static_cast<unsigned long long>(sum.total),
              static_cast<unsigned long long>(sum.wrong));
  return sum.wrong == 0 ? 0 : 1;
}
