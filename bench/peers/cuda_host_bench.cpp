// CUDA's host conversions (cuda_fp8.hpp, cuda_fp4.hpp) beside ours, in one run. No GPU is needed.
//
//   g++ -std=c++20 -O2 -Iinclude -isystem /usr/local/cuda/include bench/peers/cuda_host_bench.cpp \
//       -lbenchmark -pthread

#include "../random_matrix.hpp"

#include <cuda_fp4.h>
#include <cuda_fp8.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include <halfbyte/convert.hpp>

namespace {

std::vector<std::uint8_t>& patterns() {
  static std::vector<std::uint8_t> bytes(static_cast<std::size_t>(bench::size), 1);
  return bytes;
}

void cuda_e4m3(benchmark::State& state) {
  const auto& x = bench::numbers();
  for (auto _ : state) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      patterns()[i] = __nv_cvt_float_to_fp8(x[i], __NV_SATFINITE, __NV_E4M3);
    }
    benchmark::ClobberMemory();
  }
  bench::report(state, 5);
}

void cuda_e2m1(benchmark::State& state) {
  const auto& x = bench::numbers();
  for (auto _ : state) {
    for (std::size_t i = 0; i < x.size(); i += 2) {
      patterns()[i / 2] =
          __nv_cvt_float2_to_fp4x2(float2{x[i], x[i + 1]}, __NV_E2M1, cudaRoundNearest);
    }
    benchmark::ClobberMemory();
  }
  bench::report(state, 4.5);
}

template <halfbyte::format F>
void halfbyte_encode(benchmark::State& state) {
  for (auto _ : state) {
    halfbyte::encode<F>(bench::matrix(), patterns().data());
    benchmark::ClobberMemory();
  }
  bench::report(state, 4 + F.bits() / 8.0);
}

}  // namespace

BENCHMARK(bench::copy)->Name("memcpy");
BENCHMARK(cuda_e4m3);
BENCHMARK(halfbyte_encode<halfbyte::e4m3>);
BENCHMARK(cuda_e2m1);
BENCHMARK(halfbyte_encode<halfbyte::e2m1>);

BENCHMARK_MAIN();
