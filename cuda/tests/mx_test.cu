#include <algorithm>

#include <halfbyte/cuda/gemm.cuh>

#include "gemm_check.cuh"
#include "on_device.cuh"
#include "packed_kinds.cuh"

/// Block-scaled operands: folding, expansion, and their products, against double; then random
/// shapes of them, every bit.
///
///     mx_test [number of shapes]
namespace {

using namespace check;

float from_fp4(unsigned nibble) {
  constexpr float magnitude[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  return (nibble & 8) != 0 ? -magnitude[nibble & 7] : magnitude[nibble & 7];
}

/// A packed matrix with random elements and scales 2^(base ± spread/2) (or UE4M3 scales).
struct packed {
  element kind;
  int block, rows, columns, blocks;
  bool swizzled;
  std::vector<std::uint8_t> elements, scales;
  std::vector<float> values;
  buffer<std::uint8_t> device_elements, device_scales;
  std::int64_t stride;

  block_scaled_matrix view() const {
    return {
        device_elements.data(), stride, rows, columns, {device_scales.data(), blocks, swizzled}};
  }
};

float from_packed(element e, unsigned p) {
  switch (e) {
    case element::e2m1:
      return from_fp4(p);
    case element::e4m3:
      return from_fp8(static_cast<std::uint8_t>(p), false);
    case element::e5m2:
      return from_fp8(static_cast<std::uint8_t>(p), true);
    case element::e2m3: {
      const int exponent = (p >> 3) & 3, fraction = p & 7;
      const float x = exponent == 0
                          ? static_cast<float>(fraction) / 8
                          : std::ldexp(1 + static_cast<float>(fraction) / 8, exponent - 1);
      return (p & 32) != 0 ? -x : x;
    }
    default: {
      const int exponent = (p >> 2) & 7, fraction = p & 3;
      const float x = exponent == 0
                          ? std::ldexp(static_cast<float>(fraction) / 4, -2)
                          : std::ldexp(1 + static_cast<float>(fraction) / 4, exponent - 3);
      return (p & 32) != 0 ? -x : x;
    }
  }
}

packed make_packed(element kind, int block, int rows, int columns, int spread, bool swizzled,
                   std::uint64_t seed, int unfit_every = 0) {
  std::mt19937_64 random(seed);
  packed m{kind, block, rows, columns, columns / block, swizzled, {}, {}, {}, {}, {}, 0};
  const int bits = bits_of(kind);
  m.stride = (static_cast<std::int64_t>(columns) * bits / 8 + 15) / 16 * 16 + 16;
  m.elements.assign(static_cast<std::size_t>(m.stride * rows), 0xFF);
  const std::size_t padded_rows = static_cast<std::size_t>((rows + 127) / 128 * 128);
  const std::size_t padded_blocks = static_cast<std::size_t>((m.blocks + 3) / 4 * 4);
  m.scales.assign(swizzled ? padded_rows * padded_blocks
                           : static_cast<std::size_t>(rows) * static_cast<std::size_t>(m.blocks),
                  0xFF);
  m.values.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
  for (int r = 0; r < rows; ++r) {
    std::uint8_t* row = m.elements.data() + r * m.stride;
    std::fill(row, row + static_cast<std::int64_t>(columns) * bits / 8, std::uint8_t{0});
    for (int b = 0; b < m.blocks; ++b) {
      int exponent =
          127 + static_cast<int>(random() % static_cast<unsigned>(spread + 1)) - spread / 2;
      if (unfit_every != 0 && r % unfit_every == 1 && b == 0) exponent = 127 + 12;
      if (unfit_every != 0 && r % unfit_every == 1 && b == m.blocks - 1) exponent = 127 - 9;
      std::uint8_t scale = static_cast<std::uint8_t>(exponent);
      float factor = std::ldexp(1.0f, exponent - 127);
      if (block == 16) {  // UE4M3: any finite scale
        scale = static_cast<std::uint8_t>(random() % 0x7F);
        factor = from_fp8(scale, false);
      }
      const std::size_t at =
          swizzled ? (static_cast<std::size_t>(r / 128) * (padded_blocks / 4) +
                      static_cast<std::size_t>(b / 4)) *
                             512 +
                         static_cast<std::size_t>(r % 32 * 16 + r % 128 / 32 * 4 + b % 4)
                   : static_cast<std::size_t>(r) * static_cast<std::size_t>(m.blocks) +
                         static_cast<std::size_t>(b);
      m.scales[at] = scale;
      for (int j = 0; j < block; ++j) {
        const int k = b * block + j;
        unsigned p = static_cast<unsigned>(random() & ((1u << bits) - 1));
        while (!std::isfinite(from_packed(kind, p))) p = static_cast<unsigned>(random() & 0xFF);
        for (int bit = 0; bit < bits; ++bit)
          row[(k * bits + bit) / 8] = static_cast<std::uint8_t>(
              row[(k * bits + bit) / 8] | ((p >> bit) & 1u) << ((k * bits + bit) % 8));
        m.values[static_cast<std::size_t>(r) * static_cast<std::size_t>(columns) +
                 static_cast<std::size_t>(k)] = from_packed(kind, p) * factor;
      }
    }
  }
  m.device_elements = buffer<std::uint8_t>(m.elements);
  m.device_scales = buffer<std::uint8_t>(m.scales);
  return m;
}

/// Folded on the device, with the matrices that `fold` fills.
struct folded {
  buffer<std::uint8_t> data, unfit;
  buffer<float> scale;
  buffer<int> rows, count{1};
  folded_matrix m;

  explicit folded(const packed& p)
      : data(static_cast<std::size_t>(p.rows) * static_cast<std::size_t>(p.columns)),
        unfit(static_cast<std::size_t>(p.rows)),
        scale(static_cast<std::size_t>(p.rows)),
        rows(static_cast<std::size_t>(p.rows)),
        m{data.data(),  p.columns,   p.rows,       p.columns,
          scale.data(), rows.data(), count.data(), unfit.data()} {
    data.fill(0x55);
    fold(p.view(), m, nullptr);
    halfbyte::cuda::check(cudaDeviceSynchronize());
  }
};

void fold_case(tally& expect, int rows, int columns, int spread, bool swizzled, int unfit_every) {
  const packed p = make_packed(element::e2m1, 32, rows, columns, spread, swizzled,
                               static_cast<std::uint64_t>(rows + columns + spread), unfit_every);
  const folded f(p);
  const std::vector<std::uint8_t> bytes = f.data.to_host(), unfit = f.unfit.to_host();
  const std::vector<float> scale = f.scale.to_host();
  std::vector<int> list = f.rows.to_host();
  list.resize(static_cast<std::size_t>(f.count.to_host()[0]));
  std::sort(list.begin(), list.end());
  long wrong = 0;
  std::vector<int> expected_list;
  for (int r = 0; r < rows; ++r) {
    const auto at_r = static_cast<std::size_t>(r);
    if (unfit[at_r] != 0) expected_list.push_back(r);
    wrong += unfit_every != 0 && r % unfit_every == 1 && columns > 32 && unfit[at_r] == 0;
    for (int k = 0; k < columns; ++k) {
      const std::size_t i = at_r * static_cast<std::size_t>(columns) + static_cast<std::size_t>(k);
      const float value = from_fp8(bytes[i], false) * scale[at_r];
      wrong += value != (unfit[at_r] != 0 ? 0.0f : p.values[i]);
    }
  }
  expect(wrong == 0 && list == expected_list && (spread > 14 || unfit_every != 0 || list.empty()),
         "fold " + std::to_string(rows) + "x" + std::to_string(columns) + " spread " +
             std::to_string(spread) + ": " + std::to_string(wrong) + " wrong, " +
             std::to_string(list.size()) + " unfit");
}

/// Largest |got - exact| relative to Σ|a||b|, which bounds what any order of summation may do.
template <output O>
void compare(tally& expect, const result& d, const std::vector<unsigned char>& bytes,
             const packed& a, const packed& b, double bound, double factor,
             const std::string& what) {
  const std::vector<double> exact = product(a.values, b.values, a.rows, b.rows, a.columns);
  std::vector<float> positive_a = a.values, positive_b = b.values;
  for (float& x : positive_a) x = std::fabs(x);
  for (float& x : positive_b) x = std::fabs(x);
  const std::vector<double> size = product(positive_a, positive_b, a.rows, b.rows, a.columns);
  double worst = 0;
  for (int m = 0; m < a.rows; ++m)
    for (int n = 0; n < b.rows; ++n) {
      const std::size_t i = static_cast<std::size_t>(m) * static_cast<std::size_t>(b.rows) +
                            static_cast<std::size_t>(n);
      const double error = std::fabs(d.at(bytes, m, n) - factor * exact[i]);
      worst = std::isnan(error) ? 1e30 : std::max(worst, error / (size[i] + 1e-300));
    }
  expect(worst <= bound && d.poison_intact(bytes),
         what + ": worst error " + std::to_string(worst) + " of the sum of magnitudes");
}

void folded_gemm_case(tally& expect, int m, int n, int k, int spread, int unfit_every,
                      accumulation sums, double bound) {
  const packed a = make_packed(element::e2m1, 32, m, k, spread, true, 5, unfit_every);
  const packed b = make_packed(element::e2m1, 32, n, k, spread, false, 6, unfit_every);
  const folded fa(a), fb(b);
  result d(output::float32, m, n, 4);
  gemm_mxfp4<output::float32>(fa.m, a.view(), fb.m, b.view(), d.view(), {}, nullptr, sums);
  halfbyte::cuda::check(cudaDeviceSynchronize());
  const std::string name = "mxfp4 " + std::to_string(m) + "x" + std::to_string(n) + "x" +
                           std::to_string(k) + " spread " + std::to_string(spread) +
                           (unfit_every != 0 ? " unfit" : "");
  compare<output::float32>(expect, d, d.device.to_host(), a, b, bound, 1.0, name);
  gemm_mxfp4<output::float32>(fa.m, a.view(), fb.m, b.view(), d.view(),
                              {1.0f, {}, {}, nullptr, true}, nullptr, sums);
  halfbyte::cuda::check(cudaDeviceSynchronize());
  compare<output::float32>(expect, d, d.device.to_host(), a, b, 2 * bound, 2.0, name + " added");
}

void packed_weights_case(tally& expect, int m, int n, int k, int spread, bool swizzled,
                         int unfit_every) {
  const operand activations = make_operand(element::e4m3, m, k, -1, 11);
  const packed b = make_packed(element::e2m1, 32, n, k, spread, swizzled, 12, unfit_every);
  const folded f(b);
  packed a;  // only what compare needs
  a.rows = m;
  a.columns = k;
  a.values = activations.values;
  result d(output::float32, m, n, 4);
  gemm_packed_weights<output::float32>(activations.view(), b.view(), f.m, d.view(), {}, nullptr);
  halfbyte::cuda::check(cudaDeviceSynchronize());
  compare<output::float32>(expect, d, d.device.to_host(), a, b, 1e-3, 1.0,
                           "packed weights " + std::to_string(m) + "x" + std::to_string(n) + "x" +
                               std::to_string(k) + (swizzled ? " swizzled" : ""));
}

template <element A, int BlockA, element B, int BlockB>
void expanded_case(tally& expect, int m, int n, int k, const std::string& what) {
  const packed a = make_packed(A, BlockA, m, k, 6, false, 7);
  const packed b = make_packed(B, BlockB, n, k, 6, true, 8);
  buffer<std::uint16_t> wide_a(static_cast<std::size_t>(m) * static_cast<std::size_t>(k));
  buffer<std::uint16_t> wide_b(static_cast<std::size_t>(n) * static_cast<std::size_t>(k));
  unpack<A, BlockA>(a.view(), wide_a.data(), k, nullptr);
  unpack<B, BlockB>(b.view(), wide_b.data(), k, nullptr);
  long wrong = 0;
  const std::vector<std::uint16_t> back = wide_a.to_host();
  for (std::size_t i = 0; i < back.size(); ++i) wrong += from_bfloat16(back[i]) != a.values[i];
  expect(wrong == 0, "unpack " + what + ": " + std::to_string(wrong) + " wrong");
  result d(output::float32, m, n, 4), e(output::float32, m, n, 4);
  using enum element;
  gemm<bfloat16, bfloat16, output::float32>({wide_a.data(), 2 * k, m, k},
                                            {wide_b.data(), 2 * k, n, k}, d.view(), {}, nullptr);
  gemm_packed<A, BlockA, B, BlockB, output::float32>(a.view(), b.view(), e.view(), {}, nullptr);
  halfbyte::cuda::check(cudaDeviceSynchronize());
  compare<output::float32>(expect, d, d.device.to_host(), a, b, 2e-6, 1.0, "expanded " + what);
  compare<output::float32>(expect, e, e.device.to_host(), a, b, 2e-6, 1.0, "packed " + what);
}

}  // namespace

int main(int argc, char** argv) {
  if (!on_device::available()) {
    std::printf("skipped: no GPU\n");
    return 77;
  }
  tally expect;
  for (int spread : {0, 3, 14}) {
    fold_case(expect, 200, 1024, spread, false, 0);
    fold_case(expect, 131, 32 * 37, spread, true, 0);
  }
  fold_case(expect, 130, 256, 6, true, 5);
  fold_case(expect, 64, 2048, 20, false, 0);
  folded_gemm_case(expect, 300, 520, 1024, 4, 0, accumulation::fast, 1e-3);
  folded_gemm_case(expect, 300, 520, 1024, 4, 0, accumulation::promoted, 4e-4);
  folded_gemm_case(expect, 1, 8, 32, 0, 0, accumulation::fast, 0);
  folded_gemm_case(expect, 300, 520, 1024, 6, 7, accumulation::promoted, 8e-4);
  folded_gemm_case(expect, 129, 257, 4096, 14, 0, accumulation::fast, 2e-3);
  for (int m : {1, 8, 16, 20, 64, 128}) {
    packed_weights_case(expect, m, 200, 512, 4, m % 16 == 0, 0);
    packed_weights_case(expect, m, 1024, 2048, 8, m % 16 != 0, 0);
  }
  packed_weights_case(expect, 24, 8192, 1024, 5, true, 9);
  using enum element;
  expanded_case<e2m1, 16, e2m1, 16>(expect, 200, 140, 512, "nvfp4 x nvfp4");
  expanded_case<e2m1, 32, e2m1, 16>(expect, 130, 300, 1024, "mxfp4 x nvfp4");
  expanded_case<e4m3, 32, e5m2, 32>(expect, 65, 129, 256, "mxfp8 x mxfp8");
  expanded_case<e2m3, 32, e3m2, 32>(expect, 65, 129, 1088, "mxfp6 x mxfp6");
  random_cases::run_all(random_cases::packed_kinds(),
                        {"mxfp4 folded to float32", "nvfp4 packed to float16",
                         "nvfp4 unpacked to float32"},
                        5, argc > 1 ? std::atoi(argv[1]) : 10000, expect);
  std::printf("%d passed, %d failed\n", expect.passed, expect.failed);
  return expect.failed == 0 ? 0 : 1;
}
