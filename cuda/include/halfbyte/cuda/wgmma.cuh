#pragma once

#include <cstdint>
#include <type_traits>

#include <halfbyte/cuda/element.cuh>

/// The warpgroup matrix instructions of sm_90a: 64 rows of A times N rows of B, 32 bytes of K.
///
/// 128 threads hold the 64 x N accumulators: thread t of warp w holds rows 16w + t/4 and + 8,
/// columns 8j + 2(t%4) and + 1, in d[4j .. 4j+3] (row by row). A from registers is laid out the
/// same way: four words hold rows t/4 and + 8 of bytes 4(t%4)..+3 and the same 16 bytes on.
namespace halfbyte::cuda {

inline __device__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

inline __device__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/// Waits until at most N committed groups are in flight.
template <int N>
inline __device__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}

/// Tells the compiler that the sums change here: it may not read them before the wait above. To it
/// they are the results of the instruction that only started to make them.
template <class T>
inline __device__ void wgmma_settle(T& sum) {
  if constexpr (std::is_same_v<T, float>) {
    asm volatile("" : "+f"(sum)::"memory");
  } else {
    asm volatile("" : "+r"(sum)::"memory");
  }
}
template <class T, int N>
inline __device__ void wgmma_settle(T (&sum)[N]) {
#pragma unroll
  for (int i = 0; i < N; ++i) wgmma_settle(sum[i]);
}

/// Descriptor of a K-major tile with rows of 128 bytes in the 128-byte swizzle, 1024-byte aligned,
/// or of the part of it that begins `chunk` chunks of 32 bytes along K.
inline __device__ std::uint64_t wgmma_descriptor(std::uint32_t address, int chunk) {
  constexpr std::uint32_t swizzle_128_bytes = 1u << 30, rows_of_8_apart = 1024 >> 4;
  const std::uint32_t low = (address >> 4) + 2u * static_cast<std::uint32_t>(chunk);
  return std::uint64_t{swizzle_128_bytes | rows_of_8_apart} << 32 | low;
}

/// The instruction for elements A and B and N columns: `run(d, a, b, add)`; add = 0 starts from 0.
template <element A, element B, int N>
struct wgmma;

// The instructions differ in one word and in the number of registers; C++ can write neither
// inside an asm string, so these macros do, and end with the file.
#define HALFBYTE_D4(c, i) c(d[i]), c(d[i + 1]), c(d[i + 2]), c(d[i + 3])
#define HALFBYTE_D8(c, i) HALFBYTE_D4(c, i), HALFBYTE_D4(c, i + 4)
#define HALFBYTE_D16(c, i) HALFBYTE_D8(c, i), HALFBYTE_D8(c, i + 8)
#define HALFBYTE_D32(c, i) HALFBYTE_D16(c, i), HALFBYTE_D16(c, i + 16)
#define HALFBYTE_D64(c, i) HALFBYTE_D32(c, i), HALFBYTE_D32(c, i + 32)
#define HALFBYTE_D128(c, i) HALFBYTE_D64(c, i), HALFBYTE_D64(c, i + 64)
#define HALFBYTE_R4 "%0, %1, %2, %3"
#define HALFBYTE_R8 HALFBYTE_R4 ", %4, %5, %6, %7"
#define HALFBYTE_R16 HALFBYTE_R8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define HALFBYTE_R32 \
  HALFBYTE_R16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define HALFBYTE_R64                                                             \
  HALFBYTE_R32                                                                   \
      ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, " \
      "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, "   \
      "%60, %61, %62, %63"
#define HALFBYTE_R128                                                            \
  HALFBYTE_R64                                                                   \
      ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, " \
      "%78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, "   \
      "%92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, "   \
      "%105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, " \
      "%117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define HALFBYTE_F(x) "+f"(x)
#define HALFBYTE_I(x) "+r"(x)

// Operands: kinds, N, registers per thread, their C++ type and constraint, K per instruction,
// types, what follows the predicate, and the numbers of the operands after the registers.
#define HALFBYTE_WGMMA(A, B, N, R, T, C, K, types, tail, i, j, k)                              \
  template <>                                                                                  \
  struct wgmma<element::A, element::B, N> {                                                    \
    using accumulator = T;                                                                     \
    static __device__ void run(T (&d)[R], std::uint64_t a, std::uint64_t b, int add) {         \
      asm volatile("{\n .reg .pred p;\n setp.ne.b32 p, %" #k                                   \
                   ", 0;\n"                                                                    \
                   " wgmma.mma_async.sync.aligned.m64n" #N "k" #K "." types " {" HALFBYTE_R##R \
                   "}, %" #i ", %" #j ", p" tail ";\n}"                                        \
                   : HALFBYTE_D##R(C, 0)                                                       \
                   : "l"(a), "l"(b), "r"(add));                                                \
    }                                                                                          \
  };

#define HALFBYTE_WGMMA_SIZES(A, B, T, C, K, types, tail)          \
  HALFBYTE_WGMMA(A, B, 8, 4, T, C, K, types, tail, 4, 5, 6)       \
  HALFBYTE_WGMMA(A, B, 16, 8, T, C, K, types, tail, 8, 9, 10)     \
  HALFBYTE_WGMMA(A, B, 32, 16, T, C, K, types, tail, 16, 17, 18)  \
  HALFBYTE_WGMMA(A, B, 64, 32, T, C, K, types, tail, 32, 33, 34)  \
  HALFBYTE_WGMMA(A, B, 128, 64, T, C, K, types, tail, 64, 65, 66) \
  HALFBYTE_WGMMA(A, B, 256, 128, T, C, K, types, tail, 128, 129, 130)

HALFBYTE_WGMMA_SIZES(e4m3, e4m3, float, HALFBYTE_F, 32, "f32.e4m3.e4m3", ", 1, 1")
HALFBYTE_WGMMA_SIZES(e4m3, e5m2, float, HALFBYTE_F, 32, "f32.e4m3.e5m2", ", 1, 1")
HALFBYTE_WGMMA_SIZES(e5m2, e4m3, float, HALFBYTE_F, 32, "f32.e5m2.e4m3", ", 1, 1")
HALFBYTE_WGMMA_SIZES(e5m2, e5m2, float, HALFBYTE_F, 32, "f32.e5m2.e5m2", ", 1, 1")
HALFBYTE_WGMMA_SIZES(bfloat16, bfloat16, float, HALFBYTE_F, 16, "f32.bf16.bf16", ", 1, 1, 0, 0")
HALFBYTE_WGMMA_SIZES(int8, int8, int, HALFBYTE_I, 32, "s32.s8.s8", "")

/// The same with A in registers, E4M3: `run(d, a0, a1, a2, a3, b, add)`.
template <int N>
struct wgmma_registers;

#define HALFBYTE_WGMMA_REGISTERS(N, R, a0, a1, a2, a3, j, k)                                   \
  template <>                                                                                  \
  struct wgmma_registers<N> {                                                                  \
    static __device__ void run(float (&d)[R], const std::uint32_t (&a)[4], std::uint64_t b,    \
                               int add) {                                                      \
      asm volatile("{\n .reg .pred p;\n setp.ne.b32 p, %" #k                                   \
                   ", 0;\n"                                                                    \
                   " wgmma.mma_async.sync.aligned.m64n" #N "k32.f32.e4m3.e4m3 {" HALFBYTE_R##R \
                   "}, {%" #a0 ", %" #a1 ", %" #a2 ", %" #a3 "}, %" #j ", p, 1, 1;\n}"         \
                   : HALFBYTE_D##R(HALFBYTE_F, 0)                                              \
                   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));            \
    }                                                                                          \
  };

HALFBYTE_WGMMA_REGISTERS(8, 4, 4, 5, 6, 7, 8, 9)
HALFBYTE_WGMMA_REGISTERS(16, 8, 8, 9, 10, 11, 12, 13)
HALFBYTE_WGMMA_REGISTERS(32, 16, 16, 17, 18, 19, 20, 21)
HALFBYTE_WGMMA_REGISTERS(64, 32, 32, 33, 34, 35, 36, 37)
HALFBYTE_WGMMA_REGISTERS(128, 64, 64, 65, 66, 67, 68, 69)

#undef HALFBYTE_WGMMA_REGISTERS
#undef HALFBYTE_WGMMA_SIZES
#undef HALFBYTE_WGMMA
#undef HALFBYTE_I
#undef HALFBYTE_F
#undef HALFBYTE_R128
#undef HALFBYTE_R64
#undef HALFBYTE_R32
#undef HALFBYTE_R16
#undef HALFBYTE_R8
#undef HALFBYTE_R4
#undef HALFBYTE_D128
#undef HALFBYTE_D64
#undef HALFBYTE_D32
#undef HALFBYTE_D16
#undef HALFBYTE_D8
#undef HALFBYTE_D4

}  // namespace halfbyte::cuda
