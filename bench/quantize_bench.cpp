// Block quantization of a 4096 x 4096 matrix of floats, one thread (more with OpenMP).

#include "random_matrix.hpp"

#include <halfbyte/quantize.hpp>

namespace hb = halfbyte;

namespace {

/// Bytes of an element with its share of the block's scale.
template <hb::block_format B>
constexpr double stored() {
  return B.element.bits() / 8.0 + hb::scale_bytes(B.scale) / double(B.cols * B.rows);
}

template <hb::block_format B, class Rounding = hb::nearest_even, class Scale = hb::default_scale<B>>
void quantize(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(hb::quantize<B>(bench::matrix(), Rounding{}, Scale{}));
  bench::report(state, 4 + stored<B>());
}

template <hb::block_format B>
void quantize_transposed(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(hb::quantize_transposed<B>(bench::matrix()));
  bench::report(state, 4 + stored<B>());
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

template <hb::block_format B>
void fake_quantize(benchmark::State& state) {
  for (auto _ : state) {
    hb::fake_quantize<B>(bench::matrix(), bench::output());
    benchmark::ClobberMemory();
  }
  bench::report(state, 8);
}

/// Small matrices: what a call costs beside its elements.
void quantize_64x64(benchmark::State& state) {
  const auto x = bench::matrix().block(0, 0, 64, 64);
  for (auto _ : state) benchmark::DoNotOptimize(hb::quantize<hb::nvfp4>(x));
}

}  // namespace

BENCHMARK(bench::copy)->Name("memcpy");
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
BENCHMARK(quantize<hb::fp8_1x128>);
BENCHMARK(quantize_transposed<hb::mxfp4>);
BENCHMARK(quantize_transposed<hb::nvfp4>);
BENCHMARK(dequantize<hb::mxfp4>);
BENCHMARK(dequantize<hb::mxfp8_e4m3>);
BENCHMARK(dequantize<hb::nvfp4>);
BENCHMARK(fake_quantize<hb::mxfp4>);
BENCHMARK(fake_quantize<hb::nvfp4>);
BENCHMARK(quantize_64x64);

BENCHMARK_MAIN();
