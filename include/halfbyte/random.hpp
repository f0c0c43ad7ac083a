#pragma once

#include <cstdint>

#include <halfbyte/config.hpp>

namespace halfbyte {

/// Four 32-bit words: a counter of Philox, or what it makes of one.
struct philox_words {
  std::uint32_t word[4];

  HALFBYTE_HD constexpr std::uint32_t operator[](int i) const { return word[i]; }
  friend constexpr bool operator==(const philox_words&, const philox_words&) = default;
};

/// Two 32-bit words that select one of 2^64 generators.
struct philox_key {
  std::uint32_t word[2];
};

/// Philox4x32-10: four random words that are a pure function of a counter and a key.
///
/// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
HALFBYTE_HD constexpr philox_words philox4x32(philox_words counter, philox_key key) {
  std::uint32_t x0 = counter.word[0], x1 = counter.word[1];
  std::uint32_t x2 = counter.word[2], x3 = counter.word[3];
  std::uint32_t k0 = key.word[0], k1 = key.word[1];
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * x0;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * x2;
    x0 = static_cast<std::uint32_t>(p1 >> 32) ^ x1 ^ k0;
    x1 = static_cast<std::uint32_t>(p1);
    x2 = static_cast<std::uint32_t>(p0 >> 32) ^ x3 ^ k1;
    x3 = static_cast<std::uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{x0, x1, x2, x3}};
}

/// The 32 random bits of element `index` in stream `stream` of `seed`.
///
/// Four consecutive elements share one Philox block: counter (index / 4, stream), key seed, word
/// index % 4. Two uses of one seed must differ in `stream`.
HALFBYTE_HD constexpr std::uint32_t random_bits(std::uint64_t seed, std::uint64_t stream,
                                                std::uint64_t index) {
  const std::uint64_t block = index / 4;
  const philox_words counter{{static_cast<std::uint32_t>(block),
                              static_cast<std::uint32_t>(block >> 32),
                              static_cast<std::uint32_t>(stream),
                              static_cast<std::uint32_t>(stream >> 32)}};
  const philox_key key{{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}};
  return philox4x32(counter, key)[static_cast<int>(index % 4)];
}

}  // namespace halfbyte
