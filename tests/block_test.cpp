#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <halfbyte/block.hpp>
#include <halfbyte/scale.hpp>

#include "block_oracle.hpp"
#include "every_block.hpp"
#include "every_policy.hpp"
#include "exact.hpp"
#include "tally.hpp"

namespace hb = halfbyte;

namespace {

/// What quantize_block made of a block, one pattern an element.
struct outcome {
  std::uint32_t scale = 0;
  std::vector<std::uint32_t> elements;
};

template <hb::block_format B, class T, class Rounding, class Rule>
outcome run(const std::vector<T>& x, std::ptrdiff_t rows, std::ptrdiff_t cols,
            hb::tensor_scaling tensor, const Rounding& rounding, const Rule& rule,
            hb::element_indices index = {}) {
  const auto row_bytes = static_cast<std::ptrdiff_t>(hb::packed_bytes(B.element, cols));
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(rows * row_bytes));
  const hb::packed_view<B.element> out{bytes.data(), row_bytes, 0};
  const hb::matrix_view<const T> view{x.data(), rows, cols};
  outcome result;
  result.scale = hb::quantize_block<hb::block_format(B)>(view, out, tensor, rounding, rule, index);
  for (std::ptrdiff_t i = 0; i < rows; ++i) {
    for (std::ptrdiff_t j = 0; j < cols; ++j) result.elements.push_back(out.load(i, j));
  }
  return result;
}

std::string words(const char* what, const hb::block_format& b, exact::scale_rule rule,
                  const std::string& rest) {
  return std::string(what) + " of " + exact::name(b) + ", " + exact::name(rule) + ", " + rest;
}

/// A scale rule that gives the scale it was told.
struct given_scale {
  std::uint32_t pattern = 0;

  template <hb::block_format B, class T>
  constexpr std::uint32_t block_scale(hb::matrix_view<const T>, const hb::unpacked&,
                                      hb::tensor_scaling) const {
    return pattern;
  }
};
static_assert(hb::scale_rule<given_scale>);

/// Every hard block with every deterministic rounding, against the oracle. Which scale a rule
/// chooses is the business of scale_test.cpp.
template <hb::block_format B, class T>
void blocks_agree(tally& t, int copies) {
  const exact::block_oracle oracle = exact::oracle_of(B);
  const std::ptrdiff_t rows = B.rows == 0 ? 3 : std::min(B.rows, 6);
  const std::ptrdiff_t cols = B.cols == 0 ? 9 : std::min(B.cols, 32);
  exact::for_each_scale_rule<B>([&](auto, exact::scale_rule known) {
    exact::hard_blocks<T> make(static_cast<std::size_t>(rows * cols),
                               static_cast<std::uint64_t>(B.element.bits() * 97 + B.cols));
    std::vector<std::uint32_t> tensor_scales = {0x3f800000u};
    if (B.tensor_scale) tensor_scales = {0x3f800000u, 0x3b12ab35u, 0x00000001u, 0x7f000001u};
    for (const std::uint32_t bits : tensor_scales) {
      const exact::number tensor = exact::from_ieee(bits, 8, 23).magnitude;
      for (const auto& x : make.all(oracle, known, tensor, copies)) {
        const std::vector<exact::value> v = exact::values_of(x);
        const auto expected = oracle.quantize(v, tensor, known, exact::rounding::nearest_even);
        const exact::number by = oracle.divisor(expected.poisoned ? 0 : expected.scale, tensor);
        for (const exact::rounding mode : exact::every_rounding) {
          const outcome got = run<B>(x, rows, cols, {exact::float_of(bits), 0},
                                     exact::any_rounding{mode}, given_scale{expected.scale});
          t.expect(got.scale == expected.scale, [&] {
            return words("scale", B, known, hex(got.scale) + " for " + hex(expected.scale));
          });
          for (std::size_t i = 0; i < x.size(); ++i) {
            const std::uint32_t wanted = expected.poisoned ? 0 : oracle.element_of(v[i], by, mode);
            t.expect(got.elements[i] == wanted, [&] {
              return words("element", B, known,
                           std::string(exact::name(mode)) + ": " + hex(got.elements[i]) +
                               " for " + hex(wanted));
            });
          }
        }
      }
    }
  });
}

template <hb::block_format B, class Policy>
void stochastic_agrees(tally& t, const Policy& policy, int bits, bool round_fraction) {
  const exact::block_oracle oracle = exact::oracle_of(B);
  const std::ptrdiff_t rows = B.rows == 1 ? 1 : 4, cols = 16;
  const hb::element_indices index{0x300000007u, 0x100000025u};
  constexpr auto rule = exact::scale_rule::absmax;
  exact::hard_blocks<float> make(static_cast<std::size_t>(rows * cols), 5);
  for (const auto& x : make.all(oracle, rule, {1, 0}, 4)) {
    const std::vector<exact::value> v = exact::values_of(x);
    const auto expected = oracle.quantize(
        v, {1, 0},
        [&](const std::vector<exact::value>& numbers) {
          return oracle.scale_of(numbers, rule, {1, 0});
        },
        [&](const exact::value& number, exact::number by, std::size_t at) {
          const auto i = static_cast<std::ptrdiff_t>(at) / cols;
          const auto j = static_cast<std::ptrdiff_t>(at) % cols;
          const std::uint64_t element = 0x300000007u +
                                        static_cast<std::uint64_t>(i) * 0x100000025u +
                                        static_cast<std::uint64_t>(j);
          const std::uint32_t word =
              exact::random_word(policy.seed, policy.stream, element) >> (32 - bits);
          return oracle.element_of(number, by, word, bits, round_fraction);
        });
    const outcome got = run<B>(x, rows, cols, {1, 0}, policy, hb::absmax{}, index);
    t.expect(got.scale == expected.scale, [&] { return words("scale", B, rule, hex(got.scale)); });
    t.expect(got.elements == expected.elements,
             [&] { return words("elements", B, rule, std::to_string(bits) + " random bits"); });
  }
}

/// The floats that come back from every element under many scales.
template <hb::block_format B>
void dequantizes(tally& t) {
  const exact::block_oracle oracle = exact::oracle_of(B);
  std::vector<std::uint32_t> scales = {0, oracle.largest_scale()};
  if (oracle.scale_has_nan()) scales.push_back(oracle.nan_scale());
  std::mt19937_64 random(11);
  for (int i = 0; i < 12; ++i) {
    scales.push_back(static_cast<std::uint32_t>(random() % (oracle.largest_scale() + 1)));
  }
  const std::ptrdiff_t n = std::min(1 << B.element.bits(), 4096);
  std::vector<std::uint8_t> bytes(hb::packed_bytes(B.element, n));
  const auto step = static_cast<std::uint32_t>((1 << B.element.bits()) / n);
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    hb::store_packed<B.element>(bytes.data(), i, static_cast<std::uint32_t>(i) * step);
  }
  std::vector<float> out(static_cast<std::size_t>(n));
  for (const std::uint32_t scale : scales) {
    for (const std::uint32_t tensor : {0x3f800000u, 0x3a83126fu, 0x00000003u, 0x7f7fffffu}) {
      if (!B.tensor_scale && tensor != 0x3f800000u) continue;
      hb::dequantize_block<hb::block_format(B)>(
          hb::packed_view<B.element, const std::uint8_t>{bytes.data(), 0, 0}, scale,
          exact::float_of(tensor), hb::matrix_view<float>{out.data(), 1, n});
      for (std::ptrdiff_t i = 0; i < n; ++i) {
        const std::uint32_t got = exact::bits_of(out[static_cast<std::size_t>(i)]);
        const std::uint32_t expected =
            oracle.dequantized(static_cast<std::uint32_t>(i) * step, scale,
                               exact::from_ieee(tensor, 8, 23).magnitude);
        t.expect(got == expected, [&] {
          return exact::name(B) + ": element " + hex(static_cast<std::uint64_t>(i)) + " scale " +
                 hex(scale) + " tensor scale " + hex(tensor) + ": " + hex(got) + " for " +
                 hex(expected);
        });
      }
    }
  }
}

struct constant_block {
  std::uint32_t scale = 0;
  std::uint8_t bytes[16] = {};
  float back[32] = {};
};

/// A whole block there and back, inside the compiler.
template <hb::block_format B, class Rounding, class Rule>
constexpr constant_block there_and_back(Rounding rounding, Rule rule, float tensor = 1) {
  float x[32] = {};
  for (int i = 0; i < 32; ++i) x[i] = static_cast<float>(i - 16) / 4;
  constant_block b;
  b.scale = hb::quantize_block<hb::block_format(B)>(
      hb::matrix_view<const float>{x, 1, 32}, hb::packed_view<B.element>{b.bytes, 16, 0},
      hb::tensor_scaling{tensor, 0}, rounding, rule, hb::element_indices{});
  hb::dequantize_block<hb::block_format(B)>(
      hb::packed_view<B.element, const std::uint8_t>{b.bytes, 16, 0}, b.scale, tensor,
      hb::matrix_view<float>{b.back, 1, 32});
  return b;
}

constexpr constant_block mx = there_and_back<hb::mxfp4>(hb::nearest_even{}, hb::floor_pow2{});
static_assert(mx.scale == 127);  // amax 4: 2^(2 - 2)
static_assert(mx.bytes[0] == 0xee && mx.bytes[15] == 0x66);
static_assert(mx.back[0] == -4 && mx.back[1] == -4 && mx.back[12] == -1 && mx.back[31] == 4);
constexpr constant_block nv =
    there_and_back<hb::nvfp4>(hb::stochastic<8>{7}, hb::mean_square_search{}, 0.25f);
static_assert(nv.back[16] == 0 && nv.scale != 0);
constexpr constant_block four = there_and_back<hb::nvfp4>(hb::to_odd{}, hb::four_over_six{});
static_assert(four.scale == 0x38);  // amax 4 at element 4 is without error: scale 1
constexpr constant_block rms = there_and_back<hb::mxfp4>(hb::upward{}, hb::rms_clip{});
static_assert(rms.scale == 127);

}  // namespace

TEST_CASE("a block of every named block format has the oracle's elements, under every rule's scale "
          "and every rounding") {
  tally t;
  exact::for_each_named_block_format([&](auto b) {
    blocks_agree<decltype(b)::value, float>(t, decltype(b)::value.cols == 32 ? 2 : 1);
  });
  CHECK(t.total > 1000000);
}

TEST_CASE("a block of one's own block format has the oracle's elements, under every rule's scale "
          "and every rounding") {
  tally t;
  exact::for_each_own_block_format([&](auto b) { blocks_agree<decltype(b)::value, float>(t, 2); });
}

TEST_CASE("doubles, bfloat16 and half numbers are rounded once") {
  tally t;
  blocks_agree<hb::mxfp4, double>(t, 2);
  blocks_agree<hb::nvfp4, double>(t, 1);
  blocks_agree<hb::fp8_1x128, double>(t, 1);
  blocks_agree<hb::mxfp8_e4m3, hb::minifloat<hb::bfloat16>>(t, 2);
  blocks_agree<hb::nvfp4, hb::minifloat<hb::bfloat16>>(t, 1);
  blocks_agree<hb::mxfp6_e3m2, hb::minifloat<hb::float16>>(t, 2);
  blocks_agree<hb::nvfp4, hb::minifloat<hb::float16>>(t, 1);
}

TEST_CASE("stochastic rounding of a block draws the word of each element's index in its tensor") {
  tally t;
  stochastic_agrees<hb::mxfp4>(t, hb::stochastic<32>{1, 2}, 32, false);
  stochastic_agrees<hb::mxfp4>(t, hb::stochastic<8>{0x9e3779b97f4a7c15u, 0xffffffff12345678u}, 8,
                               false);
  stochastic_agrees<hb::mxfp8_e4m3>(t, hb::stochastic_unbiased<3>{3, 4}, 3, true);
  stochastic_agrees<hb::nvfp4_2d>(t, hb::stochastic<4>{5, 6}, 4, false);
  stochastic_agrees<hb::fp8_128x128>(t, hb::stochastic_unbiased<32>{7, 8}, 32, true);
}

TEST_CASE("an element of every pattern dequantizes to the float nearest to element * scale * tensor "
          "scale") {
  tally t;
  exact::for_each_named_block_format([&](auto b) { dequantizes<decltype(b)::value>(t); });
  exact::for_each_own_block_format([&](auto b) { dequantizes<decltype(b)::value>(t); });
}

TEST_CASE("a block of zeros has the smallest scale, and keeps the signs of its zeros") {
  const std::vector<float> x = {0.0f, exact::float_of(0x80000000u)};
  for (const outcome& got :
       {run<hb::mxfp4>(x, 1, 2, {}, hb::nearest_even{}, hb::floor_pow2{}),
        run<hb::nvfp4>(x, 1, 2, {}, hb::upward{}, hb::absmax{}),
        run<hb::nvfp4>(x, 1, 2, {}, hb::nearest_even{}, hb::four_over_six{}),
        run<hb::nvfp4>(x, 1, 2, {}, hb::stochastic<>{1}, hb::nvfp4_te{}),
        run<hb::mxfp4>(x, 1, 2, {}, hb::nearest_even{}, hb::rms_clip{})}) {
    CHECK(got.scale == 0);
    CHECK(got.elements[0] == 0x0);
    CHECK(got.elements[1] == 0x8);
  }
}

TEST_CASE("a block with one NaN or infinity has a NaN scale, elements of zero, and comes back as "
          "NaN") {
  for (const std::uint32_t special : {0x7f800000u, 0xff800000u, 0x7f800001u, 0xffffffffu}) {
    for (std::size_t place = 0; place < 16; ++place) {
      std::vector<float> x(16, 1.5f);
      x[place] = exact::float_of(special);
      const outcome mx_block = run<hb::mxfp4>(x, 1, 16, {}, hb::nearest_even{}, hb::floor_pow2{});
      const outcome nv_block = run<hb::nvfp4>(x, 1, 16, {}, hb::nearest_even{}, hb::nvfp4_te{});
      const outcome fp8_block = run<hb::fp8_1x128>(x, 1, 16, {}, hb::upward{}, hb::absmax{});
      CHECK(mx_block.scale == 0xff);
      CHECK(nv_block.scale == 0x7f);
      CHECK(fp8_block.scale == 0x7fffffff);
      for (const outcome& b : {mx_block, nv_block, fp8_block}) {
        CHECK(b.elements == std::vector<std::uint32_t>(16, 0));
      }
    }
  }
  const std::uint8_t zero = 0;
  float back = 1;
  hb::dequantize_block<hb::mxfp4>(hb::packed_view<hb::e2m1, const std::uint8_t>{&zero, 1, 0}, 0xff,
                                  1, hb::matrix_view<float>{&back, 1, 1});
  CHECK(exact::bits_of(back) == 0x7fffffffu);
}

TEST_CASE("where scales have no NaN, infinities saturate and NaN becomes the largest element") {
  constexpr hb::block_format b{hb::e2m1, exact::ue5m3_finite, 1, 8};
  const std::vector<float> x = {1.0f, exact::float_of(0x7f800000u), exact::float_of(0xff800000u),
                                exact::float_of(0xffc00000u)};
  const outcome got = run<b>(x, 1, 4, {}, hb::nearest_even{}, hb::absmax{});
  CHECK(got.elements == std::vector<std::uint32_t>{7, 7, 0xf, 7});
  CHECK(got.scale == hb::encode<exact::ue5m3_finite>(1.0f / 6));
}

// An amax without the absolute value: vllm#20578.
TEST_CASE("the largest magnitude is found at every place, positive or negative") {
  for (std::size_t place = 0; place < 32; ++place) {
    for (const float largest : {96.0f, -96.0f}) {
      std::vector<float> x(32, 0.5f);
      x[place] = largest;
      const outcome got = run<hb::mxfp4>(x, 1, 32, {}, hb::nearest_even{}, hb::floor_pow2{});
      CHECK(got.scale == 127 + 6 - 2);
      CHECK(got.elements[place] == (largest > 0 ? 7u : 0xfu));
    }
  }
}

TEST_CASE("magnitudes skip what is not finite, and say so") {
  hb::magnitudes m;
  CHECK(m.all_finite);
  CHECK(m.amax.is_zero());
  m.add(hb::unpack(-3.0f));
  m.add(hb::unpack(2.0f));
  CHECK(m.all_finite);
  CHECK(hb::to_double(m.amax) == 3);
  m.add(hb::unpack(exact::float_of(0xff800000u)));
  CHECK_FALSE(m.all_finite);
  CHECK(hb::to_double(m.amax) == 3);
}

TEST_CASE("the rows and columns of a strided block are read, and nothing between them") {
  std::vector<float> storage(5 * 11, exact::float_of(0x7fc00000u));
  for (std::ptrdiff_t i = 0; i < 3; ++i) {
    for (std::ptrdiff_t j = 0; j < 4; ++j) {
      storage[static_cast<std::size_t>((i + 1) * 11 + j + 2)] = static_cast<float>(i + j);
    }
  }
  std::uint8_t out[3 * 4];
  std::fill(std::begin(out), std::end(out), std::uint8_t{0xa5});
  const std::uint32_t scale = hb::quantize_block<hb::nvfp4_2d>(
      hb::matrix_view<const float>{storage.data() + 13, 3, 4, 11},
      hb::packed_view<hb::e2m1>{out, 4, 2}, {}, hb::nearest_even{}, hb::floor_pow2{},
      hb::element_indices{});
  CHECK(scale == 0x38);  // amax 5: 2^(2 - 2)
  const std::uint8_t expected[12] = {0xa5, 0x20, 0x54, 0xa5, 0xa5, 0x42,
                                     0x65, 0xa5, 0xa5, 0x54, 0x66, 0xa5};
  CHECK(std::equal(std::begin(out), std::end(out), std::begin(expected)));
}
