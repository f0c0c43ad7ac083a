#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include <halfbyte/names.hpp>

#include "every_format.hpp"

namespace hb = halfbyte;

namespace {

template <class ForEach>
std::vector<std::string> names_of(ForEach for_each) {
  std::vector<std::string> names;
  for_each([&](auto value) { names.push_back(hb::name(value)); });
  return names;
}

void check_distinct(const std::vector<std::string>& names) {
  const std::set<std::string> distinct(names.begin(), names.end());
  CHECK(distinct.size() == names.size());
  CHECK_FALSE(distinct.contains(""));
}

/// Every value that for_each visits comes back from its name: once, with its own type.
template <class ForEach, class With>
void check_round_trip(ForEach for_each, With with) {
  check_distinct(names_of(for_each));
  for_each([&](auto value) {
    const std::string wanted = hb::name(value);
    CAPTURE(wanted);
    int visits = 0;
    bool same_type = false;
    const bool found = with(wanted, [&](auto other) {
      ++visits;
      same_type = std::is_same_v<decltype(other), decltype(value)>;
    });
    CHECK(found);
    CHECK(visits == 1);
    CHECK(same_type);
    for (const std::string& wrong :
         {wanted + " ", "x" + wanted, wanted.substr(0, wanted.size() - 1) + "?"}) {
      CHECK_FALSE(with(wrong, [&](auto) { ++visits; }));
    }
    CHECK_FALSE(with("", [&](auto) { ++visits; }));
    CHECK(visits == 1);
  });
}

}  // namespace

TEST_CASE("every format comes back from its name") {
  check_round_trip([](auto visit) { hb::for_each_format(visit); },
                   [](const std::string& n, auto visit) { return hb::with_format(n, visit); });
}

TEST_CASE("every block format comes back from its name") {
  check_round_trip([](auto visit) { hb::for_each_block_format(visit); },
                   [](const std::string& n, auto visit) { return hb::with_block_format(n, visit); });
}

TEST_CASE("every rounding policy comes back from its name, with its seed") {
  check_round_trip([](auto visit) { hb::for_each_rounding(visit); },
                   [](const std::string& n, auto visit) { return hb::with_rounding(n, visit); });
  int with_seed = 0;
  const auto seed_of = [&](auto policy) {
    if constexpr (requires { policy.seed; }) {
      CHECK(policy.seed == 42);
      ++with_seed;
    }
  };
  hb::for_each_rounding(seed_of, 42);
  CHECK(with_seed == 3);
  CHECK(hb::with_rounding("stochastic<8>", seed_of, 42));
  CHECK(with_seed == 4);
}

TEST_CASE("every overflow policy comes back from its name") {
  check_round_trip([](auto visit) { hb::for_each_overflow(visit); },
                   [](const std::string& n, auto visit) { return hb::with_overflow(n, visit); });
}

TEST_CASE("every scale rule comes back from its name") {
  check_round_trip([](auto visit) { hb::for_each_scale_rule(visit); },
                   [](const std::string& n, auto visit) { return hb::with_scale_rule(n, visit); });
}

TEST_CASE("names are the identifiers of the library") {
  CHECK(names_of([](auto visit) { hb::for_each_format(visit); }) ==
        std::vector<std::string>{"e2m1", "int4", "e2m3", "e3m2", "ue4m3", "e3m4", "e4m3", "e5m2",
                                 "e4m3fnuz", "e5m2fnuz", "ue8m0", "int8", "fixed8", "float16",
                                 "bfloat16", "float32"});
  CHECK(names_of([](auto visit) { hb::for_each_rounding(visit); }) ==
        std::vector<std::string>{"nearest_even", "nearest_away", "nearest_toward_zero",
                                 "toward_zero", "upward", "downward", "to_odd", "stochastic<32>",
                                 "stochastic<8>", "stochastic_unbiased<8>"});
  CHECK(names_of([](auto visit) { hb::for_each_overflow(visit); }) ==
        std::vector<std::string>{"saturate", "to_special", "saturate_finite"});
  CHECK(names_of([](auto visit) { hb::for_each_scale_rule(visit); }) ==
        std::vector<std::string>{"floor_pow2", "ceil_pow2", "nearest_pow2", "absmax",
                                 "four_over_six", "mean_square_search", "rms_clip", "nvfp4_te"});
  CHECK(names_of([](auto visit) { hb::for_each_block_format(visit); }) ==
        std::vector<std::string>{"mxfp4", "mxfp6_e2m3", "mxfp6_e3m2", "mxfp8_e4m3", "mxfp8_e5m2",
                                 "mxint8", "nvfp4", "nvfp4_2d", "fp8_1x128", "fp8_128x128",
                                 "per_row(e2m1)", "per_row(e4m3)", "per_row(int8)",
                                 "per_column(e4m3)", "per_tensor(e4m3)", "per_tensor(e5m2)"});
  CHECK(hb::name(hb::mxfp4) == "mxfp4");
  CHECK(hb::name(hb::mxfp6_e2m3) == "mxfp6_e2m3");
  CHECK(hb::name(hb::mxfp6_e3m2) == "mxfp6_e3m2");
  CHECK(hb::name(hb::mxfp8_e4m3) == "mxfp8_e4m3");
  CHECK(hb::name(hb::mxfp8_e5m2) == "mxfp8_e5m2");
  CHECK(hb::name(hb::mxint8) == "mxint8");
  CHECK(hb::name(hb::nvfp4) == "nvfp4");
  CHECK(hb::name(hb::nvfp4_2d) == "nvfp4_2d");
  CHECK(hb::name(hb::fp8_1x128) == "fp8_1x128");
  CHECK(hb::name(hb::fp8_128x128) == "fp8_128x128");
  CHECK(hb::name(hb::per_row(hb::e4m3)) == "per_row(e4m3)");
  CHECK(hb::name(hb::per_column(hb::int8)) == "per_column(int8)");
  CHECK(hb::name(hb::per_tensor(hb::e5m2)) == "per_tensor(e5m2)");
  CHECK(hb::name(hb::stochastic<16>{}) == "stochastic<16>");
  CHECK(hb::name(hb::stochastic_unbiased<1>{}) == "stochastic_unbiased<1>");
  CHECK(hb::name(hb::scale_layout::linear) == "linear");
  CHECK(hb::name(hb::scale_layout::swizzled_128x4) == "swizzled_128x4");
}

TEST_CASE("a format of one's own is named by its shape, specials and bias") {
  using hb::specials;
  CHECK(hb::name(hb::format{3, 1, 3}) == "e3m1");
  CHECK(hb::name(hb::format{4, 2, 7, specials::infinity}) == "e4m2_infinity");
  CHECK(hb::name(hb::format{4, 3, 7}) == "e4m3_none");
  CHECK(hb::name(hb::format{4, 3, 11, specials::nan}) == "e4m3_nan_bias11");
  CHECK(hb::name(hb::format{5, 3, 16, specials::fnuz}) == "e5m3fnuz");
  CHECK(hb::name(hb::format{5, 3, 15, specials::none, 0}) == "ue5m3");
}

TEST_CASE("no two formats have the same name") {
  std::vector<std::string> names;
  for (const hb::format f : exact::every_shape(2, 16)) {
    names.push_back(hb::name(f));
    hb::format shifted = f;
    shifted.bias += 2;
    names.push_back(hb::name(shifted));
  }
  CHECK(names.size() > 500);
  check_distinct(names);
}

TEST_CASE("a block format of one's own is named by its parts") {
  CHECK(hb::name(hb::block_format{hb::e2m1, hb::ue8m0, 1, 16}) == "e2m1_ue8m0_1x16");
  CHECK(hb::name(hb::block_format{hb::e2m1, hb::ue4m3, 1, 32, true}) ==
        "e2m1_ue4m3_1x32_tensor_scale");
  CHECK(hb::name(hb::transposed(hb::mxfp4)) == "e2m1_ue8m0_32x1");
  CHECK(hb::name(hb::block_format{hb::e3m4, hb::ue8m0, 1, 32}) == "e3m4_ue8m0_1x32");
}

TEST_CASE("a name at run time becomes a template argument") {
  std::uint32_t pattern = 0;
  CHECK(hb::with_format("e5m2", [&](auto f) { pattern = hb::encode<f.value>(1.5f); }));
  CHECK(pattern == hb::encode<hb::e5m2>(1.5f));
  std::size_t bytes = 0;
  CHECK(hb::with_block_format("mxfp4", [&](auto b) {
    bytes = hb::quantized<b.value>(4, 64).bytes();
  }));
  CHECK(bytes == 4 * 32 + 4 * 2);
}
