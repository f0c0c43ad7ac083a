#include "choices.hpp"

#include <algorithm>
#include <stdexcept>

#include <halfbyte/names.hpp>

namespace hb = halfbyte;
using names = std::vector<std::string>;

namespace {

bool among(const names& all, const std::string& one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

/// `asked`, or all of them; every one must be there.
names selected(const names& asked, const names& all, const char* kind) {
  if (among(asked, "all")) return all;
  for (const std::string& one : asked) {
    if (among(all, one)) continue;
    std::string message = std::string("no ") + kind + " " + one + "; there are";
    for (const std::string& other : all) message += " " + other;
    throw std::invalid_argument(message);
  }
  return asked;
}

// A function, because g++ 12 crashes on default_scale<b.value> inside a generic lambda.
template <hb::block_format B>
std::string default_rule() {
  return hb::name(hb::default_scale<B>{});
}

}  // namespace

names block_formats() {
  names result;
  hb::for_each_block_format([&result](auto b) { result.push_back(hb::name(b.value)); });
  return result;
}

names scale_rules(const std::string& format) {
  names result;
  hb::with_block_format(format, [&result](auto b) {
    using block = decltype(b);
    result.push_back(default_rule<block::value>());
    hb::for_each_scale_rule([&result](auto rule) {
      if (suits<block::value, decltype(rule)>() && hb::name(rule) != result[0]) {
        result.push_back(hb::name(rule));
      }
    });
  });
  return result;
}

names every_scale_rule() {
  names result;
  hb::for_each_scale_rule([&result](auto rule) { result.push_back(hb::name(rule)); });
  return result;
}

names roundings() {
  names result;
  hb::for_each_rounding([&result](auto rounding) { result.push_back(hb::name(rounding)); });
  return result;
}

bool is_compiled(const choice& how) {
  return is_compiled(how.format == "mxfp4" || how.format == "nvfp4",
                     how.scale == scale_rules(how.format)[0], how.rounding == "nearest_even");
}

std::vector<choice> choices(names formats, names rules, names policies) {
  names every_rule = every_scale_rule();
  every_rule.push_back("default");
  formats = selected(formats, block_formats(), "block format");
  rules = selected(rules, every_rule, "scale rule");
  policies = selected(policies, roundings(), "rounding");
  std::vector<choice> result;
  for (const std::string& format : formats) {
    const names suitable = scale_rules(format);
    for (const std::string& rule : rules) {
      const std::string scale = rule == "default" ? suitable[0] : rule;
      if (!among(suitable, scale)) continue;
      for (const std::string& rounding : policies) {
        const choice one{format, scale, rounding};
        if (std::find(result.begin(), result.end(), one) == result.end()) result.push_back(one);
      }
    }
  }
  if (result.empty()) throw std::invalid_argument("no such scale rule for these block formats");
  return result;
}

std::vector<choice> overview() {
  std::vector<choice> result = choices({"all"}, {"default"}, {"nearest_even"});
  const auto append = [&result](const std::vector<choice>& more) {
    for (const choice& one : more) {
      if (std::find(result.begin(), result.end(), one) == result.end()) result.push_back(one);
    }
  };
  append(choices({"mxfp4", "nvfp4"}, {"all"}, {"nearest_even"}));
  append(choices({"mxfp4", "nvfp4"}, {"default"}, {"all"}));
  return result;
}
