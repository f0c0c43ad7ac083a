#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <halfbyte/gemm.hpp>

#include "instruction_sets.hpp"
#include "normal.hpp"

namespace hb = halfbyte;

namespace {

/// The numbers of q, all at once.
template <hb::block_format B>
std::vector<float> all(const hb::quantized<B>& q) {
  std::vector<float> x(static_cast<std::size_t>(q.rows() * q.cols()));
  hb::dequantize(q, hb::matrix_view<float>{x.data(), q.rows(), q.cols()});
  return x;
}

template <hb::block_format A, hb::block_format B>
void compare(std::ptrdiff_t m, std::ptrdiff_t n, std::ptrdiff_t k,
             hb::scale_layout layout = hb::scale_layout::linear) {
  const auto x = normal(m * k, 1), y = normal(n * k, 2);
  const hb::quantize_options options{layout, {}};
  const auto a = hb::quantize<A>(hb::matrix_view<const float>{x.data(), m, k}, hb::nearest_even{},
                                 hb::default_scale<A>{}, options);
  const auto b = hb::quantize<B>(hb::matrix_view<const float>{y.data(), n, k}, hb::nearest_even{},
                                 hb::default_scale<B>{}, options);
  const auto left = all(a), right = all(b);
  std::vector<float> expected;
  for (std::ptrdiff_t i = 0; i < m; ++i) {
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      float sum = 0;
      for (std::ptrdiff_t l = 0; l < k; ++l) {
        sum = std::fma(left[static_cast<std::size_t>(i * k + l)],
                       right[static_cast<std::size_t>(j * k + l)], sum);
      }
      expected.push_back(sum);
    }
  }
  for_each_instruction_set([&](const char* set) {
    std::vector<float> got(expected.size(), 7.0f);
    hb::gemm(a, b, hb::matrix_view<float>{got.data(), m, n});
    INFO("vectors ", std::string(set), ", ", m, " x ", n, " x ", k);
    CHECK(got == expected);
  });
}

}  // namespace

TEST_CASE("every sum is one chain of fused multiply-adds, whatever the tiles") {
  compare<hb::mxfp4, hb::mxfp4>(1, 1, 1);
  compare<hb::mxfp4, hb::mxfp4>(7, 33, 300);
  compare<hb::mxfp4, hb::mxfp4>(101, 40, 64);
  compare<hb::nvfp4, hb::nvfp4>(6, 32, 512);
}

TEST_CASE("operands of two formats") {
  compare<hb::nvfp4, hb::mxfp8_e4m3>(5, 19, 270);
  compare<hb::fp8_1x128, hb::fp8_128x128>(130, 140, 300);
  compare<hb::mxfp4, hb::per_row(hb::e4m3)>(5, 6, 700);
  compare<hb::per_tensor(hb::int8), hb::mxfp6_e2m3>(5, 6, 270);
  compare<hb::nvfp4_2d, hb::mxint8>(20, 6, 270);
}

TEST_CASE("scales in the layout of tensor cores") {
  compare<hb::mxfp4, hb::nvfp4>(130, 9, 300, hb::scale_layout::swizzled_128x4);
}

namespace {

/// Small integers with blocks of one size: every product and every sum is exact in a float, so each
/// order of additions gives the same bits. `corner` is the first number of the matrix.
template <hb::block_format B>
hb::quantized<B> integers(std::ptrdiff_t rows, std::ptrdiff_t cols, std::uint64_t seed,
                          float corner = 6) {
  std::mt19937_64 random(seed);
  std::vector<float> x(static_cast<std::size_t>(rows * cols));
  const float values[] = {0, 1, 2, 3, 4, 6, -1, -2, -3, -4, -6};
  for (float& v : x) v = values[random() % 11];
  x[0] = corner;
  hb::quantize_options options;
  if (B.tensor_scale) options.tensor_scale = 0.5f;
  return hb::quantize<B>(hb::matrix_view<const float>{x.data(), rows, cols}, hb::nearest_even{},
                         hb::default_scale<B>{}, options);
}

/// Both orders of summation, with whatever multiplies pairs here, and with fused multiply-adds.
template <hb::block_format A, hb::block_format B>
void compare_orders(std::ptrdiff_t m, std::ptrdiff_t n, std::ptrdiff_t k, float corner = 6) {
  using hb::detail::instruction_set;
  using hb::detail::pairs;
  const auto a = integers<A>(m, k, 3, corner);
  const auto b = integers<B>(n, k, 4);
  const auto size = static_cast<std::size_t>(m * n);
  std::vector<float> expected(size), got(size);
  hb::gemm(a, b, hb::matrix_view<float>{expected.data(), m, n});
  const pairs best = hb::detail::best_pairs();
  for_each_instruction_set([&](const char* set) {
    const bool widest = hb::detail::active_instruction_set() == instruction_set::avx512;
    for (const pairs with : {pairs::none, pairs::avx512_bf16, pairs::amx}) {
      // Other sets than AVX-512 compute pairs with fused multiply-adds.
      if (widest ? with > best : with == pairs::amx) continue;
      hb::detail::active_pairs() = with;
      std::fill(got.begin(), got.end(), 7.0f);
      hb::gemm(a, b, hb::matrix_view<float>{got.data(), m, n}, hb::summation::any_order);
      INFO("vectors ", std::string(set), ", pairs ", static_cast<int>(with), ", ", m, " x ", n, " x ",
           k);
      CHECK(std::memcmp(got.data(), expected.data(), size * sizeof(float)) == 0);
    }
  });
  hb::detail::active_pairs() = best;
}

}  // namespace

TEST_CASE("pairs of bfloat16 give the same sums where all are exact") {
  compare_orders<hb::mxfp4, hb::mxfp4>(1, 1, 1);
  compare_orders<hb::mxfp4, hb::mxfp8_e4m3>(101, 70, 333);
  compare_orders<hb::nvfp4, hb::nvfp4>(64, 96, 512);
  compare_orders<hb::mxint8, hb::nvfp4>(33, 31, 47);
  compare_orders<hb::mxfp6_e3m2, hb::mxfp8_e5m2>(7, 40, 260);
}

TEST_CASE("scales near the ends of the exponents are not for pairs") {
  compare_orders<hb::mxfp4, hb::mxfp4>(5, 6, 70, 0x1p100f);
  compare_orders<hb::mxfp4, hb::mxfp4>(5, 6, 70, std::numeric_limits<float>::quiet_NaN());
}

TEST_CASE("sizes that do not fit are refused") {
  const hb::quantized<hb::mxfp4> a(4, 64), b(8, 64), c(8, 32);
  std::vector<float> d(64);
  CHECK_THROWS_AS(hb::gemm(a, b, hb::matrix_view<float>{d.data(), 4, 7}), std::invalid_argument);
  CHECK_THROWS_AS(hb::gemm(a, c, hb::matrix_view<float>{d.data(), 4, 8}), std::invalid_argument);
}

TEST_CASE("nothing to sum gives zeros, nothing to write nothing") {
  const hb::quantized<hb::mxfp4> a(4, 0), b(8, 0);
  std::vector<float> d(32, 7.0f);
  hb::gemm(a, b, hb::matrix_view<float>{d.data(), 4, 8});
  for (const float x : d) CHECK(x == 0);
  const hb::quantized<hb::mxfp4> none(0, 64), some(8, 64);
  hb::gemm(none, some, hb::matrix_view<float>{d.data(), 0, 8});
}
