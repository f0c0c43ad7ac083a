#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

/// n floats N(0, 1), the same for a seed.
inline std::vector<float> normal(std::ptrdiff_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> distribution;
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& v : x) v = distribution(random);
  return x;
}
