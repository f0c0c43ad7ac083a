#include <halfbyte/cuda/gemm.cuh>

#include "gemm_check.cuh"
#include "gemm_model.hpp"

namespace {

using namespace check;

using launcher = void (*)(const operand_matrix&, const operand_matrix&, const output_matrix&,
                          const epilogue&, cudaStream_t, int);

template <element A, element B, output O, class Tile>
constexpr launcher kernel = gemm_sm90<A, B, O, Tile>::launch;

/// Whatever kernel the public function picks.
template <element A, element B, output O, accumulation Sums>
void any_kernel(const operand_matrix& a, const operand_matrix& b, const output_matrix& d,
                const epilogue& how, cudaStream_t stream, int) {
  gemm<A, B, O>(a, b, d, how, stream, Sums);
}

struct shape {
  int m, n, k;
};

std::string name_of(const shape& s) {
  return std::to_string(s.m) + "x" + std::to_string(s.n) + "x" + std::to_string(s.k);
}

/// Integers and power-of-two scales, so that every order of summation gives the exact result.
void exact_case(tally& expect, launcher run, element ka, element kb, output o, shape s, int padding,
                bool accumulate, std::uint64_t seed, const std::string& what) {
  const operand a = make_operand(ka, s.m, s.k, 2, seed);
  const operand b = make_operand(kb, s.n, s.k, 2, seed + 1);
  std::vector<float> scale_a(static_cast<std::size_t>(s.m)), scale_b(static_cast<std::size_t>(s.n));
  std::vector<float> bias(static_cast<std::size_t>(s.n));
  for (int m = 0; m < s.m; ++m) scale_a[static_cast<std::size_t>(m)] = std::ldexp(1.0f, m % 5 - 2);
  for (int n = 0; n < s.n; ++n) {
    scale_b[static_cast<std::size_t>(n)] = std::ldexp(1.0f, n % 3 - 1);
    bias[static_cast<std::size_t>(n)] = static_cast<float>(n % 11 - 5);
  }
  const buffer<float> da(scale_a), db(scale_b), dbias(bias);
  result d(o, s.m, s.n, padding);
  epilogue how{0.5f,
               {da.data(), true},
               {db.data(), true},
               seed % 2 == 0 ? dbias.data() : nullptr,
               accumulate};
  if (accumulate) {  // start from zero: the first run adds to it, the second to the first
    d.device.fill(0);
    epilogue plain = how;
    run(a.view(), b.view(), d.view(), plain, nullptr, 0);
  }
  run(a.view(), b.view(), d.view(), how, nullptr, 0);
  halfbyte::cuda::check(cudaDeviceSynchronize());
  const std::vector<unsigned char> bytes = d.device.to_host();
  const std::vector<double> sum = product(a.values, b.values, s.m, s.n, s.k);
  long wrong = 0;
  std::string first;
  for (int m = 0; m < s.m; ++m)
    for (int n = 0; n < s.n; ++n) {
      const auto i =
          static_cast<std::size_t>(m) * static_cast<std::size_t>(s.n) + static_cast<std::size_t>(n);
      const auto at_m = static_cast<std::size_t>(m), at_n = static_cast<std::size_t>(n);
      double expected = 0.5 * scale_a[at_m] * scale_b[at_n] * sum[i];
      if (how.bias != nullptr) expected += bias[at_n];
      if (accumulate) expected += d.rounded(expected);
      const float got = d.at(bytes, m, n);
      if (got == d.rounded(expected)) continue;
      if (wrong++ == 0)
        first = " first at " + std::to_string(m) + "," + std::to_string(n) + ": " +
                std::to_string(got) + " for " + std::to_string(d.rounded(expected));
    }
  const bool clean = accumulate || d.poison_intact(bytes);
  expect(wrong == 0 && clean, what + " " + name_of(s) + " padding " + std::to_string(padding) +
                                  (accumulate ? " accumulate" : "") + ": " + std::to_string(wrong) +
                                  " wrong" + first + (clean ? "" : ", poison overwritten"));
}

const shape shapes[] = {{128, 256, 128},  {1, 1, 16},       {256, 512, 512}, {129, 257, 160},
                        {300, 520, 1024}, {513, 1000, 96},  {77, 264, 4096}, {40, 24, 16384},
                        {65, 48, 100},    {1100, 2100, 384}};

template <element A, element B, output O, class Tile>
void exact_cases(tally& expect, const std::string& what) {
  std::uint64_t seed = 1;
  for (const shape& s : shapes) {
    exact_case(expect, kernel<A, B, O, Tile>, A, B, O, s, 8, false, ++seed, what);
    if (s.m < 400) {
      exact_case(expect, kernel<A, B, O, Tile>, A, B, O, s, 3, false, ++seed, what);
      exact_case(expect, kernel<A, B, O, Tile>, A, B, O, s, 8, true, ++seed, what);
    }
  }
}

const shape few_rows[] = {{1, 64, 256},     {7, 200, 512},   {16, 1000, 2048}, {33, 129, 768},
                          {64, 2048, 1024}, {100, 72, 4096}, {128, 520, 256},  {5, 40, 100}};

template <element A, element B, output O, accumulation Sums>
void public_cases(tally& expect, const std::string& what) {
  std::uint64_t seed = 500;
  for (const shape& s : few_rows) {
    exact_case(expect, any_kernel<A, B, O, Sums>, A, B, O, s, 3, false, ++seed, what);
    exact_case(expect, any_kernel<A, B, O, Sums>, A, B, O, s, 8, true, ++seed, what);
  }
  for (const shape& s : shapes)
    exact_case(expect, any_kernel<A, B, O, Sums>, A, B, O, s, 8, false, ++seed, what);
}

/// 128-blocks of K with a power of two of their own, another in every block.
template <element A, element B, output O, class Tile, blockwise Scales>
void blockwise_case(tally& expect, shape s, bool exponents, std::uint64_t seed,
                    const std::string& what) {
  operand a = make_operand(A, s.m, s.k, 2, seed), b = make_operand(B, s.n, s.k, 2, seed + 1);
  const int k_blocks = (s.k + 127) / 128;
  const int b_rows = Scales == blockwise::rows_and_tiles ? 128 : 1;
  const auto scale = [&](operand& o, int rows_each, int factor) {
    const int row_blocks = (o.rows + rows_each - 1) / rows_each;
    std::vector<unsigned char> bytes(static_cast<std::size_t>(row_blocks) *
                                     static_cast<std::size_t>(k_blocks) * (exponents ? 1 : 4));
    const auto power = [&](int r, int k) { return (factor * r + 3 * k) % 7 - 3; };
    for (int r = 0; r < row_blocks; ++r)
      for (int k = 0; k < k_blocks; ++k) {
        const std::size_t i = static_cast<std::size_t>(r) * static_cast<std::size_t>(k_blocks) +
                              static_cast<std::size_t>(k);
        const float value = std::ldexp(1.0f, power(r, k));
        if (exponents)
          bytes[i] = static_cast<unsigned char>(127 + power(r, k));
        else
          std::memcpy(bytes.data() + 4 * i, &value, 4);
      }
    for (int r = 0; r < o.rows; ++r)
      for (int k = 0; k < s.k; ++k)
        o.values[static_cast<std::size_t>(r) * static_cast<std::size_t>(s.k) +
                 static_cast<std::size_t>(k)] *= std::ldexp(1.0f, power(r / rows_each, k / 128));
    return buffer<unsigned char>(bytes);
  };
  const buffer<unsigned char> sa = scale(a, 1, 1), sb = scale(b, b_rows, 2);
  result d(O, s.m, s.n, 8);
  gemm_sm90_blockwise<A, B, O, Tile, Scales>::launch(a.view(), {sa.data(), k_blocks, 1, exponents},
                                                     b.view(), {sb.data(), k_blocks, 1, exponents},
                                                     d.view(), {}, nullptr);
  halfbyte::cuda::check(cudaDeviceSynchronize());
  const std::vector<unsigned char> bytes = d.device.to_host();
  const std::vector<double> sum = product(a.values, b.values, s.m, s.n, s.k);
  long wrong = 0;
  for (int m = 0; m < s.m; ++m)
    for (int n = 0; n < s.n; ++n)
      wrong += d.at(bytes, m, n) !=
               d.rounded(sum[static_cast<std::size_t>(m) * static_cast<std::size_t>(s.n) +
                             static_cast<std::size_t>(n)]);
  expect(wrong == 0 && d.poison_intact(bytes), what + (exponents ? " ue8m0 " : " float ") +
                                                   name_of(s) + ": " + std::to_string(wrong) +
                                                   " wrong");
}

template <element A, element B, output O, class Tile, blockwise Scales>
void blockwise_cases(tally& expect, const std::string& what) {
  std::uint64_t seed = 1000;
  for (const shape& s : shapes) {
    blockwise_case<A, B, O, Tile, Scales>(expect, s, false, ++seed, what);
    blockwise_case<A, B, O, Tile, Scales>(expect, s, true, ++seed, what);
  }
}

/// The fast FP8 sums against the model of the tensor core, bit for bit.
template <element A, element B>
void model_case(tally& expect, int k, const std::string& what) {
  const auto fields = [](element e) {
    return e == element::e5m2 ? halfbyte::fp8_fields{5, 2, 15} : halfbyte::fp8_fields{4, 3, 7};
  };
  const shape s{130, 70, k};
  const operand a = make_operand(A, s.m, s.k, -1, 71), b = make_operand(B, s.n, s.k, -1, 72);
  result d(output::float32, s.m, s.n, 2);
  kernel<A, B, output::float32, sm90_tile_small>(a.view(), b.view(), d.view(), {}, nullptr, 0);
  halfbyte::cuda::check(cudaDeviceSynchronize());
  const std::vector<unsigned char> bytes = d.device.to_host();
  int wrong = 0;
  for (int m = 0; m < s.m; ++m)
    for (int n = 0; n < s.n; ++n)
      wrong +=
          d.at(bytes, m, n) != halfbyte::tensor_core_dot(a.bytes.data() + m * a.stride, fields(A),
                                                         b.bytes.data() + n * b.stride, fields(B),
                                                         static_cast<std::size_t>(k));
  expect(wrong == 0, what + " model K " + std::to_string(k) + ": " + std::to_string(wrong) +
                         " of " + std::to_string(s.m * s.n) + " differ");
}

}  // namespace

int main() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    std::printf("skipped: no CUDA device\n");
    return 77;
  }
  if (device_facts::current().architecture != 90) {
    std::printf("skipped: these kernels are for sm_90\n");
    return 77;
  }
  tally expect;
  using enum element;
  exact_cases<e4m3, e4m3, output::bfloat16, sm90_tile_large>(expect, "e4m3 large bf16");
  exact_cases<e4m3, e4m3, output::float32, sm90_tile_large>(expect, "e4m3 large f32");
  exact_cases<e4m3, e5m2, output::float16, sm90_tile_small>(expect, "e4m3 x e5m2 small f16");
  exact_cases<e5m2, e4m3, output::bfloat16, sm90_tile_small>(expect, "e5m2 x e4m3 small bf16");
  exact_cases<e5m2, e5m2, output::bfloat16, sm90_tile_large>(expect, "e5m2 large bf16");
  exact_cases<bfloat16, bfloat16, output::bfloat16, sm90_tile_large>(expect, "bf16 large bf16");
  exact_cases<int8, int8, output::float32, sm90_tile_small>(expect, "int8 small f32");
  exact_cases<int8, int8, output::bfloat16, sm90_tile_large>(expect, "int8 large bf16");
  blockwise_cases<e4m3, e4m3, output::float32, sm90_tile_large, blockwise::rows_and_tiles>(
      expect, "1x128 x 128x128");
  blockwise_cases<e4m3, e5m2, output::bfloat16, sm90_tile_large, blockwise::rows_and_rows>(
      expect, "1x128 x 1x128");
  public_cases<e4m3, e4m3, output::float32, accumulation::fast>(expect, "gemm e4m3");
  public_cases<e5m2, e4m3, output::bfloat16, accumulation::promoted>(expect, "gemm promoted");
  for (int k : {16, 32, 64, 128, 512}) {
    model_case<e4m3, e4m3>(expect, k, "e4m3");
    model_case<e4m3, e5m2>(expect, k, "e4m3 x e5m2");
    model_case<e5m2, e5m2>(expect, k, "e5m2");
  }
  std::printf("%d passed, %d failed\n", expect.passed, expect.failed);
  return expect.failed == 0 ? 0 : 1;
}
