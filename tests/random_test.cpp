// Philox against its published answers, and stochastic rounding by every random word rather than
// by statistics.

#include <algorithm>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <halfbyte/minifloat.hpp>
#include <halfbyte/random.hpp>
#include <halfbyte/rounding.hpp>

#include "every_format.hpp"
#include "every_policy.hpp"
#include "exact.hpp"
#include "inputs.hpp"
#include "tally.hpp"

namespace hb = halfbyte;

// Random123, kat_vectors.
static_assert(hb::philox4x32({{0, 0, 0, 0}}, {{0, 0}}) ==
              hb::philox_words{{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
static_assert(hb::philox4x32({{~0u, ~0u, ~0u, ~0u}}, {{~0u, ~0u}}) ==
              hb::philox_words{{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
static_assert(hb::philox4x32({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
                             {{0xa4093822, 0x299f31d0}}) ==
              hb::philox_words{{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
static_assert(hb::random_bits(0, 0, 0) == 0x6627e8d5 && hb::random_bits(0, 0, 3) == 0x9b00dbd8);
static_assert(hb::random_bits(0, 0, 4) == 0xf8e4cca4);   // counter {1, 0, 0, 0}, by Random123
static_assert(hb::random_bits(42, 0, 1) == 0x77f5493b);  // key {42, 0}, by Random123

namespace {

constexpr std::uint64_t seed = 0x0123456789abcdef;

/// Floats on, between and beside the values of the format, and some that are far away.
std::vector<float> probes(const exact::grid& g, std::size_t pairs, bool negative) {
  std::vector<float> out;
  const std::size_t step = std::max<std::size_t>(1, g.values.size() / pairs);
  const auto add = [&](exact::number x) {
    if (!exact::fits(x, 8, 23)) return;
    out.push_back(exact::to_float(x));
    if (negative) out.push_back(exact::to_float(x, true));
  };
  std::mt19937_64 random(5);
  const auto add_pair = [&](std::size_t i) {
    const exact::number low = g.values[i];
    const exact::number high = i + 1 < g.values.size() ? g.values[i + 1] : g.next;
    const exact::number gap = exact::subtract(high, low);
    add(low);
    add(exact::middle(low, high));
    add(exact::add(low, {gap.n, gap.k - 2}));
    add(exact::add(low, {gap.n * (2 * (random() % 4096) + 1), gap.k - 13}));
    const int bits = 15 + static_cast<int>(random() % 4);
    add(exact::add(low, {gap.n * (random() % (1u << bits)), gap.k - bits}));
    add(exact::subtract(high, {1, gap.k - 14}));
  };
  for (std::size_t i = 0; i < g.values.size(); i += step) add_pair(i);
  add_pair(g.values.size() - 1);
  out.push_back(0x1p-100f);
  out.push_back(0x1.8p-10f);
  out.push_back(1e30f);
  return out;
}

/// The elements of a tensor at which each word of Bits bits is drawn.
template <int Bits>
const std::vector<exact::draw>& draws() {
  static const std::vector<exact::draw> all = [] {
    std::vector<exact::draw> made;
    for (std::uint32_t word = 0; word < (1u << Bits); ++word) {
      // Bits below the word are filled: the rounding must not read them.
      const std::uint32_t filler = Bits < 32 ? 0xffffffffu >> Bits : 0;
      const std::uint32_t low = word % 2 == 0 ? 0 : filler;
      made.push_back(exact::draw_of(word << (32 - Bits) | low, seed, word % 4));
    }
    return made;
  }();
  return all;
}

template <hb::format F, int Bits, template <int> class Rounding>
void every_word(tally& t, std::size_t pairs, bool round_fraction) {
  const exact::grid g = exact::grid_of(F);
  for (const float x : probes(g, pairs, F.has_sign())) {
    const exact::value v = exact::of(x);
    std::uint64_t moved = 0;
    bool monotone = true;
    const std::uint32_t still =
        g.round(v, exact::rounding::toward_zero, exact::overflow::to_special);
    bool neighbours_only = true;
    std::uint32_t up_pattern = still;
    for (std::uint32_t word = 0; word < (1u << Bits); ++word) {
      const exact::draw d = draws<Bits>()[word];
      const std::uint32_t got =
          hb::encode<F>(x, Rounding<Bits>{seed, d.stream}, hb::to_special{}, d.index);
      if (got != still) {
        if (moved == 0) up_pattern = got;
        neighbours_only = neighbours_only && got == up_pattern;
        ++moved;
      } else {
        monotone = monotone && moved == 0;
      }
    }
    std::uint64_t want = g.words_up(v.magnitude, Bits, round_fraction);
    const std::uint32_t upper =
        g.finish(g.find(v.magnitude), true, v.negative, exact::overflow::to_special);
    if (upper == still) want = 0;  // saturated: up is where it stood
    t.expect(moved == want && monotone && neighbours_only && (moved == 0 || up_pattern == upper),
             [&] {
               return std::to_string(Bits) + " bits, e" + std::to_string(F.exponent_bits) + "m" +
                      std::to_string(F.mantissa_bits) + ", " + hex(exact::bits_of(x)) + ": " +
                      std::to_string(moved) + " words up, not " + std::to_string(want);
             });
  }
}

template <hb::format F>
void every_short_word(tally& t) {
  every_word<F, 1, hb::stochastic>(t, 40, false);
  every_word<F, 4, hb::stochastic>(t, 40, false);
  every_word<F, 8, hb::stochastic>(t, 20, false);
  every_word<F, 1, hb::stochastic_unbiased>(t, 40, true);
  every_word<F, 4, hb::stochastic_unbiased>(t, 40, true);
  every_word<F, 8, hb::stochastic_unbiased>(t, 20, true);
}

/// The number of 32-bit words that move x up, by bisection on the public function.
template <hb::format F, class Rounding, class Source>
std::uint64_t words_up(Source x, std::uint32_t still) {
  std::uint64_t low = 0;                        // words below `low` leave x
  std::uint64_t high = std::uint64_t{1} << 32;  // words from `high` on move it
  while (low < high) {
    const std::uint64_t word = (low + high) / 2;
    const exact::draw d = exact::draw_of(static_cast<std::uint32_t>(word), seed);
    const bool moved =
        hb::encode<F>(x, Rounding{seed, d.stream}, hb::to_special{}, d.index) != still;
    (moved ? high : low) = moved ? word : word + 1;
  }
  return (std::uint64_t{1} << 32) - low;
}

template <hb::format F, class Source>
void thirty_two_bits(tally& t, const std::vector<Source>& inputs) {
  const exact::grid g = exact::grid_of(F);
  for (const Source x : inputs) {
    const exact::value v = exact::of(x);
    const exact::place p = g.find(v.magnitude);
    const std::uint32_t still = g.finish(p, false, v.negative, exact::overflow::to_special);
    const std::uint32_t upper = g.finish(p, true, v.negative, exact::overflow::to_special);
    const auto words = [&] { return hex(exact::bits_of(x)); };
    if (still == upper) continue;
    t.expect(words_up<F, hb::stochastic<>>(x, still) == g.words_up(v.magnitude, 32, false), words);
    t.expect(
        words_up<F, hb::stochastic_unbiased<32>>(x, still) == g.words_up(v.magnitude, 32, true),
        words);
  }
}

template <hb::format F>
void thirty_two_bits(tally& t, std::size_t pairs) {
  thirty_two_bits<F>(t, probes(exact::grid_of(F), pairs, F.has_sign()));
}

/// Doubles with bits far below the 32 that random bits reach: on a whole word, halfway to the next,
/// and a little beside each.
template <hb::format F>
std::vector<double> long_tails() {
  const exact::grid g = exact::grid_of(F);
  std::vector<double> out;
  std::mt19937_64 random(6);
  for (std::size_t i = 1; i + 1 < g.values.size(); i += 1 + g.values.size() / 16) {
    const exact::number gap = exact::subtract(g.values[i + 1], g.values[i]);
    const std::uint64_t word = (random() & 0xffffffffu) | 1;
    for (const std::uint64_t tail : {0u, 1u, 0x1ffffu, 0x20000u, 0x20001u, 0x3ffffu}) {
      const exact::number part{gap.n * ((word << 18) + tail), gap.k - 50};
      const exact::number x = exact::add(g.values[i], part);
      if (exact::fits(x, 11, 52)) out.push_back(exact::to_double(x, i % 2 == 0));
    }
  }
  return out;
}

}  // namespace

TEST_CASE("Philox4x32-10 is the published function: an independent one agrees on random counters") {
  std::mt19937_64 random(3);
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t a = random(), b = random(), k = random();
    exact::philox p{{static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(a >> 32),
                     static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(b >> 32)},
                    {static_cast<std::uint32_t>(k), static_cast<std::uint32_t>(k >> 32)}};
    const hb::philox_words in{{p.counter[0], p.counter[1], p.counter[2], p.counter[3]}};
    p.run();
    const hb::philox_words out = hb::philox4x32(in, {{p.key[0], p.key[1]}});
    CHECK(out == hb::philox_words{{p.counter[0], p.counter[1], p.counter[2], p.counter[3]}});
    p.run_backwards();
    CHECK(in == hb::philox_words{{p.counter[0], p.counter[1], p.counter[2], p.counter[3]}});
  }
}

TEST_CASE("the word of an element is Philox at its index, stream and seed, all 64 bits of each") {
  std::mt19937_64 random(4);
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t s = random(), stream = random(), index = random() >> (random() % 64);
    CHECK(hb::random_bits(s, stream, index) == exact::random_word(s, stream, index));
  }
  for (int bit = 0; bit < 64; ++bit) {  // no bit of any argument is lost or folded on another
    const std::uint64_t one = std::uint64_t{1} << bit;
    CHECK(hb::random_bits(one, 0, 0) == exact::random_word(one, 0, 0));
    CHECK(hb::random_bits(0, one, 0) == exact::random_word(0, one, 0));
    CHECK(hb::random_bits(0, 0, one) == exact::random_word(0, 0, one));
  }
}

TEST_CASE("seeds, streams and neighbouring elements do not share random words") {
  std::set<std::uint32_t> seen;
  for (std::uint64_t s = 0; s < 4; ++s) {
    for (std::uint64_t stream = 0; stream < 4; ++stream) {
      for (std::uint64_t i = 0; i < 256; ++i) seen.insert(hb::random_bits(s, stream, i));
    }
  }
  CHECK(seen.size() == 4096);  // a chance collision would be one in 500; these seeds have none
  CHECK(hb::random_bits(1, 0, 5) != hb::random_bits(std::uint64_t{1} << 32, 0, 5));
  CHECK(hb::random_bits(0, 7, 5) != hb::random_bits(7, 0, 5));
}

TEST_CASE("an element's rounding does not depend on the elements around it or on the chunk") {
  const hb::stochastic<> rounding{99, 3};
  std::vector<std::uint32_t> whole;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    whole.push_back(hb::encode<hb::e2m1>(2.4f, rounding, hb::saturate{}, i));
  }
  for (std::uint64_t i = 1000; i-- > 0;) {
    CHECK(hb::encode<hb::e2m1>(2.4f, rounding, hb::saturate{}, i) == whole[i]);
    const bool up = (exact::random_word(99, 3, i) + (std::uint64_t{0x66666800u})) >> 32 != 0;
    CHECK(whole[i] == (up ? 5u : 4u));  // 2.4f = 2 + 0.4000000954: 0x66666800 of 2^32 words
  }
}

TEST_CASE("of all words of 1, 4 and 8 bits, exactly the stated number moves each float up") {
  tally t;
  every_short_word<hb::e2m1>(t);
  every_short_word<hb::e2m3>(t);
  every_short_word<hb::e3m2>(t);
  every_short_word<hb::e4m3>(t);
  every_short_word<hb::e5m2>(t);
  every_short_word<hb::e4m3fnuz>(t);
  every_short_word<hb::ue8m0>(t);
  every_short_word<hb::ue4m3>(t);
  every_short_word<hb::fixed8>(t);
}

TEST_CASE("of all words of 2 to 16 bits, exactly the stated number moves each float up") {
  tally t;
  every_word<hb::e2m1, 2, hb::stochastic>(t, 8, false);
  every_word<hb::e2m1, 2, hb::stochastic_unbiased>(t, 8, true);
  every_word<hb::e4m3, 3, hb::stochastic>(t, 8, false);
  every_word<hb::e4m3, 3, hb::stochastic_unbiased>(t, 8, true);
  every_word<hb::e4m3, 10, hb::stochastic>(t, 8, false);
  every_word<hb::e2m1, 13, hb::stochastic>(t, 8, false);
  every_word<hb::e2m1, 16, hb::stochastic>(t, 8, false);
  every_word<hb::e2m1, 16, hb::stochastic_unbiased>(t, 8, true);
  every_word<hb::e4m3, 16, hb::stochastic>(t, 3, false);
  every_word<hb::e4m3, 16, hb::stochastic_unbiased>(t, 3, true);
}

TEST_CASE("of all words of 32 bits, exactly the stated number moves each float up") {
  tally t;
  thirty_two_bits<hb::e2m1>(t, 8);
  thirty_two_bits<hb::e2m3>(t, 16);
  thirty_two_bits<hb::e3m2>(t, 16);
  thirty_two_bits<hb::e4m3>(t, 40);
  thirty_two_bits<hb::e5m2>(t, 40);
  thirty_two_bits<hb::bfloat16>(t, 20);
}

TEST_CASE(
    "bits of a double below the random word are cut, or round it to nearest even, as stated") {
  tally t;
  const auto check = [&]<hb::format F>() {
    const auto inputs = long_tails<F>();
    CHECK(inputs.size() > 8);
    thirty_two_bits<F>(t, inputs);
  };
  check.operator()<hb::e2m1>();
  check.operator()<hb::e2m3>();
  check.operator()<hb::e4m3>();
  check.operator()<hb::e5m2>();
  check.operator()<hb::bfloat16>();
}

TEST_CASE(
    "a number that the format holds never moves, whatever the word, nor do infinity and NaN") {
  tally t;
  const auto check = [&]<hb::format F>() {
    for (std::uint32_t p = 0; p <= F.mask(); ++p) {
      const float x = hb::decode<F>(p);
      const std::uint32_t want = hb::encode<F>(x, hb::nearest_even{}, hb::to_special{});
      for (const std::uint32_t word : {0u, 1u, 0x7fffffffu, 0x80000000u, 0xffffffffu}) {
        const exact::draw d = exact::draw_of(word, seed);
        t.expect(
            hb::encode<F>(x, hb::stochastic<>{seed, d.stream}, hb::to_special{}, d.index) == want &&
                hb::encode<F>(x, hb::stochastic<4>{seed, d.stream}, hb::to_special{}, d.index) ==
                    want &&
                hb::encode<F>(x, hb::stochastic_unbiased<8>{seed, d.stream}, hb::to_special{},
                              d.index) == want,
            [&] { return hex(p) + " with " + hex(word); });
      }
    }
  };
  check.operator()<hb::e2m1>();
  check.operator()<hb::e2m3>();
  check.operator()<hb::e3m2>();
  check.operator()<hb::e4m3>();
  check.operator()<hb::e5m2>();
  check.operator()<hb::e4m3fnuz>();
  check.operator()<hb::ue8m0>();
  check.operator()<hb::ue4m3>();
  check.operator()<hb::int4>();
}

TEST_CASE("far below the smallest, a lost bit still decides a tie of the word") {
  // 2^-33 of the smallest of e4m3 is half of one word of 2^32.
  const double half_word = exact::to_double({1, -9 - 33});
  const double above = exact::double_of(exact::bits_of(half_word) + 1);
  CHECK(words_up<hb::e4m3, hb::stochastic_unbiased<32>>(half_word, 0) == 0);
  CHECK(words_up<hb::e4m3, hb::stochastic_unbiased<32>>(above, 0) == 1);
  CHECK(words_up<hb::e4m3, hb::stochastic_unbiased<32>>(3 * half_word, 0) == 2);
  CHECK(words_up<hb::e4m3, hb::stochastic<>>(above, 0) == 0);
}

TEST_CASE("stochastic rounding of -x is that of x with the sign turned, for the same word") {
  tally t;
  std::mt19937_64 random(9);
  for (int i = 0; i < 20000; ++i) {
    const float x =
        exact::float_of(static_cast<std::uint32_t>(random() % 0x0c000000u + 0x3a000000u));
    const hb::stochastic<> rounding{random(), random()};
    const std::uint64_t index = random();
    t.expect((hb::encode<hb::e4m3>(x, rounding, hb::saturate{}, index) ^ 0x80u) ==
                     hb::encode<hb::e4m3>(-x, rounding, hb::saturate{}, index) &&
                 (hb::encode<hb::e2m3>(x, rounding, hb::saturate{}, index) ^ 0x20u) ==
                     hb::encode<hb::e2m3>(-x, rounding, hb::saturate{}, index),
             [&] { return hex(exact::bits_of(x)); });
  }
}

TEST_CASE("the bits of a short word are the highest of the element's word, not the lowest") {
  const exact::draw d = exact::draw_of(0xf0000000u, seed);
  const exact::draw e = exact::draw_of(0x0fffffffu, seed);
  const float x = 2.0f + 1.0f / 16;  // one of 16 words moves it
  CHECK(hb::encode<hb::e2m1>(x, hb::stochastic<4>{seed, d.stream}, hb::saturate{}, d.index) == 5);
  CHECK(hb::encode<hb::e2m1>(x, hb::stochastic<4>{seed, e.stream}, hb::saturate{}, e.index) == 4);
}

TEST_CASE("subnormals of e4m3 are rounded stochastically with all the bits of the float") {
  // 2^-9 * (1 - 2^-20): all but 2^12 of the 2^32 words move it to 2^-9.
  CHECK(words_up<hb::e4m3, hb::stochastic<>>(0x1.ffffep-10f, 0) ==
        (std::uint64_t{1} << 32) - 0x1000);
  CHECK(words_up<hb::e4m3, hb::stochastic<>>(0x1p-41f, 0) == 1);
  CHECK(words_up<hb::e4m3, hb::stochastic<>>(0x1.fffffep-42f, 0) == 0);
}
