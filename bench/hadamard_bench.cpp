// Hadamard transforms in place, of blocks along the rows of a 4096 x 4096 matrix, one thread.

#include "random_matrix.hpp"

#include <halfbyte/transform.hpp>

namespace {

void hadamard(benchmark::State& state) {
  const auto x = bench::output();
  for (auto _ : state) {
    halfbyte::hadamard(x, static_cast<int>(state.range(0)));
    benchmark::ClobberMemory();
  }
  bench::report(state, 8);
}

}  // namespace

BENCHMARK(bench::copy)->Name("memcpy");
BENCHMARK(hadamard)->Arg(16)->Arg(32)->Arg(64)->Arg(128)->Arg(1024);

BENCHMARK_MAIN();
