#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <halfbyte/block_format.hpp>
#include <halfbyte/format.hpp>
#include <halfbyte/overflow.hpp>
#include <halfbyte/quantized.hpp>
#include <halfbyte/rounding.hpp>
#include <halfbyte/scale.hpp>

namespace halfbyte {

/// A format as a type, so that a generic lambda can take it: `[](auto f) { encode<f.value>(x); }`.
template <format F>
struct format_constant {
  static constexpr format value = F;
  constexpr operator format() const { return F; }
};

/// A block format as a type.
template <block_format B>
struct block_format_constant {
  static constexpr block_format value = B;
  constexpr operator block_format() const { return B; }
};

/// Calls visit(format_constant<F>{}) for every named format, smallest first.
template <class Visit>
constexpr void for_each_format(Visit&& visit) {
  visit(format_constant<e2m1>{});
  visit(format_constant<int4>{});
  visit(format_constant<e2m3>{});
  visit(format_constant<e3m2>{});
  visit(format_constant<ue4m3>{});
  visit(format_constant<e3m4>{});
  visit(format_constant<e4m3>{});
  visit(format_constant<e5m2>{});
  visit(format_constant<e4m3fnuz>{});
  visit(format_constant<e5m2fnuz>{});
  visit(format_constant<ue8m0>{});
  visit(format_constant<int8>{});
  visit(format_constant<fixed8>{});
  visit(format_constant<float16>{});
  visit(format_constant<bfloat16>{});
  visit(format_constant<float32>{});
}

/// Calls visit(block_format_constant<B>{}) for every named block format, and for rows, columns and
/// whole tensors of the 8-bit formats and of e2m1.
template <class Visit>
constexpr void for_each_block_format(Visit&& visit) {
  visit(block_format_constant<mxfp4>{});
  visit(block_format_constant<mxfp6_e2m3>{});
  visit(block_format_constant<mxfp6_e3m2>{});
  visit(block_format_constant<mxfp8_e4m3>{});
  visit(block_format_constant<mxfp8_e5m2>{});
  visit(block_format_constant<mxint8>{});
  visit(block_format_constant<nvfp4>{});
  visit(block_format_constant<nvfp4_2d>{});
  visit(block_format_constant<fp8_1x128>{});
  visit(block_format_constant<fp8_128x128>{});
  visit(block_format_constant<per_row(e2m1)>{});
  visit(block_format_constant<per_row(e4m3)>{});
  visit(block_format_constant<per_row(int8)>{});
  visit(block_format_constant<per_column(e4m3)>{});
  visit(block_format_constant<per_tensor(e4m3)>{});
  visit(block_format_constant<per_tensor(e5m2)>{});
}

/// Calls visit(policy) for every rounding policy; the stochastic ones get `seed`.
template <class Visit>
constexpr void for_each_rounding(Visit&& visit, std::uint64_t seed = 0) {
  visit(nearest_even{});
  visit(nearest_away{});
  visit(nearest_toward_zero{});
  visit(toward_zero{});
  visit(upward{});
  visit(downward{});
  visit(to_odd{});
  visit(stochastic<32>{seed});
  visit(stochastic<8>{seed});
  visit(stochastic_unbiased<8>{seed});
}

/// Calls visit(policy) for every overflow policy.
template <class Visit>
constexpr void for_each_overflow(Visit&& visit) {
  visit(saturate{});
  visit(to_special{});
  visit(saturate_finite{});
}

/// Calls visit(rule) for every scale rule.
template <class Visit>
constexpr void for_each_scale_rule(Visit&& visit) {
  visit(floor_pow2{});
  visit(ceil_pow2{});
  visit(nearest_pow2{});
  visit(absmax{});
  visit(four_over_six{});
  visit(mean_square_search{});
  visit(rms_clip{});
  visit(nvfp4_te{});
}

namespace detail {
inline std::string joined(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text += part;
  return text;
}
}  // namespace detail

inline std::string name(nearest_even) { return "nearest_even"; }
inline std::string name(nearest_away) { return "nearest_away"; }
inline std::string name(nearest_toward_zero) { return "nearest_toward_zero"; }
inline std::string name(toward_zero) { return "toward_zero"; }
inline std::string name(upward) { return "upward"; }
inline std::string name(downward) { return "downward"; }
inline std::string name(to_odd) { return "to_odd"; }
template <int Bits>
std::string name(stochastic<Bits>) {
  return detail::joined({"stochastic<", std::to_string(Bits), ">"});
}
template <int Bits>
std::string name(stochastic_unbiased<Bits>) {
  return detail::joined({"stochastic_unbiased<", std::to_string(Bits), ">"});
}

inline std::string name(saturate) { return "saturate"; }
inline std::string name(to_special) { return "to_special"; }
inline std::string name(saturate_finite) { return "saturate_finite"; }

inline std::string name(floor_pow2) { return "floor_pow2"; }
inline std::string name(ceil_pow2) { return "ceil_pow2"; }
inline std::string name(nearest_pow2) { return "nearest_pow2"; }
inline std::string name(absmax) { return "absmax"; }
inline std::string name(four_over_six) { return "four_over_six"; }
inline std::string name(mean_square_search) { return "mean_square_search"; }
inline std::string name(rms_clip) { return "rms_clip"; }
inline std::string name(nvfp4_te) { return "nvfp4_te"; }

inline std::string name(scale_layout layout) {
  return layout == scale_layout::linear ? "linear" : "swizzled_128x4";
}

/// Name of a format: its identifier, or its shape, specials and bias ("e3m1", "e4m2_infinity",
/// "e4m3_none"). No two formats have the same.
inline std::string name(format f) {
  if (f == bfloat16) return "bfloat16";
  if (f == float16) return "float16";
  if (f == float32) return "float32";
  if (f == int8) return "int8";
  if (f == int4) return "int4";
  if (f == fixed8) return "fixed8";
  std::string shape =
      detail::joined({f.has_sign() ? "e" : "ue", std::to_string(f.exponent_bits), "m",
                      std::to_string(f.mantissa_bits)});
  const format usual{f.exponent_bits, f.mantissa_bits, (1 << f.exponent_bits) / 2 - 1, f.special,
                     f.sign_bits};
  const bool plain = f == e2m1 || f == e2m3 || f == e3m2 || f == e3m4 || f == e4m3 || f == e5m2 ||
                     f == ue8m0 || f == ue4m3;
  if (plain) return shape;
  for (const format taken : {e3m4, e4m3, e5m2, ue4m3}) {
    const bool same = f.exponent_bits == taken.exponent_bits &&
                      f.mantissa_bits == taken.mantissa_bits && f.sign_bits == taken.sign_bits;
    if (same && f.special == specials::none) shape += "_none";
  }
  if (f.special == specials::nan) shape += "_nan";
  if (f.special == specials::infinity) shape += "_infinity";
  if (f.special == specials::fnuz) shape += "fnuz";
  const int usual_bias = usual.bias + (f.special == specials::fnuz ? 1 : 0);
  if (f.bias != usual_bias) shape += detail::joined({"_bias", std::to_string(f.bias)});
  return shape;
}

/// Name of a block format: its identifier, or its parts ("per_row(e4m3)", "e2m1_ue8m0_1x16").
inline std::string name(block_format b) {
  if (b == mxint8) return "mxint8";
  if (b == nvfp4) return "nvfp4";
  if (b == nvfp4_2d) return "nvfp4_2d";
  if (b == fp8_1x128) return "fp8_1x128";
  if (b == fp8_128x128) return "fp8_128x128";
  if (b == mxfp4) return "mxfp4";
  for (const format f : {e2m3, e3m2, e4m3, e5m2}) {
    if (b == block_format{f, ue8m0, 1, 32}) {
      return detail::joined({"mxfp", std::to_string(f.bits()), "_", name(f)});
    }
  }
  if (b == per_row(b.element)) return detail::joined({"per_row(", name(b.element), ")"});
  if (b == per_column(b.element)) return detail::joined({"per_column(", name(b.element), ")"});
  if (b == per_tensor(b.element)) return detail::joined({"per_tensor(", name(b.element), ")"});
  return detail::joined({name(b.element), "_", name(b.scale), "_", std::to_string(b.rows), "x",
                         std::to_string(b.cols), b.tensor_scale ? "_tensor_scale" : ""});
}

namespace detail {

template <class ForEach, class Visit>
bool with_name(std::string_view wanted, ForEach for_each, Visit& visit) {
  bool found = false;
  for_each([&](auto value) {
    if (found || name(value) != wanted) return;
    found = true;
    visit(value);
  });
  return found;
}

}  // namespace detail

/// From a name at run time to a template argument: calls visit(format_constant<F>{}) for the format
/// so named. False when there is none.
template <class Visit>
bool with_format(std::string_view wanted, Visit&& visit) {
  return detail::with_name(wanted, [](auto v) { for_each_format(v); }, visit);
}
template <class Visit>
bool with_block_format(std::string_view wanted, Visit&& visit) {
  return detail::with_name(wanted, [](auto v) { for_each_block_format(v); }, visit);
}
template <class Visit>
bool with_rounding(std::string_view wanted, Visit&& visit, std::uint64_t seed = 0) {
  return detail::with_name(wanted, [seed](auto v) { for_each_rounding(v, seed); }, visit);
}
template <class Visit>
bool with_overflow(std::string_view wanted, Visit&& visit) {
  return detail::with_name(wanted, [](auto v) { for_each_overflow(v); }, visit);
}
template <class Visit>
bool with_scale_rule(std::string_view wanted, Visit&& visit) {
  return detail::with_name(wanted, [](auto v) { for_each_scale_rule(v); }, visit);
}

}  // namespace halfbyte
