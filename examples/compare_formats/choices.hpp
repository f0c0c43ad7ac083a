#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include <halfbyte/block_format.hpp>
#include <halfbyte/rounding.hpp>
#include <halfbyte/scale.hpp>

/// One way to quantize a matrix, by the library's names.
struct choice {
  std::string format, scale, rounding;
  friend bool operator==(const choice&, const choice&) = default;
};

/// Whether a scale rule is meant for block format B.
template <halfbyte::block_format B, class Rule>
constexpr bool suits() {
  const bool fp4 = B.element == halfbyte::e2m1;
  if (std::is_same_v<Rule, halfbyte::four_over_six>) return fp4 && B.scale.mantissa_bits > 0;
  if (std::is_same_v<Rule, halfbyte::nvfp4_te>) {
    return fp4 && B.scale.mantissa_bits == 3 && B.tensor_scale;
  }
  if (std::is_same_v<Rule, halfbyte::rms_clip>) return fp4;  // its constant is that of e2m1
  return true;
}

/// Whether a choice is compiled as a user of the library would have it: those of overview().
constexpr bool is_compiled(bool overview_format, bool own_rule, bool nearest_even) {
  return overview_format ? own_rule || nearest_even : own_rule && nearest_even;
}
template <halfbyte::block_format B, class Rule, class Rounding>
constexpr bool is_compiled() {
  return is_compiled(B == halfbyte::mxfp4 || B == halfbyte::nvfp4,
                     std::is_same_v<Rule, halfbyte::default_scale<B>>,
                     std::is_same_v<Rounding, halfbyte::nearest_even>);
}
bool is_compiled(const choice& how);

/// What there is to choose from; the first scale rule of a format is its default.
std::vector<std::string> block_formats();
std::vector<std::string> scale_rules(const std::string& format);
std::vector<std::string> every_scale_rule();
std::vector<std::string> roundings();

/// Every choice of these formats, scale rules and roundings: "all" stands for all there are, and
/// "default" for each format's own. Scale rules that do not suit a format are left out. Throws
/// std::invalid_argument for a name that there is not.
std::vector<choice> choices(std::vector<std::string> formats, std::vector<std::string> rules,
                            std::vector<std::string> policies);

/// What to look at first: every format as it comes, and for mxfp4 and nvfp4 every scale rule and
/// every rounding.
std::vector<choice> overview();
