#pragma once

// The oracle of the tests: numbers as integer * 2^k, a format as the list of its values, rounding
// as a comparison with the two neighbours. Nothing here is fast, and nothing here is shared with
// the library: no floating-point arithmetic, no bit trick of a float, no header of halfbyte.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace exact {

/// n * 2^k with n >= 0: the magnitude of any finite binary float, exactly.
struct number {
  std::uint64_t n = 0;
  int k = 0;
};

inline int width(std::uint64_t n) {
  int bits = 0;
  while (n != 0) {
    n /= 2;
    ++bits;
  }
  return bits;
}

/// -1, 0 or 1 as a is below, equal to or above b.
inline int compare(number a, number b) {
  if (a.n == 0 || b.n == 0) return (a.n != 0) - (b.n != 0);
  const int a_top = a.k + width(a.n);
  const int b_top = b.k + width(b.n);
  if (a_top != b_top) return a_top < b_top ? -1 : 1;
  if (a.k > b.k) a.n <<= a.k - b.k;  // fits: the highest bits stand at the same place
  if (b.k > a.k) b.n <<= b.k - a.k;
  return (a.n > b.n) - (a.n < b.n);
}

/// a + b; the caller knows that the sum needs at most 64 bits.
inline number add(number a, number b) {
  if (a.n == 0) return b;
  if (b.n == 0) return a;
  const int k = std::min(a.k, b.k);
  return {(a.n << (a.k - k)) + (b.n << (b.k - k)), k};
}

/// a - b for a >= b; the caller knows that both, written with the smaller k, need at most 64 bits.
inline number subtract(number a, number b) {
  if (b.n == 0) return a;
  const int k = std::min(a.k, b.k);
  return {(a.n << (a.k - k)) - (b.n << (b.k - k)), k};
}

inline number middle(number a, number b) {
  number sum = add(a, b);
  --sum.k;
  return sum;
}

/// Any value a source type can hold.
struct value {
  enum class kind { finite, infinite, nan } what = kind::finite;
  bool negative = false;
  number magnitude;  // of a finite value

  bool finite() const { return what == kind::finite; }
};

/// What the bits of an IEEE 754 binary format mean: 1 sign bit, `exponent_bits`, `fraction_bits`.
inline value from_ieee(std::uint64_t bits, int exponent_bits, int fraction_bits) {
  const std::uint64_t fraction = bits % (std::uint64_t{1} << fraction_bits);
  const std::uint64_t rest = bits >> fraction_bits;
  const int exponent = static_cast<int>(rest % (std::uint64_t{1} << exponent_bits));
  const bool negative = (rest >> exponent_bits) % 2 == 1;
  const int top = (1 << exponent_bits) - 1;
  const int bias = top / 2;
  if (exponent == top) {
    return {fraction == 0 ? value::kind::infinite : value::kind::nan, negative, {}};
  }
  if (exponent == 0) return {value::kind::finite, negative, {fraction, 1 - bias - fraction_bits}};
  return {value::kind::finite,
          negative,
          {(std::uint64_t{1} << fraction_bits) + fraction, exponent - bias - fraction_bits}};
}

inline std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline std::uint64_t bits_of(double x) {
  std::uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline float float_of(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

inline double double_of(std::uint64_t bits) {
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

inline value of(float x) { return from_ieee(bits_of(x), 8, 23); }
inline value of(double x) { return from_ieee(bits_of(x), 11, 52); }

/// The bits of the IEEE 754 format that hold exactly this number; the caller knows that some do.
inline std::uint64_t to_ieee(number x, bool negative, int exponent_bits, int fraction_bits) {
  const std::uint64_t sign = negative ? std::uint64_t{1} << (exponent_bits + fraction_bits) : 0;
  if (x.n == 0) return sign;
  const int bias = (1 << exponent_bits) / 2 - 1;
  const int least = 1 - bias - fraction_bits;
  const std::uint64_t one = std::uint64_t{1} << fraction_bits;
  while (x.k > least && x.n < one) {
    x.n *= 2;
    --x.k;
  }
  for (; x.k < least; ++x.k) x.n /= 2;
  for (; x.n >= 2 * one; ++x.k) x.n /= 2;
  if (x.n < one) return sign + x.n;
  return sign + (static_cast<std::uint64_t>(x.k - least + 1) << fraction_bits) + (x.n - one);
}

inline float to_float(number x, bool negative = false) {
  return float_of(static_cast<std::uint32_t>(to_ieee(x, negative, 8, 23)));
}

inline double to_double(number x, bool negative = false) {
  return double_of(to_ieee(x, negative, 11, 52));
}

/// Which patterns are not numbers: none; the highest magnitude (NaN); the highest exponent
/// (infinity, then NaNs); the pattern of minus zero (NaN).
enum class special_patterns { none, highest, ieee, minus_zero };

/// The definition of a format, as its specification gives it. `exponent_bits == 0`: two's
/// complement, in steps of 2^(1 - bias - mantissa_bits).
struct definition {
  int exponent_bits, mantissa_bits, bias;
  special_patterns special = special_patterns::none;
  bool sign = true;

  bool fixed_point() const { return exponent_bits == 0; }
  bool zero() const { return sign || mantissa_bits > 0; }
  int magnitude_bits() const { return exponent_bits + mantissa_bits; }
  int bits() const { return magnitude_bits() + (sign ? 1 : 0); }
  std::uint32_t sign_weight() const { return std::uint32_t{1} << magnitude_bits(); }
};

enum class rounding {
  nearest_even,
  nearest_away,
  nearest_toward_zero,
  toward_zero,
  upward,
  downward,
  to_odd
};

enum class overflow { saturate, to_special, saturate_finite };

/// Where a magnitude lies: at or above value `lower`, below value `lower + 1`; `versus_middle`
/// compares it with the middle of the two. `lower` is the largest finite value where the magnitude
/// is at or above it, and `beyond` says that it is at or above the value that would come next.
struct place {
  std::size_t lower = 0;
  bool exact = false;
  bool below = false;  // below the smallest value of a format without zero, which takes it
  bool beyond = false;
  int versus_middle = -1;
};

/// A format as the increasing list of its finite magnitudes: value i has magnitude pattern i.
struct grid {
  definition is;
  std::vector<number> values;
  number next;  // the value that would follow the largest, were there one more pattern
  bool has_infinity = false;
  bool has_nan = false;

  explicit grid(const definition& d) : is{d} {
    const std::uint32_t patterns = is.sign_weight();
    const std::uint32_t mantissas = std::uint32_t{1} << is.mantissa_bits;
    for (std::uint32_t pattern = 0; pattern < patterns; ++pattern) {
      if (is.special == special_patterns::highest && pattern == patterns - 1) continue;
      if (is.special == special_patterns::ieee && pattern / mantissas == patterns / mantissas - 1) {
        continue;
      }
      values.push_back(magnitude(pattern));
    }
    const auto largest = static_cast<std::uint32_t>(values.size() - 1);
    next = add(values.back(), {1, unit(largest)});
    has_infinity = is.special == special_patterns::ieee;
    has_nan = is.special == special_patterns::highest ||
              is.special == special_patterns::minus_zero ||
              (is.special == special_patterns::ieee && is.mantissa_bits > 0);
  }

  std::uint32_t largest() const { return static_cast<std::uint32_t>(values.size() - 1); }
  std::uint32_t infinity() const { return largest() + 1; }
  std::uint32_t nan() const {
    return is.special == special_patterns::minus_zero ? is.sign_weight() : is.sign_weight() - 1;
  }

  /// What pattern `p` means, by the definition.
  value meaning(std::uint32_t p) const {
    if (is.fixed_point()) {
      const bool negative = p >= is.sign_weight();
      const std::uint32_t n = negative ? 2 * is.sign_weight() - p : p;
      return {value::kind::finite, negative, {n, 1 - is.bias - is.mantissa_bits}};
    }
    const bool negative = p >= is.sign_weight();
    const std::uint32_t m = p % is.sign_weight();
    if (is.special == special_patterns::minus_zero && negative && m == 0) {
      return {value::kind::nan, false, {}};
    }
    if (m < values.size()) return {value::kind::finite, negative, values[m]};
    const bool infinite = has_infinity && m == infinity();
    return {infinite ? value::kind::infinite : value::kind::nan, negative, {}};
  }

  place find(number x) const {
    const auto above = std::upper_bound(values.begin(), values.end(), x,
                                        [](number a, number b) { return compare(a, b) < 0; });
    place p;
    p.below = above == values.begin();
    if (p.below) return p;
    p.lower = static_cast<std::size_t>(above - values.begin()) - 1;
    p.exact = compare(values[p.lower], x) == 0;
    const number upper = above == values.end() ? next : *above;
    p.beyond = compare(x, upper) >= 0;
    p.versus_middle = compare(x, middle(values[p.lower], upper));
    return p;
  }

  /// Whether the magnitude at `p` goes to the upper neighbour.
  bool goes_up(const place& p, bool negative, rounding mode) const {
    if (p.exact || p.below) return false;
    const bool odd = p.lower % 2 == 1;
    switch (mode) {
      case rounding::nearest_even:
        return p.versus_middle > 0 || (p.versus_middle == 0 && odd);
      case rounding::nearest_away:
        return p.versus_middle >= 0;
      case rounding::nearest_toward_zero:
        return p.versus_middle > 0;
      case rounding::toward_zero:
        return false;
      case rounding::upward:
        return !negative;
      case rounding::downward:
        return negative;
      case rounding::to_odd:
        return !odd;
    }
    return false;
  }

  /// Of the 2^bits words w, those that move the magnitude up are the `words_up` largest: the
  /// fraction of the way to the upper neighbour, in units of 2^-bits, cut to an integer or
  /// rounded to nearest even.
  std::uint64_t words_up(number x, int bits, bool round_fraction) const {
    const place p = find(x);
    if (p.exact || p.below) return 0;
    if (p.beyond) return std::uint64_t{1} << bits;
    const number upper = p.lower == largest() ? next : values[p.lower + 1];
    const number gap = subtract(upper, values[p.lower]);
    const number part = subtract(x, values[p.lower]);
    const int gap_exponent = gap.k + width(gap.n) - 1;  // every gap is a power of two
    const int shift = part.k + bits - gap_exponent;
    if (shift >= 0) return part.n << shift;
    if (-shift >= 64) return 0;
    const std::uint64_t whole = part.n >> -shift;
    if (!round_fraction) return whole;
    const number rest{part.n - (whole << -shift), 0};
    const int half = compare(rest, {1, -shift - 1});
    return whole + (half > 0 || (half == 0 && whole % 2 == 1) ? 1 : 0);
  }

  /// The pattern of a magnitude pattern with a sign.
  std::uint32_t with_sign(std::uint32_t magnitude_pattern, bool negative) const {
    if (!negative) return magnitude_pattern;
    if (is.fixed_point())
      return (2 * is.sign_weight() - magnitude_pattern) % (2 * is.sign_weight());
    if (is.special == special_patterns::minus_zero && magnitude_pattern == 0) return 0;
    return magnitude_pattern + is.sign_weight();
  }

  /// The special that stands for something too large; the largest value where there is none.
  std::uint32_t special(bool negative) const {
    if (has_infinity) return with_sign(infinity(), negative);
    if (!has_nan) return with_sign(largest(), negative);
    return is.special == special_patterns::minus_zero ? nan() : with_sign(nan(), negative);
  }

  /// The pattern after the rounding has decided between `p.lower` and its upper neighbour.
  std::uint32_t finish(const place& p, bool up, bool negative, overflow rule) const {
    const std::size_t index = p.lower + (up ? 1 : 0);
    if (index < values.size()) return with_sign(static_cast<std::uint32_t>(index), negative);
    return rule == overflow::to_special ? special(negative) : with_sign(largest(), negative);
  }

  std::uint32_t round(const value& x, const place& p, rounding mode, overflow rule) const {
    if (x.what == value::kind::nan) return has_nan ? nan() : largest();
    const bool zero = x.finite() && x.magnitude.n == 0;
    if (x.negative && !is.sign) {
      return !zero && has_nan && rule == overflow::to_special ? nan() : 0;
    }
    if (!x.finite()) {
      return rule == overflow::saturate ? with_sign(largest(), x.negative) : special(x.negative);
    }
    return finish(p, goes_up(p, x.negative, mode), x.negative, rule);
  }

  std::uint32_t round(const value& x, rounding mode, overflow rule) const {
    return round(x, x.finite() ? find(x.magnitude) : place{}, mode, rule);
  }

  /// The same with the upper neighbour chosen by a random word of `bits` bits.
  std::uint32_t round_with_word(const value& x, std::uint64_t word, int bits, bool round_fraction,
                                overflow rule) const {
    if (!x.finite() || (x.negative && !is.sign)) return round(x, rounding::toward_zero, rule);
    const std::uint64_t up = words_up(x.magnitude, bits, round_fraction);
    return finish(find(x.magnitude), word >= (std::uint64_t{1} << bits) - up, x.negative, rule);
  }

 private:
  int unit(std::uint32_t pattern) const {
    if (is.fixed_point()) return 1 - is.bias - is.mantissa_bits;
    const auto exponent = static_cast<int>(pattern >> is.mantissa_bits);
    const int scale = exponent == 0 && is.zero() ? 1 : exponent;
    return scale - is.bias - is.mantissa_bits;
  }

  number magnitude(std::uint32_t pattern) const {
    if (is.fixed_point()) return {pattern, unit(pattern)};
    const std::uint32_t mantissas = std::uint32_t{1} << is.mantissa_bits;
    const bool subnormal = pattern / mantissas == 0 && is.zero();
    return {pattern % mantissas + (subnormal ? 0 : mantissas), unit(pattern)};
  }
};

/// Philox4x32-10 (Salmon et al., SC'11), written from the paper.
struct philox {
  std::uint32_t counter[4];
  std::uint32_t key[2];

  static std::uint64_t product(int lane, std::uint32_t x) {
    return std::uint64_t{lane == 0 ? 0xD2511F53u : 0xCD9E8D57u} * x;
  }

  void run() {
    std::uint32_t k[2] = {key[0], key[1]};
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t a = product(0, counter[0]);
      const std::uint64_t b = product(1, counter[2]);
      const std::uint32_t out[4] = {
          static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ k[0], static_cast<std::uint32_t>(b),
          static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ k[1], static_cast<std::uint32_t>(a)};
      std::memcpy(counter, out, sizeof out);
      k[0] += 0x9E3779B9u;
      k[1] += 0xBB67AE85u;
    }
  }

  /// Turns an output back into the counter it came from: Philox is a permutation for each key.
  void run_backwards() {
    std::uint32_t k[2] = {key[0] + 9 * 0x9E3779B9u, key[1] + 9 * 0xBB67AE85u};
    for (int round = 0; round < 10; ++round) {
      const std::uint32_t c0 = counter[3] * inverse(0xD2511F53u);
      const std::uint32_t c2 = counter[1] * inverse(0xCD9E8D57u);
      const auto high_a = static_cast<std::uint32_t>(product(0, c0) >> 32);
      const auto high_b = static_cast<std::uint32_t>(product(1, c2) >> 32);
      const std::uint32_t in[4] = {c0, counter[0] ^ high_b ^ k[0], c2, counter[2] ^ high_a ^ k[1]};
      std::memcpy(counter, in, sizeof in);
      k[0] -= 0x9E3779B9u;
      k[1] -= 0xBB67AE85u;
    }
  }

 private:
  static std::uint32_t inverse(std::uint32_t odd) {  // modulo 2^32, by Newton's iteration
    std::uint32_t x = odd;
    for (int i = 0; i < 5; ++i) x *= 2 - odd * x;
    return x;
  }
};

/// The word that element `index` draws: lane index % 4 of Philox at counter (index / 4, stream).
inline std::uint32_t random_word(std::uint64_t seed, std::uint64_t stream, std::uint64_t index) {
  const std::uint64_t block = index / 4;
  philox p{{static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
            static_cast<std::uint32_t>(stream), static_cast<std::uint32_t>(stream >> 32)},
           {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}};
  p.run();
  return p.counter[index % 4];
}

/// A stream and an element index that draw a wanted word.
struct draw {
  std::uint64_t stream, index;
};

inline draw draw_of(std::uint32_t word, std::uint64_t seed, std::uint32_t lane = 0) {
  for (std::uint32_t other = 0;; ++other) {
    philox p{{other, other + 1, other + 2, other + 3},
             {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}};
    p.counter[lane] = word;
    p.run_backwards();
    if (p.counter[1] >= 0x40000000u) continue;  // index / 4 has 62 bits
    const std::uint64_t block = p.counter[0] + (std::uint64_t{p.counter[1]} << 32);
    return {p.counter[2] + (std::uint64_t{p.counter[3]} << 32), 4 * block + lane};
  }
}

}  // namespace exact
