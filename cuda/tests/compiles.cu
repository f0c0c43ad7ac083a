// Every kernel's code for the target that the build names, with warnings as errors: a target that a
// kernel is not for must still compile, to a body that is never launched.

#include <halfbyte/cuda/gemm.cuh>

namespace {

using namespace halfbyte::cuda;

[[maybe_unused]] void all(const operand_matrix& a, const block_scaled_matrix& p,
                          const folded_matrix& f, const folded_blocks& g,
                          const output_matrix& d, std::uint16_t* wide) {
  using enum element;
  gemm<e4m3, e5m2, output::bfloat16>(a, a, d, {}, nullptr, accumulation::promoted);
  gemm<bfloat16, bfloat16, output::float32>(a, a, d, {}, nullptr);
  gemm<int8, int8, output::float16>(a, a, d, {}, nullptr);
  gemm_blockwise<e4m3, e4m3, output::bfloat16, blockwise::rows_and_tiles>(a, {}, a, {}, d, {},
                                                                          nullptr);
  gemm_mxfp4<output::bfloat16>(f, p, f, p, d, {}, nullptr);
  gemm_mxfp4<output::bfloat16>(g, p, g, p, d, {}, nullptr);
  gemm_packed_weights<output::bfloat16>(a, p, f, d, {}, nullptr);
  gemm_packed<e3m2, 32, e2m1, 16, output::float32>(p, p, d, {}, nullptr);
  fold(p, f, nullptr);
  fold(p, g, nullptr);
  widen(p.data, 4, g.data, 8, 1, 8, nullptr);
  gather_columns(wide, 8, 1, f.unfit_rows, 1, wide, 8, nullptr);
  unpack<e2m1, 16>(p, wide, 8, nullptr);
}

}  // namespace

int main() { return 0; }
