#pragma once

// What every benchmark here works on: a matrix of normally distributed floats, and memcpy of it.

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>

#include <halfbyte/simd.hpp>
#include <halfbyte/view.hpp>

namespace bench {

/// With INSTRUCTION_SET=avx2 (or baseline, scalar) in the environment, the library works with that.
inline const bool chosen = [] {
  using halfbyte::detail::instruction_set;
  const char* set = std::getenv("INSTRUCTION_SET");
  const std::string_view name = set != nullptr ? set : "";
  const auto best = halfbyte::detail::best_instruction_set();
  const auto wanted = name == "avx2"       ? instruction_set::avx2
                      : name == "baseline" ? instruction_set::baseline
                      : name == "scalar"   ? instruction_set::scalar
                                           : best;
  if (wanted < best) halfbyte::detail::active_instruction_set() = wanted;
  return true;
}();

/// 4096 x 4096: 64 MiB, more than a cache holds.
inline constexpr std::ptrdiff_t rows = 4096, cols = 4096, size = rows * cols;

inline std::vector<float>& numbers() {
  static std::vector<float> x = [] {
    std::vector<float> y(static_cast<std::size_t>(size));
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal;
    for (float& v : y) v = normal(random);
    return y;
  }();
  return x;
}

inline halfbyte::matrix_view<const float> matrix() { return {numbers().data(), rows, cols, cols}; }

/// Where results in floats go; its pages are there before the clock starts.
inline halfbyte::matrix_view<float> output() {
  static std::vector<float> y(static_cast<std::size_t>(size), 1.0f);
  return {y.data(), rows, cols, cols};
}

/// Reports elements, `n` an iteration, and bytes (in and out) per second.
inline void report(benchmark::State& state, double bytes_per_element, std::ptrdiff_t n = size) {
  const auto elements = static_cast<double>(state.iterations()) * static_cast<double>(n);
  state.counters["elements"] = benchmark::Counter(elements, benchmark::Counter::kIsRate);
  state.counters["bytes"] =
      benchmark::Counter(elements * bytes_per_element, benchmark::Counter::kIsRate);
}

/// The baseline: bytes in and out of memcpy; each thread copies a part.
inline void copy(benchmark::State& state) {
  const std::ptrdiff_t n = size / state.threads(), first = n * state.thread_index();
  const float* from = numbers().data() + first;
  float* to = output().data + first;
  for (auto _ : state) {
    std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
    benchmark::ClobberMemory();
  }
  report(state, 8, n);
}

}  // namespace bench
