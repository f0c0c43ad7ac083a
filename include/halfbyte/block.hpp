#pragma once

#include <cstddef>
#include <cstdint>

#include <halfbyte/block_format.hpp>
#include <halfbyte/config.hpp>
#include <halfbyte/encode.hpp>
#include <halfbyte/pack.hpp>
#include <halfbyte/rounding.hpp>
#include <halfbyte/scale_rule.hpp>
#include <halfbyte/view.hpp>

namespace halfbyte {

/// The largest finite magnitude of a set of numbers, and whether all of them are finite.
struct magnitudes {
  unpacked amax{};
  bool all_finite = true;

  HALFBYTE_HD constexpr void add(const unpacked& x) {
    if (!x.is_finite()) {
      all_finite = false;
    } else if (magnitude_less(amax, x)) {
      amax = magnitude(x);
    }
  }
};

template <class T>
HALFBYTE_HD constexpr magnitudes magnitudes_of(matrix_view<const T> x) {
  magnitudes m;
  for (std::ptrdiff_t i = 0; i < x.rows; ++i) {
    for (std::ptrdiff_t j = 0; j < x.cols; ++j) m.add(unpack(x(i, j)));
  }
  return m;
}

/// The tensor scale of a tensor whose largest finite magnitude is `amax`; 1 for a tensor of zeros,
/// and for block formats that have none.
template <block_format B, scale_rule Scale>
HALFBYTE_HD constexpr tensor_scaling scale_tensor(const unpacked& amax, const Scale& rule) {
  tensor_scaling tensor;
  if (!B.tensor_scale || amax.is_zero()) return tensor;
  tensor.amax = bit_cast<float>(encode<float32>(amax));
  if constexpr (requires { rule.template tensor_scale<B>(amax); }) {
    tensor.scale = rule.template tensor_scale<B>(amax);
  } else {
    tensor.scale = detail::tensor_scale_to<B>(amax, largest<B.scale>());
  }
  return tensor;
}

/// Where the elements of a block lie in their tensor: element (i, j) has index first + i * stride
/// + j, the one that stochastic rounding draws its bits by.
struct element_indices {
  std::uint64_t first = 0, stride = 0;

  HALFBYTE_HD constexpr std::uint64_t operator()(std::ptrdiff_t i, std::ptrdiff_t j) const {
    return first + static_cast<std::uint64_t>(i) * stride + static_cast<std::uint64_t>(j);
  }
};

/// Rows of packed patterns, of which those from column `first` on are a block's.
template <format F, class Byte = std::uint8_t>
struct packed_view {
  Byte* data = nullptr;
  std::ptrdiff_t row_bytes = 0;
  std::ptrdiff_t first = 0;

  HALFBYTE_HD constexpr std::uint32_t load(std::ptrdiff_t i, std::ptrdiff_t j) const {
    return load_packed<F>(data + i * row_bytes, first + j);
  }
  HALFBYTE_HD constexpr void store(std::ptrdiff_t i, std::ptrdiff_t j, std::uint32_t p) const {
    store_packed<F>(data + i * row_bytes, first + j, p);
  }
};

/// Quantizes one block: writes its elements, returns the pattern of its scale. The specification
/// that every faster path matches byte for byte.
///
/// - element = round(x / (scale * tensor scale)), the quotient exact, rounded once, saturating;
/// - a block of zeros has the smallest scale (zero, where the scale's format has one);
/// - a block with a NaN or an infinity has a NaN scale and zero elements, so nothing is lost
///   silently; where the scale's format has no NaN, such elements follow `saturate`.
template <block_format B, class T, rounding Rounding, scale_rule Scale>
HALFBYTE_HD constexpr std::uint32_t quantize_block(matrix_view<const T> x,
                                                   packed_view<B.element> out,
                                                   tensor_scaling tensor, const Rounding& rounding,
                                                   const Scale& rule, element_indices index) {
  static_assert(B.valid(), "not a block format that halfbyte can hold: see block_format::valid()");
  const magnitudes m = magnitudes_of(x);
  const bool poisoned = !m.all_finite && B.scale.has_nan();
  std::uint32_t pattern = 0;
  if (poisoned) {
    pattern = B.scale.nan_pattern();
  } else if (!m.amax.is_zero()) {
    pattern = rule.template block_scale<B>(x, m.amax, tensor);
  }
  const unpacked by = divisor<B>(pattern, tensor);
  for (std::ptrdiff_t i = 0; i < x.rows; ++i) {
    for (std::ptrdiff_t j = 0; j < x.cols; ++j) {
      unpacked value = unpack(x(i, j));
      if (poisoned) {
        value = unpacked{};
      } else if constexpr (requires { rule.template scaled<B>(value, pattern, tensor); }) {
        value = rule.template scaled<B>(value, pattern, tensor);
      } else if (!value.is_zero()) {
        value = quotient(value, by);
      }
      out.store(i, j, encode<B.element>(value, rounding, saturate{}, index(i, j)));
    }
  }
  return pattern;
}

/// The float nearest to element * scale * tensor scale, the product exact; infinite beyond the
/// largest float. NaN in the scale or the element gives NaN.
template <block_format B>
HALFBYTE_HD constexpr float dequantize_element(std::uint32_t element, const unpacked& scale) {
  const unpacked value = product(unpack<B.element>(element), scale);
  return bit_cast<float>(encode<float32>(value, nearest_even{}, to_special{}));
}

/// Dequantizes one block with scale `pattern`: out(i, j) = element * scale * tensor scale.
template <block_format B>
HALFBYTE_HD constexpr void dequantize_block(packed_view<B.element, const std::uint8_t> elements,
                                            std::uint32_t pattern, float tensor_scale,
                                            matrix_view<float> out) {
  const unpacked scale = divisor<B>(pattern, {tensor_scale, 0});
  for (std::ptrdiff_t i = 0; i < out.rows; ++i) {
    for (std::ptrdiff_t j = 0; j < out.cols; ++j) {
      out(i, j) = dequantize_element<B>(elements.load(i, j), scale);
    }
  }
}

}  // namespace halfbyte
