// Products of quantized 1024 x 1024 matrices, beside Eigen's product of floats. For Eigen's best,
// compile with -march=native; ours chooses its instructions when it runs.

#include <halfbyte/gemm.hpp>

#include "random_matrix.hpp"

#if __has_include(<Eigen/Core>)
#include <Eigen/Core>
#endif

namespace hb = halfbyte;

namespace {

constexpr std::ptrdiff_t n = 1024;

void report_flops(benchmark::State& state) {
  const double operations = 2.0 * double(n) * double(n) * double(n);
  state.counters["flop"] = benchmark::Counter(static_cast<double>(state.iterations()) * operations,
                                              benchmark::Counter::kIsRate);
}

template <hb::block_format A, hb::block_format B, hb::summation Order = hb::summation::chain>
void gemm(benchmark::State& state) {
  const auto a = hb::quantize<A>(bench::matrix().block(0, 0, n, n));
  const auto b = hb::quantize<B>(bench::matrix().block(n, n, n, n));
  const auto d = bench::output().block(0, 0, n, n);
  for (auto _ : state) {
    hb::gemm(a, b, d, Order);
    benchmark::ClobberMemory();
  }
  report_flops(state);
}

/// The same where pairs of bfloat16 go through AVX-512 BF16, on a machine with AMX too.
template <hb::block_format A, hb::block_format B>
void gemm_by_avx512_bf16(benchmark::State& state) {
  using hb::detail::pairs;
  if (hb::detail::best_pairs() == pairs::none) {
    state.SkipWithError("no AVX-512 BF16 here");
    return;
  }
  hb::detail::active_pairs() = pairs::avx512_bf16;
  gemm<A, B, hb::summation::any_order>(state);
  hb::detail::active_pairs() = hb::detail::best_pairs();
}

#if __has_include(<Eigen/Core>)
void eigen_float(benchmark::State& state) {
  using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const matrix a = Eigen::Map<const matrix>(bench::numbers().data(), n, n);
  const matrix b = Eigen::Map<const matrix>(bench::numbers().data() + n * n, n, n);
  matrix d(n, n);
  for (auto _ : state) {
    d.noalias() = a * b.transpose();
    benchmark::ClobberMemory();
  }
  report_flops(state);
}
BENCHMARK(eigen_float);
#endif

}  // namespace

BENCHMARK(gemm<hb::mxfp4, hb::mxfp4>);
BENCHMARK(gemm<hb::nvfp4, hb::nvfp4>);
BENCHMARK(gemm<hb::mxfp8_e4m3, hb::mxfp8_e4m3>);
BENCHMARK(gemm<hb::fp8_1x128, hb::fp8_128x128>);
BENCHMARK(gemm<hb::mxfp4, hb::mxfp4, hb::summation::any_order>);
BENCHMARK(gemm<hb::nvfp4, hb::nvfp4, hb::summation::any_order>);
BENCHMARK(gemm<hb::mxfp8_e4m3, hb::mxfp8_e4m3, hb::summation::any_order>);
BENCHMARK(gemm_by_avx512_bf16<hb::mxfp4, hb::mxfp4>);

BENCHMARK_MAIN();
