// oneDNN's reorders between floats and e4m3 beside ours, in one run, one thread.
//
// oneDNN from 3.4 on has e4m3. Where no package of it runs on CPUs, that inside PaddlePaddle's wheel
// does, with the headers of the same version (dnnl_config.h changed to the runtimes OMP and NONE):
//
//   pip download --no-deps paddlepaddle==3.3.1 onednn-devel==2025.0.0
//   unzip -j paddlepaddle*.whl paddle/libs/libdnnl.so.3 && ln -s libdnnl.so.3 libdnnl.so
//   unzip onednn_devel*.whl '*include*'
//   g++ -std=c++20 -O2 -Iinclude -isystem HEADERS -L. -Wl,-rpath,$PWD
//     bench/peers/onednn_bench.cpp -ldnnl -lbenchmark -pthread
//   OMP_NUM_THREADS=1 ./a.out

#include "../random_matrix.hpp"

#include <cstdint>
#include <vector>

#include <dnnl.hpp>

#include <halfbyte/convert.hpp>

namespace {

std::vector<std::uint8_t>& patterns() {
  static std::vector<std::uint8_t> bytes(static_cast<std::size_t>(bench::size), 1);
  return bytes;
}

/// A reorder of the matrix from one type to another; it may be missing on this machine.
void reorder(benchmark::State& state, dnnl::memory::data_type from, const void* source,
             dnnl::memory::data_type to, void* target) {
  using tag = dnnl::memory::format_tag;
  try {
    const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    dnnl::stream stream(engine);
    const dnnl::memory::dims sizes{bench::rows, bench::cols};
    dnnl::memory x({sizes, from, tag::ab}, engine, const_cast<void*>(source));
    dnnl::memory y({sizes, to, tag::ab}, engine, target);
    const dnnl::reorder run(x, y);
    for (auto _ : state) {
      run.execute(stream, x, y);
      stream.wait();
      benchmark::ClobberMemory();
    }
    bench::report(state, 5);
  } catch (const dnnl::error& error) {
    state.SkipWithError(error.what());
  }
}

void onednn_to_e4m3(benchmark::State& state) {
  reorder(state, dnnl::memory::data_type::f32, bench::numbers().data(),
          dnnl::memory::data_type::f8_e4m3, patterns().data());
}

void onednn_from_e4m3(benchmark::State& state) {
  halfbyte::encode<halfbyte::e4m3>(bench::matrix(), patterns().data());
  reorder(state, dnnl::memory::data_type::f8_e4m3, patterns().data(),
          dnnl::memory::data_type::f32, bench::output().data);
}

void halfbyte_to_e4m3(benchmark::State& state) {
  for (auto _ : state) {
    halfbyte::encode<halfbyte::e4m3>(bench::matrix(), patterns().data());
    benchmark::ClobberMemory();
  }
  bench::report(state, 5);
}

void halfbyte_from_e4m3(benchmark::State& state) {
  halfbyte::encode<halfbyte::e4m3>(bench::matrix(), patterns().data());
  for (auto _ : state) {
    halfbyte::decode<halfbyte::e4m3>(patterns().data(), bench::output());
    benchmark::ClobberMemory();
  }
  bench::report(state, 5);
}

}  // namespace

BENCHMARK(bench::copy)->Name("memcpy");
BENCHMARK(onednn_to_e4m3);
BENCHMARK(halfbyte_to_e4m3);
BENCHMARK(onednn_from_e4m3);
BENCHMARK(halfbyte_from_e4m3);

BENCHMARK_MAIN();
