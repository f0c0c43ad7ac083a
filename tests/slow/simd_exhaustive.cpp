// Rows converted in vectors against the scalar conversion, over floats: every instruction set of
// this machine, in turn.
//
//   g++ -std=c++20 -O2 -Iinclude tests/slow/simd_exhaustive.cpp -pthread
//   ./a.out [step]        default 61; 1 takes all 2^32 floats, some minutes for each conversion
//
// Exit code 1 if one byte differs.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <halfbyte/convert.hpp>

#include "../instruction_sets.hpp"

namespace hb = halfbyte;

namespace {

constexpr std::uint64_t run = 1 << 14;   // floats in a row
constexpr std::uint64_t runs = 1 << 12;  // rows whose scalar results are kept for every set

/// Calls f(r, row) for the `count` rows of every step-th float that begin with number `first`.
template <class Function>
void for_each_row(std::uint64_t first, std::uint64_t count, std::uint64_t step, const Function& f) {
  std::atomic<std::uint64_t> next{0};
  const auto work = [&] {
    std::vector<float> x(run);
    for (std::uint64_t r = next++; r < count; r = next++) {
      for (std::uint64_t i = 0; i < run; ++i) {
        x[i] = hb::bit_cast<float>(static_cast<std::uint32_t>((first + r * run + i) * step));
      }
      f(r, x);
    }
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < std::thread::hardware_concurrency(); ++t) threads.emplace_back(work);
  for (std::thread& t : threads) t.join();
}

/// Compares every step-th float; the number of rows with a byte that differs.
template <hb::format F, class Rounding, class Overflow>
std::uint64_t sweep(const char* name, std::uint64_t step, const Rounding& rounding,
                    const Overflow& overflow) {
  const std::uint64_t floats = ((std::uint64_t{1} << 32) + step - 1) / step;
  const std::uint64_t rows = (floats + run - 1) / run;
  const std::size_t bytes = hb::packed_bytes(F, run);
  std::vector<std::uint8_t> expected(runs * bytes);
  std::map<std::string, std::uint64_t> wrong;
  for (std::uint64_t row = 0; row < rows; row += runs) {
    const std::uint64_t first = row * run, count = std::min(runs, rows - row);
    for_each_row(first, count, step, [&](std::uint64_t r, const std::vector<float>& x) {
      for (std::uint64_t i = 0; i < run; ++i) {
        hb::store_packed<F>(expected.data() + r * bytes, static_cast<std::ptrdiff_t>(i),
                            hb::encode<F>(x[i], rounding, overflow, i));
      }
    });
    for_each_instruction_set([&](const char* set) {
      if (hb::detail::active_instruction_set() == hb::detail::instruction_set::scalar) return;
      std::atomic<std::uint64_t> differ{0};
      for_each_row(first, count, step, [&](std::uint64_t r, const std::vector<float>& x) {
        std::vector<std::uint8_t> got(bytes);
        hb::encode<F>(hb::matrix_view<const float>{x.data(), 1, run}, got.data(), rounding,
                      overflow);
        if (std::memcmp(got.data(), expected.data() + r * bytes, bytes) != 0) ++differ;
      });
      wrong[set] += differ;
    });
  }
  std::uint64_t all = 0;
  for (const auto& [set, differ] : wrong) {
    std::printf("%-28s %-9s %llu floats, %llu rows differ\n", name, set.c_str(),
                static_cast<unsigned long long>(floats), static_cast<unsigned long long>(differ));
    all += differ;
  }
  std::fflush(stdout);
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t step = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 61;
  if (step == 0) return 1;
  std::uint64_t wrong = 0;
  const hb::nearest_even even;
  const hb::saturate saturate;
  wrong += sweep<hb::e4m3>("e4m3", step, even, saturate);
  wrong += sweep<hb::e5m2>("e5m2", step, even, saturate);
  wrong += sweep<hb::e2m1>("e2m1", step, even, saturate);
  wrong += sweep<hb::e4m3>("e4m3 to_special", step, even, hb::to_special{});
  wrong += sweep<hb::e5m2>("e5m2 upward to_special", step, hb::upward{}, hb::to_special{});
  wrong += sweep<hb::e4m3>("e4m3 to_odd", step, hb::to_odd{}, saturate);
  wrong += sweep<hb::e2m1>("e2m1 stochastic<8>", step, hb::stochastic<8>{1, 2}, saturate);
  wrong += sweep<hb::e4m3>("e4m3 stochastic<8>", step, hb::stochastic<8>{1, 2}, saturate);
  wrong += sweep<hb::e4m3>("e4m3 stochastic<32>", step, hb::stochastic<>{1, 2}, saturate);
  wrong += sweep<hb::bfloat16>("bfloat16", step, even, hb::to_special{});
  wrong += sweep<hb::float16>("float16", step, even, hb::to_special{});
  return wrong != 0 ? 1 : 0;
}
