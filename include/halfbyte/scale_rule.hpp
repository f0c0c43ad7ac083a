#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <halfbyte/bits.hpp>
#include <halfbyte/block_format.hpp>
#include <halfbyte/config.hpp>
#include <halfbyte/encode.hpp>
#include <halfbyte/view.hpp>

namespace halfbyte {

/// What the blocks of one tensor have in common: its scale, and the largest finite magnitude in it
/// (0 when the scale was given and nobody looked).
struct tensor_scaling {
  float scale = 1;
  float amax = 0;
};

/// A scale rule: the pattern of a block's scale, from the block and its largest magnitude.
///
/// Called with finite elements and amax > 0. A rule may also have
/// - `tensor_scale<B>(amax)`, the float for a tensor whose largest magnitude is amax > 0;
/// - `scaled<B>(x, pattern, tensor)`, the number that is rounded for element x: without it
///   x / (scale * tensor scale), exactly;
/// - `suits<B>()`, whether it is a rule for B: without it, it is one for every block format.
template <class S>
concept scale_rule =
    std::is_copy_constructible_v<S> &&
    requires(const S s, matrix_view<const float> x, unpacked amax, tensor_scaling tensor) {
      { s.template block_scale<nvfp4>(x, amax, tensor) } -> std::same_as<std::uint32_t>;
    };

/// The largest number of F.
template <format F>
HALFBYTE_HD constexpr unpacked largest() {
  return unpack<F>(F.max_pattern());
}

/// The scale pattern nearest to `scale`; never zero, so that elements can be divided by it.
template <format F, rounding Rounding = nearest_even>
HALFBYTE_HD constexpr std::uint32_t positive_scale(const unpacked& scale, Rounding rounding = {}) {
  const std::uint32_t pattern = encode<F>(scale, rounding);
  // A float scale stays normal: no unit flushes it to zero.
  const std::uint32_t smallest = F == float32 ? F.min_normal_pattern() : F.min_pattern();
  return larger(pattern, smallest);
}

/// What the elements of a block are divided by: scale * tensor scale, exactly.
template <block_format B>
HALFBYTE_HD constexpr unpacked divisor(std::uint32_t pattern, tensor_scaling tensor) {
  const unpacked scale = unpack<B.scale>(pattern);
  return B.tensor_scale ? product(scale, unpack(tensor.scale)) : scale;
}

/// Whether Scale is a rule for block format B.
template <scale_rule Scale, block_format B>
HALFBYTE_HD constexpr bool suits() {
  if constexpr (requires { Scale::template suits<B>(); }) {
    return Scale::template suits<B>();
  } else {
    return true;
  }
}

namespace detail {

/// The block scale that puts amax at element `limit`: amax / (limit * tensor scale).
template <block_format B>
HALFBYTE_HD constexpr unpacked ratio(const unpacked& amax, const unpacked& limit,
                                     tensor_scaling tensor) {
  return quotient(amax, B.tensor_scale ? product(limit, unpack(tensor.scale)) : limit);
}

/// The tensor scale that puts amax at the largest element times `largest_scale`.
template <block_format B>
HALFBYTE_HD constexpr float tensor_scale_to(const unpacked& amax, const unpacked& largest_scale) {
  const unpacked limit = product(largest<B.element>(), largest_scale);
  return bit_cast<float>(positive_scale<float32>(quotient(amax, limit)));
}

/// 2^k, where k is the exponent of amax less that of the largest element.
template <block_format B>
HALFBYTE_HD constexpr unpacked floor_scale(const unpacked& amax, tensor_scaling tensor) {
  const unpacked one = unpack_integer(1, 0);
  return unpack_integer(1, ratio<B>(amax, one, tensor).exponent - B.element.max_exponent());
}

}  // namespace detail

}  // namespace halfbyte
