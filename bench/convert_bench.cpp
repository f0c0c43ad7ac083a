// Bulk conversion of floats: 64 MiB of them, one thread.

#include "random_matrix.hpp"

#include <cstdint>

#include <halfbyte/convert.hpp>
#include <halfbyte/minifloat.hpp>

#if __has_include(<Eigen/Core>)
#include <Eigen/Core>
#endif

namespace hb = halfbyte;

namespace {

std::vector<std::uint8_t>& patterns() {
  static std::vector<std::uint8_t> bytes(static_cast<std::size_t>(bench::size) * 4, 1);
  return bytes;
}

template <hb::format F, class Rounding, class Overflow = hb::saturate>
void encode(benchmark::State& state) {
  for (auto _ : state) {
    hb::encode<F>(bench::matrix(), patterns().data(), Rounding{}, Overflow{});
    benchmark::ClobberMemory();
  }
  bench::report(state, 4 + F.bits() / 8.0);
}

template <hb::format F, class T>
void encode_from(benchmark::State& state) {
  static const std::vector<T> x = [] {
    std::vector<T> y;
    for (const float v : bench::numbers()) y.push_back(T(v));
    return y;
  }();
  for (auto _ : state) {
    hb::encode<F>(hb::matrix_view<const T>{x.data(), bench::rows, bench::cols}, patterns().data());
    benchmark::ClobberMemory();
  }
  bench::report(state, sizeof(T) + F.bits() / 8.0);
}

template <hb::format F>
void decode(benchmark::State& state) {
  hb::encode<F>(bench::matrix(), patterns().data());
  for (auto _ : state) {
    hb::decode<F>(patterns().data(), bench::output());
    benchmark::ClobberMemory();
  }
  bench::report(state, 4 + F.bits() / 8.0);
}

/// One call of the scalar function for each float, as a user would write it.
template <hb::format F>
void encode_scalar(benchmark::State& state) {
  for (auto _ : state) {
    for (std::size_t i = 0; i < bench::numbers().size(); ++i) {
      patterns()[i] = static_cast<std::uint8_t>(hb::encode<F>(bench::numbers()[i]));
    }
    benchmark::ClobberMemory();
  }
  bench::report(state, 5);
}

#if __has_include(<Eigen/Core>)
/// What a float loop of the same shape costs: 4 bytes in, 2 out.
void eigen_to_bfloat16(benchmark::State& state) {
  const Eigen::Map<const Eigen::ArrayXf> x(bench::numbers().data(), bench::size);
  static Eigen::Array<Eigen::bfloat16, Eigen::Dynamic, 1> y(bench::size);
  for (auto _ : state) {
    y = x.cast<Eigen::bfloat16>();
    benchmark::ClobberMemory();
  }
  bench::report(state, 6);
}
BENCHMARK(eigen_to_bfloat16);
#endif

}  // namespace

BENCHMARK(bench::copy)->Name("memcpy");
BENCHMARK(encode<hb::e4m3, hb::nearest_even>);
BENCHMARK(encode<hb::e5m2, hb::nearest_even>);
BENCHMARK(encode<hb::e2m1, hb::nearest_even>);
BENCHMARK(encode<hb::e2m3, hb::nearest_even>);
BENCHMARK(encode<hb::e4m3, hb::upward>);
BENCHMARK(encode<hb::e4m3, hb::toward_zero>);
BENCHMARK(encode<hb::e4m3, hb::to_odd>);
BENCHMARK(encode<hb::e4m3, hb::nearest_even, hb::to_special>);
BENCHMARK(encode<hb::e4m3, hb::stochastic<8>>);
BENCHMARK(encode<hb::e2m1, hb::stochastic<8>>);
BENCHMARK(encode<hb::e4m3, hb::stochastic<>>);
BENCHMARK(encode_from<hb::e4m3, hb::minifloat<hb::bfloat16>>);
BENCHMARK(encode_from<hb::e4m3, hb::minifloat<hb::float16>>);
BENCHMARK(encode_from<hb::e4m3, double>);
BENCHMARK(encode_from<hb::e2m1, hb::minifloat<hb::bfloat16>>);
BENCHMARK(decode<hb::e4m3>);
BENCHMARK(decode<hb::e5m2>);
BENCHMARK(decode<hb::e2m1>);
BENCHMARK(encode_scalar<hb::e4m3>);

BENCHMARK_MAIN();
