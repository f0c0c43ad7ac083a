#pragma once

#include <halfbyte/config.hpp>

#if !defined(__GNUC__)
#include <cmath>
#endif

/// The functions of <cmath> that the library calls, from the compiler itself where it has them:
/// <cmath> takes longer to compile than all of halfbyte's numerics.
namespace halfbyte::detail {

#if defined(__GNUC__)
inline double log10(double x) { return __builtin_log10(x); }
inline double sqrt(double x) { return __builtin_sqrt(x); }
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
inline double log10(double x) { return std::log10(x); }
inline double sqrt(double x) { return std::sqrt(x); }
inline float fma(float a, float b, float c) { return std::fma(a, b, c); }
#endif

}  // namespace halfbyte::detail
