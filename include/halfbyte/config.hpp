#pragma once

/// The only macros of the library.

#define HALFBYTE_VERSION "0.1.0"

#if !((defined(_MSVC_LANG) && _MSVC_LANG >= 202002L) || __cplusplus >= 202002L)
#error "halfbyte needs C++20: compile with -std=c++20 (/std:c++20)"
#endif

/// Marks a function that also runs inside CUDA kernels.
#if defined(__CUDACC__)
#define HALFBYTE_HD __host__ __device__
#else
#define HALFBYTE_HD
#endif

/// Set where the compiler has vector types and can build functions for other machines than its own;
/// elsewhere the loops over matrices are scalar, with the same results.
#if (defined(__GNUC__) || defined(__clang__)) && !defined(__CUDACC__) && \
    __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define HALFBYTE_VECTORS
#endif
