// Any bytes as a matrix of any shape: quantize, quantize_transposed, dequantize and fake_quantize
// must agree with each other and stay inside their buffers.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include <halfbyte/minifloat.hpp>
#include <halfbyte/quantize.hpp>

namespace hb = halfbyte;

namespace {

void require(bool right, const char* what) {
  if (right) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::abort();
}

/// The input, byte by byte; zeros after its end.
struct reader {
  const std::uint8_t* data;
  std::size_t size;
  std::size_t place = 0;

  std::uint8_t byte() { return place < size ? data[place++] : std::uint8_t{0}; }
  template <class T>
  T number() {
    T x;
    std::uint8_t bytes[sizeof(T)];
    for (std::uint8_t& b : bytes) b = byte();
    std::memcpy(&x, bytes, sizeof(T));
    return x;
  }
};

/// A matrix on the heap of exactly the numbers that its view may touch.
template <class T>
struct matrix {
  std::unique_ptr<T[]> numbers;
  hb::matrix_view<T> view;

  matrix(std::ptrdiff_t rows, std::ptrdiff_t cols, std::ptrdiff_t gap) {
    const std::ptrdiff_t stride = cols + gap;
    const std::ptrdiff_t n = rows == 0 || cols == 0 ? 0 : (rows - 1) * stride + cols;
    numbers = std::make_unique<T[]>(static_cast<std::size_t>(n));
    view = {numbers.get(), rows, cols, stride};
  }
};

bool same(hb::matrix_view<float> a, hb::matrix_view<float> b) {
  for (std::ptrdiff_t i = 0; i < a.rows; ++i) {
    for (std::ptrdiff_t j = 0; j < a.cols; ++j) {
      if (std::memcmp(&a(i, j), &b(i, j), sizeof(float)) != 0) return false;
    }
  }
  return true;
}

template <hb::block_format B, class T, class Rounding, class Rule>
void check(reader in, const Rounding& rounding, const Rule& rule) {
  const std::ptrdiff_t rows = in.byte() % 40, cols = in.byte() % 160, gap = in.byte() % 4;
  const bool swizzled = in.byte() % 2 == 1 && hb::scale_bytes(B.scale) == 1;
  hb::quantize_options options;
  if (swizzled) options.layout = hb::scale_layout::swizzled_128x4;
  if (in.byte() % 4 == 0) {
    const float given = in.number<float>();
    if (given > 0 && given < 0x1p127f) options.tensor_scale = given;
  }
  matrix<T> x(rows, cols, gap), turned(cols, rows, 3 - gap);
  for (std::ptrdiff_t i = 0; i < rows; ++i) {
    for (std::ptrdiff_t j = 0; j < cols; ++j) turned.view(j, i) = x.view(i, j) = in.number<T>();
  }
  const hb::matrix_view<const T> view = x.view;
  const hb::quantized<B> q = hb::quantize<B>(view, rounding, rule, options);
  require(hb::quantize_transposed<B>(turned.view, rounding, rule, options) == q,
          "quantize_transposed is quantize of the transpose");
  matrix<float> back(rows, cols, gap), fake(rows, cols, 0);
  hb::dequantize(q, back.view);
  hb::fake_quantize<B>(view, fake.view, rounding, rule, options);
  require(same(back.view, fake.view), "fake_quantize is dequantize of quantize");
  for (std::ptrdiff_t i = 0; i < rows; ++i) {
    for (std::ptrdiff_t j = 0; j < cols; ++j) {
      const float one = q.view()(i, j);
      require(std::memcmp(&one, &back.view(i, j), sizeof one) == 0, "a view reads single numbers");
    }
  }
}

/// Any bytes as a quantized matrix: every pattern of an element or a scale is a number or NaN.
template <hb::block_format B>
void check_bytes(reader in) {
  const std::ptrdiff_t rows = in.byte() % 20, cols = in.byte() % 70;
  hb::quantized<B> q(rows, cols);
  q.set_tensor_scale(in.number<float>());
  for (std::uint8_t& b : q.scales()) b = in.byte();
  for (std::uint8_t& b : q.elements()) b = in.byte();
  matrix<float> a(rows, cols, 1), b(rows, cols, 0);
  hb::dequantize(q, a.view);
  hb::dequantize(q, b.view);
  require(same(a.view, b.view), "dequantize is a function");
}

template <hb::block_format B>
void check_roundings(int choice, reader in) {
  const std::uint64_t seed = in.number<std::uint64_t>();
  const hb::default_scale<B> rule;
  switch (choice % 6) {
    case 0: return check<B, float>(in, hb::nearest_even{}, rule);
    case 1: return check<B, float>(in, hb::stochastic<>{seed, seed >> 32}, rule);
    case 2: return check<B, double>(in, hb::to_odd{}, rule);
    case 3: return check<B, hb::minifloat<hb::bfloat16>>(in, hb::upward{}, rule);
    case 4: return check<B, float>(in, hb::nearest_even{}, hb::ceil_pow2{});
    default: return check_bytes<B>(in);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  reader in{data, size};
  const int format = in.byte() % 14, choice = in.byte();
  switch (format) {
    case 0: check_roundings<hb::mxfp4>(choice, in); break;
    case 1: check_roundings<hb::mxfp6_e2m3>(choice, in); break;
    case 2: check_roundings<hb::mxfp8_e5m2>(choice, in); break;
    case 3: check_roundings<hb::mxint8>(choice, in); break;
    case 4: check_roundings<hb::nvfp4>(choice, in); break;
    case 5: check_roundings<hb::nvfp4_2d>(choice, in); break;
    case 6: check_roundings<hb::fp8_1x128>(choice, in); break;
    case 7: check_roundings<hb::per_column(hb::e4m3)>(choice, in); break;
    case 8: check_roundings<hb::per_tensor(hb::int8)>(choice, in); break;
    case 9: check<hb::nvfp4, float>(in, hb::nearest_even{}, hb::four_over_six{}); break;
    case 10: check<hb::nvfp4, float>(in, hb::stochastic<8>{1}, hb::nvfp4_te{}); break;
    case 11: check<hb::mxfp4, float>(in, hb::downward{}, hb::rms_clip{}); break;
    case 12: check<hb::mxfp8_e4m3, double>(in, hb::nearest_even{}, hb::nearest_pow2{}); break;
    default: check<hb::nvfp4, double>(in, hb::toward_zero{}, hb::mean_square_search{}); break;
  }
  return 0;
}
