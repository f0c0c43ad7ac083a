#include <doctest/doctest.h>

// What holds between quantize, quantize_transposed, dequantize and fake_quantize, whatever the
// numbers, and what they refuse.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <halfbyte/quantize.hpp>

#include "every_block.hpp"
#include "exact.hpp"
#include "framed.hpp"
#include "tally.hpp"

namespace {

/// Calls f(constant) for one block format of each kind; the loops over all are in quantize_test.cpp.
template <class Function>
void for_each_kind(Function&& f) {
  f(exact::block_format_constant<hb::mxfp4>{});
  f(exact::block_format_constant<hb::mxfp6_e2m3>{});
  f(exact::block_format_constant<hb::mxfp8_e4m3>{});
  f(exact::block_format_constant<hb::nvfp4>{});
  f(exact::block_format_constant<hb::nvfp4_2d>{});
  f(exact::block_format_constant<hb::fp8_1x128>{});
  f(exact::block_format_constant<hb::per_column(hb::e5m2)>{});
}

/// quantize_transposed against quantize of a transposed copy; fake_quantize against dequantize.
template <hb::block_format B, class T, class Rounding, class Rule>
void relations_hold(tally& t, const Rounding& rounding, const Rule& rule,
                    std::initializer_list<std::pair<std::ptrdiff_t, std::ptrdiff_t>> sizes = {
                        {1, 1}, {7, 40}, {33, 19}, {64, 50}, {0, 4}, {4, 0}}) {
  for (const auto& [rows, cols] : sizes) {
    framed<T> m(rows, cols, 3, 1), turned(cols, rows, 2, 4);
    fill(m, static_cast<std::uint64_t>(rows * 100 + cols));
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      for (std::ptrdiff_t j = 0; j < cols; ++j) turned.at(j, i) = m.at(i, j);
    }
    const auto q = hb::quantize<B>(turned.reader(), rounding, rule);
    t.expect(hb::quantize_transposed<B>(m.reader(), rounding, rule) == q,
             [&, r = rows, c = cols] { return shape<B>(r, c, "transposed"); });
    t.expect(hb::quantize<B>(turned.view(), rounding, rule) == q,
             [&, r = rows, c = cols] { return shape<B>(r, c, "again"); });
    framed<float> back(cols, rows, 0, 3), fake(cols, rows, 0, 3);
    hb::dequantize(q, back.view());
    hb::fake_quantize<B>(turned.reader(), fake.view(), rounding, rule);
    t.expect(bits_equal(back.storage, fake.storage),
             [&, r = rows, c = cols] { return shape<B>(r, c, "fake_quantize"); });
    t.expect(m.frame_intact() && turned.frame_intact() && back.frame_intact(),
             [&, r = rows, c = cols] { return shape<B>(r, c, "frame"); });
  }
}

/// Every element of a matrix rounded by its own index: as one call, however the blocks lie.
template <hb::block_format B, class Rounding>
void blocks_are_independent(tally& t, const Rounding& rounding) {
  const std::ptrdiff_t rows = 35, cols = 70;
  framed<float> m(rows, cols);
  fill(m, 77, false);
  const auto q = hb::quantize<B>(m.reader(), rounding);
  hb::quantized<B> by_hand(rows, cols);
  by_hand.set_tensor_scale(q.tensor_scale());
  const hb::tensor_scaling tensor = hb::scale_tensor<hb::block_format(B)>(
      hb::magnitudes_of(m.reader()).amax, hb::default_scale<B>{});
  const std::ptrdiff_t r = B.block_rows(rows), c = B.block_cols(cols);
  for (std::ptrdiff_t i = B.grid_rows(rows) - 1; i >= 0; --i) {
    for (std::ptrdiff_t j = B.grid_cols(cols) - 1; j >= 0; --j) {
      const hb::element_indices index{static_cast<std::uint64_t>(i * r * cols + j * c),
                                      static_cast<std::uint64_t>(cols)};
      const std::uint32_t scale = hb::quantize_block<hb::block_format(B)>(
          m.reader().block(i * r, j * c, r, c), by_hand.view().block(i, j), tensor, rounding,
          hb::default_scale<B>{}, index);
      by_hand.view().set_scale(i, j, scale);
    }
  }
  t.expect(q == by_hand, [&] { return shape<B>(rows, cols, "block by block"); });
}

template <class Function>
std::string error_of(Function&& f) {
  try {
    f();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("quantize_transposed gives the bytes of the transpose, fake_quantize those numbers that "
          "dequantize gives") {
  tally t;
  for_each_kind([&](auto b) {
    constexpr hb::block_format B = decltype(b)::value;
    relations_hold<B, float>(t, hb::nearest_even{}, hb::default_scale<B>{});
  });
  relations_hold<hb::mxfp4, float>(t, hb::stochastic<>{3, 4}, hb::ceil_pow2{});
  relations_hold<hb::mxfp8_e5m2, double>(t, hb::downward{}, hb::mean_square_search{});
  relations_hold<hb::nvfp4, float>(t, hb::stochastic<8>{3, 4}, hb::four_over_six{});
  relations_hold<hb::nvfp4, float>(t, hb::nearest_even{}, hb::nvfp4_te{});
  relations_hold<hb::nvfp4_2d, hb::minifloat<hb::bfloat16>>(t, hb::to_odd{}, hb::nvfp4_te{});
  relations_hold<hb::fp8_1x128, hb::minifloat<hb::float16>>(t, hb::nearest_away{}, hb::absmax{});
  relations_hold<hb::block_format{hb::e2m1, hb::ue8m0, 3, 5}, float>(t, hb::stochastic<>{1},
                                                                     hb::floor_pow2{});
}

TEST_CASE("so they do where a matrix is cut into pieces, in both directions") {
  tally t;
  const auto sizes = {std::pair<std::ptrdiff_t, std::ptrdiff_t>{2100, 530}, {150, 1100}};
  relations_hold<hb::mxfp4, float>(t, hb::stochastic<>{3, 4}, hb::floor_pow2{}, sizes);
  relations_hold<hb::nvfp4, float>(t, hb::nearest_even{}, hb::absmax{}, sizes);
  relations_hold<hb::nvfp4_2d, hb::minifloat<hb::bfloat16>>(t, hb::nearest_even{}, hb::absmax{},
                                                            sizes);
  relations_hold<hb::fp8_128x128, float>(t, hb::stochastic<8>{5, 6}, hb::absmax{}, sizes);
  relations_hold<hb::per_row(hb::e4m3), float>(t, hb::upward{}, hb::absmax{}, sizes);
  relations_hold<hb::per_column(hb::e5m2), float>(t, hb::nearest_even{}, hb::absmax{}, sizes);
}

// A chunked or block-local index changes the random bits: comfy-kitchen#100.
TEST_CASE("a matrix is its blocks, quantized in any order") {
  tally t;
  blocks_are_independent<hb::mxfp4>(t, hb::nearest_even{});
  blocks_are_independent<hb::mxfp8_e4m3>(t, hb::downward{});
  blocks_are_independent<hb::nvfp4>(t, hb::to_odd{});
  blocks_are_independent<hb::mxfp4>(t, hb::stochastic<>{1, 2});
  blocks_are_independent<hb::mxfp6_e3m2>(t, hb::stochastic_unbiased<16>{1, 2});
  blocks_are_independent<hb::nvfp4>(t, hb::stochastic<8>{1, 2});
  blocks_are_independent<hb::nvfp4_2d>(t, hb::stochastic<>{1, 2});
  blocks_are_independent<hb::per_column(hb::e4m3)>(t, hb::stochastic<>{1, 2});
}

TEST_CASE("numbers that come back from an MX format go through it unchanged") {
  tally t;
  const auto check = [&]<hb::block_format B>(exact::block_format_constant<B>) {
    framed<float> m(20, 70), back(20, 70), twice(20, 70);
    fill(m, 41, false);
    hb::fake_quantize<B>(m.reader(), back.view());
    hb::fake_quantize<B>(back.reader(), twice.view());
    t.expect(bits_equal(back.storage, twice.storage),
             [&] { return shape<B>(20, 70, "numbers change when quantized again"); });
  };
  check(exact::block_format_constant<hb::mxfp4>{});
  check(exact::block_format_constant<hb::mxfp6_e2m3>{});
  check(exact::block_format_constant<hb::mxfp6_e3m2>{});
  check(exact::block_format_constant<hb::mxfp8_e4m3>{});
  check(exact::block_format_constant<hb::mxfp8_e5m2>{});
  check(exact::block_format_constant<hb::mxint8>{});
}

TEST_CASE("numbers times 2^k have scales k higher and the same elements, in the MX formats") {
  tally t;
  const auto check = [&]<hb::block_format B>(exact::block_format_constant<B>) {
    for (const int k : {-60, -1, 1, 7, 60}) {
      framed<float> m(8, 96), shifted(8, 96);
      exact::hard_blocks<float> make(96, 3);
      for (std::ptrdiff_t i = 0; i < 8; ++i) {
        const auto row = make.between(100, 150);
        for (std::ptrdiff_t j = 0; j < 96; ++j) {
          const float x = row[static_cast<std::size_t>(j)];
          m.at(i, j) = x;
          shifted.at(i, j) = exact::float_of(static_cast<std::uint32_t>(
              static_cast<std::int64_t>(exact::bits_of(x)) + (std::int64_t{k} << 23)));
        }
      }
      const auto a = hb::quantize<B>(m.reader()), b = hb::quantize<B>(shifted.reader());
      t.expect(std::equal(a.elements().begin(), a.elements().end(), b.elements().begin()),
               [&] { return shape<B>(8, 96, "elements"); });
      for (std::size_t i = 0; i < a.scales().size(); ++i) {
        t.expect(a.scales()[i] + k == b.scales()[i], [&] { return shape<B>(8, 96, "scales"); });
      }
    }
  };
  check(exact::block_format_constant<hb::mxfp4>{});
  check(exact::block_format_constant<hb::mxfp6_e2m3>{});
  check(exact::block_format_constant<hb::mxfp8_e4m3>{});
  check(exact::block_format_constant<hb::mxint8>{});
}

// Padding scales left as they were found: vllm#38148, TE#2547, sglang#9346.
TEST_CASE("the last bits of a row, and scales without a block, are zero") {
  for (std::ptrdiff_t cols = 1; cols < 40; ++cols) {
    framed<float> m(3, cols);
    fill(m, static_cast<std::uint64_t>(cols) + 900, false);
    const auto four = hb::quantize<hb::mxfp4>(m.reader(), hb::nearest_even{}, hb::floor_pow2{},
                                              {hb::scale_layout::swizzled_128x4, {}});
    const auto six = hb::quantize<hb::mxfp6_e3m2>(m.reader());
    const std::size_t four_bytes = four.elements().size() / 3, six_bytes = six.elements().size() / 3;
    for (std::size_t i = 1; i <= 3; ++i) {
      if (cols % 2 == 1) CHECK((four.elements()[i * four_bytes - 1] >> 4) == 0);
      if (cols % 4 != 0) CHECK((six.elements()[i * six_bytes - 1] >> (cols * 6 % 8)) == 0);
    }
    CHECK(four.scales().size() == 512);
    for (std::size_t i = 0; i < 512; ++i) {
      const bool used = i / 16 < 3 && i % 16 < 4 &&
                        static_cast<std::ptrdiff_t>(i % 4) < (cols + 31) / 32;
      if (!used) CHECK(four.scales()[i] == 0);
    }
  }
}

// The abs-max of pairs dropped NaN: TE#3550; one bad number then spoils nothing, or everything.
TEST_CASE("a block with a NaN changes no other block, and not the tensor scale") {
  framed<float> m(4, 64), clean(4, 64);
  fill(m, 12, false);
  clean.storage = m.storage;
  m.at(2, 20) = exact::float_of(0x7fc00000u);
  clean.at(2, 20) = exact::float_of(0);
  m.at(1, 0) = exact::float_of(0xff800000u);
  clean.at(1, 0) = exact::float_of(0);
  const auto poisoned = hb::quantize<hb::nvfp4>(m.reader());
  const auto healthy = hb::quantize<hb::nvfp4>(clean.reader());
  CHECK(exact::bits_of(poisoned.tensor_scale()) == exact::bits_of(healthy.tensor_scale()));
  framed<float> a(4, 64), b(4, 64);
  hb::dequantize(poisoned, a.view());
  hb::dequantize(healthy, b.view());
  for (std::ptrdiff_t i = 0; i < 4; ++i) {
    for (std::ptrdiff_t j = 0; j < 64; ++j) {
      const bool bad = (i == 2 && j / 16 == 1) || (i == 1 && j / 16 == 0);
      const std::uint32_t expected = bad ? 0x7fffffffu : exact::bits_of(b.at(i, j));
      CHECK(exact::bits_of(a.at(i, j)) == expected);
    }
  }
}

// 0 / 0 in checkpoints: THUDM/slime#2256, ModelOpt#1397, ModelOpt#1898.
TEST_CASE("zeros stay zeros, alone or beside large numbers, and bring no NaN") {
  for (const float beside : {0.0f, 1.0f, 0x1p-126f, 0x1.fffffep127f}) {
    framed<float> m(4, 64), back(4, 64);
    for (std::ptrdiff_t i = 0; i < 4; ++i) {
      for (std::ptrdiff_t j = 0; j < 64; ++j) m.at(i, j) = i == 0 && j == 0 ? beside : 0.0f;
    }
    const auto check = [&]<hb::block_format B, class Rule>(exact::block_format_constant<B>,
                                                           const Rule& rule) {
      hb::fake_quantize<B>(m.reader(), back.view(), hb::nearest_even{}, rule);
      for (std::ptrdiff_t i = 1; i < 4; ++i) {
        for (std::ptrdiff_t j = 0; j < 64; ++j) CHECK(exact::bits_of(back.at(i, j)) == 0);
      }
    };
    check(exact::block_format_constant<hb::mxfp4>{}, hb::floor_pow2{});
    check(exact::block_format_constant<hb::nvfp4>{}, hb::absmax{});
    check(exact::block_format_constant<hb::nvfp4>{}, hb::nvfp4_te{});
    check(exact::block_format_constant<hb::nvfp4>{}, hb::mean_square_search{});
    check(exact::block_format_constant<hb::fp8_1x128>{}, hb::absmax{});
  }
}

// Elements made with the exact scale, the rounded one stored: kekzl/imp#250. x times a reciprocal
// instead of x / scale moves ties: TE#2639, aiter#5259.
TEST_CASE("an element is nearest to x / (stored scale * tensor scale), midpoints to even") {
  // Scale 1.125 * 2^-3 is stored for amax 0.85; 2.5 of it is a midpoint that goes to element 2.
  framed<float> m(1, 16);
  for (std::ptrdiff_t j = 0; j < 16; ++j) m.at(0, j) = 2.5f * 0.140625f;
  m.at(0, 0) = 0.85f;
  const auto q = hb::quantize<hb::nvfp4>(m.reader(), hb::nearest_even{}, hb::absmax{},
                                         {hb::scale_layout::linear, 1.0f});
  CHECK(q.scales()[0] == (4 << 3 | 1));
  for (std::size_t i = 1; i < 8; ++i) CHECK(q.elements()[i] == 0x44);
}

// 2^-127 is a scale like others, not zero; 255 is NaN, not 2^128: oneDNN#4218, TE#3262,
// pytorch/ao#4117, compressed-tensors' mx_utils.
TEST_CASE("scale 0 of the MX formats is 2^-127, scale 254 is 2^127, scale 255 is NaN") {
  hb::quantized<hb::mxfp4> q(3, 2);
  for (std::size_t i = 0; i < 3; ++i) q.elements()[i] = 0xa1;  // 0.5 and -1
  q.scales()[0] = 0;
  q.scales()[1] = 254;
  q.scales()[2] = 255;
  framed<float> out(3, 2);
  hb::dequantize(q, out.view());
  CHECK(exact::bits_of(out.at(0, 0)) == 0x00200000u);  // 2^-128, subnormal
  CHECK(exact::bits_of(out.at(0, 1)) == 0x80400000u);
  CHECK(exact::bits_of(out.at(1, 0)) == 0x7e800000u);
  CHECK(exact::bits_of(out.at(1, 1)) == 0xff000000u);
  CHECK(exact::bits_of(out.at(2, 0)) == 0x7fffffffu);
  framed<float> tiny(1, 2);
  tiny.at(0, 0) = exact::float_of(0x00200000u);
  tiny.at(0, 1) = exact::float_of(0x80400000u);
  const auto again = hb::quantize<hb::mxfp4>(tiny.reader());
  CHECK(again.scales()[0] == 0);
  CHECK(again.elements()[0] == 0xa1);
}

TEST_CASE("a tensor scale that is given is used as it is, and only where the format has one") {
  framed<float> m(2, 32);
  fill(m, 70, false);
  const hb::quantize_options given{hb::scale_layout::linear, 0.25f};
  CHECK(hb::quantize<hb::nvfp4>(m.reader(), hb::nearest_even{}, hb::absmax{}, given)
            .tensor_scale() == 0.25f);
  CHECK(hb::quantize_transposed<hb::nvfp4>(m.reader(), hb::nearest_even{}, hb::absmax{}, given)
            .tensor_scale() == 0.25f);
  CHECK(hb::quantize<hb::mxfp4>(m.reader(), hb::nearest_even{}, hb::floor_pow2{}, given)
            .tensor_scale() == 1.0f);
  framed<float> zero(2, 32);
  for (std::ptrdiff_t i = 0; i < 64; ++i) zero.at(i / 32, i % 32) = 0;
  CHECK(hb::quantize<hb::nvfp4>(zero.reader()).tensor_scale() == 1.0f);
  for (const std::uint32_t wrong : {0u, 0x80000000u, 0xbf800000u, 0x7f800000u, 0x7fc00000u}) {
    const hb::quantize_options bad{hb::scale_layout::linear, exact::float_of(wrong)};
    const hb::nearest_even even;
    const hb::absmax rule;
    framed<float> out(2, 32);
    CHECK(error_of([&] { hb::quantize<hb::nvfp4>(m.reader(), even, rule, bad); }) ==
          "halfbyte::quantize: a tensor scale must be a positive number");
    CHECK(error_of([&] { hb::quantize_transposed<hb::nvfp4>(m.reader(), even, rule, bad); }) ==
          "halfbyte::quantize_transposed: a tensor scale must be a positive number");
    CHECK(error_of([&] {
            hb::fake_quantize<hb::nvfp4>(m.reader(), out.view(), even, rule, bad);
          }) == "halfbyte::fake_quantize: a tensor scale must be a positive number");
  }
}

// A weight and its transpose: 16x16 blocks give one and the same set of numbers.
TEST_CASE("square blocks give a matrix and its transpose the same numbers") {
  framed<float> m(40, 35), a(40, 35), b(35, 40);
  fill(m, 19, false);
  hb::dequantize(hb::quantize<hb::nvfp4_2d>(m.reader()), a.view());
  hb::dequantize(hb::quantize_transposed<hb::nvfp4_2d>(m.reader()), b.view());
  for (std::ptrdiff_t i = 0; i < 40; ++i) {
    for (std::ptrdiff_t j = 0; j < 35; ++j) {
      CHECK(exact::bits_of(a.at(i, j)) == exact::bits_of(b.at(j, i)));
    }
  }
}

TEST_CASE("fake_quantize may write over its input") {
  tally t;
  for_each_kind([&](auto b) {
    constexpr hb::block_format B = decltype(b)::value;
    framed<float> m(21, 50, 3, 2), out(21, 50, 3, 2);
    fill(m, 61);
    hb::fake_quantize<B>(m.reader(), out.view());
    hb::fake_quantize<B>(m.reader(), m.view());
    t.expect(bits_equal(m.storage, out.storage), [&] { return exact::name(B); });
  });
}

TEST_CASE("views that make no sense are refused, with the function and the sizes in the message") {
  float x[12] = {};
  using reader = hb::matrix_view<const float>;
  const hb::quantized<hb::mxfp4> q(3, 4);
  CHECK(error_of([&] { hb::quantize<hb::mxfp4>(reader{x, -1, 4, 4}); }) ==
        "halfbyte::quantize: view of -1 x 4, stride 4");
  CHECK(error_of([&] { hb::quantize<hb::mxfp4>(reader{x, 3, -4, 4}); }) ==
        "halfbyte::quantize: view of 3 x -4, stride 4");
  CHECK(error_of([&] { hb::quantize<hb::mxfp4>(reader{x, 3, 4, 3}); }) ==
        "halfbyte::quantize: view of 3 x 4, stride 3");
  CHECK(error_of([&] { hb::quantize_transposed<hb::mxfp4>(reader{nullptr, 3, 4, 4}); }) ==
        "halfbyte::quantize_transposed: view of 3 x 4, stride 4, without data");
  CHECK(error_of([&] { hb::dequantize(q, {x, 4, 3, 3}); }) ==
        "halfbyte::dequantize: output of 4 x 3 for 3 x 4");
  CHECK(error_of([&] { hb::dequantize(q, {x, 3, 3, 4}); }) ==
        "halfbyte::dequantize: output of 3 x 3 for 3 x 4");
  CHECK(error_of([&] { hb::dequantize(q, {nullptr, 3, 4, 4}); }) ==
        "halfbyte::dequantize: view of 3 x 4, stride 4, without data");
  CHECK(error_of([&] {
          hb::fake_quantize<hb::mxfp4>(reader{x, 3, 4, 4}, hb::matrix_view<float>{x, 2, 4});
        }) == "halfbyte::fake_quantize: output of 2 x 4 for 3 x 4");
  CHECK(error_of([&] {
          hb::fake_quantize<hb::mxfp4>(reader{x, 3, 4, 4}, hb::matrix_view<float>{x, 3, 4, 1});
        }) == "halfbyte::fake_quantize: view of 3 x 4, stride 1");
  CHECK(hb::quantize<hb::mxfp4>(reader{x, 1, 12, 0}).cols() == 12);  // one row needs no stride
  CHECK(hb::quantize<hb::mxfp4>(reader{nullptr, 0, 4, 4}).cols() == 4);
}

TEST_CASE("offsets in matrices of more than 2^31 numbers do not wrap") {
  if constexpr (sizeof(std::ptrdiff_t) == 8) {
    // A view alone: 2^20 rows of 2^20 numbers; the bytes of rows and scales are counted, not read.
    const std::uint8_t byte = 0;
    const auto size = static_cast<std::ptrdiff_t>(1 << 20);
    const hb::quantized_view<hb::mxfp4> view{&byte, &byte, size, size, 1.0f,
                                             hb::scale_layout::linear};
    CHECK(static_cast<std::int64_t>(view.row_bytes()) * (size - 1) == std::int64_t{549755289600});
    CHECK(hb::scales_size<hb::mxfp4>(size, size, hb::scale_layout::linear) ==
          static_cast<std::size_t>(std::int64_t{1} << 35));
    CHECK(hb::swizzled_place(size - 1, size / 32 - 1, size / 32) ==
          static_cast<std::ptrdiff_t>((std::int64_t{1} << 35) - 1));
  }
}
