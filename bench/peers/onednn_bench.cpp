// oneDNN's reorders between floats and e4m3 beside ours, in one run, one thread.
//
//   python3 -m venv peers && peers/bin/pip install onednn onednn-devel intel-opencl-rt
//   g++ -std=c++20 -O2 -Iinclude -isystem peers/include -Lpeers/lib -Wl,-rpath,peers/lib
//     bench/peers/onednn_bench.cpp -ldnnl -lbenchmark -pthread
//
// That build of oneDNN runs on an OpenCL device: OCL_ICD_FILENAMES names peers/lib/libintelocl.so.

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
