#pragma once

#include <charconv>
#include <cstdint>
#include <ostream>
#include <string>

#include <halfbyte/minifloat.hpp>
#include <halfbyte/names.hpp>
#include <halfbyte/quantized.hpp>

namespace halfbyte {

/// A pattern field by field, sign, exponent, mantissa: "0 10 1" for 3 in e2m1.
template <format F>
std::string bits(minifloat<F> x) {
  std::string text;
  for (int i = F.bits() - 1; i >= 0; --i) {
    text += ((x.pattern >> i) & 1) != 0 ? '1' : '0';
    const bool field_ends = i == F.bits() - F.sign_bits || i == F.mantissa_bits;
    if (field_ends && i > 0) text += ' ';
  }
  return text;
}

/// The shortest decimal that reads back as the number, a float: "0.875", "-0", "nan", "-inf".
template <format F>
std::string decimal(minifloat<F> x) {
  if (x.is_nan()) return "nan";
  const bool negative = (x.pattern & F.sign_mask()) != 0;
  if (x.is_infinity()) return negative ? "-inf" : "inf";
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, static_cast<float>(x)).ptr);
}

/// A number with its bits: "0 10 1 = 3".
template <format F>
std::string describe(minifloat<F> x) {
  return bits(x) + " = " + decimal(x);
}

template <format F>
std::ostream& operator<<(std::ostream& out, minifloat<F> x) {
  return out << describe(x);
}

/// What test frameworks print of a failed comparison: doctest finds `operator<<`, GoogleTest this.
template <format F>
void PrintTo(minifloat<F> x, std::ostream* out) {
  *out << describe(x);
}

inline std::ostream& operator<<(std::ostream& out, format f) { return out << name(f); }
inline std::ostream& operator<<(std::ostream& out, block_format b) { return out << name(b); }

/// The block at (`i`, `j`) of the grid, a line for each of its rows: "0.5 * [6 -3 0.5]"; a tensor
/// scale comes first: "0.25 * 448 * [6 -3]".
template <block_format B>
std::string describe_block(const quantized<B>& q, std::ptrdiff_t i, std::ptrdiff_t j) {
  const auto view = q.view();
  std::string scales = decimal(minifloat<B.scale>::from_pattern(view.scale(i, j))) + " * [";
  if (B.tensor_scale) scales.insert(0, decimal(minifloat<float32>(q.tensor_scale())) + " * ");
  const std::ptrdiff_t r = B.block_rows(q.rows()), c = B.block_cols(q.cols());
  std::string text;
  for (std::ptrdiff_t a = 0; a < r && i * r + a < q.rows(); ++a) {
    text += text.empty() ? scales : "\n" + scales;
    for (std::ptrdiff_t b = 0; b < c && j * c + b < q.cols(); ++b) {
      if (b > 0) text += ' ';
      text += decimal(minifloat<B.element>::from_pattern(view.block(i, j).load(a, b)));
    }
    text += ']';
  }
  return text;
}

/// A quantized matrix in a line: "mxfp4 128 x 256, 17408 bytes".
template <block_format B>
std::ostream& operator<<(std::ostream& out, const quantized<B>& q) {
  return out << name(B) << ' ' << q.rows() << " x " << q.cols() << ", " << q.bytes() << " bytes";
}

}  // namespace halfbyte
