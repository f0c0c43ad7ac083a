#include <cstdint>
#include <map>
#include <string>

#include <doctest/doctest.h>

#include <halfbyte/minifloat.hpp>

#include "every_policy.hpp"
#include "exact.hpp"
#include "known_answers/table.hpp"
#include "tally.hpp"

namespace hb = halfbyte;

namespace {

constexpr std::uint64_t seed = 2026;

/// The table's rounding at run time. Its random words are drawn by elements that have them.
struct tabled_rounding {
  std::string name;
  int bits;
  exact::draw at;

  explicit tabled_rounding(const known_answers::section& s)
      : name(s.rounding), bits(s.bits), at{0, 0} {
    if (bits > 0) at = exact::draw_of(s.word << (32 - bits) | 0x5555u, seed);
  }

  bool away(hb::dropped d, std::uint64_t) const {
    if (name == "nearest_even") return hb::nearest_even{}.away(d, 0);
    if (name == "nearest_away") return hb::nearest_away{}.away(d, 0);
    if (name == "toward_zero") return hb::toward_zero{}.away(d, 0);
    if (name == "upward") return hb::upward{}.away(d, 0);
    if (name == "downward") return hb::downward{}.away(d, 0);
    if (name == "stochastic") {
      return bits == 4 ? hb::stochastic<4>{seed, at.stream}.away(d, at.index)
                       : hb::stochastic<8>{seed, at.stream}.away(d, at.index);
    }
    return bits == 4 ? hb::stochastic_unbiased<4>{seed, at.stream}.away(d, at.index)
                     : hb::stochastic_unbiased<8>{seed, at.stream}.away(d, at.index);
  }
};

template <hb::format F>
void run(const known_answers::section& s, tally& t) {
  const tabled_rounding rounding(s);
  const exact::any_overflow overflow{s.overflow == "saturate" ? exact::overflow::saturate
                                                              : exact::overflow::to_special};
  for (const known_answers::answer& a : s.answers) {
    const std::uint32_t got =
        a.wide ? hb::encode<F>(exact::double_of(a.input), rounding, overflow)
               : hb::encode<F>(exact::float_of(static_cast<std::uint32_t>(a.input)), rounding,
                               overflow);
    t.expect(a.nan ? F.is_nan(got) : got == a.pattern, [&] {
      return s.format + " " + s.rounding + " " + s.overflow + " of " + hex(a.input) + " gave " +
             hex(got) + "; " + s.source + " says " + (a.nan ? "nan" : hex(a.pattern));
    });
  }
}

using runner = void (*)(const known_answers::section&, tally&);

const std::map<std::string, runner> runners = {
    {"e2m1", run<hb::e2m1>},         {"e2m3", run<hb::e2m3>},
    {"e3m2", run<hb::e3m2>},         {"e4m3", run<hb::e4m3>},
    {"e5m2", run<hb::e5m2>},         {"e3m4", run<hb::e3m4>},
    {"e4m3fnuz", run<hb::e4m3fnuz>}, {"e5m2fnuz", run<hb::e5m2fnuz>},
    {"ue4m3", run<hb::ue4m3>},       {"ue8m0", run<hb::ue8m0>},
    {"fixed8", run<hb::fixed8>},     {"bfloat16", run<hb::bfloat16>},
    {"float16", run<hb::float16>}};

}  // namespace

TEST_CASE("conversions give what ml_dtypes and gfloat give") {
  tally t;
  std::map<std::string, int> sections;
  for (const auto& s : known_answers::read("known_answers/conversions.txt")) {
    REQUIRE(runners.count(s.format) == 1);
    runners.at(s.format)(s, t);
    ++sections[s.source];
  }
  CHECK(sections["ml_dtypes"] == 11);
  CHECK(sections["gfloat"] > 150);
  CHECK(t.total > 50000);
}
