// Block quantization of a 4096 x 4096 matrix of floats, one thread (more with OpenMP).

#include <algorithm>
#include <type_traits>
#include <vector>

#include <halfbyte/quantize.hpp>

#include "random_matrix.hpp"

namespace hb = halfbyte;

namespace {

/// Bytes of an element with its share of the block's scale.
template <hb::block_format B>
constexpr double stored() {
  return B.element.bits() / 8.0 + hb::scale_bytes(B.scale) / double(B.cols * B.rows);
}

template <hb::block_format B, class Rounding = hb::nearest_even, class Scale = hb::default_scale<B>>
void quantize(benchmark::State& state) {
  for (auto _ : state)
    benchmark::DoNotOptimize(hb::quantize<B>(bench::matrix(), Rounding{}, Scale{}));
  bench::report(state, 4 + stored<B>());
}

template <class T>
hb::matrix_view<const T> matrix_of() {
  if constexpr (std::is_same_v<T, float>) {
    return bench::matrix();
  } else {
    static const std::vector<T> x(bench::numbers().begin(), bench::numbers().end());
    return {x.data(), bench::rows, bench::cols};
  }
}

template <hb::block_format B, class T>
void quantize_from(benchmark::State& state) {
  const auto x = matrix_of<T>();
  for (auto _ : state) benchmark::DoNotOptimize(hb::quantize<B>(x));
  bench::report(state, sizeof(T) + stored<B>());
}

template <hb::block_format B, class T = float>
void quantize_transposed(benchmark::State& state) {
  const auto x = matrix_of<T>();
  for (auto _ : state) benchmark::DoNotOptimize(hb::quantize_transposed<B>(x));
  bench::report(state, sizeof(T) + stored<B>());
}

template <hb::block_format B>
void dequantize(benchmark::State& state) {
  const auto q = hb::quantize<B>(bench::matrix());
  for (auto _ : state) {
    hb::dequantize(q, bench::output());
    benchmark::ClobberMemory();
  }
  bench::report(state, 4 + stored<B>());
}

template <hb::block_format B, class T = float>
void fake_quantize(benchmark::State& state) {
  const auto x = matrix_of<T>();
  for (auto _ : state) {
    hb::fake_quantize<B>(x, bench::output());
    benchmark::ClobberMemory();
  }
  bench::report(state, sizeof(T) + 4);
}

/// Small matrices: what a call costs beside its elements.
template <hb::block_format B>
void quantize_small(benchmark::State& state) {
  const auto n = static_cast<std::ptrdiff_t>(state.range(0));
  const hb::matrix_view<const float> x{bench::numbers().data(), n, n};
  for (auto _ : state) benchmark::DoNotOptimize(hb::quantize<B>(x));
}

/// The same numbers in rows of other lengths.
template <hb::block_format B>
void quantize_rows_of(benchmark::State& state) {
  const auto n = static_cast<std::ptrdiff_t>(state.range(0));
  const hb::matrix_view<const float> x{bench::numbers().data(), bench::size / n, n};
  for (auto _ : state) benchmark::DoNotOptimize(hb::quantize<B>(x));
  bench::report(state, 4 + stored<B>());
}

/// Other amounts of the same numbers, in rows of 4096; 2^30 of them take 4.5 GiB.
template <hb::block_format B>
void quantize_elements(benchmark::State& state) {
  const std::vector<float>& some = bench::numbers();
  const auto n = static_cast<std::size_t>(state.range(0));
  std::vector<float> x;
  x.reserve(n);
  while (x.size() < n) {
    const std::size_t part = std::min(n - x.size(), some.size());
    x.insert(x.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(part));
  }
  const auto rows = static_cast<std::ptrdiff_t>(n) / bench::cols;
  const hb::matrix_view<const float> view{x.data(), rows, bench::cols};
  for (auto _ : state) benchmark::DoNotOptimize(hb::quantize<B>(view));
  state.counters["elements"] =
      benchmark::Counter(double(state.iterations()) * double(n), benchmark::Counter::kIsRate);
}

}  // namespace

BENCHMARK(bench::copy)->Name("memcpy");
BENCHMARK(bench::copy)->Name("memcpy")->Threads(2)->UseRealTime();
BENCHMARK(quantize<hb::mxfp4>);
BENCHMARK(quantize<hb::mxfp4, hb::nearest_even, hb::ceil_pow2>);
BENCHMARK(quantize<hb::mxfp4, hb::stochastic<8>>);
BENCHMARK(quantize<hb::mxfp4, hb::upward>);
BENCHMARK(quantize<hb::mxfp8_e4m3>);
BENCHMARK(quantize<hb::mxfp6_e2m3>);
BENCHMARK(quantize<hb::nvfp4>);
BENCHMARK(quantize<hb::nvfp4, hb::stochastic<8>>);
BENCHMARK(quantize<hb::nvfp4, hb::upward>);
BENCHMARK(quantize<hb::nvfp4, hb::nearest_even, hb::four_over_six>);
BENCHMARK(quantize<hb::nvfp4, hb::nearest_even, hb::mean_square_search>);
BENCHMARK(quantize<hb::nvfp4, hb::nearest_even, hb::nvfp4_te>);
BENCHMARK(quantize<hb::mxfp4, hb::nearest_even, hb::mean_square_search>);
BENCHMARK(quantize<hb::mxfp4, hb::nearest_even, hb::rms_clip>);
BENCHMARK(quantize_from<hb::mxfp4, hb::minifloat<hb::bfloat16>>);
BENCHMARK(quantize_from<hb::nvfp4, hb::minifloat<hb::bfloat16>>);
BENCHMARK(quantize_from<hb::nvfp4, hb::minifloat<hb::float16>>);
BENCHMARK(quantize<hb::fp8_1x128>);
BENCHMARK(quantize<hb::fp8_128x128>);
BENCHMARK(quantize_transposed<hb::mxfp4>);
BENCHMARK(quantize_transposed<hb::nvfp4>);
BENCHMARK(quantize_transposed<hb::mxfp4, hb::minifloat<hb::bfloat16>>);
BENCHMARK(quantize_transposed<hb::nvfp4, hb::minifloat<hb::bfloat16>>);
BENCHMARK(dequantize<hb::mxfp4>);
BENCHMARK(dequantize<hb::mxfp8_e4m3>);
BENCHMARK(dequantize<hb::nvfp4>);
BENCHMARK(dequantize<hb::fp8_128x128>);
BENCHMARK(fake_quantize<hb::mxfp4>);
BENCHMARK(fake_quantize<hb::nvfp4>);
BENCHMARK(fake_quantize<hb::mxfp4, hb::minifloat<hb::bfloat16>>);
BENCHMARK(fake_quantize<hb::nvfp4, hb::minifloat<hb::bfloat16>>);
BENCHMARK(quantize_rows_of<hb::mxfp4>)->Arg(16)->Arg(32)->Arg(100)->Arg(1024)->Arg(1 << 16);
BENCHMARK(quantize_rows_of<hb::nvfp4>)->Arg(16)->Arg(32)->Arg(100)->Arg(1024)->Arg(1 << 16);
BENCHMARK(quantize_elements<hb::mxfp4>)->RangeMultiplier(32)->Range(1 << 15, 1 << 30);
BENCHMARK(quantize_elements<hb::nvfp4>)->RangeMultiplier(32)->Range(1 << 15, 1 << 30);
BENCHMARK(quantize_small<hb::mxfp4>)->Arg(64)->Arg(512);
BENCHMARK(quantize_small<hb::nvfp4>)->Arg(64)->Arg(512);

BENCHMARK_MAIN();
