// The CPU's model of Hopper's FP8 sums against the tensor core: every bit. With an argument, prints
// the rows of tests/tensor_core_answers.inc as this device gives them.

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include <halfbyte/cuda/gemm.cuh>
#include <halfbyte/names.hpp>
#include <halfbyte/quantize.hpp>
#include <halfbyte/tensor_core.hpp>

#include "on_device.cuh"
#include "tensor_core_answers.hpp"

namespace {

using namespace halfbyte;
using cuda::accumulation;
using cuda::element;
using cuda::output;

int passed = 0, failed = 0;

void verdict(bool right, const std::string& what) {
  ++(right ? passed : failed);
  if (!right) std::printf("FAILED: %s\n", what.c_str());
}

template <format F>
constexpr element element_of = F == e5m2 ? element::e5m2 : element::e4m3;

/// Enough rows of both operands that every multiprocessor has tiles of its own.
constexpr int rows = 2048;

template <format F>
std::vector<std::uint8_t> matrix(std::uint64_t seed, bool close, int k, int stride) {
  std::vector<std::uint8_t> all(static_cast<std::size_t>(rows) * static_cast<std::size_t>(stride));
  for (int r = 0; r < rows; ++r) {
    const auto row = tensor_core_answers::row_of<F>(seed, close, static_cast<std::uint64_t>(r),
                                                    static_cast<std::size_t>(k));
    std::copy(row.begin(), row.end(), all.begin() + static_cast<std::ptrdiff_t>(r) * stride);
  }
  return all;
}

/// The model runs on the device here, being the same code.
template <format A, format B>
struct compare_sums {
  const std::uint8_t *a, *b;
  const float* d;
  int k, stride;
  tensor_core core;
  int* wrong;

  __device__ void operator()(std::ptrdiff_t i) const {
    const float model = tensor_core_dot<format(A), format(B)>(a + i / rows * stride,
                                                              b + i % rows * stride, k, core);
    if (bit_cast<std::uint32_t>(model) != bit_cast<std::uint32_t>(d[i])) atomicAdd(wrong, 1);
  }
};

template <format A, format B>
void compare_all(const tensor_core_answers::answer& known, bool print) {
  const int k = known.k, stride = (k + 15) / 16 * 16;
  const auto host_a = matrix<A>(1, known.close, k, stride);
  const auto host_b = matrix<B>(2, known.close, k, stride);
  const cuda::buffer<std::uint8_t> a(host_a), b(host_b);
  cuda::buffer<float> d(std::size_t{rows} * rows);
  const std::string what =
      name(A) + " x " + name(B) + (known.close ? " close" : "") + ", K " + std::to_string(k);
  for (const tensor_core core : {hopper_fp8_promoted, hopper_fp8}) {
    d.fill(0xC5);
    cuda::gemm<element_of<A>, element_of<B>, output::float32>(
        {a.data(), stride, rows, k}, {b.data(), stride, rows, k}, {d.data(), rows, rows, rows}, {},
        nullptr, core.promoted_every != 0 ? accumulation::promoted : accumulation::fast);
    cuda::buffer<int> wrong(std::vector<int>{0});
    on_device::run(compare_sums<A, B>{a.data(), b.data(), d.data(), k, stride, core, wrong.data()},
                   std::ptrdiff_t{rows} * rows);
    verdict(wrong.to_host()[0] == 0, what + (core.promoted_every != 0 ? " promoted: " : ": ") +
                                         std::to_string(wrong.to_host()[0]) + " sums differ");
  }
  const std::vector<float> sums = d.to_host();
  std::uint32_t bits[4];
  for (int i = 0; i < 4; ++i)
    bits[i] = bit_cast<std::uint32_t>(sums[static_cast<std::size_t>(i / 2 * rows + i % 2)]);
  if (print) {
    std::printf("{%s, %s, %s, %d, {0x%08x, 0x%08x, 0x%08x, 0x%08x}},\n",
                known.e5m2_a ? "true" : "false", known.e5m2_b ? "true" : "false",
                known.close ? "true" : "false", k, bits[0], bits[1], bits[2], bits[3]);
  } else {
    verdict(std::equal(bits, bits + 4, known.bits), what + ": not the known answers");
  }
}

/// NaN and infinity here and there.
void compare_specials() {
  constexpr int k = 96;
  auto host_a = matrix<e5m2>(3, true, k, k), host_b = matrix<e5m2>(4, true, k, k);
  std::mt19937_64 random(5);
  for (int i = 0; i < 1500; ++i) {
    constexpr std::uint8_t patterns[] = {0x7c, 0xfc, 0x7f, 0x7d, 0xfe, 0x00, 0x80};
    (i % 2 == 0 ? host_a : host_b)[random() % host_a.size()] = patterns[random() % 7];
  }
  const cuda::buffer<std::uint8_t> a(host_a), b(host_b);
  cuda::buffer<float> d(std::size_t{rows} * rows);
  cuda::gemm<element::e5m2, element::e5m2, output::float32>(
      {a.data(), k, rows, k}, {b.data(), k, rows, k}, {d.data(), rows, rows, rows}, {}, nullptr);
  cuda::buffer<int> wrong(std::vector<int>{0});
  on_device::run(
      compare_sums<e5m2, e5m2>{a.data(), b.data(), d.data(), k, k, hopper_fp8, wrong.data()},
      std::ptrdiff_t{rows} * rows);
  verdict(wrong.to_host()[0] == 0,
          "NaN and infinity: " + std::to_string(wrong.to_host()[0]) + " sums differ");
}

template <block_format B>
quantized<B> random_matrix(std::ptrdiff_t m, std::ptrdiff_t k, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(m * k));
  for (float& v : x) v = normal(random);
  return quantize<B>(matrix_view<const float>{x.data(), m, k, k});
}

/// A quantized matrix on the device; K a multiple of 16.
template <block_format B>
struct on_gpu {
  cuda::buffer<std::uint8_t> elements, scales;
  int rows, cols;
  explicit on_gpu(const quantized<B>& q)
      : elements(std::vector<std::uint8_t>(q.elements().begin(), q.elements().end())),
        scales(std::vector<std::uint8_t>(q.scales().begin(), q.scales().end())),
        rows(static_cast<int>(q.rows())),
        cols(static_cast<int>(q.cols())) {}
  cuda::operand_matrix matrix() const { return {elements.data(), cols, rows, cols}; }
  const float* floats() const { return reinterpret_cast<const float*>(scales.data()); }
};

/// Quantized matrices: gemm with the model on the CPU, and the functions of the same scaling here.
template <block_format A, block_format B, class Run>
void compare_scaled(int m, int n, int k, tensor_core core, const std::string& what, Run run) {
  const auto a = random_matrix<A>(m, k, 6);
  const auto b = random_matrix<B>(n, k, 7);
  const auto at = [n](int i, int j) { return static_cast<std::size_t>(i * n + j); };
  std::vector<float> model(at(m, 0));
  // The first rows only: the model takes its time.
  const auto few =
      quantized_view<A>{a.view().elements, a.view().scales, 40, k, 1, scale_layout::linear};
  gemm<A, B>(few, b.view(), matrix_view<float>{model.data(), 40, n, n}, core);
  const on_gpu<A> device_a(a);
  const on_gpu<B> device_b(b);
  cuda::buffer<float> d(at(m, 0));
  run(device_a, device_b, cuda::output_matrix{d.data(), n, m, n});
  const std::vector<float> sums = d.to_host();
  int wrong = 0;
  for (int i = 0; i < 40; ++i)
    for (int j = 0; j < n; ++j)
      wrong += bit_cast<std::uint32_t>(sums[at(i, j)]) != bit_cast<std::uint32_t>(model[at(i, j)]);
  verdict(wrong == 0, what + ": " + std::to_string(wrong) + " of " + std::to_string(40 * n));
}

void compare_matrices() {
  constexpr auto f32 = output::float32;
  const auto in_rows = [](const auto& a, const auto& b, const cuda::output_matrix& d) {
    cuda::epilogue how;
    how.a = {a.floats(), true};
    how.b = {b.floats(), true};
    cuda::gemm<element::e4m3, element::e5m2, f32>(a.matrix(), b.matrix(), d, how, nullptr);
  };
  compare_scaled<per_row(e4m3), per_row(e5m2)>(2048, 2048, 112, hopper_fp8, "rows", in_rows);
  const auto in_tiles = [](const auto& a, const auto& b, const cuda::output_matrix& d) {
    const int blocks = (a.cols + 127) / 128;
    cuda::gemm_blockwise<element::e4m3, element::e4m3, f32, cuda::blockwise::rows_and_tiles>(
        a.matrix(), {a.floats(), blocks, 1, false}, b.matrix(), {b.floats(), blocks, 1, false}, d,
        {}, nullptr);
  };
  compare_scaled<fp8_1x128, fp8_128x128>(300, 520, 1104, hopper_fp8_promoted, "1x128 x 128x128",
                                         in_tiles);
  const auto in_blocks = [](const auto& a, const auto& b, const cuda::output_matrix& d) {
    const int blocks = (a.cols + 127) / 128;
    cuda::gemm_blockwise<element::e4m3, element::e4m3, f32, cuda::blockwise::rows_and_rows>(
        a.matrix(), {a.floats(), blocks, 1, false}, b.matrix(), {b.floats(), blocks, 1, false}, d,
        {}, nullptr);
  };
  compare_scaled<fp8_1x128, fp8_1x128>(300, 520, 1104, hopper_fp8_promoted, "1x128 x 1x128",
                                       in_blocks);
}

}  // namespace

int main(int argc, char**) {
  if (!on_device::available()) {
    std::printf("skipped: no GPU\n");
    return 77;
  }
  if (cuda::device_facts::current().architecture != 90) {
    std::printf("skipped: the model is of Hopper's tensor cores\n");
    return 77;
  }
  for (const auto& known : tensor_core_answers::answers)
    tensor_core_answers::with_formats(
        known, [&]<format A, format B>() { compare_all<A, B>(known, argc > 1); });
  if (argc > 1) return 0;
  compare_specials();
  compare_matrices();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
