#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include <halfbyte/bits.hpp>
#include <halfbyte/gemm.hpp>
#include <halfbyte/random.hpp>
#include <halfbyte/tensor_core.hpp>

#include "normal.hpp"
#include "tensor_core_answers.hpp"

namespace hb = halfbyte;

namespace {

std::uint8_t fp8(float x) { return static_cast<std::uint8_t>(hb::encode<hb::e4m3>(x)); }

template <hb::format A = hb::e4m3, hb::format B = hb::e4m3>
float dot(const std::vector<std::uint8_t>& a, const std::vector<std::uint8_t>& b,
          hb::tensor_core core = hb::hopper_fp8) {
  return hb::tensor_core_dot<A, B>(a.data(), b.data(), static_cast<std::ptrdiff_t>(a.size()), core);
}

}  // namespace

TEST_CASE("the sums of an H200, bit for bit") {
  for (const auto& known : tensor_core_answers::answers) {
    tensor_core_answers::with_formats(known, [&]<hb::format A, hb::format B>() {
      for (std::uint64_t i = 0; i < 4; ++i) {
        const auto k = static_cast<std::size_t>(known.k);
        const auto a = tensor_core_answers::row_of<A>(1, known.close, i / 2, k);
        const auto b = tensor_core_answers::row_of<B>(2, known.close, i % 2, k);
        INFO(known.e5m2_a, " ", known.e5m2_b, " ", known.close, " ", known.k, " ", i);
        CHECK(hb::bit_cast<std::uint32_t>(dot<A, B>(a, b)) == known.bits[i]);
      }
    });
  }
}

TEST_CASE("a term is cut off 13 bits below the largest of its step") {
  std::vector<std::uint8_t> a(32, fp8(0.125f)), b(32, fp8(0.125f));
  a[0] = b[0] = fp8(16);
  CHECK(dot(a, b) == 256.0f);  // and not 256.484375
  a[0] = fp8(8);
  CHECK(dot(a, b) == 128 + 31.0f / 64);  // 2^-6 is 13 bits below 2^7
}

TEST_CASE("the sum is cut off 13 bits below its leading one, toward zero") {
  std::vector<std::uint8_t> a(64, 0), b(64, 0);
  a[0] = b[0] = fp8(128);  // 2^14, then 1 + 3 in a step of their own: a step of the sum is 2
  a[32] = a[33] = fp8(1);
  b[32] = fp8(1);
  b[33] = fp8(3);
  CHECK(dot(a, b) == 16384 + 2);  // 1 is lost, and of 3 there stays 2
  b[32] = fp8(-1);
  b[33] = fp8(-3);
  CHECK(dot(a, b) == 16384 - 2);  // toward zero: each term before it is added
}

TEST_CASE("the sum so far counts 13 bits below the largest term, and not 14") {
  std::vector<std::uint8_t> a(64, 0), b(64, 0);
  a[0] = b[0] = fp8(1);
  a[32] = fp8(128);
  b[32] = fp8(64);
  CHECK(dot(a, b) == 8192 + 1);
  b[32] = fp8(128);
  CHECK(dot(a, b) == 16384);
}

TEST_CASE("sums that cancel leave what was kept") {
  std::vector<std::uint8_t> a(64, 0), b(64, 0);
  a[0] = b[0] = fp8(448);
  a[32] = fp8(448);
  b[32] = fp8(-448);
  a[33] = b[33] = fp8(0.015625f);
  CHECK(dot(a, b) == 0);
  b[32] = fp8(448);
  a[0] = 0;
  b[33] = fp8(0);
  CHECK(dot(a, b) == 448.0f * 448.0f);
  a[32] = 0;  // 0 * 448, whose exponents add up to 2, does not align what is 14 bits below
  b[33] = fp8(0.015625f);
  CHECK(dot(a, b) == 0.000244140625f);
}

TEST_CASE("promotion starts a new sum") {
  std::vector<std::uint8_t> a(288, 0), b(288, 0);
  a[0] = b[0] = fp8(128);
  a[128] = b[128] = fp8(1);
  a[256] = b[256] = fp8(1);
  CHECK(dot(a, b) == 16384);
  CHECK(dot(a, b, hb::hopper_fp8_promoted) == 16386);
}

TEST_CASE("not a number, infinity, and nothing at all") {
  std::vector<std::uint8_t> a(40, 0x3c), b(40, 0x3c);
  a[33] = 0x7f;
  CHECK(std::isnan(dot(a, b)));
  a[33] = 0x7c;  // infinity in E5M2
  CHECK(dot<hb::e5m2, hb::e5m2>(a, b) == std::numeric_limits<float>::infinity());
  b[33] = 0;
  CHECK(std::isnan(dot<hb::e5m2, hb::e5m2>(a, b)));
  b[33] = 0xbc;
  CHECK(dot<hb::e5m2, hb::e5m2>(a, b) == -std::numeric_limits<float>::infinity());
  a[33] = 0xfc;
  CHECK(dot<hb::e5m2, hb::e5m2>(a, b) == std::numeric_limits<float>::infinity());
  a[33] = 0x7c;
  a[1] = 0x7c;
  CHECK(std::isnan(dot<hb::e5m2, hb::e5m2>(a, b)));
  CHECK(hb::bit_cast<std::uint32_t>(dot({}, {})) == 0);
}

TEST_CASE("matrices with a scale per row: the model's sum times the scales") {
  const std::ptrdiff_t m = 5, n = 7, k = 300;
  const auto x = normal(m * k, 1), y = normal(n * k, 2);
  const auto a = hb::quantize<hb::per_row(hb::e4m3)>(hb::matrix_view<const float>{x.data(), m, k});
  const auto b = hb::quantize<hb::per_row(hb::e5m2)>(hb::matrix_view<const float>{y.data(), n, k});
  std::vector<float> model(m * n), chain(m * n);
  hb::gemm(a, b, hb::matrix_view<float>{model.data(), m, n}, hb::hopper_fp8);
  hb::gemm(a, b, hb::matrix_view<float>{chain.data(), m, n});
  for (std::ptrdiff_t i = 0; i < m; ++i) {
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      const float sum =
          hb::tensor_core_dot<hb::e4m3, hb::e5m2>(a.view().row(i), b.view().row(j), k);
      const float scales[2] = {hb::bit_cast<float>(a.view().scale(i, 0)),
                               hb::bit_cast<float>(b.view().scale(j, 0))};
      const auto at = static_cast<std::size_t>(i * n + j);
      CHECK(model[at] == sum * scales[0] * scales[1]);
      CHECK(std::fabs(model[at] - chain[at]) < 0.2f);  // 10 steps of at most 2^-8 of 2^4
    }
  }
}

TEST_CASE("blocks of 128: each sum times its scales, added to a float") {
  const std::ptrdiff_t m = 3, n = 130, k = 300;
  const auto x = normal(m * k, 3), y = normal(n * k, 4);
  const auto a = hb::quantize<hb::fp8_1x128>(hb::matrix_view<const float>{x.data(), m, k});
  const auto b = hb::quantize<hb::fp8_128x128>(hb::matrix_view<const float>{y.data(), n, k});
  std::vector<float> model(m * n);
  hb::gemm(a, b, hb::matrix_view<float>{model.data(), m, n}, hb::hopper_fp8_promoted);
  for (std::ptrdiff_t i = 0; i < m; ++i) {
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      float total = 0;
      for (std::ptrdiff_t block = 0; block < 3; ++block) {
        const float sum = hb::tensor_core_dot<hb::e4m3, hb::e4m3>(
            a.view().row(i) + 128 * block, b.view().row(j) + 128 * block, block < 2 ? 128 : 44);
        total = std::fma(sum,
                         hb::bit_cast<float>(a.view().scale(i, block)) *
                             hb::bit_cast<float>(b.view().scale(j / 128, block)),
                         total);
      }
      CHECK(model[static_cast<std::size_t>(i * n + j)] == total);
    }
  }
}

TEST_CASE("sizes that do not fit the model are refused") {
  const hb::quantized<hb::per_row(hb::e4m3)> a(4, 64), c(4, 32);
  const hb::quantized<hb::fp8_1x128> blocks(4, 256);
  std::vector<float> d(16);
  const hb::matrix_view<float> out{d.data(), 4, 4};
  CHECK_THROWS_AS(hb::gemm(a, c, out, hb::hopper_fp8), std::invalid_argument);
  CHECK_THROWS_AS(hb::gemm(blocks, blocks, out, hb::hopper_fp8), std::invalid_argument);
}
