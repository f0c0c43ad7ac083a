// What rows cost that the fastest path cannot take: MXFP4 rows that do not fold, FP8 rows that are
// not 16-byte aligned. Medians of CUDA events, in microseconds.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <halfbyte/cuda/buffer.cuh>
#include <halfbyte/cuda/gemm.cuh>

#include "race.cuh"
#include "random_data.cuh"

namespace {

using namespace halfbyte::cuda;

/// Every `every`-th row: one block 20 octaves above what it was made of.
static __global__ void spread_rows(std::uint8_t* scales, int rows, int blocks, int every) {
  const int row = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) * every;
  if (row < rows) scales[static_cast<std::int64_t>(row) * blocks + row % blocks] = 127 + 20;
}

struct operand {
  int rows, columns;
  buffer<std::uint8_t> elements, scales, folded, exponents, unfit;
  buffer<float> scale;
  buffer<int> list, count{1};
  buffer<std::uint16_t> wide;

  operand(int r, int k, std::uint64_t seed)
      : rows(r),
        columns(k),
        elements(size() / 2),
        scales(size() / 32),
        folded(size()),
        exponents(size() / 128),
        unfit(static_cast<std::size_t>(r)),
        scale(static_cast<std::size_t>(r)),
        list(static_cast<std::size_t>(r)),
        wide(size()) {
    bench::fill_fp4<false><<<1024, 256>>>(elements.data(), scales.data(), size() / 32, seed);
  }
  std::size_t size() const {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
  }
  block_scaled_matrix packed() const {
    return {elements.data(), columns / 2, rows, columns, {scales.data(), columns / 32}};
  }
  folded_matrix by_row() {
    return {folded.data(), columns,     rows,         columns,
            scale.data(),  list.data(), count.data(), unfit.data()};
  }
  folded_blocks by_block() {
    return {folded.data(),    columns,     rows,         columns,
            exponents.data(), list.data(), count.data(), unfit.data()};
  }
};

void print(bench::race& race, const std::string& what) {
  race.run(7, 4);
  std::printf("| %s |", what.c_str());
  for (std::size_t i = 0; i < race.size(); ++i) std::printf(" %.0f |", 1e6 * race.median(i));
  std::printf("\n");
}

void unfit_rows(int n) {
  std::printf(
      "\nMXFP4 %d x %d x %d, both operands packed in\n| rows of A that do not fold | folded "
      "by row | by 128 | as bfloat16 |\n|---|---|---|---|\n",
      n, n, n);
  buffer<std::uint16_t> out(static_cast<std::size_t>(n) * static_cast<std::size_t>(n));
  const output_matrix d{out.data(), n, n, n};
  for (const int every : {0, 1024, 100, 10, 2, 1}) {
    operand a(n, n, 1), b(n, n, 2);
    if (every != 0)
      spread_rows<<<static_cast<unsigned>(n / 256), 256>>>(a.scales.data(), n, n / 32, every);
    bench::race race(nullptr);
    constexpr auto b16 = output::bfloat16;
    race.add("by row", [&](int) {
      fold(a.packed(), a.by_row(), nullptr);
      fold(b.packed(), b.by_row(), nullptr);
      gemm_mxfp4<b16>(a.by_row(), a.packed(), b.by_row(), b.packed(), d, {}, nullptr);
    });
    race.add("by 128", [&](int) {
      fold(a.packed(), a.by_block(), nullptr);
      fold(b.packed(), b.by_block(), nullptr);
      gemm_mxfp4<b16>(a.by_block(), a.packed(), b.by_block(), b.packed(), d, {}, nullptr);
    });
    race.add("bfloat16", [&](int) {
      unpack<element::e2m1, 32>(a.packed(), a.wide.data(), n, nullptr);
      unpack<element::e2m1, 32>(b.packed(), b.wide.data(), n, nullptr);
      gemm<element::bfloat16, element::bfloat16, b16>({a.wide.data(), 2 * n, n, n},
                                                      {b.wide.data(), 2 * n, n, n}, d, {}, nullptr);
    });
    fold(a.packed(), a.by_row(), nullptr);
    const int by_row = a.count.to_host()[0];
    fold(a.packed(), a.by_block(), nullptr);
    print(race, std::to_string(by_row) + " (by 128: " + std::to_string(a.count.to_host()[0]) + ")");
  }
}

void unaligned_rows(int n) {
  std::printf(
      "\nE4M3 %d x %d x %d\n| stride | gemm | copied to aligned rows, then gemm |\n"
      "|---|---|---|\n",
      n, n, n - 5);
  const std::size_t room = static_cast<std::size_t>(n) * static_cast<std::size_t>(n + 16);
  buffer<std::uint8_t> a(room), b(room), aligned_a(room), aligned_b(room);
  buffer<std::uint16_t> out(static_cast<std::size_t>(n) * static_cast<std::size_t>(n));
  bench::fill_e4m3<<<1024, 256>>>(a.data(), room, 1);
  bench::fill_e4m3<<<1024, 256>>>(b.data(), room, 2);
  const output_matrix d{out.data(), n, n, n};
  const int k = n - 5;
  for (const int stride : {n, n - 5}) {
    bench::race race(nullptr);
    const auto multiply = [&](const std::uint8_t* x, const std::uint8_t* y, int step) {
      gemm<element::e4m3, element::e4m3, output::bfloat16>({x, step, n, k}, {y, step, n, k}, d, {},
                                                           nullptr);
    };
    race.add("gemm", [&](int) { multiply(a.data(), b.data(), stride); });
    race.add("copied", [&](int) {
      const auto copy = [&](const std::uint8_t* from, std::uint8_t* to) {
        check(cudaMemcpy2DAsync(to, static_cast<std::size_t>(n), from,
                                static_cast<std::size_t>(stride), static_cast<std::size_t>(k),
                                static_cast<std::size_t>(n), cudaMemcpyDeviceToDevice, nullptr));
      };
      copy(a.data(), aligned_a.data());
      copy(b.data(), aligned_b.data());
      multiply(aligned_a.data(), aligned_b.data(), n);
    });
    print(race, std::to_string(stride));
  }
}

}  // namespace

int main() {
  for (const int n : {4096, 8192}) unfit_rows(n);
  unaligned_rows(4096);
}
