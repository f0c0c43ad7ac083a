// Matrices in vectors give the bytes of the scalar loops over blocks, in every instruction set.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <halfbyte/convert.hpp>
#include <halfbyte/minifloat.hpp>
#include <halfbyte/quantize.hpp>

#include "instruction_sets.hpp"

namespace hb = halfbyte;

namespace {

enum class kind { normal, ties, ranges, special };

/// Numbers of one kind: normally distributed; multiples of 1/8, so that many quotients are ties;
/// blocks of very different and of subnormal size; zeros, infinities and NaNs among the others.
std::vector<float> numbers(kind what, std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  int exponent = 0;
  for (std::size_t i = 0; i < n; ++i) {
    float v = normal(random);
    if (what == kind::ties) v = static_cast<float>(static_cast<int>(random() % 97) - 48) / 8;
    if (what == kind::ranges) {
      if (i % 29 == 0) exponent = static_cast<int>(random() % 276) - 149;
      v = std::ldexp(v, exponent);
      if (random() % 50 == 0) v = -0.0f;
    }
    if (what == kind::special) {
      if (random() % 300 == 0) v = std::numeric_limits<float>::infinity();
      if (random() % 300 == 0) v = std::numeric_limits<float>::quiet_NaN();
      if (i / 64 % 5 == 0) v = 0;
      if (i / 64 % 7 == 0) v = std::ldexp(v, -130);
    }
    x[i] = v;
  }
  return x;
}

template <class T>
std::vector<T> as(const std::vector<float>& x) {
  if constexpr (std::is_same_v<T, float>) {
    return x;
  } else {
    std::vector<T> y;
    for (const float v : x) {
      y.push_back(T(v));
      if constexpr (std::is_same_v<T, double>) y.back() *= y.size() % 3 == 0 ? 1 + 0x1p-40 : 1;
    }
    return y;
  }
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// Everything that one matrix in B becomes.
template <hb::block_format B>
struct results {
  hb::quantized<B> rows, cols, swizzled;
  std::vector<float> back, fake;

  template <class T, class Rounding, class Scale>
  results(hb::matrix_view<const T> x, const Rounding& rounding, const Scale& rule)
      : rows(hb::quantize<B>(x, rounding, rule)),
        cols(hb::quantize_transposed<B>(x, rounding, rule)),
        back(static_cast<std::size_t>(x.rows * x.cols)),
        fake(back.size()) {
    if constexpr (hb::scale_bytes(B.scale) == 1) {
      swizzled = hb::quantize<B>(x, rounding, rule, {hb::scale_layout::swizzled_128x4, {}});
    }
    hb::dequantize(rows, hb::matrix_view<float>{back.data(), x.rows, x.cols});
    hb::fake_quantize<B>(x, hb::matrix_view<float>{fake.data(), x.rows, x.cols}, rounding, rule);
  }
};

/// Checks that x becomes the same in B in every instruction set.
template <hb::block_format B, class T, class Rounding = hb::nearest_even,
          class Scale = hb::default_scale<B>>
void compare_matrix(hb::matrix_view<const T> x, const Rounding& rounding = {},
                    const Scale& rule = {}, const hb::quantize_options& options = {}) {
  hb::detail::active_instruction_set() = hb::detail::instruction_set::scalar;
  const auto expected = hb::quantize<B>(x, rounding, rule, options);
  for_each_instruction_set([&](const char* set) {
    INFO("vectors ", std::string(set));
    CHECK(hb::quantize<B>(x, rounding, rule, options) == expected);
  });
}

template <hb::block_format B, class T = float, class Rounding = hb::nearest_even,
          class Scale = hb::default_scale<B>>
void compare(const Rounding& rounding = {}, const Scale& rule = {}) {
  const std::pair<std::ptrdiff_t, std::ptrdiff_t> sizes[] = {
      {1, 1}, {1, 7}, {3, 33}, {9, 57}, {37, 160}, {6, hb::detail::chunk + 11}, {70, 16}};
  for (const kind what : {kind::normal, kind::ties, kind::ranges, kind::special}) {
    for (const auto& size : sizes) {
      const std::ptrdiff_t rows = size.first, cols = size.second;
      // A row starts anywhere: `offset` numbers into the matrix, with a stride of its own.
      for (std::ptrdiff_t offset = 0; offset < (rows == 3 ? 16 : 1); ++offset) {
        const std::ptrdiff_t stride = cols + offset;
        const auto x = as<T>(numbers(what, static_cast<std::size_t>(rows * stride + 16), 7));
        const hb::matrix_view<const T> view{x.data() + offset, rows, cols, stride};
        hb::detail::active_instruction_set() = hb::detail::instruction_set::scalar;
        const results<B> expected(view, rounding, rule);
        for_each_instruction_set([&](const char* set) {
          const results<B> got(view, rounding, rule);
          INFO("vectors ", std::string(set), ", ", rows, " x ", cols, ", kind ",
               static_cast<int>(what));
          CHECK(got.rows == expected.rows);
          CHECK(got.cols == expected.cols);
          CHECK(got.swizzled == expected.swizzled);
          CHECK(same(got.back, expected.back));
          CHECK(same(got.fake, expected.fake));
        });
      }
    }
  }
}

}  // namespace

TEST_CASE("OCP MX formats, each power-of-two rule") {
  compare<hb::mxfp4>();
  compare<hb::mxfp4>(hb::nearest_even{}, hb::ceil_pow2{});
  compare<hb::mxfp6_e2m3>();
  compare<hb::mxfp8_e5m2>(hb::nearest_even{}, hb::nearest_pow2{});
  compare<hb::mxint8>(hb::nearest_even{}, hb::ceil_pow2{});
}

TEST_CASE("NVFP4, rows and squares") {
  compare<hb::nvfp4>();
  compare<hb::nvfp4_2d>();
}

TEST_CASE("float scales: 1 x 128, rows, the whole matrix") {
  compare<hb::fp8_1x128>();
  compare<hb::per_row(hb::e4m3)>();
  compare<hb::per_tensor(hb::e5m2)>();
}

TEST_CASE("other roundings draw the same bits and look at the same places") {
  compare<hb::mxfp8_e4m3>(hb::upward{});
  compare<hb::mxfp4>(hb::stochastic<8>{3, 4});
  compare<hb::nvfp4>(hb::stochastic<8>{3, 4});
  compare<hb::nvfp4>(hb::to_odd{});
  compare<hb::fp8_1x128>(hb::downward{});
}

namespace {

/// Checks that a row, whose first element has index `first`, becomes the same in F in every
/// instruction set.
template <hb::format F, class Rounding, class Overflow = hb::saturate>
void compare_row(const std::vector<float>& x, const Rounding& rounding, std::uint64_t first,
                 const Overflow& overflow = {}) {
  const auto n = static_cast<std::ptrdiff_t>(x.size());
  std::vector<std::uint8_t> expected(hb::packed_bytes(F, n));
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    const auto k = static_cast<std::size_t>(i);
    hb::store_packed<F>(expected.data(), i, hb::encode<F>(x[k], rounding, overflow, first + k));
  }
  for_each_instruction_set([&](const char* set) {
    std::vector<std::uint8_t> got(expected.size());
    hb::encode<F>(hb::matrix_view<const float>{x.data(), 1, n}, got.data(), rounding, overflow,
                  first);
    INFO("vectors ", std::string(set), ", first index ", first);
    CHECK(got == expected);
  });
}

/// A number between pattern `p` of F and the next that is the first to which `random` is added with
/// a carry, of Bits bits.
template <hb::format F, int Bits>
float first_to_carry(std::uint32_t p, std::uint32_t random) {
  const float from = hb::decode<F>(p);
  const float step =
      p < F.max_pattern() ? hb::decode<F>(p + 1) - from : from - hb::decode<F>(p - 1);
  return from + step * std::ldexp(static_cast<float>((1 << Bits) - (random >> (32 - Bits))), -Bits);
}

/// Those of every pattern, and the floats one and two beside them.
template <hb::format F, int Bits, class Overflow = hb::saturate>
void compare_at_carries(std::uint64_t first, const Overflow& overflow = {}) {
  const hb::stochastic<Bits> rounding{0x123456789abcdef0, 0xfedcba9876543210};
  std::vector<float> x;
  const std::uint32_t step = F.bits() > 8 ? 37 : 1;
  for (std::uint32_t i = 0; i < 5 * 2 * (F.max_pattern() / step + 1); ++i) {
    const std::uint32_t random = hb::random_bits(rounding.seed, rounding.stream, first + i);
    const float v = first_to_carry<F, Bits>(i / 10 * step, random);
    const float near = hb::bit_cast<float>(hb::bit_cast<std::uint32_t>(v) + i % 5 - 2);
    x.push_back(i / 5 % 2 == 0 ? near : -near);
  }
  for (const float special :
       {0.0f, 0x1p-149f, 0x1p-126f, 0x1.fffffep127f, std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    x.push_back(special);
    x.push_back(-special);
  }
  INFO("e", F.exponent_bits, "m", F.mantissa_bits, ", ", Bits, " bits");
  compare_row<F>(x, rounding, first, overflow);
}

}  // namespace

TEST_CASE("random bits begin to carry at the same numbers") {
  compare_at_carries<hb::e2m1, 1>(0);
  compare_at_carries<hb::e2m1, 8>(1);
  compare_at_carries<hb::e2m1, 10>(2);  // bits that are added to floats: no more have room
  compare_at_carries<hb::e2m1, 11>(3);
  compare_at_carries<hb::e4m3, 8>(4, hb::to_special{});
  compare_at_carries<hb::e4m3, 9>(4);
  compare_at_carries<hb::e5m2, 9>(5, hb::to_special{});
  compare_at_carries<hb::e5m2, 10>(6);
  compare_at_carries<hb::e3m2, 3>(7, hb::saturate_finite{});
  compare_at_carries<hb::ue4m3, 8>(8);
  compare_at_carries<hb::int8, 5>(9);
  compare_at_carries<hb::float16, 1>(10, hb::to_special{});
  compare_at_carries<hb::bfloat16, 4>(11, hb::to_special{});
}

TEST_CASE("numbers so small that few words of random bits carry") {
  for (int exponent = -14; exponent < -8; ++exponent) {
    const std::vector<float> x(1 << 14, std::ldexp(0x1.fffffep0f, exponent));
    compare_row<hb::e2m1>(x, hb::stochastic<8>{1}, 0);
    compare_row<hb::e2m1>(x, hb::stochastic<10>{2}, 0);
    compare_row<hb::e2m1>(x, hb::stochastic<11>{3}, 0);
  }
}

TEST_CASE("random words of elements anywhere, also where the upper half of their number changes") {
  const auto x = numbers(kind::ties, 2 * hb::detail::chunk + 100, 12);
  const hb::stochastic<8> rounding{0xfedcba9876543210, 0x0123456789abcdef};
  for (const std::uint64_t around : {std::uint64_t{600}, std::uint64_t{1} << 34,
                                     std::uint64_t{5} << 34, std::uint64_t{1} << 62}) {
    for (const std::uint64_t before :
         {0u, 1u, 2u, 3u, 4u, 63u, 64u, 126u, 128u, 130u, 511u, 512u, 513u, 599u}) {
      compare_row<hb::e2m1>(x, rounding, around - before);
    }
  }
}

namespace {

/// Blocks of nvfp4 with numbers at, and one and two floats beside, where random bits begin to carry
/// when they are over `tensor_scale` times some scale.
template <int Bits>
void compare_quotients_at_carries(float tensor_scale) {
  const hb::stochastic<Bits> rounding{5, 6};
  std::vector<float> x;
  for (const std::uint32_t pattern : {1u, 7u, 8u, 57u, 58u, 59u, 60u, 61u, 62u, 63u, 125u}) {
    const float by = hb::decode<hb::ue4m3>(pattern) * tensor_scale;
    for (std::uint32_t i = 0; i < 512; ++i) {
      const std::uint32_t random = hb::random_bits(rounding.seed, rounding.stream, x.size());
      const float v = first_to_carry<hb::e2m1, Bits>(i / 5 % 7, random) * by;
      const float near = hb::bit_cast<float>(hb::bit_cast<std::uint32_t>(v) + i % 5 - 2);
      x.push_back(i % 16 == 0 ? -6 * by : i % 2 == 0 ? near : -near);
    }
  }
  hb::quantize_options options;
  options.tensor_scale = tensor_scale;
  INFO("tensor scale ", tensor_scale);
  const hb::matrix_view<const float> view{x.data(), static_cast<std::ptrdiff_t>(x.size()) / 64, 64};
  compare_matrix<hb::nvfp4>(view, rounding, hb::absmax{}, options);
}

/// Blocks that end within the words that are encoded at a time.
constexpr hb::block_format three_words{hb::e2m1, hb::ue8m0, 1, 48, false};
/// Elements with many exponents, and scales of floats: the last ones that move far enough to be
/// floats, and others.
constexpr hb::block_format far_down{hb::format{6, 1, 31}, hb::float32, 1, 32, false};
constexpr hb::block_format too_far_down{hb::format{7, 0, 40}, hb::float32, 1, 32, false};

}  // namespace

TEST_CASE("quotients at which random bits begin to carry") {
  // With the last, some are over 49, and 49 * (1 / 49) is less than 1 in doubles.
  for (const float tensor_scale : {1.0f, 0x1.fffffep-4f, 0x1.555556p-9f, 0x1.cp-3f}) {
    compare_quotients_at_carries<1>(tensor_scale);
    compare_quotients_at_carries<8>(tensor_scale);
    compare_quotients_at_carries<10>(tensor_scale);
    compare_quotients_at_carries<11>(tensor_scale);
  }
}

TEST_CASE("blocks of every size with few random bits") {
  const auto x = numbers(kind::ranges, 64 * 128, 13);
  const hb::matrix_view<const float> view{x.data(), 64, 128};
  compare_matrix<hb::mxfp8_e4m3>(view, hb::stochastic<8>{1});
  compare_matrix<hb::mxfp8_e5m2>(view, hb::stochastic<9>{2});
  compare_matrix<hb::mxint8>(view, hb::stochastic<4>{3});
  compare_matrix<three_words>(view, hb::stochastic<8>{3});
  compare_matrix<hb::fp8_1x128>(view, hb::stochastic<8>{4});
  compare_matrix<far_down>(view, hb::stochastic<8>{5});
  compare_matrix<too_far_down>(view, hb::stochastic<8>{6});
}

TEST_CASE("a tensor scale so small that quotients are beyond all floats") {
  auto x = numbers(kind::normal, 64 * 64, 14);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = std::ldexp(x[i], static_cast<int>(i / 64) * 2);  // to near the largest float
  }
  const hb::matrix_view<const float> view{x.data(), 64, 64};
  hb::quantize_options options;
  options.tensor_scale = 0x1p-88f;  // 448 times that is all but 2^-80
  compare_matrix<hb::nvfp4>(view, hb::stochastic<8>{7}, hb::absmax{}, options);
}

TEST_CASE("e2m1 away from nearest, by the steps of each scale") {
  compare<hb::mxfp4>(hb::upward{});
  compare<hb::mxfp4>(hb::to_odd{});
  compare<hb::nvfp4>(hb::downward{});
  compare<hb::nvfp4>(hb::nearest_away{});
  compare<hb::nvfp4_2d>(hb::nearest_toward_zero{});
}

namespace {

/// Blocks of more than one row whose scales are powers of two.
constexpr hb::block_format two_rows{hb::e2m1, hb::ue8m0, 2, 32, false};

}  // namespace

TEST_CASE("rules that look at the whole block") {
  compare<hb::nvfp4>(hb::nearest_even{}, hb::four_over_six{});
  compare<hb::nvfp4>(hb::stochastic<8>{1, 2}, hb::mean_square_search{});
  compare<hb::nvfp4_2d>(hb::nearest_even{}, hb::mean_square_search{});
  compare<hb::mxfp4>(hb::nearest_even{}, hb::mean_square_search{});
  compare<hb::mxfp4>(hb::nearest_even{}, hb::rms_clip{});
  compare<hb::mxfp8_e4m3>(hb::nearest_even{}, hb::rms_clip{1.0f, 0.4f});
  compare<hb::nvfp4>(hb::nearest_even{}, hb::rms_clip{});
  compare<two_rows>(hb::nearest_even{}, hb::mean_square_search{});
  compare<two_rows>(hb::nearest_even{}, hb::rms_clip{});
}

TEST_CASE("rules that look at whole blocks of halves") {
  using bfloat16 = hb::minifloat<hb::bfloat16>;
  using float16 = hb::minifloat<hb::float16>;
  compare<hb::nvfp4, bfloat16>(hb::nearest_even{}, hb::mean_square_search{});
  compare<hb::nvfp4, float16>(hb::nearest_even{}, hb::four_over_six{});
  compare<hb::mxfp4, float16>(hb::nearest_even{}, hb::mean_square_search{});
  compare<hb::mxfp4, bfloat16>(hb::nearest_even{}, hb::rms_clip{});
}

namespace {

/// Blocks on the way to where `rule` changes its mind, from both sides, the last of them a float
/// apart: errors of candidates that are all but equal.
template <hb::block_format B, class Scale>
std::vector<float> blocks_at_changes(const Scale& rule, const hb::quantize_options& options) {
  constexpr std::size_t n = B.rows * B.cols;
  const auto scale = [&](const std::vector<float>& x) {
    const hb::matrix_view<const float> view{x.data(), B.rows, B.cols};
    return hb::quantize<B>(view, hb::nearest_even{}, rule, options).scales()[0];
  };
  hb::detail::active_instruction_set() = hb::detail::instruction_set::scalar;
  std::vector<float> blocks;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    std::vector<float> a = numbers(kind::normal, n, 2 * seed);
    std::vector<float> b = numbers(seed % 4 == 0 ? kind::ties : kind::normal, n, 2 * seed + 1);
    blocks.insert(blocks.end(), a.begin(), a.end());
    const auto of_a = scale(a);
    if (of_a == scale(b)) continue;
    for (int step = 0; step < 26; ++step) {
      std::vector<float> between(n);
      for (std::size_t i = 0; i < n; ++i) between[i] = (a[i] + b[i]) / 2;
      blocks.insert(blocks.end(), between.begin(), between.end());
      (scale(between) == of_a ? a : b) = between;
    }
  }
  return blocks;
}

template <hb::block_format B, class Scale>
void compare_at_changes(const Scale& rule) {
  // With the first of these the largest scale is a candidate, with the last subnormal ones are.
  for (const float tensor_scale : {0x1.dp-11f, 0x1.8p-10f, 0x1.234568p-3f, 0x1.4p5f}) {
    hb::quantize_options options;
    options.tensor_scale = tensor_scale;
    const auto x = blocks_at_changes<B>(rule, options);
    const auto rows = static_cast<std::ptrdiff_t>(x.size()) / B.cols;
    const hb::matrix_view<const float> view{x.data(), rows, B.cols};
    INFO("tensor scale ", tensor_scale, ", ", rows, " rows");
    compare_matrix<B>(view, hb::nearest_even{}, rule, options);
    if (!B.tensor_scale) break;
  }
}

}  // namespace

TEST_CASE("blocks next to where rules change their minds") {
  compare_at_changes<hb::nvfp4>(hb::four_over_six{});
  compare_at_changes<hb::nvfp4>(hb::mean_square_search{});
  compare_at_changes<hb::nvfp4_2d>(hb::mean_square_search{});
  compare_at_changes<hb::mxfp4>(hb::mean_square_search{});
  compare_at_changes<hb::mxfp4>(hb::rms_clip{});
  for (const float multiplier : {0.0f, -1.0f, 1e-30f, 1e30f}) {
    compare_at_changes<hb::mxfp4>(hb::rms_clip{multiplier});
  }
}

TEST_CASE("float products that are rounded before they are encoded") {
  compare<hb::nvfp4>(hb::nearest_even{}, hb::nvfp4_te{});
  compare<hb::nvfp4_2d>(hb::nearest_even{}, hb::nvfp4_te{});
}

namespace {

/// The floats around `x`, two to each side.
void add_neighbours(std::vector<float>& to, float x) {
  const auto bits = hb::bit_cast<std::uint32_t>(x);
  for (std::uint32_t k = 0; k < 5; ++k) to.push_back(hb::bit_cast<float>(bits + k - 2));
}

/// Blocks of every mantissa of a scale, with numbers at, and one and two floats beside, what
/// divides two patterns of e2m1.
template <class Rounding, class Scale>
void compare_at_steps(float tensor_scale, const Rounding& rounding, const Scale& rule) {
  std::vector<float> x;
  for (const std::uint32_t pattern : {1u, 3u, 7u, 8u, 57u, 58u, 59u, 60u, 61u, 62u, 63u, 125u}) {
    float by = hb::decode<hb::ue4m3>(pattern) * tensor_scale;
    if constexpr (std::is_same_v<Scale, hb::nvfp4_te>) {
      by = 1 / rule.template element_factor<hb::nvfp4>(pattern, {tensor_scale, 0});
    }
    std::vector<float> numbers;
    for (int quarter = 1; quarter <= 24; ++quarter) {
      add_neighbours(numbers, static_cast<float>(quarter) / 4 * by);
    }
    for (std::size_t i = 0; i < numbers.size(); i += 15) {  // 8 blocks
      x.push_back(-6 * by);
      for (std::size_t k = 0; k < 15; ++k)
        x.push_back(k % 2 == 0 ? numbers[i + k] : -numbers[i + k]);
    }
  }
  const auto rows = static_cast<std::ptrdiff_t>(x.size()) / 128;
  const hb::matrix_view<const float> view{x.data(), rows, 128};
  hb::quantize_options options;
  options.tensor_scale = tensor_scale;
  INFO("tensor scale ", tensor_scale);
  compare_matrix<hb::nvfp4>(view, rounding, rule, options);
}

}  // namespace

TEST_CASE("numbers next to where patterns change") {
  for (const float tensor_scale : {1.0f, 0x1.fffffep-4f, 0x1.555556p-9f, 0x1.000002p20f}) {
    compare_at_steps(tensor_scale, hb::nearest_even{}, hb::absmax{});
    compare_at_steps(tensor_scale, hb::nearest_away{}, hb::absmax{});
    compare_at_steps(tensor_scale, hb::upward{}, hb::absmax{});
    compare_at_steps(tensor_scale, hb::to_odd{}, hb::absmax{});
    compare_at_steps(tensor_scale, hb::nearest_even{}, hb::four_over_six{});
    compare_at_steps(tensor_scale, hb::nearest_even{}, hb::mean_square_search{});
    compare_at_steps(tensor_scale, hb::nearest_even{}, hb::nvfp4_te{});
  }
}

TEST_CASE("a matrix of many strips") {
  const auto x = numbers(kind::ranges, 3 * 20000, 11);
  for (const std::ptrdiff_t stride : {20000, 19968}) {  // apart, and in one piece
    const hb::matrix_view<const float> view{x.data(), 3, 19968, stride};
    hb::detail::active_instruction_set() = hb::detail::instruction_set::scalar;
    const results<hb::nvfp4> expected(view, hb::stochastic<4>{5}, hb::absmax{});
    for_each_instruction_set([&](const char* set) {
      const results<hb::nvfp4> got(view, hb::stochastic<4>{5}, hb::absmax{});
      INFO("vectors ", std::string(set), ", stride ", stride);
      CHECK(got.rows == expected.rows);
      CHECK(got.cols == expected.cols);
      CHECK(same(got.back, expected.back));
      CHECK(same(got.fake, expected.fake));
    });
  }
}

TEST_CASE("bfloat16 and float16 matrices") {
  compare<hb::mxfp4, hb::minifloat<hb::bfloat16>>();
  compare<hb::mxfp4, hb::minifloat<hb::bfloat16>>(hb::to_odd{}, hb::ceil_pow2{});
  compare<hb::mxfp8_e5m2, hb::minifloat<hb::bfloat16>>(hb::downward{});
  compare<hb::nvfp4, hb::minifloat<hb::float16>>();
}

TEST_CASE("float16 blocks of every size, subnormal numbers too") {
  using number = hb::minifloat<hb::float16>;
  std::vector<number> x;
  std::mt19937_64 random(6);
  for (std::uint32_t top = 0; top < 32 * 32; ++top) {  // blocks below one exponent field, in order
    for (int i = 0; i < 32; ++i) {
      const auto bits = static_cast<std::uint32_t>(random());
      const std::uint32_t most = (top / 32 + 1) << 10;
      x.push_back(number::from_pattern((bits >> 16 & 0x8000) | (bits & 0x7fff) % most));
    }
  }
  const hb::matrix_view<const number> view{x.data(), 64, 512};
  compare_matrix<hb::mxfp4>(view);
  compare_matrix<hb::mxfp4>(view, hb::upward{}, hb::ceil_pow2{});
  compare_matrix<hb::mxfp8_e4m3>(view);
  compare_matrix<hb::mxfp8_e5m2>(view, hb::downward{});
  compare_matrix<hb::mxfp6_e2m3>(view);
}

namespace {

/// Rows of numbers of T around powers of two of each size, some blocks of zeros among them, over
/// tensor scales that are far too small, far too large, and between.
template <class T, class Rounding>
void compare_tensor_scales() {
  const int lowest = std::is_same_v<T, hb::minifloat<hb::float16>> ? -26 : -60;
  std::vector<float> x = numbers(kind::normal, 40 * 512, 21);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto block = static_cast<int>(i / 16), row = block / 32;
    if (block % 2 != 0) x[i] = std::round(4 * x[i]) / 4;
    x[i] = block % 11 == 0 ? 0.0f : std::ldexp(x[i], lowest + row * (14 - lowest) / 40);
  }
  const std::vector<T> y = as<T>(x);
  const hb::matrix_view<const T> view{y.data(), 40, 512};
  for (int exponent = -80; exponent < 40; exponent += 3) {
    hb::quantize_options options;
    options.tensor_scale = std::ldexp(1 + static_cast<float>(exponent + 80) / 120, exponent);
    compare_matrix<hb::nvfp4>(view, Rounding{}, hb::absmax{}, options);
  }
}

}  // namespace

TEST_CASE("NVFP4 over tensor scales of every size") {
  compare_tensor_scales<float, hb::nearest_even>();
  compare_tensor_scales<float, hb::toward_zero>();
  compare_tensor_scales<hb::minifloat<hb::bfloat16>, hb::nearest_away>();
  compare_tensor_scales<hb::minifloat<hb::bfloat16>, hb::upward>();
  compare_tensor_scales<hb::minifloat<hb::float16>, hb::nearest_even>();
  compare_tensor_scales<hb::minifloat<hb::float16>, hb::to_odd>();
}

TEST_CASE("matrices of doubles, some of them between two floats") {
  compare<hb::mxfp4, double>();
  compare<hb::mxfp8_e4m3, double>(hb::nearest_even{}, hb::ceil_pow2{});
}

TEST_CASE("doubles beyond the exponents of floats, and beside them") {
  std::mt19937_64 random(5);
  std::vector<double> x(64 * 96);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const int row = static_cast<int>(i / 96);  // 32 of any exponent, 32 around an end of those
    const int exponent = row < 32 ? static_cast<int>(random() % 2100) - 1074
                                  : (row < 48 ? 128 : -126) + static_cast<int>(random() % 8) - 4;
    x[i] = std::ldexp(1 + static_cast<double>(random() >> 12) * 0x1p-52, exponent);
    if (random() % 2 == 0) x[i] = -x[i];
    if (random() % 40 == 0) x[i] = 0;
    if (random() % 2000 == 0) x[i] = std::numeric_limits<double>::infinity();
  }
  const hb::matrix_view<const double> view{x.data(), 64, 96};
  compare_matrix<hb::mxfp4>(view);
  compare_matrix<hb::mxfp8_e4m3>(view, hb::upward{}, hb::nearest_pow2{});
}

TEST_CASE("numbers of a quantized matrix beyond the normal floats") {
  // Every scale pattern, tensor scales that leave the normal range, every element.
  for (const float tensor_scale : {1.0f, 0x1.234568p-3f, 0x1p-140f, 0x1.fffffep127f}) {
    hb::quantized<hb::nvfp4> q(128, 16);
    hb::quantized<hb::mxfp8_e5m2> mx(256, 256);
    q.set_tensor_scale(tensor_scale);
    for (std::size_t i = 0; i < q.scales().size(); ++i) {
      q.scales()[i] = static_cast<std::uint8_t>(i % 128);
      for (std::size_t k = 0; k < 8; ++k) {
        q.elements()[8 * i + k] = static_cast<std::uint8_t>(2 * k | (2 * k + 1) << 4);
      }
    }
    for (std::size_t i = 0; i < 65536; ++i) {
      mx.elements()[i] = static_cast<std::uint8_t>(i);
      mx.scales()[i / 32] = static_cast<std::uint8_t>(i / 256);
    }
    std::vector<float> expected(2048), expected_mx(65536);
    hb::detail::active_instruction_set() = hb::detail::instruction_set::scalar;
    hb::dequantize(q, hb::matrix_view<float>{expected.data(), 128, 16});
    hb::dequantize(mx, hb::matrix_view<float>{expected_mx.data(), 256, 256});
    for_each_instruction_set([&](const char* set) {
      std::vector<float> got(2048), got_mx(65536);
      hb::dequantize(q, hb::matrix_view<float>{got.data(), 128, 16});
      hb::dequantize(mx, hb::matrix_view<float>{got_mx.data(), 256, 256});
      INFO("vectors ", std::string(set), ", tensor scale ", tensor_scale);
      CHECK(same(got, expected));
      CHECK(same(got_mx, expected_mx));
    });
  }
}

namespace {

/// Blocks of 16 x 16 whose numbers are those of one scale, which is the first or the last candidate
/// up to a largest magnitude: 12 floats to both sides of that.
std::vector<float> blocks_at_candidates(float tensor_scale) {
  const float grid[] = {0.5f, 1, 1.5f, 2, 3};
  std::vector<float> x;
  for (std::uint32_t pattern = 40; pattern < 60; ++pattern) {
    const float scales[] = {hb::decode<hb::ue4m3>(pattern), hb::decode<hb::ue4m3>(pattern + 1)};
    const float middle = (scales[0] + scales[1]) / 2 * 6;
    for (const bool last : {false, true}) {
      const float limit = middle / (last ? 1.5f : 0.8125f) * tensor_scale;
      for (std::uint32_t k = 0; k < 25; ++k) {
        for (int i = 0; i < 255; ++i) x.push_back(grid[i % 5] * scales[last] * tensor_scale);
        x.push_back(hb::bit_cast<float>(hb::bit_cast<std::uint32_t>(limit) + k - 12));
      }
    }
  }
  return x;
}

}  // namespace

TEST_CASE("largest magnitudes next to where candidates change") {
  for (const float tensor_scale : {1.0f, 0x1.fffffep-4f, 0x1.555556p-9f, 0x1.2468acp20f}) {
    const auto x = blocks_at_candidates(tensor_scale);
    const auto rows = static_cast<std::ptrdiff_t>(x.size()) / 16;
    const hb::matrix_view<const float> view{x.data(), rows, 16};
    hb::quantize_options options;
    options.tensor_scale = tensor_scale;
    INFO("tensor scale ", tensor_scale);
    compare_matrix<hb::nvfp4_2d>(view, hb::nearest_even{}, hb::mean_square_search{}, options);
    const auto q =
        hb::quantize<hb::nvfp4_2d>(view, hb::nearest_even{}, hb::mean_square_search{}, options);
    for (std::ptrdiff_t i = 0; i < rows / 16; i += 25) {
      CHECK(q.view().scale(i, 0) != q.view().scale(i + 24, 0));
    }
  }
}
