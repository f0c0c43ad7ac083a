#pragma once

// The oracle of the block tests: what a block's scale and elements must be, from comparisons of
// exact numbers. As in exact.hpp, nothing here is shared with the library.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "exact.hpp"

namespace exact {

inline number reduce(number a) {
  while (a.n != 0 && a.n % 2 == 0) {
    a.n /= 2;
    ++a.k;
  }
  return a;
}

/// a * b; the caller knows that the odd parts' product needs at most 64 bits.
inline number multiply(number a, number b) {
  a = reduce(a);
  b = reduce(b);
  return {a.n * b.n, a.k + b.k};
}

inline number times_two_to(number a, int k) { return {a.n, a.k + k}; }

/// floor(log2(a / b)) for numbers above zero.
inline int floor_log2(number a, number b) {
  const int k = a.k + width(a.n) - (b.k + width(b.n));
  return compare(times_two_to(b, k), a) <= 0 ? k : k - 1;
}

/// Where a / b lies among `count` increasing values, by comparing a with value * b.
template <class Values>
place find_ratio(std::size_t count, Values&& value, number next, number a, number b) {
  place p;
  if (compare(multiply(value(0), b), a) > 0) {
    p.below = true;
    return p;
  }
  std::size_t low = 0, high = count;
  while (high - low > 1) {
    const std::size_t at = low + (high - low) / 2;
    (compare(multiply(value(at), b), a) <= 0 ? low : high) = at;
  }
  const number upper = low + 1 < count ? value(low + 1) : next;
  p.lower = low;
  p.exact = compare(multiply(value(low), b), a) == 0;
  p.beyond = compare(multiply(upper, b), a) <= 0;
  p.versus_middle = compare(a, multiply(middle(value(low), upper), b));
  return p;
}

inline place find_ratio(const grid& g, number a, number b) {
  return find_ratio(g.values.size(), [&](std::size_t i) { return g.values[i]; }, g.next, a, b);
}

/// The pattern of the float nearest to a / b, ties to even; that of infinity beyond the largest.
inline std::uint32_t nearest_float(number a, number b) {
  if (a.n == 0) return 0;
  const auto value = [](std::size_t i) { return from_ieee(i, 8, 23).magnitude; };
  const place p = find_ratio(std::size_t{0x7f800000u}, value, number{1, 128}, a, b);
  const bool up = p.versus_middle > 0 || (p.versus_middle == 0 && p.lower % 2 == 1);
  return static_cast<std::uint32_t>(p.lower) + (up && !p.exact ? 1 : 0);
}

enum class scale_rule { floor_pow2, ceil_pow2, nearest_pow2, absmax, four_over_six, mean_square };

/// A block format as the oracle sees it: elements, scales (floats where none are given), and
/// whether a tensor scale multiplies them.
struct block_oracle {
  grid element;
  std::optional<grid> scale;
  bool has_tensor_scale = false;

  number limit() const { return element.values.back(); }
  int emax() const { return floor_log2(limit(), {1, 0}); }

  std::uint32_t largest_scale() const { return scale ? scale->largest() : 0x7f7fffffu; }
  bool scale_has_nan() const { return !scale || scale->has_nan; }
  std::uint32_t nan_scale() const { return scale ? scale->nan() : 0x7fffffffu; }
  number scale_value(std::uint32_t pattern) const {
    return scale ? scale->values[pattern] : from_ieee(pattern, 8, 23).magnitude;
  }

  /// The scale nearest to a / b that is not zero (that is a normal number, where scales are
  /// floats); the one below where `down`.
  std::uint32_t nearest_scale(number a, number b, bool down = false) const {
    if (!scale) {
      const std::uint32_t p = nearest_float(a, b);
      return p < 0x00800000u ? 0x00800000u : p > 0x7f7fffffu ? 0x7f7fffffu : p;
    }
    const place p = find_ratio(*scale, a, b);
    const rounding mode = down ? rounding::toward_zero : rounding::nearest_even;
    const std::uint32_t pattern =
        p.below ? 0 : scale->finish(p, scale->goes_up(p, false, mode), false, overflow::saturate);
    return pattern == 0 && scale->values[0].n == 0 ? 1 : pattern;
  }

  /// The tensor scale that puts `amax` at the largest element times `largest`.
  std::uint32_t tensor_scale(number amax, number largest) const {
    const std::uint32_t p = nearest_float(amax, multiply(limit(), largest));
    return p < 0x00800000u ? 0x00800000u : p > 0x7f7fffffu ? 0x7f7fffffu : p;
  }

  /// What elements are divided by.
  number divisor(std::uint32_t pattern, number tensor) const {
    return has_tensor_scale ? multiply(scale_value(pattern), tensor) : scale_value(pattern);
  }

  std::uint32_t element_of(const value& x, number by, rounding mode) const {
    if (!x.finite()) return element.round(x, mode, overflow::saturate);
    if (x.magnitude.n == 0) return element.with_sign(0, x.negative);
    return element.round(x, find_ratio(element, x.magnitude, by), mode, overflow::saturate);
  }

  /// The same for a random word of `bits` bits.
  std::uint32_t element_of(const value& x, number by, std::uint64_t word, int bits,
                           bool round_fraction) const {
    if (!x.finite() || x.magnitude.n == 0) return element_of(x, by, rounding::toward_zero);
    const place p = find_ratio(element, x.magnitude, by);
    if (p.beyond) return element.with_sign(element.largest(), x.negative);
    const number lower = element.values[p.lower];
    const number upper = p.lower == element.largest() ? element.next : element.values[p.lower + 1];
    const number gap = multiply(subtract(upper, lower), by);
    number rest = subtract(x.magnitude, multiply(lower, by));
    std::uint64_t up = 0;
    for (int i = 0; i < bits; ++i) {
      ++rest.k;
      const bool digit = compare(rest, gap) >= 0;
      if (digit) rest = subtract(rest, gap);
      up = 2 * up + (digit ? 1 : 0);
    }
    const int half = compare(times_two_to(rest, 1), gap);
    if (round_fraction && (half > 0 || (half == 0 && up % 2 == 1))) ++up;
    return element.finish(p, word >= (std::uint64_t{1} << bits) - up, x.negative,
                          overflow::saturate);
  }

  /// Element `pattern` * scale * tensor scale, as the bits of the nearest float.
  std::uint32_t dequantized(std::uint32_t pattern, std::uint32_t scale_pattern,
                            number tensor) const {
    const value e = element.meaning(pattern);
    const bool nan_scaled = scale_has_nan() && scale_pattern == nan_scale();
    const std::uint32_t sign = e.negative ? 0x80000000u : 0;
    if (nan_scaled || e.what == value::kind::nan) return 0x7fffffffu;
    const number by = divisor(scale_pattern, tensor);
    if (!e.finite()) return by.n == 0 ? 0x7fffffffu : sign | 0x7f800000u;
    return sign | nearest_float(multiply(e.magnitude, by), {1, 0});
  }

  static number largest_magnitude(const std::vector<value>& x) {
    number amax;
    for (const value& v : x) {
      if (v.finite() && compare(amax, v.magnitude) < 0) amax = v.magnitude;
    }
    return amax;
  }

  /// Sum of squares of errors, each a difference of multiples of 2^unit cut off towards zero.
  std::uint64_t squared_error(const std::vector<value>& x, std::uint32_t pattern, number tensor,
                              int unit) const {
    const auto units = [&](number a) {
      const int shift = a.k - unit;
      const std::uint64_t most = std::uint64_t{1} << 30;
      if (a.n == 0 || width(a.n) + shift <= 0) return std::uint64_t{0};
      if (width(a.n) + shift > 31) return most;
      const std::uint64_t n = shift >= 0 ? a.n << shift : a.n >> -shift;
      return n < most ? n : most;
    };
    const number by = divisor(pattern, tensor);
    std::uint64_t sum = 0;
    for (const value& v : x) {
      const value size{v.what, false, v.magnitude};
      const number back =
          multiply(element.meaning(element_of(size, by, rounding::nearest_even)).magnitude, by);
      const std::uint64_t a = units(v.magnitude), b = units(back);
      sum += a > b ? (a - b) * (a - b) : (b - a) * (b - a);
    }
    return sum;
  }

  /// How far below amax's power of two the errors' unit stands.
  static int error_bits(std::size_t elements) {
    const int room = (62 - width(elements)) / 2 - 2;
    return room < 22 ? room : 22;
  }

  /// Pattern of the scale of a block of finite numbers, not all zero.
  std::uint32_t scale_of(const std::vector<value>& x, scale_rule rule, number tensor) const {
    const number amax = largest_magnitude(x);
    const number t = has_tensor_scale ? tensor : number{1, 0};
    const int floor_exponent = floor_log2(amax, t) - emax();
    const int unit = floor_log2(amax, {1, 0}) - error_bits(x.size());
    switch (rule) {
      case scale_rule::floor_pow2: return nearest_scale({1, floor_exponent}, {1, 0});
      case scale_rule::ceil_pow2: {
        const number goal = multiply(limit(), t);
        int k = floor_log2(amax, goal);
        if (compare(times_two_to(goal, k), amax) < 0) ++k;
        return nearest_scale({1, k}, {1, 0});
      }
      case scale_rule::nearest_pow2: {
        // The first number that rounds up to the next power of two, with m bits of mantissa, is
        // 2 - 2^-(m + 1).
        const int m = element.is.mantissa_bits - (element.is.fixed_point() ? 1 : 0);
        const number carries{(std::uint64_t{1} << (m + 2)) - 1, -(m + 1)};
        const number edge = times_two_to(multiply(carries, t), floor_exponent + emax());
        return nearest_scale({1, floor_exponent + (compare(edge, amax) <= 0 ? 1 : 0)}, {1, 0});
      }
      case scale_rule::absmax: return nearest_scale(amax, multiply(limit(), t));
      case scale_rule::four_over_six: {
        const std::uint32_t six = nearest_scale(amax, multiply({6, 0}, t));
        const std::uint32_t four = nearest_scale(amax, multiply({4, 0}, t));
        const bool better =
            squared_error(x, four, tensor, unit) < squared_error(x, six, tensor, unit);
        return better ? four : six;
      }
      case scale_rule::mean_square: {
        const bool powers = scale && scale->is.mantissa_bits == 0;
        std::uint32_t best = 0;
        std::uint64_t least = 0;
        for (int i = 0; i < (powers ? 3 : 23); ++i) {
          const auto factor = static_cast<std::uint64_t>(26 + i);
          const std::uint32_t pattern =
              powers ? nearest_scale({1, floor_exponent + i - 1}, {1, 0})
                     : nearest_scale(multiply(amax, {factor, 0}),
                                     multiply(multiply(limit(), {32, 0}), t));
          const std::uint64_t error = squared_error(x, pattern, tensor, unit);
          if (i == 0 || error < least) {
            least = error;
            best = pattern;
          }
        }
        return best;
      }
    }
    return 0;
  }

  struct block {
    std::uint32_t scale = 0;
    bool poisoned = false;
    std::vector<std::uint32_t> elements;
  };

  /// Scale first, by `choose(numbers)`, then elements by `round(value, divisor, place in block)`.
  template <class Choose, class Round>
  block quantize(const std::vector<value>& x, number tensor, Choose&& choose,
                 Round&& round) const {
    block b;
    bool finite = true;
    for (const value& v : x) finite = finite && v.finite();
    b.poisoned = !finite && scale_has_nan();
    if (b.poisoned) {
      b.scale = nan_scale();
      b.elements.assign(x.size(), 0);
      return b;
    }
    if (largest_magnitude(x).n != 0) b.scale = choose(x);
    const number by = divisor(b.scale, tensor);
    for (std::size_t i = 0; i < x.size(); ++i) b.elements.push_back(round(x[i], by, i));
    return b;
  }

  block quantize(const std::vector<value>& x, number tensor, scale_rule rule,
                 rounding mode) const {
    return quantize(
        x, tensor, [&](const std::vector<value>& v) { return scale_of(v, rule, tensor); },
        [&](const value& v, number by, std::size_t) { return element_of(v, by, mode); });
  }
};

}  // namespace exact
