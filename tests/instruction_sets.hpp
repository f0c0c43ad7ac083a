#pragma once

// Every instruction set of this machine, forced in turn.

#include <halfbyte/simd.hpp>

/// Calls f(name) with each set in use, scalar code included; the best one is in use again after.
template <class Function>
void for_each_instruction_set(Function&& f) {
  using halfbyte::detail::instruction_set;
  const instruction_set best = halfbyte::detail::best_instruction_set();
  const char* names[] = {"none", "baseline", "avx2", "avx512"};
  for (int set = 0; set <= static_cast<int>(best); ++set) {
    halfbyte::detail::active_instruction_set() = static_cast<instruction_set>(set);
    f(names[set]);
  }
  halfbyte::detail::active_instruction_set() = best;
}
