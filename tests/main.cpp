// The main of every test program.
//
// FLOAT_MODE=flush runs the tests with subnormals flushed to zero (FTZ and DAZ), FLOAT_MODE=upward
// with the floating-point unit rounding up. Exits with 77, "skipped", where a mode is not to be had.

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cfenv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace {

bool flush_subnormals() {
#if defined(__SSE__)
  _mm_setcsr(_mm_getcsr() | 0x8040);
  return true;
#elif defined(__aarch64__)
  std::uint64_t control;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  asm volatile("msr fpcr, %0" : : "r"(control | (1u << 24)));
  return true;
#else
  return false;
#endif
}

bool round_upward() {
#if defined(FE_UPWARD)
  return std::fesetround(FE_UPWARD) == 0;
#else
  return false;
#endif
}

/// Whether `mode` is in force, seen from arithmetic and not from a control register.
bool in_force(const std::string& mode) {
  volatile float one = 1.0f;
  volatile float tiny = 1e-40f;
  if (mode == "flush") return one * tiny == 0.0f;
  return one + tiny > one;
}

}  // namespace

int main(int argc, char** argv) {
  const char* variable = std::getenv("FLOAT_MODE");
  const std::string mode = variable ? variable : "";
  if (mode == "flush" || mode == "upward") {
    if (!(mode == "flush" ? flush_subnormals() : round_upward())) {
      std::puts("this machine has no such floating-point mode");
      return 77;
    }
    if (!in_force(mode)) {
      std::puts("the floating-point mode was set and has no effect");
      return 1;
    }
  } else if (!mode.empty()) {
    std::printf("FLOAT_MODE=%s is neither flush nor upward\n", mode.c_str());
    return 1;
  }
  return doctest::Context(argc, argv).run();
}
