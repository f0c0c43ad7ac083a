#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

/// What a sweep found.
struct finding {
  std::uint64_t total = 0;
  std::uint64_t wrong = 0;
};

/// Compares `ours(bits)` with `theirs(bits)` for every `step`-th pattern of 32 bits, on all cores,
/// and prints one line, with the first mismatches under it.
template <class Ours, class Theirs>
finding sweep(const char* what, std::uint32_t step, Ours ours, Theirs theirs) {
  const unsigned workers = std::max(1u, std::thread::hardware_concurrency());
  std::atomic<std::uint64_t> total{0}, wrong{0}, next{0};
  constexpr std::uint64_t end = std::uint64_t{1} << 32, part = std::uint64_t{1} << 22;
  std::vector<std::thread> threads;
  for (unsigned w = 0; w < workers; ++w) {
    threads.emplace_back([&] {
      for (std::uint64_t first; (first = next.fetch_add(part)) < end;) {
        std::uint64_t compared = 0, differ = 0;
        for (std::uint64_t b = (first + step - 1) / step * step; b < first + part; b += step) {
          const auto bits = static_cast<std::uint32_t>(b);
          const std::uint32_t a = ours(bits), c = theirs(bits);
          ++compared;
          if (a != c && ++differ == 1) {
            std::printf("    %08x: ours %x, theirs %x\n", static_cast<unsigned>(bits),
                        static_cast<unsigned>(a), static_cast<unsigned>(c));
          }
        }
        total += compared;
        wrong += differ;
      }
    });
  }
  for (auto& t : threads) t.join();
  std::printf("%-44s %11llu inputs, %llu mismatches\n", what,
              static_cast<unsigned long long>(total.load()),
              static_cast<unsigned long long>(wrong.load()));
  std::fflush(stdout);
  return {total, wrong};
}

/// The step of a sweep from the command line: `program [step]`.
inline std::uint32_t step_of(int argc, char** argv, std::uint32_t otherwise) {
  if (argc < 2) return otherwise;
  const long step = std::atol(argv[1]);
  if (step < 1) {
    std::fprintf(stderr, "usage: %s [step, 1 or more: 1 takes all 2^32 floats]\n", argv[0]);
    std::exit(2);
  }
  return static_cast<std::uint32_t>(step);
}
