#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include <doctest/doctest.h>

/// Counts comparisons in long loops and reports the first few that fail, each in words made only
/// then.
struct tally {
  std::uint64_t total = 0;
  std::uint64_t wrong = 0;

  template <class Words>
  void expect(bool right, Words&& words) {
    ++total;
    if (right) return;
    if (++wrong <= 5) FAIL_CHECK(words());
  }

  ~tally() {
    if (wrong > 5) FAIL_CHECK("in all ", wrong, " of ", total, " comparisons failed");
    if (total == 0) FAIL_CHECK("nothing was compared");
  }
};

inline std::string hex(std::uint64_t x) {
  char text[32];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(x));
  return text;
}
