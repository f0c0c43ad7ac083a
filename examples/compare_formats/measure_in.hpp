#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

#include <halfbyte/error.hpp>
#include <halfbyte/names.hpp>
#include <halfbyte/quantize.hpp>

#include "measure.hpp"

// Every pair of a scale rule and a rounding as a type of its own would take the compiler minutes,
// so those that are not a format's defaults are chosen at run time, inside these two policies.

struct chosen_rounding {
  std::variant<halfbyte::nearest_even, halfbyte::nearest_away, halfbyte::nearest_toward_zero,
               halfbyte::toward_zero, halfbyte::upward, halfbyte::downward, halfbyte::to_odd,
               halfbyte::stochastic<32>, halfbyte::stochastic<8>, halfbyte::stochastic_unbiased<8>>
      policy;

  bool away(halfbyte::dropped d, std::uint64_t index) const {
    return std::visit([&](const auto& p) { return p.away(d, index); }, policy);
  }
};

struct chosen_rule {
  std::variant<halfbyte::floor_pow2, halfbyte::ceil_pow2, halfbyte::nearest_pow2, halfbyte::absmax,
               halfbyte::four_over_six, halfbyte::mean_square_search, halfbyte::rms_clip>
      rule;

  template <halfbyte::block_format B, class T>
  std::uint32_t block_scale(halfbyte::matrix_view<const T> x, const halfbyte::unpacked& amax,
                            halfbyte::tensor_scaling tensor) const {
    return std::visit(
        [&](const auto& r) -> std::uint32_t {
          if constexpr (suits<B, std::decay_t<decltype(r)>>()) {
            return r.template block_scale<B>(x, amax, tensor);
          } else {
            return 0;
          }
        },
        rule);
  }
};

/// Quantizes x with a rule of the library and the rounding that is named.
template <halfbyte::block_format B, class Rule>
halfbyte::quantized<B> quantize_by(halfbyte::matrix_view<const float> x, const Rule& rule,
                                   const std::string& rounding,
                                   halfbyte::quantize_options options = {}) {
  std::optional<halfbyte::quantized<B>> q;
  halfbyte::with_rounding(rounding, [&](auto policy) {
    q = halfbyte::quantize<B>(x, chosen_rounding{policy}, rule, options);
  });
  if (!q) throw std::invalid_argument("no rounding " + rounding);
  return std::move(*q);
}

template <halfbyte::block_format B>
halfbyte::quantized<B> quantize_as(halfbyte::matrix_view<const float> x, const choice& how) {
  using halfbyte::default_scale;
  if (how.rounding == "nearest_even" && how.scale == halfbyte::name(default_scale<B>{})) {
    return halfbyte::quantize<B>(x);
  }
  std::optional<halfbyte::quantized<B>> q;
  halfbyte::with_scale_rule(how.scale, [&](auto rule) {
    using rule_type = decltype(rule);
    if constexpr (std::is_same_v<rule_type, halfbyte::nvfp4_te>) {
      if constexpr (suits<B, rule_type>()) q = quantize_by<B>(x, rule, how.rounding);
    } else if constexpr (suits<B, rule_type>()) {
      // The one thing of a rule that chosen_rule hides: how it scales the tensor.
      halfbyte::quantize_options options;
      if (B.tensor_scale) {
        const halfbyte::unpacked amax = halfbyte::magnitudes_of(x).amax;
        options.tensor_scale = halfbyte::scale_tensor<B>(amax, rule).scale;
      }
      q = quantize_by<B>(x, chosen_rule{rule}, how.rounding, options);
    }
  });
  if (!q) throw std::invalid_argument("no scale rule " + how.scale + " for " + how.format);
  return std::move(*q);
}

template <halfbyte::block_format B>
measurement measure_in(halfbyte::matrix_view<const float> x, const choice& how) {
  measurement result;
  const auto start = std::chrono::steady_clock::now();
  const halfbyte::quantized<B> q = quantize_as<B>(x, how);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.bytes = q.bytes();

  std::vector<float> back(static_cast<std::size_t>(x.rows * x.cols));
  const halfbyte::matrix_view<float> y{back.data(), x.rows, x.cols};
  halfbyte::dequantize(q, y);
  result.errors = halfbyte::compare(x, y);
  const double rms = std::sqrt(result.errors.xx / static_cast<double>(result.errors.count));
  for (std::ptrdiff_t i = 0; i < x.rows; ++i) {
    for (std::ptrdiff_t j = 0; j < x.cols; ++j) {
      result.histogram.add((static_cast<double>(y(i, j)) - static_cast<double>(x(i, j))) / rms);
    }
  }
  return result;
}
