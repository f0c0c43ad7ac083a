#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <halfbyte/quantize.hpp>
#include <halfbyte/quantized.hpp>

#include "every_block.hpp"
#include "exact.hpp"
#include "tally.hpp"

namespace hb = halfbyte;

namespace {

/// torchao's to_blocked, written out: pad to 128 rows and 4 columns, view as (row tiles, 128, column
/// tiles, 4), permute (0, 2, 1, 3), reshape to (-1, 4, 32, 4), swap axes 1 and 2, flatten.
std::vector<std::uint8_t> to_blocked(const std::vector<std::uint8_t>& scales, std::size_t rows,
                                     std::size_t cols) {
  const std::size_t row_tiles = (rows + 127) / 128, col_tiles = (cols + 3) / 4;
  std::vector<std::uint8_t> padded(row_tiles * 128 * col_tiles * 4);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) padded[i * col_tiles * 4 + j] = scales[i * cols + j];
  }
  std::vector<std::uint8_t> permuted;
  for (std::size_t a = 0; a < row_tiles; ++a) {
    for (std::size_t c = 0; c < col_tiles; ++c) {
      for (std::size_t b = 0; b < 128; ++b) {
        for (std::size_t d = 0; d < 4; ++d) {
          permuted.push_back(padded[((a * 128 + b) * col_tiles + c) * 4 + d]);
        }
      }
    }
  }
  std::vector<std::uint8_t> out;
  for (std::size_t tile = 0; tile < row_tiles * col_tiles; ++tile) {
    for (std::size_t inner = 0; inner < 32; ++inner) {
      for (std::size_t quarter = 0; quarter < 4; ++quarter) {
        for (std::size_t d = 0; d < 4; ++d) {
          out.push_back(permuted[((tile * 4 + quarter) * 32 + inner) * 4 + d]);
        }
      }
    }
  }
  return out;
}

std::vector<float> random_floats(std::size_t n, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<float> x;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t r = random();
    const auto exponent = static_cast<std::uint32_t>(120 + r % 12);
    x.push_back(exact::float_of(static_cast<std::uint32_t>(r >> 40 << 31) | exponent << 23 |
                                static_cast<std::uint32_t>(r >> 20 & 0x7fffff)));
  }
  return x;
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

template <hb::block_format B>
void sizes_are_right(tally& t) {
  for (std::ptrdiff_t rows : {0, 1, 2, 15, 16, 17, 129}) {
    for (std::ptrdiff_t cols : {0, 1, 2, 3, 31, 32, 33, 131}) {
      const hb::quantized<B> q(rows, cols);
      const auto row_bits = static_cast<std::size_t>(cols * B.element.bits());
      const std::size_t elements = static_cast<std::size_t>(rows) * ((row_bits + 7) / 8);
      const std::size_t scales = static_cast<std::size_t>(B.grid_rows(rows) * B.grid_cols(cols)) *
                                 static_cast<std::size_t>((B.scale.bits() + 7) / 8);
      const auto of = [&](const char* what) {
        return exact::name(B) + ": " + what + " of " + std::to_string(rows) + " x " +
               std::to_string(cols);
      };
      t.expect(q.rows() == rows && q.cols() == cols, [&] { return of("shape"); });
      t.expect(q.elements().size() == elements, [&] { return of("elements"); });
      t.expect(q.scales().size() == scales, [&] { return of("scales"); });
      t.expect(q.bytes() == elements + scales + (B.tensor_scale ? 4 : 0),
               [&] { return of("bytes"); });
      t.expect(q.tensor_scale() == 1, [&] { return of("tensor scale"); });
      const auto zero = [](std::uint8_t b) { return b == 0; };
      t.expect(std::all_of(q.elements().begin(), q.elements().end(), zero) &&
                   std::all_of(q.scales().begin(), q.scales().end(), zero),
               [&] { return of("zeros"); });
    }
  }
}

}  // namespace

TEST_CASE("the place of a scale in the 128x4 layout is a permutation of each tile") {
  for (const std::ptrdiff_t cols : {1, 4, 5, 12}) {
    std::vector<int> seen(static_cast<std::size_t>((cols + 3) / 4 * 512 * 2));
    for (std::ptrdiff_t i = 0; i < 256; ++i) {
      for (std::ptrdiff_t j = 0; j < cols; ++j) {
        const std::ptrdiff_t place = hb::swizzled_place(i, j, cols);
        REQUIRE(place >= 0);
        REQUIRE(place < static_cast<std::ptrdiff_t>(seen.size()));
        ++seen[static_cast<std::size_t>(place)];
      }
    }
    CHECK(*std::max_element(seen.begin(), seen.end()) == 1);
  }
  // cuBLAS: offset = (row % 32) * 16 + (row / 32) * 4 + column in a tile.
  CHECK(hb::swizzled_place(0, 1, 8) == 1);
  CHECK(hb::swizzled_place(1, 0, 8) == 16);
  CHECK(hb::swizzled_place(32, 0, 8) == 4);
  CHECK(hb::swizzled_place(127, 3, 8) == 511);
  CHECK(hb::swizzled_place(0, 4, 8) == 512);
  CHECK(hb::swizzled_place(128, 0, 8) == 1024);
}

// The swizzle of others was wrong for M % 128, for odd scale rows, and where scales were so small
// that the test saw zeros: triton-lang forks, vllm#50084, rocm-libraries#12232, SuperNPUBench#123.
TEST_CASE("swizzled scales are the linear scales through torchao's to_blocked, padded with zeros") {
  tally t;
  for (const std::ptrdiff_t rows : {1, 2, 31, 32, 33, 127, 128, 129, 200, 257}) {
    for (const std::ptrdiff_t cols : {1, 16, 33, 128, 129, 300}) {
      const std::vector<float> x = random_floats(static_cast<std::size_t>(rows * cols), 4);
      const hb::matrix_view<const float> v{x.data(), rows, cols};
      const auto compare = [&]<hb::block_format B>(exact::block_format_constant<B>) {
        const hb::nearest_even even;
        const hb::default_scale<B> rule;
        const auto linear = hb::quantize<B>(v, even, rule);
        const auto swizzled = hb::quantize<B>(v, even, rule, {hb::scale_layout::swizzled_128x4, {}});
        const std::vector<std::uint8_t> flat(linear.scales().begin(), linear.scales().end());
        const std::vector<std::uint8_t> expected =
            to_blocked(flat, static_cast<std::size_t>(rows),
                       static_cast<std::size_t>(B.grid_cols(cols)));
        t.expect(std::equal(expected.begin(), expected.end(), swizzled.scales().begin(),
                            swizzled.scales().end()),
                 [&] {
                   return exact::name(B) + ": " + std::to_string(rows) + " x " +
                          std::to_string(cols);
                 });
        t.expect(std::equal(linear.elements().begin(), linear.elements().end(),
                            swizzled.elements().begin(), swizzled.elements().end()),
                 [&] { return exact::name(B) + ": elements"; });
        t.expect(swizzled.layout() == hb::scale_layout::swizzled_128x4 &&
                     linear.layout() == hb::scale_layout::linear,
                 [&] { return exact::name(B) + ": layout"; });
        std::vector<float> a(x.size()), b(x.size());
        hb::dequantize(linear, {a.data(), rows, cols, cols});
        hb::dequantize(swizzled, {b.data(), rows, cols, cols});
        t.expect(a == b, [&] { return exact::name(B) + ": dequantized"; });
      };
      compare(exact::block_format_constant<hb::mxfp4>{});
      compare(exact::block_format_constant<hb::nvfp4>{});
      compare(exact::block_format_constant<hb::mxfp6_e2m3>{});
    }
  }
}

TEST_CASE("blocks of 16 rows repeat their scale for each row in the 128x4 layout") {
  const std::ptrdiff_t rows = 150, cols = 70;
  const std::vector<float> x = random_floats(static_cast<std::size_t>(rows * cols), 8);
  const hb::matrix_view<const float> v{x.data(), rows, cols};
  const auto linear = hb::quantize<hb::nvfp4_2d>(v);
  const auto swizzled = hb::quantize<hb::nvfp4_2d>(v, hb::nearest_even{}, hb::absmax{},
                                                   {hb::scale_layout::swizzled_128x4, {}});
  std::vector<std::uint8_t> repeated;
  for (std::ptrdiff_t i = 0; i < rows; ++i) {
    const auto first = linear.scales().begin() + i / 16 * 5;
    repeated.insert(repeated.end(), first, first + 5);
  }
  const auto expected = to_blocked(repeated, 150, 5);
  CHECK(std::equal(expected.begin(), expected.end(), swizzled.scales().begin(),
                   swizzled.scales().end()));
  for (std::ptrdiff_t i = 0; i < 10; ++i) {
    for (std::ptrdiff_t j = 0; j < 5; ++j) {
      CHECK(linear.view().scale(i, j) == swizzled.view().scale(i, j));
    }
  }
}

TEST_CASE("a new matrix is zeros of the right size, in every block format and shape") {
  tally t;
  exact::for_each_named_block_format([&](auto b) { sizes_are_right<decltype(b)::value>(t); });
  exact::for_each_own_block_format([&](auto b) { sizes_are_right<decltype(b)::value>(t); });
  CHECK(hb::quantized<hb::mxfp4>{}.bytes() == 0);
  CHECK(hb::quantized<hb::nvfp4>(1, 1, hb::scale_layout::swizzled_128x4).scales().size() == 512);
  CHECK(hb::quantized<hb::nvfp4>(129, 65, hb::scale_layout::swizzled_128x4).scales().size() ==
        4 * 512);
}

TEST_CASE("sizes that make no sense are refused, with the size in the message") {
  CHECK(error_of([] { hb::quantized<hb::mxfp4>(-1, 3); }) == "halfbyte::quantized: size -1 x 3");
  CHECK(error_of([] { hb::quantized<hb::mxfp4>(2, -7); }) == "halfbyte::quantized: size 2 x -7");
  CHECK(error_of([] {
          hb::quantized<hb::fp8_1x128>(1, 1, hb::scale_layout::swizzled_128x4);
        }) == "halfbyte::quantized: swizzled_128x4 needs scales of one byte");
}

TEST_CASE("a view reads single numbers: those that dequantize gives") {
  tally t;
  exact::for_each_named_block_format([&](auto b) {
    constexpr hb::block_format B = decltype(b)::value;
    const std::ptrdiff_t rows = 19, cols = 37;
    const std::vector<float> x = random_floats(static_cast<std::size_t>(rows * cols), 15);
    const auto q = hb::quantize<B>(hb::matrix_view<const float>{x.data(), rows, cols});
    std::vector<float> all(x.size());
    hb::dequantize(q, {all.data(), rows, cols, cols});
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      for (std::ptrdiff_t j = 0; j < cols; ++j) {
        t.expect(exact::bits_of(q.view()(i, j)) ==
                     exact::bits_of(all[static_cast<std::size_t>(i * cols + j)]),
                 [&] { return exact::name(B); });
      }
    }
  });
}

TEST_CASE("elements and scales are bytes in the order of the specifications") {
  // 4 bits: element 0 in the low nibble (CUDA, OCP MX, ModelOpt). 6 bits: 4 elements in 3 bytes.
  const float four[4] = {1.0f, -6.0f, 0.5f, 4.0f};
  const auto mx = hb::quantize<hb::mxfp4>(hb::matrix_view<const float>{four, 1, 4});
  CHECK(mx.elements()[0] == 0xf2);
  CHECK(mx.elements()[1] == 0x61);
  CHECK(mx.scales()[0] == 127);
  const float six[4] = {1.0f, -7.5f, 0.125f, 4.0f};  // 08 3f 01 18
  const auto mx6 = hb::quantize<hb::mxfp6_e2m3>(hb::matrix_view<const float>{six, 1, 4});
  CHECK(mx6.elements()[0] == 0xc8);
  CHECK(mx6.elements()[1] == 0x1f);
  CHECK(mx6.elements()[2] == 0x60);
  // Scales of several bytes: the lowest first.
  const float one[1] = {448.0f * 3.0f};
  const auto fp8 = hb::quantize<hb::fp8_1x128>(hb::matrix_view<const float>{one, 1, 1});
  CHECK(fp8.elements()[0] == 0x7e);
  CHECK(fp8.scales()[0] == 0x00);
  CHECK(fp8.scales()[2] == 0x40);
  CHECK(fp8.scales()[3] == 0x40);
}

TEST_CASE("the byte of one element or one scale moves that element or that block, and nothing else") {
  const std::ptrdiff_t rows = 40, cols = 70;
  const std::vector<float> x = random_floats(static_cast<std::size_t>(rows * cols), 16);
  for (const auto layout : {hb::scale_layout::linear, hb::scale_layout::swizzled_128x4}) {
    auto q = hb::quantize<hb::nvfp4>(hb::matrix_view<const float>{x.data(), rows, cols},
                                     hb::nearest_even{}, hb::absmax{}, {layout, {}});
    std::vector<float> before(x.size()), after(x.size());
    hb::dequantize(q, {before.data(), rows, cols, cols});
    const auto changed = [&] {
      hb::dequantize(q, {after.data(), rows, cols, cols});
      std::vector<std::size_t> places;
      for (std::size_t i = 0; i < x.size(); ++i) {
        if (exact::bits_of(before[i]) != exact::bits_of(after[i])) places.push_back(i);
      }
      return places;
    };
    q.elements()[35 * 20 + 8] ^= 0x10;  // the odd element of a pair: 20 * 70 + 17
    CHECK(changed() == std::vector<std::size_t>{20 * 70 + 17});
    q.elements()[35 * 20 + 8] ^= 0x10;
    CHECK(changed().empty());
    const std::ptrdiff_t place = layout == hb::scale_layout::linear
                                     ? 33 * 5 + 2
                                     : hb::swizzled_place(33, 2, 5);
    q.scales()[static_cast<std::size_t>(place)] ^= 0x08;
    for (const std::size_t i : changed()) {
      CHECK(i / 70 == 33);
      CHECK(i % 70 / 16 == 2);
    }
    CHECK(changed().size() > 2);
  }
}

TEST_CASE("two quantized matrices are equal when everything about them is") {
  const float x[2] = {1, 2};
  const auto a = hb::quantize<hb::nvfp4>(hb::matrix_view<const float>{x, 1, 2});
  auto b = a;
  CHECK(a == b);
  b.set_tensor_scale(3);
  CHECK(b.tensor_scale() == 3);
  CHECK_FALSE(a == b);
  b = a;
  b.elements()[0] ^= 1;
  CHECK_FALSE(a == b);
  b = a;
  b.scales()[0] ^= 1;
  CHECK_FALSE(a == b);
  CHECK_FALSE(hb::quantized<hb::mxfp4>(0, 3) == hb::quantized<hb::mxfp4>(3, 0));
}

// Rows kept depend on padded rows: rMLX#449; reductions over padding: TE#3041.
TEST_CASE("what is in the padding, and where the bytes lie, changes no number") {
  const auto check = []<hb::block_format B>(exact::block_format_constant<B>) {
    for (const std::ptrdiff_t cols : {1, 3, 17, 33, 67, 257}) {
      const std::ptrdiff_t rows = 130;
      const std::vector<float> x = random_floats(static_cast<std::size_t>(rows * cols), 21);
      const auto clean = hb::quantize<B>(hb::matrix_view<const float>{x.data(), rows, cols},
                                         hb::nearest_even{}, hb::default_scale<B>{},
                                         {hb::scale_layout::swizzled_128x4, {}});
      auto dirty = clean;
      const auto row_bytes = hb::packed_bytes(B.element, cols);
      const auto used_bits = static_cast<int>(cols * B.element.bits() % 8);
      for (std::size_t i = 1; used_bits != 0 && i <= static_cast<std::size_t>(rows); ++i) {
        std::uint8_t& last = dirty.elements()[i * row_bytes - 1];
        last = static_cast<std::uint8_t>(last | 0xff << used_bits);
      }
      std::vector<bool> used(dirty.scales().size());
      for (std::ptrdiff_t i = 0; i < rows; ++i) {
        for (std::ptrdiff_t j = 0; j < B.grid_cols(cols); ++j) {
          used[static_cast<std::size_t>(hb::swizzled_place(i, j, B.grid_cols(cols)))] = true;
        }
      }
      for (std::size_t i = 0; i < used.size(); ++i) {
        if (!used[i]) dirty.scales()[i] = 0xff;  // NaN
      }
      std::vector<float> expected(x.size()), got(x.size());
      hb::dequantize(clean, {expected.data(), rows, cols, cols});
      for (std::size_t offset = 0; offset < 16; ++offset) {
        std::vector<std::uint8_t> elements(offset, 0xff), scales(offset, 0xff);
        elements.insert(elements.end(), dirty.elements().begin(), dirty.elements().end());
        scales.insert(scales.end(), dirty.scales().begin(), dirty.scales().end());
        const hb::quantized_view<B> moved{elements.data() + offset, scales.data() + offset, rows,
                                          cols, dirty.tensor_scale(), dirty.layout()};
        hb::dequantize<B>(moved, {got.data(), rows, cols, cols});
        CHECK(got == expected);
      }
    }
  };
  check(exact::block_format_constant<hb::mxfp4>{});
  check(exact::block_format_constant<hb::mxfp6_e2m3>{});
  check(exact::block_format_constant<hb::nvfp4>{});
  check(exact::block_format_constant<hb::nvfp4_2d>{});
}
