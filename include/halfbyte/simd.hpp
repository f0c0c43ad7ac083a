#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <halfbyte/bits.hpp>
#include <halfbyte/block.hpp>
#include <halfbyte/block_format.hpp>
#include <halfbyte/dequantize_plan.hpp>
#include <halfbyte/encode.hpp>
#include <halfbyte/format.hpp>
#include <halfbyte/minifloat.hpp>
#include <halfbyte/overflow.hpp>
#include <halfbyte/pack.hpp>
#include <halfbyte/quantized.hpp>
#include <halfbyte/rounding.hpp>
#include <halfbyte/scale.hpp>
#include <halfbyte/simd_plan.hpp>
#include <halfbyte/view.hpp>

// Vectors for the loops over rows and matrices, chosen when the program runs.
//
// simd/<set>.inc has the words of one instruction set; the other files there have the algorithms,
// written once and read once for each set, in a namespace and with compiler options of its own.
// Their bytes are those of the scalar functions: rounding is integer code.
//
// The words are inlined wherever they are used: only what comes after them has a level of
// optimization, since each function that has one takes longer to compile. That of x86-64's baseline
// is for machines from before 2013, and does without.

#if defined(HALFBYTE_VECTORS) && defined(__x86_64__) && defined(__linux__)
extern "C" long syscall(long number, ...) noexcept;
#endif

namespace halfbyte::detail {

/// With its address sanitizer g++ before 14 may align frames to less than a word of AVX-512, which
/// then is a fault (GCC bug 110027): no AVX-512 there.
#if defined(__SANITIZE_ADDRESS__) && !defined(__clang__) && __GNUC__ < 14
inline constexpr bool frames_hold_avx512 = false;
#else
inline constexpr bool frames_hold_avx512 = true;
#endif

/// What this machine multiplies pairs of bfloat16 with; fused multiply-adds where it has nothing.
enum class pairs { none, avx512_bf16, amx };

/// The best of them. Asks the system for the tiles of AMX, which it keeps for programs that do.
/// Machines with tiles have AVX-512 BF16 too, at no more than the speed of their fused
/// multiply-adds.
inline pairs best_pairs() {
#if defined(HALFBYTE_VECTORS) && defined(__x86_64__)
  const auto cpuid = [](unsigned leaf, unsigned subleaf, unsigned (&out)[4]) {
    asm volatile("cpuid"
                 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                 : "a"(leaf), "c"(subleaf));
  };
  __builtin_cpu_init();
  unsigned most[4], seven[4], more[4];
  cpuid(0, 0, most);
  const bool has_avx512 = frames_hold_avx512 && __builtin_cpu_supports("avx512vl");
  if (most[0] < 7 || !has_avx512) return pairs::none;
  cpuid(7, 0, seven);
  cpuid(7, 1, more);
#if defined(__linux__)
  constexpr unsigned amx_tiles = 1u << 24, amx_bf16 = 1u << 22;
  constexpr long arch_prctl = 158, request = 0x1023, tile_data = 18;
  if ((seven[3] & amx_tiles) != 0 && (seven[3] & amx_bf16) != 0) {
    return syscall(arch_prctl, request, tile_data) == 0 ? pairs::amx : pairs::none;
  }
#endif
  return seven[0] >= 1 && (more[0] & (1u << 5)) != 0 ? pairs::avx512_bf16 : pairs::none;
#else
  return pairs::none;
#endif
}

/// The one in use. A test may set another that the machine has.
inline pairs& active_pairs() {
  static pairs active = best_pairs();
  return active;
}

}  // namespace halfbyte::detail

namespace halfbyte::detail {

/// Asks for the `n` bytes from p + `ahead` on, which are to be read or written soon. Inlined
/// always, since compilers leave out calls that do no more than this.
#if defined(HALFBYTE_VECTORS)
[[gnu::always_inline]] inline void fetch(const void* p, std::size_t n, std::size_t ahead = 0) {
  const std::uintptr_t from = reinterpret_cast<std::uintptr_t>(p) + ahead;
  for (std::size_t k = 0; k < n; k += 64) {
    __builtin_prefetch(reinterpret_cast<const void*>(from + k));
  }
}
#else
inline void fetch(const void*, std::size_t, std::size_t = 0) {}
#endif

}  // namespace halfbyte::detail

#if defined(HALFBYTE_VECTORS)
#if !defined(__clang__)
#pragma GCC push_options
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpsabi"
#endif
namespace halfbyte::detail::baseline {
// clang-format off
#include <halfbyte/simd/baseline.inc>
#include <halfbyte/simd/some.inc>
#include <halfbyte/simd/load.inc>
#include <halfbyte/simd/lanes.inc>
#if defined(__clang__)
#elif defined(__x86_64__)
#pragma GCC optimize("O1")
#else
#pragma GCC optimize("O2")
#endif
#include <halfbyte/simd/random.inc>
#include <halfbyte/simd/steps.inc>
#include <halfbyte/simd/encode.inc>
#include <halfbyte/simd/decode.inc>
#include <halfbyte/simd/hadamard.inc>
#include <halfbyte/simd/product.inc>
#include <halfbyte/simd/pairs.inc>
#include <halfbyte/simd/nearest.inc>
#include <halfbyte/simd/scale.inc>
#include <halfbyte/simd/block.inc>
// clang-format on
}  // namespace halfbyte::detail::baseline
#if !defined(__clang__)
#pragma GCC pop_options
#endif

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,f16c,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,f16c,fma")
#endif
namespace halfbyte::detail::avx2 {
// clang-format off
#include <halfbyte/simd/avx2.inc>
#include <halfbyte/simd/some.inc>
#include <halfbyte/simd/load.inc>
#include <halfbyte/simd/lanes.inc>
#if !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#include <halfbyte/simd/random.inc>
#include <halfbyte/simd/steps.inc>
#include <halfbyte/simd/encode.inc>
#include <halfbyte/simd/decode.inc>
#include <halfbyte/simd/hadamard.inc>
#include <halfbyte/simd/product.inc>
#include <halfbyte/simd/pairs.inc>
#include <halfbyte/simd/nearest.inc>
#include <halfbyte/simd/scale.inc>
#include <halfbyte/simd/block.inc>
// clang-format on
}  // namespace halfbyte::detail::avx2
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push( \
    __attribute__((target("avx2,f16c,fma,avx512f,avx512bw,avx512dq,avx512vl"))), \
    apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,f16c,fma,avx512f,avx512bw,avx512dq,avx512vl")
#endif
namespace halfbyte::detail::avx512 {
// clang-format off
#include <halfbyte/simd/avx512.inc>
#include <halfbyte/simd/load.inc>
#include <halfbyte/simd/lanes.inc>
#if !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#include <halfbyte/simd/random.inc>
#include <halfbyte/simd/steps.inc>
#include <halfbyte/simd/encode.inc>
#include <halfbyte/simd/decode.inc>
#include <halfbyte/simd/hadamard.inc>
#include <halfbyte/simd/product.inc>
#include <halfbyte/simd/amx.inc>
#include <halfbyte/simd/scale.inc>
#include <halfbyte/simd/block.inc>
// clang-format on
}  // namespace halfbyte::detail::avx512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
#endif

namespace halfbyte::detail {

/// Instruction sets in ascending order; scalar is no vectors at all.
enum class instruction_set { scalar, baseline, avx2, avx512 };

/// The best one that this machine has and this compiler knows.
inline instruction_set best_instruction_set() {
#if !defined(HALFBYTE_VECTORS)
  return instruction_set::scalar;
#elif defined(__x86_64__)
  __builtin_cpu_init();
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = frames_hold_avx512 &&  //
                          __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (has_avx2 && has_avx512) return instruction_set::avx512;
  return has_avx2 ? instruction_set::avx2 : instruction_set::baseline;
#else
  return instruction_set::baseline;
#endif
}

/// The one in use. A test may set another that the machine has.
inline instruction_set& active_instruction_set() {
  static instruction_set active = best_instruction_set();
  return active;
}

/// Calls `run(kernels{})` with the kernels of the active instruction set; false where there is
/// none, and the caller has a loop of its own to run.
template <class Run>
bool with_kernels([[maybe_unused]] const Run& run) {
  switch (active_instruction_set()) {
#if defined(HALFBYTE_VECTORS)
    case instruction_set::baseline:
      run(baseline::kernels{});
      return true;
#if defined(__x86_64__)
    case instruction_set::avx2:
      run(avx2::kernels{});
      return true;
    case instruction_set::avx512:
      run(avx512::kernels{});
      return true;
#endif
#endif
    default:
      return false;
  }
}

/// Whether parts of the work run in threads: if the program is compiled with OpenMP.
#if defined(_OPENMP)
inline constexpr bool in_threads = true;
#else
inline constexpr bool in_threads = false;
#endif

/// Calls f(first, last) for parts of 0 ... n, of `grain` but for the last: in threads, if the
/// program is compiled with OpenMP. The order does not matter to the bytes.
template <class Function>
void for_each_part(std::ptrdiff_t n, std::ptrdiff_t grain, const Function& f) {
  const std::ptrdiff_t parts = ceil_div(n, grain);
#if defined(_OPENMP)
#pragma omp parallel for schedule(static) if (parts > 1)
#endif
  for (std::ptrdiff_t p = 0; p < parts; ++p) f(p * grain, smaller((p + 1) * grain, n));
}

/// Numbers that are worth a thread's time, and how many things of `numbers` numbers have that many.
inline constexpr std::ptrdiff_t worth_a_thread = 1 << 14;
constexpr std::ptrdiff_t grain_of(std::ptrdiff_t numbers) {
  return ceil_div(worth_a_thread, larger<std::ptrdiff_t>(numbers, 1));
}

/// A matrix cut into strips of `height` rows, the long ones in pieces of `width` columns.
struct strips {
  std::ptrdiff_t height, width;  ///< of a strip, but at the edges
  std::ptrdiff_t across, count, grain;

  strips(std::ptrdiff_t rows, std::ptrdiff_t cols, std::ptrdiff_t most_rows,
         std::ptrdiff_t most_cols)
      : height(most_rows),
        width(smaller(most_cols, larger<std::ptrdiff_t>(cols, 1))),
        across(ceil_div(cols, width)),
        count(ceil_div(rows, height) * across),
        grain(grain_of(height * width)) {}
  /// Pieces of rows.
  strips(std::ptrdiff_t rows, std::ptrdiff_t cols) : strips(rows, cols, 1, worth_a_thread) {}

  /// The first row and column of strip `s`.
  std::ptrdiff_t row(std::ptrdiff_t s) const { return s / across * height; }
  std::ptrdiff_t col(std::ptrdiff_t s) const { return s % across * width; }

  /// Calls f(i, j) for the first row and column of every strip, in threads as for_each_part.
  template <class Function>
  void for_each(const Function& f) const {
    for_each_part(count, grain, [&](std::ptrdiff_t first, std::ptrdiff_t last) {
      for (std::ptrdiff_t s = first; s < last; ++s) f(row(s), col(s));
    });
  }
};

}  // namespace halfbyte::detail
