// Products of unpacked operands: random shapes, strides, scales and epilogues, every bit.
//
//     gemm_test [number of shapes]

#include "on_device.cuh"
#include "random_cases.cuh"

namespace {

using namespace random_cases;

template <element A, element B, output O, accumulation Sums>
void direct(const trial& t) {
  gemm<A, B, O>(t.a.matrix(), t.b.matrix(), t.d, t.scaled(), t.stream, Sums);
}

template <element A, element B, output O, blockwise Scales>
void in_blocks(const trial& t) {
  gemm_blockwise<A, B, O, Scales>(t.a.matrix(), t.a.by_128(), t.b.matrix(), t.b.by_128(), t.d,
                                  t.how, t.stream);
}

template <element A, element B, output O, accumulation Sums = accumulation::fast>
kind direct_kind(const char* name) {
  return {name,  A,       B,    O, scaling::per_row,     scaling::per_row, false, 1,
          16384, 1 << 30, true, 0, direct<A, B, O, Sums>};
}

template <element A, element B, output O, blockwise Scales>
kind blockwise_kind(const char* name) {
  return {name,
          A,
          B,
          O,
          scaling::blocks_128,
          scaling::blocks_128,
          Scales == blockwise::rows_and_tiles,
          1,
          16384,
          1 << 30,
          true,
          0,
          in_blocks<A, B, O, Scales>};
}

}  // namespace

int main(int argc, char** argv) {
  if (!on_device::available()) {
    std::printf("skipped: no GPU\n");
    return 77;
  }
  using enum element;
  constexpr auto b16 = output::bfloat16, f16 = output::float16, f32 = output::float32;
  constexpr auto promoted = accumulation::promoted;
  const std::vector<kind> kinds = {
      direct_kind<e4m3, e4m3, b16>("e4m3 to bfloat16"),
      direct_kind<e4m3, e4m3, b16, promoted>("e4m3 promoted to bfloat16"),
      direct_kind<e4m3, e5m2, f16>("e4m3 x e5m2 to float16"),
      direct_kind<e4m3, e5m2, f16, promoted>("e4m3 x e5m2 promoted to float16"),
      direct_kind<e5m2, e4m3, b16>("e5m2 x e4m3 to bfloat16"),
      direct_kind<e5m2, e5m2, f32>("e5m2 to float32"),
      direct_kind<bfloat16, bfloat16, b16>("bfloat16 to bfloat16"),
      direct_kind<int8, int8, f32>("int8 to float32"),
      blockwise_kind<e4m3, e5m2, b16, blockwise::rows_and_tiles>("1x128 x 128x128 to bfloat16"),
      blockwise_kind<e4m3, e4m3, f16, blockwise::rows_and_rows>("1x128 x 1x128 to float16"),
  };
  check::tally expect;
  run_all(kinds,
          {"e4m3 to bfloat16", "e4m3 x e5m2 promoted to float16", "int8 to float32",
           "1x128 x 128x128 to bfloat16"},
          20261122, argc > 1 ? std::atoi(argv[1]) : 10000, expect);
  std::printf("%d passed, %d failed\n", expect.passed, expect.failed);
  return expect.failed == 0 ? 0 : 1;
}
