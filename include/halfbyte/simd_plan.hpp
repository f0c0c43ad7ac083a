#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <halfbyte/bits.hpp>
#include <halfbyte/block.hpp>
#include <halfbyte/block_format.hpp>
#include <halfbyte/encode.hpp>
#include <halfbyte/format.hpp>
#include <halfbyte/minifloat.hpp>
#include <halfbyte/overflow.hpp>
#include <halfbyte/pack.hpp>
#include <halfbyte/quantized.hpp>
#include <halfbyte/rounding.hpp>
#include <halfbyte/scale.hpp>
#include <halfbyte/view.hpp>

// What the vector loops of simd.hpp can do, and what they need to know beforehand.

namespace halfbyte::detail {

/// Numbers whose scales are found together: a multiple of every word, in every L1 cache, and enough
/// for several words of blocks, of which none waits for the steps of another.
inline constexpr int chunk = 1536;
/// Blocks handled at a time, at most.
inline constexpr int most_blocks = chunk / 16;

/// Numbers that are asked for from memory while others are quantized, row by row.
template <class T>
struct later_numbers {
  matrix_view<const T> x;
  std::ptrdiff_t i = 0, j = 0;

  /// The next `n`, or nothing behind the last.
  const T* take(std::ptrdiff_t n) {
    if (i >= x.rows) return nullptr;
    const T* p = x.row(i) + j;
    j += n;
    if (j < x.cols) return p;
    j = 0;
    ++i;
    return p;
  }
};

/// Some blocks that lie side by side, row by row.
template <class T>
struct block_grid {
  matrix_view<const T> x;
  std::ptrdiff_t r, c;  ///< extents of a block
  int wide, n;          ///< blocks in a row, and in all
  later_numbers<T>* later;

  block_grid(matrix_view<const T> part, std::ptrdiff_t rows, std::ptrdiff_t cols,
             later_numbers<T>& after)
      : x(part),
        r(rows),
        c(cols),
        wide(static_cast<int>(ceil_div(x.cols, c))),
        n(wide * static_cast<int>(ceil_div(x.rows, r))),
        later(&after) {}

  matrix_view<const T> operator[](int b) const { return x.block(b / wide * r, b % wide * c, r, c); }
};

/// What vector loops find for the blocks of a grid: the patterns of their scales, and which of them
/// are special. Those are left to `quantize_block`.
template <block_format B>
struct found_scales {
  std::conditional_t<B.scale.bits() <= 8, std::uint8_t, std::uint32_t> pattern[most_blocks];
  std::uint32_t special[most_blocks];  ///< not zero
  bool any_special;
};

/// What the vector loops need to know of a rounding policy; `known` only for those of this library.
template <class Rounding>
struct rounding_traits {
  static constexpr bool directed = std::is_same_v<Rounding, upward> ||
                                   std::is_same_v<Rounding, downward> ||
                                   std::is_same_v<Rounding, to_odd>;
  static constexpr bool nearest = std::is_same_v<Rounding, nearest_even> ||
                                  std::is_same_v<Rounding, nearest_away> ||
                                  std::is_same_v<Rounding, nearest_toward_zero>;
  static constexpr bool known = directed || nearest || std::is_same_v<Rounding, toward_zero>;
  static constexpr int bits = 0;  ///< random bits drawn
  static constexpr bool unbiased = false;
  static constexpr int places = 0;  ///< looked at for them
};
template <int Bits>
struct rounding_traits<stochastic<Bits>> {
  static constexpr bool directed = false, nearest = false, known = true, unbiased = false;
  static constexpr int bits = Bits, places = Bits;
};
template <int Bits>
struct rounding_traits<stochastic_unbiased<Bits>> {
  static constexpr bool directed = false, nearest = false, known = true, unbiased = true;
  static constexpr int bits = Bits, places = Bits + 1;
};

/// Whether floats have room for the random bits below the places of F twice: see encode_by_adding.
template <format F, class Rounding>
inline constexpr bool adds_random =
    rounding_traits<Rounding>::bits != 0 && !rounding_traits<Rounding>::unbiased &&
    F.mantissa_bits + rounding_traits<Rounding>::bits <= 11 && F.min_exponent() >= -60;

template <class Overflow>
inline constexpr bool known_overflow =
    std::is_same_v<Overflow, saturate> || std::is_same_v<Overflow, to_special> ||
    std::is_same_v<Overflow, saturate_finite>;

template <class T>
inline constexpr bool vector_source =
    std::is_same_v<T, float> || std::is_same_v<T, minifloat<bfloat16>> ||
    std::is_same_v<T, minifloat<float16>>;

/// Formats whose packed rows vectors can write and read.
template <format F>
inline constexpr bool vector_format =
    (F.bits() == 4 || F.bits() == 6 || F.bits() == 8 || F.bits() == 16) && F.has_zero();

/// Whether doubles rounded to the odd neighbour of 20 bits of mantissa give what is encoded: every
/// place that F, Rounding and the random bits look at is above the last bit. Boldo and Melquiond,
/// IEEE TC 57(4), 2008.
template <format F, class Rounding>
inline constexpr bool through_odd = F.min_exponent() >= -60 && F.max_exponent() <= 100 &&
                                    F.mantissa_bits +
                                            larger(rounding_traits<Rounding>::places, 1) <=
                                        19;

/// Whether a row of T can be encoded in vectors.
template <format F, class T, class Rounding, class Overflow>
inline constexpr bool vector_encode =
    vector_format<F>&& rounding_traits<Rounding>::known&& known_overflow<Overflow> &&
    (vector_source<T> || (std::is_same_v<T, double> && through_odd<F, Rounding>)) &&
    !(rounding_traits<Rounding>::unbiased &&
      rounding_traits<Rounding>::bits > 23 - F.mantissa_bits);

/// Where numbers go from one pattern of e2m1 to the next, as bits of floats: the pattern of x / d
/// is how many of the first seven |x| is above.
template <class Bits>
struct steps_in {
  Bits below[8];   ///< of the patterns 1 to 7
  Bits passed[8];  ///< the same where numbers go up as soon as they leave the one below
};
using e2m1_steps = steps_in<std::uint32_t>;

/// The steps for each half of a word of numbers of 16 bits.
struct two_rows {
  const std::uint16_t *low, *high;
  std::uint16_t operator[](int c) const { return low[c]; }
};

/// Policies for which the pattern of a number over another is found by comparing, see e2m1_steps.
template <class Rounding>
inline constexpr bool steps_of_e2m1 =
    rounding_traits<Rounding>::known&& rounding_traits<Rounding>::bits == 0;

/// The largest float that is at most `boundary` / 4 * by (`open`: below it), as bits; `by` has at
/// most 32 significant bits. Needs a normal float.
constexpr std::uint32_t float_below(std::uint64_t boundary, const unpacked& by, bool open) {
  const std::uint64_t product = boundary * (by.significand >> 32);
  const int cut = bit_width(product) - 24;
  const auto exponent = static_cast<std::uint32_t>(by.exponent - 31 - 2 + cut + 23 + 127);
  const auto fraction = static_cast<std::uint32_t>(product >> cut) - (1u << 23);
  return (exponent << 23) + fraction - (open && (product & low_mask(cut)) == 0 ? 1 : 0);
}

/// The steps of numbers that are divided by `by`. Needs all of them normal floats.
template <class Rounding>
constexpr e2m1_steps steps_at(const unpacked& by) {
  constexpr std::uint64_t quarters[8] = {0, 2, 4, 6, 8, 12, 16, 24};  // 4 * magnitude
  e2m1_steps steps{};
  for (int c = 1; c < 8; ++c) {
    const bool odd = c % 2 == 0;  // of the pattern below
    constexpr bool half = rounding_traits<Rounding>::nearest;
    const bool reached = !half || Rounding{}.away({dropped::half, odd, false}, 0);
    const std::uint64_t boundary = half ? (quarters[c - 1] + quarters[c]) / 2 : quarters[c];
    steps.below[c - 1] = float_below(boundary, by, reached);
    if (rounding_traits<Rounding>::directed) {
      // Nothing reads the first; but at -Ofast g++ 12 and 13 take a constant table that begins with
      // zero for one of zeros.
      steps.passed[c - 1] = c > 1 ? float_below(quarters[c - 1], by, false) : 1;
    }
  }
  return steps;
}

/// The bits of a normal float as those of bfloat16 or float16, by their `Mantissa` bits.
template <int Mantissa>
constexpr std::uint16_t short_bits(std::uint32_t x) {
  return static_cast<std::uint16_t>((x - (Mantissa == 10 ? 112u << 23 : 0)) >> (23 - Mantissa));
}
template <int Mantissa>
constexpr steps_in<std::uint16_t> short_steps(const e2m1_steps& x) {
  steps_in<std::uint16_t> steps{};
  for (int c = 0; c < 7; ++c) {
    steps.below[c] = short_bits<Mantissa>(x.below[c]);
    steps.passed[c] = c > 0 ? short_bits<Mantissa>(x.passed[c]) : std::uint16_t{1};
  }
  return steps;
}

/// Steps for numbers of each size.
struct sized_steps {
  e2m1_steps floats;
  steps_in<std::uint16_t> bfloats, halves;

  constexpr sized_steps() : floats{}, bfloats{}, halves{} {}
  constexpr explicit sized_steps(const e2m1_steps& x)
      : floats(x), bfloats(short_steps<7>(x)), halves(short_steps<10>(x)) {}

  template <int Mantissa>
  constexpr const auto& of() const {
    if constexpr (Mantissa == 7) {
      return bfloats;
    } else {
      return halves;
    }
  }
};

/// The steps of numbers that are multiplied by `factor` and rounded to floats, to nearest even,
/// before they are encoded so. Needs all of them normal floats.
constexpr e2m1_steps steps_times(float factor) {
  constexpr std::uint64_t quarters[7] = {1, 3, 5, 7, 10, 14, 20};  // 4 * midpoint
  e2m1_steps steps{};
  for (int c = 1; c < 8; ++c) {
    // Up at the midpoint m or, from an even pattern, at the next float: m or m + ulp. The products
    // that become that float or a larger one start half an ulp below it, m itself taking ties.
    const bool odd = c % 2 == 0;
    const std::uint64_t boundary = quarters[c - 1];
    const int width = bit_width(boundary);
    const bool power = (boundary & (boundary - 1)) == 0;  // the ulp below is half of that above
    const std::uint64_t top = boundary << (26 - width);   // in quarters of an ulp
    const unpacked least = unpack_integer(odd ? top - (power ? 1 : 2) : top + 2, width - 28);
    const unpacked x = quotient(least, unpack(factor));
    const auto kept = static_cast<std::uint32_t>(x.significand >> 40);
    const bool exact = (x.significand & low_mask(40)) == 0;
    const auto exponent = static_cast<std::uint32_t>(x.exponent + 127);
    steps.below[c - 1] = (exponent << 23) + (kept - (1u << 23)) - (odd && exact ? 1 : 0);
  }
  return steps;
}

/// A scale, as (1 + row / 8) * 2^exponent.
struct scale_place {
  std::uint32_t row;
  int exponent;

  /// Needs F == ue8m0, or F == ue4m3 and pattern > 0.
  template <format F>
  static constexpr scale_place of(std::uint32_t pattern) {
    if (F == ue8m0) return {0, static_cast<int>(pattern) - 127};
    if (pattern >= 8) return {pattern & 7, static_cast<int>(pattern >> 3) - 7};
    const int top = bit_width(pattern) - 1;
    return {(pattern << (3 - top)) & 7, top - 9};
  }
};

/// How the blocks of a matrix are quantized in vectors.
template <block_format B>
struct block_plan {
  /// Scales are powers of two: exponents move. Otherwise elements are divided by a product with
  /// an inverse, see quotient_word.
  static constexpr bool moves = B.scale == ue8m0 && !B.tensor_scale;
  static constexpr bool nv = B.element == e2m1 && B.scale == ue4m3 && B.tensor_scale;

  /// Elements are found by their steps, which are those of few scales, moved.
  static constexpr bool has_steps = B.element == e2m1 && (moves || nv);
  static constexpr int rows_of_steps = nv ? 8 : 1;
  template <class Rounding>
  static constexpr bool counts = has_steps&& steps_of_e2m1<Rounding>;

  /// Rules that compare candidates by their squared errors, and the one that measures deviations,
  /// for blocks in which the integers that they sum have room.
  static constexpr bool small = B.rows * B.cols > 0 && B.rows* B.cols <= 512;
  template <class Scale>
  static constexpr bool searches = has_steps&& small &&
                                   ((std::is_same_v<Scale, four_over_six> && nv) ||
                                    std::is_same_v<Scale, mean_square_search>);
  template <class Scale>
  static constexpr bool measures = small&& std::is_same_v<Scale, rms_clip>;
  /// Rules that are integer code on the bits of the largest magnitude.
  template <class Scale>
  static constexpr bool shifts = moves && (std::is_same_v<Scale, floor_pow2> ||
                                           std::is_same_v<Scale, ceil_pow2> ||
                                           std::is_same_v<Scale, nearest_pow2>);
  /// The rule that encodes a quotient, of scales that a word can encode.
  template <class Scale>
  static constexpr bool divides = !moves && std::is_same_v<Scale, absmax> &&
                                  B.scale.mantissa_bits > 0 && B.scale.bits() <= 8;
  /// The rule with float arithmetic of its own: the factors are part of its steps.
  template <class Scale>
  static constexpr bool multiplies = nv&& std::is_same_v<Scale, nvfp4_te>;

  tensor_scaling tensor;
  double inverse_of_limit = 1;  ///< 1 / (largest element * tensor scale)
  float factor = 1;             ///< of the largest magnitude, for a rule that multiplies

  /// Scales 1, 9/8, 10/8 ... 15/8 times the tensor scale: their bits as floats, their exponents,
  /// and the steps of their significands.
  std::uint32_t scaled[rows_of_steps] = {};
  std::uint32_t exponent[rows_of_steps] = {};  ///< two's complement
  sized_steps steps[rows_of_steps];

  static constexpr int gaps = 5;
  sized_steps even_steps[rows_of_steps];  ///< the same to nearest even, for rules that search
  /// The magnitudes of e2m1 times those, in the units of errors, for blocks whose largest magnitude
  /// has an exponent that is greater by 0, 1 ... 4.
  std::uint32_t units[gaps][rows_of_steps][8] = {};

  template <class Rounding, class Scale>
  block_plan(tensor_scaling t, const Rounding&, const Scale& rule)
      : tensor(t), inverse_of_limit(1 / (to_double(largest<B.element>()) * double{t.scale})) {
    if constexpr ((counts<Rounding> && nv) || searches<Scale>) {
      if (!possible_here()) return;
      if constexpr (multiplies<Scale>) factor = rule.template block_factor<B>(t);
      for (std::uint32_t i = 0; i < rows_of_steps; ++i) {
        const std::uint32_t pattern = nv ? 7u << 3 | i : 127u;
        unpacked by = divisor<B>(pattern, tensor);
        scaled[i] = bit_cast<std::uint32_t>(static_cast<float>(to_double(by)));
        exponent[i] = static_cast<std::uint32_t>(by.exponent);
        by.exponent = 0;
        if constexpr (multiplies<Scale>) {
          e2m1_steps at = steps_times(rule.template element_factor<B>(pattern, tensor));
          for (std::uint32_t& step : at.below) step -= exponent[i] << 23;
          steps[i] = sized_steps(at);
        } else if constexpr (counts<Rounding> && nv) {
          steps[i] = sized_steps(steps_at<Rounding>(by));
        }
        if constexpr (searches<Scale>) {
          constexpr std::uint64_t halves[8] = {0, 1, 2, 3, 4, 6, 8, 12};  // 2 * magnitude
          even_steps[i] = sized_steps(steps_at<nearest_even>(by));
          for (int gap = 0; gap < gaps; ++gap) {
            for (int c = 0; c < 8; ++c) {  // in units of 2^(exponent of by + gap - 22)
              units[gap][i][c] =
                  static_cast<std::uint32_t>(halves[c] * (by.significand >> 32) >> (10 + gap));
            }
          }
        }
      }
    }
  }

  /// 1 / what the largest magnitude is divided by for the first (last) candidate.
  template <class Scale>
  double inverse_of_candidate(bool last) const {
    if (std::is_same_v<Scale, four_over_six>) return inverse_of_limit * (last ? 1.5 : 1.0);
    return inverse_of_limit * (last ? 48.0 : 26.0) / 32;
  }

  /// Whether `units` knows scale `pattern` for a block with these bits of its largest magnitude.
  bool in_reach(std::uint32_t amax, std::uint32_t pattern) const {
    const auto place = scale_place::of<B.scale>(pattern);
    const int gap = static_cast<int>(amax >> 23) - 127 -
                    (static_cast<int>(exponent[place.row]) + place.exponent);
    return 0 <= gap && gap < gaps;
  }

  /// Whether T can be quantized in vectors at all.
  template <class T, class Rounding, class Scale>
  static constexpr bool possible() {
    constexpr int divisor_bits = (B.tensor_scale ? 24 : 0) + B.scale.mantissa_bits + 1;
    constexpr int places = B.element.mantissa_bits + rounding_traits<Rounding>::places;
    constexpr bool first_bits = shifts<Scale> || !std::is_same_v<T, double>;  // are all it looks at
    constexpr bool own_elements = requires(Scale s, unpacked u) {
      s.template scaled<B>(u, 0u, tensor_scaling{});
    };
    return vector_encode<B.element, T, Rounding, saturate> && B.cols % 16 == 0 &&
           (!own_elements || (multiplies<Scale> && std::is_same_v<Rounding, nearest_even>)) &&
           first_bits && (moves || (divisor_bits <= 28 && places <= 17));
  }
  /// Whether this tensor can: its scale is far from the ends of the exponents.
  bool possible_here() const {
    const auto bits = bit_cast<std::uint32_t>(tensor.scale);
    return !B.tensor_scale || (bits >= 27u << 23 && bits < 240u << 23);
  }
};

/// What a power-of-two rule adds to the bits of a float to have its exponent in the exponent field.
template <block_format B, class Scale>
constexpr std::uint32_t power_of_two_carry() {
  if (std::is_same_v<Scale, floor_pow2>) return 0;
  const auto fraction = static_cast<std::uint32_t>(largest<B.element>().significand << 1 >> 41);
  if (std::is_same_v<Scale, ceil_pow2>) return 0x7fffffu - fraction;
  return 1u << (22 - B.element.mantissa_bits + (B.element.fixed_point() ? 1 : 0));
}

/// Quantizes the usual blocks of a grid, whose elements are those of a view: one for each
/// instruction set.
template <block_format B, class T, class Rounding, class Scale>
using grid_kernel = void(const block_grid<T>&, const packed_view<B.element>&, const block_plan<B>&,
                         const Rounding&, const Scale&, element_indices, found_scales<B>&);

}  // namespace halfbyte::detail
