#include <doctest/doctest.h>

// Formulas as other libraries compute them, in IEEE floats, beside ours. The comparison needs the
// compiler to keep to IEEE 754: this program is not built with -ffast-math.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <halfbyte/quantize.hpp>

#include "every_block.hpp"
#include "exact.hpp"
#include "tally.hpp"

namespace hb = halfbyte;

namespace {

const exact::grid e4m3_grid = exact::grid_of(hb::e4m3);
const exact::grid e2m1_grid = exact::grid_of(hb::e2m1);

/// Round to nearest even, saturating: cvt.rn.satfinite.
std::uint32_t convert(const exact::grid& g, float x) {
  return g.round(exact::of(x), exact::rounding::nearest_even, exact::overflow::saturate);
}

float number(const exact::grid& g, std::uint32_t pattern) {
  return exact::to_float(g.meaning(pattern).magnitude, g.meaning(pattern).negative);
}

/// TransformerEngine's NVFP4: core_nvfp4.cuh and quantize_transpose_vector_blockwise_fp4.cu.
struct transformer_engine {
  float s, mult, decode;

  explicit transformer_engine(float amax) {
    constexpr float most = std::numeric_limits<float>::max();
    s = std::fmin((448.0f * 6.0f) / amax, most);
    if (amax == 0.0f || s == 0.0f) s = 1.0f;
    mult = s * (1.0f / 6.0f);
    decode = 1.0f / s;
  }
  std::uint32_t scale(float block_amax) const {
    return convert(e4m3_grid, std::fmin(block_amax * mult, std::numeric_limits<float>::max()));
  }
  std::uint32_t element(float x, std::uint32_t scale) const {
    const float enc = std::fmin(1.0f / (number(e4m3_grid, scale) * decode),
                                std::numeric_limits<float>::max());
    return convert(e2m1_grid, x * enc);
  }
};

template <hb::block_format B>
void nvfp4_te_agrees(tally& t, const std::vector<float>& x, std::ptrdiff_t rows,
                     std::ptrdiff_t cols) {
  const auto at = [&](std::ptrdiff_t i, std::ptrdiff_t j) {
    return x[static_cast<std::size_t>(i * cols + j)];
  };
  float amax = 0;
  for (const float v : x) amax = std::fmax(amax, std::fabs(v));
  const transformer_engine te(amax);
  const auto q = hb::quantize<B>(hb::matrix_view<const float>{x.data(), rows, cols},
                                 hb::nearest_even{}, hb::nvfp4_te{});
  t.expect(q.tensor_scale() == te.decode, [&] { return "tensor scale of " + std::to_string(amax); });
  for (std::ptrdiff_t i = 0; i < B.grid_rows(rows); ++i) {
    for (std::ptrdiff_t j = 0; j < B.grid_cols(cols); ++j) {
      const std::ptrdiff_t last_row = std::min(rows, (i + 1) * B.rows);
      const std::ptrdiff_t last_col = std::min(cols, (j + 1) * B.cols);
      float block_amax = 0;
      for (std::ptrdiff_t a = i * B.rows; a < last_row; ++a) {
        for (std::ptrdiff_t b = j * B.cols; b < last_col; ++b) {
          block_amax = std::fmax(block_amax, std::fabs(at(a, b)));
        }
      }
      const std::uint32_t scale = te.scale(block_amax);
      t.expect(q.view().scale(i, j) == scale, [&] {
        return "scale " + hex(q.view().scale(i, j)) + " for " + hex(scale);
      });
      for (std::ptrdiff_t a = i * B.rows; a < last_row; ++a) {
        for (std::ptrdiff_t b = j * B.cols; b < last_col; ++b) {
          const std::uint32_t got = hb::load_packed<hb::e2m1>(q.view().row(a), b);
          t.expect(got == te.element(at(a, b), scale), [&] {
            return "element of " + hex(exact::bits_of(at(a, b))) + ", scale " + hex(scale);
          });
        }
      }
    }
  }
}

std::vector<float> matrix(std::size_t n, int low, int high, std::uint64_t seed) {
  exact::hard_blocks<float> make(n, seed);
  return make.between(low, high);
}

}  // namespace

TEST_CASE("nvfp4_te has TransformerEngine's scales, elements and tensor scale, bit for bit") {
  tally t;
  std::uint64_t seed = 1;
  for (const int top : {2, 3, 60, 120, 127, 135, 200, 253, 254}) {
    for (const int depth : {1, 4, 9, 25}) {
      const auto x = matrix(24 * 80, std::max(top - depth, 0), top, ++seed);
      nvfp4_te_agrees<hb::nvfp4>(t, x, 24, 80);
      nvfp4_te_agrees<hb::nvfp4_2d>(t, x, 24, 80);
    }
  }
  nvfp4_te_agrees<hb::nvfp4>(t, matrix(64, 0, 0, 3), 1, 64);  // subnormals: S is FLT_MAX
  nvfp4_te_agrees<hb::nvfp4>(t, std::vector<float>(64, 0.0f), 4, 16);
  // A block so small that its scale is 0: 1 / 0 is held to FLT_MAX, and elements become 6.
  std::vector<float> small(32, 0x1p-30f);
  small[0] = 1000.0f;
  nvfp4_te_agrees<hb::nvfp4>(t, small, 2, 16);
  CHECK(t.total > 100000);
}

TEST_CASE("nvfp4_te differs from the exact quotient, and so is a rule for compatibility only") {
  const auto x = matrix(4096, 120, 127, 5);
  const hb::matrix_view<const float> v{x.data(), 16, 256};
  const auto te = hb::quantize<hb::nvfp4>(v, hb::nearest_even{}, hb::nvfp4_te{});
  const auto exactly = hb::quantize<hb::nvfp4>(v);
  std::size_t apart = 0;
  for (std::size_t i = 0; i < te.scales().size(); ++i) {
    const int d = std::abs(int{te.scales()[i]} - int{exactly.scales()[i]});
    CHECK(d <= 1);
    apart += d != 0 ? 1 : 0;
  }
  CHECK(apart < te.scales().size() / 50);
}

TEST_CASE("ceil_pow2 is torchao's RCEIL, but for amaxes that its float reciprocal moves across a "
          "power of two") {
  tally t;
  std::size_t crossed = 0;
  const auto x = matrix(200000, 1, 250, 7);
  for (const float value : x) {
    const float amax = std::fabs(value);
    const float d = amax * (1.0f / 448.0f);
    const std::uint32_t bits = exact::bits_of(d);
    const std::uint32_t field = bits >> 23, mantissa = bits & 0x7fffff;
    const bool up = field == 0 ? mantissa > 0x400000 : mantissa != 0;
    const std::uint32_t rceil = field + (up ? 1 : 0);
    const hb::matrix_view<const float> one{&amax, 1, 1};
    const auto ours = hb::quantize<hb::mxfp8_e4m3>(one, hb::nearest_even{}, hb::ceil_pow2{});
    const bool beside_power = mantissa <= 1 || mantissa == 0x7fffff;
    if (beside_power && ours.scales()[0] != rceil) {
      ++crossed;
      continue;
    }
    t.expect(ours.scales()[0] == rceil, [&] {
      return hex(exact::bits_of(amax)) + ": " + hex(ours.scales()[0]) + " for " + hex(rceil);
    });
  }
  CHECK(crossed < 5);
}

TEST_CASE("fp8_1x128 has DeepSeek-V3's scales, and its elements but for quotients that a float "
          "rounds onto a midpoint") {
  tally t;
  std::size_t doubly_rounded = 0, total = 0;
  const auto x = matrix(64 * 256, 118, 130, 11);
  const auto q = hb::quantize<hb::fp8_1x128>(hb::matrix_view<const float>{x.data(), 64, 256});
  for (std::ptrdiff_t i = 0; i < 64; ++i) {
    for (std::ptrdiff_t j = 0; j < 2; ++j) {
      float amax = 1e-4f;
      const auto at = [&](std::ptrdiff_t k) {
        return x[static_cast<std::size_t>(i * 256 + j * 128 + k)];
      };
      for (std::ptrdiff_t k = 0; k < 128; ++k) amax = std::fmax(amax, std::fabs(at(k)));
      const float s = amax / 448.0f;
      t.expect(q.view().scale(i, j) == exact::bits_of(s), [&] { return "scale"; });
      for (std::ptrdiff_t k = 0; k < 128; ++k, ++total) {
        const float y = at(k) / s;
        const std::uint32_t theirs = convert(e4m3_grid, y);
        const std::uint32_t ours = q.view().row(i)[j * 128 + k];
        const exact::place p = e4m3_grid.find(exact::of(y).magnitude);
        if (theirs != ours && p.versus_middle == 0) {
          ++doubly_rounded;
          continue;
        }
        t.expect(theirs == ours, [&] { return "element " + hex(ours) + " for " + hex(theirs); });
      }
    }
  }
  CHECK(doubly_rounded * 1000 < total);
}

TEST_CASE("four_over_six has the scales of the paper's code, in floats, but for near ties") {
  std::size_t apart = 0;
  const auto x = matrix(256 * 16, 122, 127, 13);
  float amax = 0;
  for (const float v : x) amax = std::fmax(amax, std::fabs(v));
  const float s = 6.0f * 256.0f / amax;
  const auto q = hb::quantize<hb::nvfp4>(hb::matrix_view<const float>{x.data(), 256, 16},
                                         hb::nearest_even{}, hb::four_over_six{});
  for (std::ptrdiff_t i = 0; i < 256; ++i) {
    float block_amax = 0;
    for (std::ptrdiff_t j = 0; j < 16; ++j) {
      block_amax = std::fmax(block_amax, std::fabs(x[static_cast<std::size_t>(i * 16 + j)]));
    }
    const float base = (block_amax / 6.0f) * s;
    const std::uint32_t six = convert(e4m3_grid, base);
    const std::uint32_t four = convert(e4m3_grid, std::fmin(1.5f * base, 448.0f));
    const auto error = [&](std::uint32_t scale) {
      float sum = 0;
      const float by = number(e4m3_grid, scale) * amax / (6.0f * 256.0f);
      for (std::ptrdiff_t j = 0; j < 16; ++j) {
        const float v = x[static_cast<std::size_t>(i * 16 + j)];
        const float e = v - number(e2m1_grid, convert(e2m1_grid, v / by)) * by;
        sum += e * e;
      }
      return sum;
    };
    const std::uint32_t theirs = error(four) < error(six) ? four : six;
    apart += q.view().scale(i, 0) != theirs ? 1 : 0;
  }
  CHECK(apart <= 2);
}
