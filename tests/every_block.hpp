#pragma once

// The block formats, scale rules and inputs that the block tests run through.

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <halfbyte/block_format.hpp>
#include <halfbyte/minifloat.hpp>
#include <halfbyte/scale.hpp>

#include "block_oracle.hpp"
#include "every_format.hpp"
#include "inputs.hpp"

namespace exact {

inline block_oracle oracle_of(const halfbyte::block_format& b) {
  block_oracle oracle{grid_of(b.element), {}, b.tensor_scale};
  if (b.scale != halfbyte::float32) oracle.scale = grid_of(b.scale);
  return oracle;
}

/// What a block format is called in messages.
inline std::string name(const halfbyte::block_format& b) {
  const auto of = [](const halfbyte::format& f) {
    return "e" + std::to_string(f.exponent_bits) + "m" + std::to_string(f.mantissa_bits);
  };
  return of(b.element) + " scaled by " + of(b.scale) + " in " + std::to_string(b.rows) + "x" +
         std::to_string(b.cols) + (b.tensor_scale ? " and a tensor scale" : "");
}

inline const char* name(scale_rule rule) {
  switch (rule) {
    case scale_rule::floor_pow2: return "floor_pow2";
    case scale_rule::ceil_pow2: return "ceil_pow2";
    case scale_rule::nearest_pow2: return "nearest_pow2";
    case scale_rule::absmax: return "absmax";
    case scale_rule::four_over_six: return "four_over_six";
    case scale_rule::mean_square: return "mean_square_search";
  }
  return "?";
}

template <halfbyte::block_format B>
struct block_format_constant {
  static constexpr halfbyte::block_format value = B;
};

/// Calls f(constant) for every named block format.
template <class Function>
void for_each_named_block_format(Function&& f) {
  f(block_format_constant<halfbyte::mxfp4>{});
  f(block_format_constant<halfbyte::mxfp6_e2m3>{});
  f(block_format_constant<halfbyte::mxfp6_e3m2>{});
  f(block_format_constant<halfbyte::mxfp8_e4m3>{});
  f(block_format_constant<halfbyte::mxfp8_e5m2>{});
  f(block_format_constant<halfbyte::mxint8>{});
  f(block_format_constant<halfbyte::nvfp4>{});
  f(block_format_constant<halfbyte::nvfp4_2d>{});
  f(block_format_constant<halfbyte::fp8_1x128>{});
  f(block_format_constant<halfbyte::fp8_128x128>{});
  f(block_format_constant<halfbyte::per_row(halfbyte::int8)>{});
  f(block_format_constant<halfbyte::per_column(halfbyte::e5m2)>{});
  f(block_format_constant<halfbyte::per_tensor(halfbyte::e4m3)>{});
}

/// Block formats of one's own: scales without NaN, with a sign, of 16 bits; elements of 3, 5, 12
/// and 16 bits, with infinity, without negative zero.
inline constexpr halfbyte::format ue5m3_finite{5, 3, 15, halfbyte::specials::none, 0};
inline constexpr halfbyte::format e1m1{1, 1, 1};
inline constexpr halfbyte::format e2m2{2, 2, 1};
inline constexpr halfbyte::format e5m6{5, 6, 15, halfbyte::specials::infinity};

template <class Function>
void for_each_own_block_format(Function&& f) {
  using halfbyte::block_format;
  f(block_format_constant<block_format{halfbyte::e2m1, ue5m3_finite, 1, 8}>{});
  f(block_format_constant<block_format{e1m1, halfbyte::e4m3, 2, 5, true}>{});
  f(block_format_constant<block_format{e2m2, halfbyte::float16, 3, 7}>{});
  f(block_format_constant<block_format{halfbyte::e3m4, halfbyte::bfloat16, 1, 8, true}>{});
  f(block_format_constant<block_format{e5m6, halfbyte::bfloat16, 1, 8, true}>{});
  f(block_format_constant<block_format{halfbyte::float16, halfbyte::ue8m0, 1, 8}>{});
  f(block_format_constant<block_format{halfbyte::int4, halfbyte::ue4m3, 4, 4, true}>{});
  f(block_format_constant<block_format{halfbyte::e4m3fnuz, halfbyte::float32, 2, 3}>{});
}

/// Calls f(rule, what the oracle calls it) for every scale rule that serves B and that the oracle
/// predicts to the bit.
template <halfbyte::block_format B, class Function>
void for_each_scale_rule(Function&& f) {
  f(halfbyte::floor_pow2{}, scale_rule::floor_pow2);
  f(halfbyte::ceil_pow2{}, scale_rule::ceil_pow2);
  f(halfbyte::nearest_pow2{}, scale_rule::nearest_pow2);
  f(halfbyte::absmax{}, scale_rule::absmax);
  f(halfbyte::mean_square_search{}, scale_rule::mean_square);
  if constexpr (B.element == halfbyte::e2m1 && B.scale.mantissa_bits > 0) {
    f(halfbyte::four_over_six{}, scale_rule::four_over_six);
  }
}

inline value of(halfbyte::minifloat<halfbyte::bfloat16> x) { return from_ieee(x.pattern, 8, 7); }
inline value of(halfbyte::minifloat<halfbyte::float16> x) { return from_ieee(x.pattern, 5, 10); }

/// Numbers of type T from integers, so that no floating-point mode changes them.
template <class T>
struct numbers_of;

template <>
struct numbers_of<float> {
  static constexpr int exponent_bits = 8, fraction_bits = 23;
  static float from(std::uint64_t bits) { return float_of(static_cast<std::uint32_t>(bits)); }
};
template <>
struct numbers_of<double> {
  static constexpr int exponent_bits = 11, fraction_bits = 52;
  static double from(std::uint64_t bits) { return double_of(bits); }
};
template <>
struct numbers_of<halfbyte::minifloat<halfbyte::bfloat16>> {
  static constexpr int exponent_bits = 8, fraction_bits = 7;
  static auto from(std::uint64_t bits) {
    return halfbyte::minifloat<halfbyte::bfloat16>::from_pattern(static_cast<std::uint16_t>(bits));
  }
};
template <>
struct numbers_of<halfbyte::minifloat<halfbyte::float16>> {
  static constexpr int exponent_bits = 5, fraction_bits = 10;
  static auto from(std::uint64_t bits) {
    return halfbyte::minifloat<halfbyte::float16>::from_pattern(static_cast<std::uint16_t>(bits));
  }
};

/// Blocks of `n` numbers of type T on which quantizers go wrong.
template <class T>
class hard_blocks {
 public:
  static constexpr int e = numbers_of<T>::exponent_bits, f = numbers_of<T>::fraction_bits;
  static constexpr std::uint64_t one = std::uint64_t{1} << f;
  static constexpr std::uint64_t sign = std::uint64_t{1} << (e + f);
  static constexpr int top = (1 << e) - 1;

  hard_blocks(std::size_t size, std::uint64_t seed) : n(size), random(seed) {}

  T number_with(int exponent, std::uint64_t fraction) {
    const std::uint64_t field = static_cast<std::uint64_t>(exponent < 0 ? 0 : exponent);
    return numbers_of<T>::from((random() % 2 * sign) | (field << f) | (fraction % one));
  }
  /// Exponent fields from `low` to `high`, any fractions.
  std::vector<T> between(int low, int high) {
    std::vector<T> x;
    const auto span = static_cast<std::uint64_t>(high - low + 1);
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint64_t above = random() % span;
      x.push_back(number_with(low + static_cast<int>(above), random()));
    }
    return x;
  }
  std::vector<T> ordinary() {
    const int middle = 8 + static_cast<int>(random() % static_cast<unsigned>(top - 16));
    return between(middle - 7, middle);
  }
  std::vector<T> zeros() {
    std::vector<T> x;
    for (std::size_t i = 0; i < n; ++i) x.push_back(number_with(0, 0));
    return x;
  }
  std::size_t place_below(std::size_t end) { return static_cast<std::size_t>(random() % end); }
  std::vector<T> with(std::vector<T> x, T special) {
    x[place_below(n)] = special;
    return x;
  }
  T infinity() { return number_with(top, 0); }
  T nan() { return number_with(top, 1 + random() % (one - 1)); }

  /// A block whose largest number is `amax` and whose others are halfway between two elements, or
  /// next to that, when the scale is the one that the oracle gives to `amax` alone.
  std::vector<T> ties(const block_oracle& oracle, T amax, scale_rule rule, number tensor) {
    const std::uint32_t scale = oracle.scale_of({of(amax)}, rule, tensor);
    const number by = oracle.divisor(scale, tensor);
    std::vector<T> x;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t j = place_below(oracle.element.values.size());
      const number lower = oracle.element.values[j];
      const number upper = j + 1 < oracle.element.values.size() ? oracle.element.values[j + 1]
                                                                : oracle.element.next;
      const number m = multiply(random() % 4 == 0 ? lower : middle(lower, upper), by);
      std::uint64_t bits = fits(m, e, f) ? to_ieee(m, false, e, f) : random() % one;
      const std::uint64_t nudge = random() % 8;
      if (nudge == 0 && bits > 0) --bits;
      if (nudge == 1 && bits < static_cast<std::uint64_t>(top) * one - 1) ++bits;
      const T candidate = numbers_of<T>::from(bits | (random() % 2 * sign));
      x.push_back(compare(of(candidate).magnitude, of(amax).magnitude) <= 0 ? candidate : amax);
    }
    x[place_below(n)] = amax;
    return x;
  }

  /// Largest numbers at the edges of the scale rules: powers of two, the largest element and the
  /// first mantissa that rounds up, times powers of two, and the numbers next to each.
  std::vector<T> edges(const block_oracle& oracle) {
    std::vector<T> out;
    const int m = oracle.element.is.mantissa_bits - (oracle.element.is.fixed_point() ? 1 : 0);
    const number anchors[] = {{1, 0},
                              oracle.limit(),
                              {(std::uint64_t{1} << (m + 2)) - 1, 0},
                              {9, 0},
                              {5, 0}};
    for (const number anchor : anchors) {
      for (const int step : {-1, 0, 1}) {
        const int k = static_cast<int>(random() % static_cast<unsigned>(top - 14)) - (top / 2) + 6;
        const number at = times_two_to({anchor.n, 0}, k - width(anchor.n));
        if (!fits(at, e, f)) continue;
        const std::uint64_t bits =
            to_ieee(at, false, e, f) + static_cast<std::uint64_t>(std::int64_t{step});
        out.push_back(numbers_of<T>::from(bits | (random() % 2 * sign)));
      }
    }
    return out;
  }

  /// All of the above.
  std::vector<std::vector<T>> all(const block_oracle& oracle, scale_rule rule, number tensor,
                                  int copies) {
    std::vector<std::vector<T>> blocks;
    for (int i = 0; i < copies; ++i) {
      blocks.push_back(ordinary());
      blocks.push_back(between(0, top - 1));           // everything there is
      blocks.push_back(between(0, 0));                 // subnormals
      blocks.push_back(between(0, 3));                 // nearly so
      blocks.push_back(between(top - 3, top - 1));     // huge
      blocks.push_back(with(zeros(), number_with(0, 1)));
      blocks.push_back(with(zeros(), number_with(top - 1, one - 1)));
      blocks.push_back(with(between(0, 0), number_with(top - 1, one - 1)));
      blocks.push_back(std::vector<T>(n, ordinary()[0]));
      for (const T amax : edges(oracle)) blocks.push_back(ties(oracle, amax, rule, tensor));
    }
    blocks.push_back(zeros());
    blocks.push_back(with(ordinary(), infinity()));
    blocks.push_back(with(ordinary(), nan()));
    blocks.push_back(with(with(zeros(), nan()), infinity()));
    blocks.push_back(with(zeros(), nan()));
    return blocks;
  }

  std::size_t n;
  std::mt19937_64 random;
};

template <class T>
std::vector<value> values_of(const std::vector<T>& x) {
  std::vector<value> out;
  for (const T& v : x) out.push_back(of(v));
  return out;
}

}  // namespace exact
