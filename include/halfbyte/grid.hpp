#pragma once

#include <cstddef>
#include <cstdint>

#include <halfbyte/config.hpp>
#include <halfbyte/minifloat.hpp>

namespace halfbyte {

/// The next number above `x`: infinity above the largest, if the format has it; NaN, and a largest
/// number without a neighbour, stay. Both zeros count as one, as in IEEE 754-2019, 5.3.1.
template <format F>
HALFBYTE_HD constexpr minifloat<F> next_up(minifloat<F> x) {
  using number = minifloat<F>;
  if (x.is_nan()) return x;
  constexpr std::uint32_t top = F.has_infinity() ? F.infinity_pattern() : F.max_pattern();
  const std::uint32_t magnitude = x.pattern & F.magnitude_mask();
  if constexpr (F.fixed_point()) {
    return x.pattern == top ? x : number::from_pattern(x.pattern + 1u);
  } else {
    if ((x.pattern & F.sign_mask()) == 0 || (magnitude == 0 && F.has_negative_zero())) {
      return number::from_pattern(magnitude < top ? magnitude + 1 : top);
    }
    const bool to_zero = magnitude == 1 && !F.has_negative_zero();
    return number::from_pattern(to_zero ? 0 : x.pattern - 1u);
  }
}

/// The next number below `x`: the mirror image of next_up; zero, or the smallest, in a format
/// without a sign.
template <format F>
HALFBYTE_HD constexpr minifloat<F> next_down(minifloat<F> x) {
  if (x.is_nan()) return x;
  if constexpr (F.fixed_point()) {
    const bool lowest = x.place() <= -std::int64_t{F.max_pattern()};
    return lowest ? x : minifloat<F>::from_pattern(x.pattern - 1u);
  } else if constexpr (F.has_sign()) {
    return -next_up(-x);
  } else {
    return x.pattern == 0 ? x : minifloat<F>::from_pattern(x.pattern - 1u);
  }
}

/// How many numbers of F lie from `a` to `b`, the end included: 1 for neighbours, 0 between zeros.
/// Needs two numbers that are not NaN.
template <format F>
HALFBYTE_HD constexpr std::int64_t ulp_distance(minifloat<F> a, minifloat<F> b) {
  const std::int64_t d = a.place() - b.place();
  return d < 0 ? -d : d;
}

namespace detail {

/// Make{}(0), Make{}(1) ... Make{}(count - 1) as a range.
template <class Make>
struct counted_range {
  struct iterator {
    using value_type = decltype(Make{}(0));
    using difference_type = std::ptrdiff_t;

    std::int64_t i = 0;
    constexpr value_type operator*() const { return Make{}(i); }
    constexpr iterator& operator++() {
      ++i;
      return *this;
    }
    constexpr iterator operator++(int) { return {i++}; }
    friend constexpr bool operator==(iterator, iterator) = default;
  };
  std::int64_t count;

  constexpr iterator begin() const { return {0}; }
  constexpr iterator end() const { return {count}; }
  constexpr std::size_t size() const { return static_cast<std::size_t>(count); }
};

template <format F>
struct number_of_pattern {
  constexpr minifloat<F> operator()(std::int64_t i) const {
    return minifloat<F>::from_pattern(static_cast<std::uint32_t>(i));
  }
};

/// Finite number `i` of F in increasing order.
template <format F>
struct finite_number {
  static constexpr std::int64_t below = F.has_sign() ? F.max_pattern() : 0;
  constexpr minifloat<F> operator()(std::int64_t i) const {
    const std::int64_t place = i - below;
    const auto size = static_cast<std::uint32_t>(place < 0 ? -place : place);
    return minifloat<F>::from_pattern(signed_pattern<F>(size, place < 0));
  }
};

template <format F>
struct midpoint_above {
  constexpr double operator()(std::int64_t i) const {
    const finite_number<F> number;
    return static_cast<double>(number(i)) / 2 + static_cast<double>(number(i + 1)) / 2;
  }
};

}  // namespace detail

/// Every pattern of F in order, as a number: `for (auto x : every_pattern<e4m3>())`.
template <format F>
constexpr auto every_pattern() {
  return detail::counted_range<detail::number_of_pattern<F>>{std::int64_t{F.mask()} + 1};
}

/// Every finite number of F once, in increasing order, from the lowest to the largest.
template <format F>
constexpr auto every_number() {
  using make = detail::finite_number<F>;
  return detail::counted_range<make>{make::below + F.max_pattern() + 1};
}

/// The midpoint between every two neighbours of F, in increasing order, exact in a double: where
/// rounding modes differ.
template <format F>
constexpr auto every_midpoint() {
  return detail::counted_range<detail::midpoint_above<F>>{detail::finite_number<F>::below +
                                                          F.max_pattern()};
}

}  // namespace halfbyte
