// quantize_block and dequantize_block inside a kernel give the bytes of the CPU's matrices.

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <halfbyte/cuda/buffer.cuh>
#include <halfbyte/halfbyte.hpp>

#include "on_device.cuh"

namespace {

using namespace halfbyte;

int passed = 0, failed = 0;

void verdict(bool right, const std::string& what) {
  ++(right ? passed : failed);
  if (!right) std::printf("FAILED: %s\n", what.c_str());
}

/// One thread quantizes one row of blocks, so no two threads write one byte.
template <block_format B, class Rounding, class Scale>
struct quantize_row {
  matrix_view<const float> x;
  quantized_view<B, std::uint8_t> out;
  tensor_scaling tensor;
  Rounding rounding;
  Scale rule;

  HALFBYTE_HD void operator()(std::ptrdiff_t i) const {
    const std::ptrdiff_t r = B.block_rows(out.rows), c = B.block_cols(out.cols);
    for (std::ptrdiff_t j = 0; j < B.grid_cols(out.cols); ++j) {
      const element_indices index{static_cast<std::uint64_t>(i * r * out.cols + j * c),
                                  static_cast<std::uint64_t>(out.cols)};
      out.set_scale(i, j,
                    quantize_block<block_format(B)>(x.block(i * r, j * c, r, c), out.block(i, j),
                                                    tensor, rounding, rule, index));
    }
  }
};

template <block_format B>
struct dequantize_row {
  quantized_view<B> q;
  matrix_view<float> out;
  HALFBYTE_HD void operator()(std::ptrdiff_t i) const {
    for (std::ptrdiff_t j = 0; j < q.cols; ++j) out(i, j) = q(i, j);
  }
};

/// Normal-like numbers over many octaves, with zeros, ties, a NaN and an infinity here and there.
std::vector<float> test_matrix(std::ptrdiff_t count) {
  std::vector<float> x(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::uint32_t word = random_bits(7, 0, i);
    const int exponent = static_cast<int>(random_bits(7, 1, i / 64) % 60) - 40;
    x[i] = static_cast<float>(static_cast<int>(word >> 20) - 2048) * exp2i(exponent - 11);
    if (word % 512 == 0) x[i] = 0;
    if (word % 8192 == 1) x[i] = bit_cast<float>(0x7fc00000u);
    if (word % 8192 == 2) x[i] = bit_cast<float>(0xff800000u);
  }
  return x;
}

template <block_format B, class Rounding, class Scale>
void compare(const std::vector<float>& data, std::ptrdiff_t rows, std::ptrdiff_t cols,
             Rounding rounding, Scale rule, scale_layout layout) {
  const matrix_view<const float> x{data.data(), rows, cols, cols};
  const quantized<B> expected = quantize<B>(x, rounding, rule, {layout, {}});
  cuda::buffer<float> in(data), back(data.size());
  cuda::buffer<std::uint8_t> elements(expected.elements().size()), scales(expected.scales().size());
  elements.fill(0);
  scales.fill(0);
  back.fill(0xa5);
  const quantized_view<B, std::uint8_t> out{
      elements.data(), scales.data(), rows, cols, expected.tensor_scale(), layout};
  tensor_scaling tensor = scale_tensor<B>(magnitudes_of(x).amax, rule);
  on_device::run(quantize_row<B, Rounding, Scale>{{in.data(), rows, cols, cols}, out, tensor,
                                                  rounding, rule},
                 B.grid_rows(rows));
  const quantized_view<B> made{elements.data(), scales.data(), rows, cols, tensor.scale, layout};
  on_device::run(dequantize_row<B>{made, {back.data(), rows, cols, cols}}, rows);

  std::vector<float> numbers(data.size());
  dequantize(expected, matrix_view<float>{numbers.data(), rows, cols, cols});
  const auto host_elements = elements.to_host(), host_scales = scales.to_host();
  const auto host_numbers = back.to_host();
  bool same = tensor.scale == expected.tensor_scale();
  for (std::size_t i = 0; i < host_elements.size(); ++i) {
    same = same && host_elements[i] == expected.elements()[i];
  }
  for (std::size_t i = 0; i < host_scales.size(); ++i) {
    same = same && host_scales[i] == expected.scales()[i];
  }
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    same = same && bit_cast<std::uint32_t>(host_numbers[i]) == bit_cast<std::uint32_t>(numbers[i]);
  }
  verdict(same, name(B) + ", " + name(rounding) + ", " + name(rule) + ", " + name(layout));
}

}  // namespace

int main() {
  if (!on_device::available()) {
    std::printf("skipped: no GPU\n");
    return 77;
  }
  constexpr std::ptrdiff_t rows = 147, cols = 203;  // no multiple of any block
  const std::vector<float> data = test_matrix(rows * cols);
  for_each_block_format([&](auto b) {
    constexpr block_format B = b.value;
    const auto linear = scale_layout::linear;
    for_each_scale_rule([&](auto rule) {
      if constexpr (suits<decltype(rule), B>()) {
        compare<B>(data, rows, cols, nearest_even{}, rule, linear);
      }
    });
    const default_scale<B> rule{};
    compare<B>(data, rows, cols, nearest_toward_zero{}, rule, linear);
    compare<B>(data, rows, cols, stochastic<8>{11, 12}, rule, linear);
    if constexpr (scale_bytes(B.scale) == 1) {
      compare<B>(data, rows, cols, nearest_even{}, rule, scale_layout::swizzled_128x4);
    }
  });
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
