// Conversions of all 2^32 floats, all halves and bfloat16s, and random doubles, against the host
// functions of CUDA's headers: cuda_fp8.h, cuda_fp6.h, cuda_fp4.h. No GPU is needed.
//
//   g++ -std=c++20 -O3 -Iinclude -I/usr/local/cuda/include tests/slow/cuda_headers.cpp -pthread
//   ./a.out [step]        step 1, the default, takes every float; 257 every 257th
//
// Exit code 1 if one pattern differs.

#include <cstdint>
#include <cstdio>
#include <random>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp4.h>
#include <cuda_fp6.h>
#include <cuda_fp8.h>

#include <halfbyte/minifloat.hpp>

#include "sweep.hpp"

namespace hb = halfbyte;

namespace {

float to_float(std::uint32_t bits) { return hb::bit_cast<float>(bits); }

/// CUDA's name for a format, and its conversions from every source.
template <__nv_fp8_interpretation_t Kind, __nv_saturation_t Saturation>
struct fp8 {
  static std::uint32_t from(float x) { return __nv_cvt_float_to_fp8(x, Saturation, Kind); }
  static std::uint32_t from(double x) { return __nv_cvt_double_to_fp8(x, Saturation, Kind); }
  static std::uint32_t from_half(std::uint16_t x) {
    return __nv_cvt_halfraw_to_fp8(__half_raw{x}, Saturation, Kind);
  }
  static std::uint32_t from_bfloat16(std::uint16_t x) {
    return __nv_cvt_bfloat16raw_to_fp8(__nv_bfloat16_raw{x}, Saturation, Kind);
  }
};

template <__nv_fp6_interpretation_t Kind>
struct fp6 {
  static std::uint32_t from(float x) { return __nv_cvt_float_to_fp6(x, Kind, cudaRoundNearest); }
  static std::uint32_t from(double x) { return __nv_cvt_double_to_fp6(x, Kind, cudaRoundNearest); }
  static std::uint32_t from_half(std::uint16_t x) {
    return __nv_cvt_halfraw_to_fp6(__half_raw{x}, Kind, cudaRoundNearest);
  }
  static std::uint32_t from_bfloat16(std::uint16_t x) {
    return __nv_cvt_bfloat16raw_to_fp6(__nv_bfloat16_raw{x}, Kind, cudaRoundNearest);
  }
};

struct fp4 {
  static std::uint32_t from(float x) {
    return __nv_cvt_float_to_fp4(x, __NV_E2M1, cudaRoundNearest);
  }
  static std::uint32_t from(double x) {
    return __nv_cvt_double_to_fp4(x, __NV_E2M1, cudaRoundNearest);
  }
  static std::uint32_t from_half(std::uint16_t x) {
    return __nv_cvt_halfraw_to_fp4(__half_raw{x}, __NV_E2M1, cudaRoundNearest);
  }
  static std::uint32_t from_bfloat16(std::uint16_t x) {
    return __nv_cvt_bfloat16raw_to_fp4(__nv_bfloat16_raw{x}, __NV_E2M1, cudaRoundNearest);
  }
};

finding operator+(finding a, finding b) { return {a.total + b.total, a.wrong + b.wrong}; }

/// Doubles that are not NaN, where CUDA keeps a sign that its own conversion from float drops:
/// random ones, and the middles of neighbours in F with the doubles beside them.
template <hb::format F, class Cuda, class Overflow>
finding doubles(const char* name) {
  finding f;
  const auto compare = [&](double x) {
    ++f.total;
    const std::uint32_t ours = hb::encode<F>(x, hb::nearest_even{}, Overflow{});
    if (ours != Cuda::from(x) && ++f.wrong <= 3) {
      std::printf("    %a: ours %x, theirs %x\n", x, static_cast<unsigned>(ours),
                  static_cast<unsigned>(Cuda::from(x)));
    }
  };
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000'000; ++i) {
    const std::uint64_t near =
        (random() >> 12) | (993 + random() % 60) << 52 | (random() & 1) << 63;
    const std::uint64_t any = random();
    const double x = hb::bit_cast<double>(i % 2 == 0 ? near : any);
    if (x == x) compare(x);
  }
  for (std::uint32_t p = 0; p < F.max_pattern(); ++p) {
    const double low = static_cast<double>(hb::minifloat<F>::from_pattern(p));
    const double high = static_cast<double>(hb::minifloat<F>::from_pattern(p + 1));
    const auto middle = hb::bit_cast<std::uint64_t>((low + high) / 2);
    for (std::uint64_t nudge = 0; nudge < 2000; ++nudge) {
      compare(hb::bit_cast<double>(middle + nudge));
      compare(hb::bit_cast<double>(middle - nudge));
      compare(-hb::bit_cast<double>(middle + nudge));
      compare(-hb::bit_cast<double>(middle - nudge));
    }
  }
  std::printf("%-44s %11llu inputs, %llu mismatches\n", name,
              static_cast<unsigned long long>(f.total), static_cast<unsigned long long>(f.wrong));
  return f;
}

/// Half and bfloat16: CUDA gives NaN another sign or payload there, so any NaN will do.
template <hb::format F, class Cuda, class Overflow>
finding sixteen_bits(const char* name) {
  finding f;
  const auto compare = [&](std::uint32_t source, std::uint32_t ours, std::uint32_t theirs) {
    ++f.total;
    const bool both_nan = F.is_nan(ours) && F.is_nan(theirs);
    if (ours != theirs && !both_nan && ++f.wrong <= 3) {
      std::printf("    %x: ours %x, theirs %x\n", static_cast<unsigned>(source),
                  static_cast<unsigned>(ours), static_cast<unsigned>(theirs));
    }
  };
  for (std::uint32_t b = 0; b < 0x10000; ++b) {
    const auto raw = static_cast<std::uint16_t>(b);
    const auto half = hb::minifloat<hb::float16>::from_pattern(b);
    const auto brain = hb::minifloat<hb::bfloat16>::from_pattern(b);
    compare(b, hb::encode<F>(half, hb::nearest_even{}, Overflow{}), Cuda::from_half(raw));
    compare(b, hb::encode<F>(brain, hb::nearest_even{}, Overflow{}), Cuda::from_bfloat16(raw));
  }
  std::printf("%-44s %11llu inputs, %llu mismatches\n", name,
              static_cast<unsigned long long>(f.total), static_cast<unsigned long long>(f.wrong));
  return f;
}

template <hb::format F, class Cuda, class Overflow>
finding all_sources(const char* name, std::uint32_t step) {
  std::printf("%s\n", name);
  finding f = sweep(
      "  float", step,
      [](std::uint32_t b) { return hb::encode<F>(to_float(b), hb::nearest_even{}, Overflow{}); },
      [](std::uint32_t b) { return Cuda::from(to_float(b)); });
  f = f + doubles<F, Cuda, Overflow>("  double");
  return f + sixteen_bits<F, Cuda, Overflow>("  half and bfloat16");
}

/// Power-of-two scales. CUDA ignores the sign, so negative numbers are taken positive on our side.
template <class Rounding, class Overflow>
finding scales(const char* name, std::uint32_t step, cudaRoundMode mode, __nv_saturation_t sat) {
  return sweep(
      name, step,
      [](std::uint32_t b) {
        return hb::encode<hb::ue8m0>(to_float(b & 0x7fffffffu), Rounding{}, Overflow{});
      },
      [=](std::uint32_t b) {
        return std::uint32_t{__nv_cvt_float_to_e8m0(to_float(b), sat, mode)};
      });
}

/// Every pattern of F decoded, through half where CUDA goes through half.
template <hb::format F, class Decode>
finding patterns(const char* name, Decode decode) {
  finding f;
  for (std::uint32_t p = 0; p <= F.mask(); ++p) {
    ++f.total;
    const auto x = hb::minifloat<F>::from_pattern(p);
    const auto half = hb::minifloat<hb::float16>::from_pattern(decode(p));
    const bool same = x.is_nan() ? half.is_nan()
                                 : hb::bit_cast<std::uint32_t>(static_cast<float>(x)) ==
                                       hb::bit_cast<std::uint32_t>(static_cast<float>(half));
    if (!same && ++f.wrong <= 3) std::printf("    %x\n", static_cast<unsigned>(p));
  }
  std::printf("%-44s %11llu patterns, %llu mismatches\n", name,
              static_cast<unsigned long long>(f.total), static_cast<unsigned long long>(f.wrong));
  return f;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint32_t step = step_of(argc, argv, 1);
  finding f;
  f = f +
      all_sources<hb::e4m3, fp8<__NV_E4M3, __NV_SATFINITE>, hb::saturate>("e4m3 saturate", step);
  f = f +
      all_sources<hb::e4m3, fp8<__NV_E4M3, __NV_NOSAT>, hb::to_special>("e4m3 to_special", step);
  f = f +
      all_sources<hb::e5m2, fp8<__NV_E5M2, __NV_SATFINITE>, hb::saturate>("e5m2 saturate", step);
  f = f +
      all_sources<hb::e5m2, fp8<__NV_E5M2, __NV_NOSAT>, hb::to_special>("e5m2 to_special", step);
  f = f + all_sources<hb::e2m3, fp6<__NV_E2M3>, hb::saturate>("e2m3", step);
  f = f + all_sources<hb::e3m2, fp6<__NV_E3M2>, hb::saturate>("e3m2", step);
  f = f + all_sources<hb::e2m1, fp4, hb::saturate>("e2m1", step);

  std::printf("ue8m0\n");
  f = f + scales<hb::toward_zero, hb::saturate>("  toward_zero saturate", step, cudaRoundZero,
                                                __NV_SATFINITE);
  f = f +
      scales<hb::upward, hb::saturate>("  upward saturate", step, cudaRoundPosInf, __NV_SATFINITE);
  f = f +
      scales<hb::upward, hb::to_special>("  upward to_special", step, cudaRoundPosInf, __NV_NOSAT);

  std::printf("decode\n");
  f = f + patterns<hb::e4m3>("  e4m3", [](std::uint32_t p) {
        return __nv_cvt_fp8_to_halfraw(static_cast<__nv_fp8_storage_t>(p), __NV_E4M3).x;
      });
  f = f + patterns<hb::e5m2>("  e5m2", [](std::uint32_t p) {
        return __nv_cvt_fp8_to_halfraw(static_cast<__nv_fp8_storage_t>(p), __NV_E5M2).x;
      });
  f = f + patterns<hb::e2m3>("  e2m3", [](std::uint32_t p) {
        return __nv_cvt_fp6_to_halfraw(static_cast<__nv_fp6_storage_t>(p), __NV_E2M3).x;
      });
  f = f + patterns<hb::e3m2>("  e3m2", [](std::uint32_t p) {
        return __nv_cvt_fp6_to_halfraw(static_cast<__nv_fp6_storage_t>(p), __NV_E3M2).x;
      });
  f = f + patterns<hb::e2m1>("  e2m1", [](std::uint32_t p) {
        return __nv_cvt_fp4_to_halfraw(static_cast<__nv_fp4_storage_t>(p), __NV_E2M1).x;
      });

  std::printf("%llu comparisons, %llu mismatches\n", static_cast<unsigned long long>(f.total),
              static_cast<unsigned long long>(f.wrong));
  return f.wrong == 0 ? 0 : 1;
}
