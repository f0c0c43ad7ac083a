#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

#include <halfbyte/config.hpp>
#include <halfbyte/random.hpp>

namespace halfbyte {

/// What a number has beyond the pattern below it (the neighbour nearer to zero).
///
///     pattern below          x          pattern above
///           |----------------+-----------------|
///           0     fraction / 2^63 of the step  1
///
/// `fraction` is in (0, 2^63]; the whole step stands for every magnitude that is a step or more
/// beyond the largest finite number. Bit 0 is sticky.
struct dropped {
  static constexpr std::uint64_t whole = std::uint64_t{1} << 63;
  static constexpr std::uint64_t half = std::uint64_t{1} << 62;

  std::uint64_t fraction;
  bool odd;       ///< the pattern below is odd
  bool negative;  ///< x < 0
};

/// A rounding policy: whether a number between two patterns goes to the one away from zero.
///
/// Numbers that the format holds never ask. `index` is the element's position in its tensor; only
/// policies that draw random bits read it.
template <class R>
concept rounding =
    std::is_copy_constructible_v<R> && requires(const R r, dropped d, std::uint64_t index) {
      { r.away(d, index) } -> std::same_as<bool>;
    };

/// To nearest, ties to the even pattern: error at most 1/2 ulp. IEEE 754-2019, 4.3.1.
struct nearest_even {
  HALFBYTE_HD constexpr bool away(dropped d, std::uint64_t) const {
    return d.fraction > dropped::half || (d.fraction == dropped::half && d.odd);
  }
};

/// To nearest, ties away from zero: error at most 1/2 ulp. IEEE 754-2019, 4.3.1.
struct nearest_away {
  HALFBYTE_HD constexpr bool away(dropped d, std::uint64_t) const {
    return d.fraction >= dropped::half;
  }
};

/// To nearest, ties towards zero: error at most 1/2 ulp. IEEE 754-2019, 9.5.
struct nearest_toward_zero {
  HALFBYTE_HD constexpr bool away(dropped d, std::uint64_t) const {
    return d.fraction > dropped::half;
  }
};

/// Never away from zero: error below 1 ulp. IEEE 754-2019, 4.3.2.
struct toward_zero {
  HALFBYTE_HD constexpr bool away(dropped, std::uint64_t) const { return false; }
};

/// Never below x: error below 1 ulp. IEEE 754-2019, 4.3.2 (roundTowardPositive).
struct upward {
  HALFBYTE_HD constexpr bool away(dropped d, std::uint64_t) const { return !d.negative; }
};

/// Never above x: error below 1 ulp. IEEE 754-2019, 4.3.2 (roundTowardNegative).
struct downward {
  HALFBYTE_HD constexpr bool away(dropped d, std::uint64_t) const { return d.negative; }
};

/// The neighbour with the odd pattern: error below 1 ulp. A number rounded so to two more bits,
/// and then to nearest, is rounded as if once. Boldo and Melquiond, IEEE TC 57(4), 2008.
struct to_odd {
  HALFBYTE_HD constexpr bool away(dropped d, std::uint64_t) const { return !d.odd; }
};

/// Away from zero with probability floor(f * 2^Bits) / 2^Bits, f the fraction of the step.
///
/// The form of hardware `cvt.rs`: random bits are added below the last place, and the carry
/// decides. Biased towards zero by less than 2^-Bits ulp; unbiased where f has at most Bits bits. A
/// pure function of (`seed`, `stream`, element index): the same on CPU and GPU, in any thread
/// order. The bits are the top Bits bits of random_bits(seed, stream, index).
template <int Bits = 32>
struct stochastic {
  static_assert(1 <= Bits && Bits <= 32, "stochastic rounding takes 1 to 32 random bits");

  std::uint64_t seed = 0;
  std::uint64_t stream = 0;

  constexpr stochastic() = default;
  HALFBYTE_HD constexpr explicit stochastic(std::uint64_t seed_value,
                                            std::uint64_t stream_value = 0)
      : seed(seed_value), stream(stream_value) {}

  HALFBYTE_HD constexpr bool away(dropped d, std::uint64_t index) const {
    return carries(d, random_bits(seed, stream, index) >> (32 - Bits));
  }
  /// The decision for one random word below 2^Bits.
  HALFBYTE_HD static constexpr bool carries(dropped d, std::uint32_t random) {
    return (d.fraction >> (63 - Bits)) + random >= (std::uint64_t{1} << Bits);
  }
};

/// Away from zero with probability RN(f * 2^Bits) / 2^Bits: `stochastic` without the bias of
/// cutting off. |bias| at most 2^-(Bits + 1) ulp, none where f has at most Bits bits.
///
/// f is first rounded to Bits bits, ties to even. Source: Fitzgibbon and Felix, arXiv 2504.20634
/// (SRC).
template <int Bits = 32>
struct stochastic_unbiased {
  static_assert(1 <= Bits && Bits <= 32, "stochastic rounding takes 1 to 32 random bits");

  std::uint64_t seed = 0;
  std::uint64_t stream = 0;

  constexpr stochastic_unbiased() = default;
  HALFBYTE_HD constexpr explicit stochastic_unbiased(std::uint64_t seed_value,
                                                     std::uint64_t stream_value = 0)
      : seed(seed_value), stream(stream_value) {}

  HALFBYTE_HD constexpr bool away(dropped d, std::uint64_t index) const {
    return carries(d, random_bits(seed, stream, index) >> (32 - Bits));
  }
  /// The decision for one random word below 2^Bits.
  HALFBYTE_HD static constexpr bool carries(dropped d, std::uint32_t random) {
    constexpr int cut = 63 - Bits;
    const std::uint64_t odd = (d.fraction >> cut) & 1;
    const std::uint64_t rounded = (d.fraction + (std::uint64_t{1} << (cut - 1)) - 1 + odd) >> cut;
    return rounded + random >= (std::uint64_t{1} << Bits);
  }
};

static_assert(rounding<nearest_even> && rounding<nearest_away> && rounding<nearest_toward_zero>);
static_assert(rounding<toward_zero> && rounding<upward> && rounding<downward> && rounding<to_odd>);
static_assert(rounding<stochastic<>> && rounding<stochastic_unbiased<8>>);

}  // namespace halfbyte
