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

// Every pair of a scale rule and a rounding as types of their own would take the compiler minutes.
// Those that is_compiled() leaves out are chosen at run time, inside these two policies: the same
// bytes, more slowly, because the library has vector loops for its own policies only.

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

template <halfbyte::block_format B>
halfbyte::quantized<B> quantize_as(halfbyte::matrix_view<const float> x, const choice& how) {
  std::optional<halfbyte::quantized<B>> q;
  halfbyte::with_scale_rule(how.scale, [&](auto rule) {
    using rule_type = decltype(rule);
    if constexpr (suits<B, rule_type>()) {
      halfbyte::with_rounding(how.rounding, [&](auto rounding) {
        using rounding_type = decltype(rounding);
        if constexpr (is_compiled<B, rule_type, rounding_type>()) {
          q = halfbyte::quantize<B>(x, rounding, rule);
        } else if constexpr (std::is_same_v<rule_type, halfbyte::nvfp4_te>) {
          q = halfbyte::quantize<B>(x, chosen_rounding{rounding}, rule);
        } else {
          // The one thing of a rule that chosen_rule hides: how it scales the tensor.
          halfbyte::quantize_options options;
          if (B.tensor_scale) {
            const halfbyte::unpacked amax = halfbyte::magnitudes_of(x).amax;
            options.tensor_scale = halfbyte::scale_tensor<B>(amax, rule).scale;
          }
          q = halfbyte::quantize<B>(x, chosen_rounding{rounding}, chosen_rule{rule}, options);
        }
      });
    }
  });
  if (!q) {
    throw std::invalid_argument("no scale rule " + how.scale + " with rounding " + how.rounding +
                                " for " + how.format);
  }
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
