#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include <doctest/doctest.h>

#include <halfbyte/stored_tensor.hpp>

namespace hb = halfbyte;
using hb::stored_type;
using bytes = std::vector<std::uint8_t>;

namespace {

/// What a pattern of an IEEE-like layout means, from its fields. `nan_from` and up, below the sign,
/// are NaN; `infinity` is infinity.
double meaning(std::uint32_t pattern, int exponent_bits, int mantissa_bits, int bias,
               std::uint32_t infinity, std::uint32_t nan_from) {
  const std::uint32_t sign = 1u << (exponent_bits + mantissa_bits);
  const std::uint32_t magnitude = pattern & (sign - 1);
  const auto fraction = static_cast<double>(magnitude & ((1u << mantissa_bits) - 1));
  const int field = static_cast<int>(magnitude >> mantissa_bits);
  double value = field == 0 ? std::ldexp(fraction, 1 - bias - mantissa_bits)
                            : std::ldexp(std::ldexp(1.0, mantissa_bits) + fraction,
                                         field - bias - mantissa_bits);
  if (magnitude == infinity) value = std::numeric_limits<double>::infinity();
  if (magnitude >= nan_from) value = std::numeric_limits<double>::quiet_NaN();
  return (pattern & sign) != 0 ? -value : value;
}

constexpr std::uint32_t never = ~0u;

/// Packs patterns of `bits` bits, least significant bit first.
bytes packed(const std::vector<std::uint32_t>& patterns, int bits) {
  bytes result((patterns.size() * static_cast<std::size_t>(bits) + 7) / 8);
  std::size_t at = 0;
  for (const std::uint32_t pattern : patterns) {
    for (int k = 0; k < bits; ++k, ++at) {
      result[at / 8] = static_cast<std::uint8_t>(result[at / 8] | ((pattern >> k & 1) << at % 8));
    }
  }
  return result;
}

template <class T>
std::vector<T> numbers(stored_type type, std::span<const std::uint8_t> data) {
  hb::stored_tensor tensor{"t", type, {}, data};
  tensor.shape = {tensor.size()};
  std::vector<T> result(tensor.size());
  hb::read_numbers(tensor, std::span<T>(result));
  return result;
}

template <class T, class U>
bool same(T a, U b) {
  if (std::isnan(static_cast<double>(b))) return std::isnan(a);
  return static_cast<double>(a) == static_cast<double>(b) && std::signbit(a) == std::signbit(b);
}

/// Every pattern of a type, at even and odd addresses, in floats and doubles.
template <class Meaning>
void check_every_pattern(stored_type type, Meaning meaning_of) {
  CAPTURE(hb::name(type));
  const int bits = hb::stored_bits(type);
  std::vector<std::uint32_t> patterns;
  for (std::uint32_t p = 0; p < 1u << bits; ++p)
    patterns.push_back(p * 40503u & ((1u << bits) - 1));
  const bytes data = packed(patterns, bits);
  for (const std::size_t offset : {0u, 1u}) {
    bytes moved(offset);
    moved.insert(moved.end(), data.begin(), data.end());
    const std::span<const std::uint8_t> at(moved.data() + offset, data.size());
    const std::vector<float> floats = numbers<float>(type, at);
    const std::vector<double> doubles = numbers<double>(type, at);
    REQUIRE(floats.size() == patterns.size());
    for (std::size_t i = 0; i < patterns.size(); ++i) {
      const double expected = meaning_of(patterns[i]);
      if (!same(floats[i], expected) || !same(doubles[i], expected)) {
        FAIL_CHECK(patterns[i], " read as ", floats[i], " and ", doubles[i], ", is ", expected);
      }
    }
  }
}

}  // namespace

TEST_CASE("every pattern of every small type is the number that the format says") {
  using p = std::uint32_t;
  check_every_pattern(stored_type::f4, [](p x) { return meaning(x, 2, 1, 1, never, never); });
  check_every_pattern(stored_type::f6_e2m3, [](p x) { return meaning(x, 2, 3, 1, never, never); });
  check_every_pattern(stored_type::f6_e3m2, [](p x) { return meaning(x, 3, 2, 3, never, never); });
  check_every_pattern(stored_type::f8_e4m3, [](p x) { return meaning(x, 4, 3, 7, never, 0x7f); });
  check_every_pattern(stored_type::f8_e5m2, [](p x) { return meaning(x, 5, 2, 15, 0x7c, 0x7d); });
  check_every_pattern(stored_type::f8_e8m0, [](p x) {
    return x == 255 ? std::numeric_limits<double>::quiet_NaN()
                    : std::ldexp(1.0, static_cast<int>(x) - 127);
  });
  check_every_pattern(stored_type::f8_e4m3fnuz, [](p x) {
    return x == 0x80 ? std::numeric_limits<double>::quiet_NaN() : meaning(x, 4, 3, 8, never, never);
  });
  check_every_pattern(stored_type::f8_e5m2fnuz, [](p x) {
    return x == 0x80 ? std::numeric_limits<double>::quiet_NaN()
                     : meaning(x, 5, 2, 16, never, never);
  });
  check_every_pattern(stored_type::u8, [](p x) { return static_cast<double>(x); });
  check_every_pattern(stored_type::i8, [](p x) {
    return x < 128 ? static_cast<double>(x) : static_cast<double>(x) - 256.0;
  });
  check_every_pattern(stored_type::f16, [](p x) { return meaning(x, 5, 10, 15, 0x7c00, 0x7c01); });
  check_every_pattern(stored_type::bf16, [](p x) { return meaning(x, 8, 7, 127, 0x7f80, 0x7f81); });
}

TEST_CASE("F32 and F64 are read bit for bit, F64 into floats with one rounding") {
  std::mt19937_64 random(5);
  std::vector<std::uint64_t> patterns{0,
                                      1,
                                      1ull << 63,
                                      0x7ff0000000000000,
                                      0xfff8000000000001,
                                      0x36a0000000000000 /* 2^-149 */,
                                      0x3690000000000000,
                                      0x3690000000000001,
                                      0x47efffffefffffff,
                                      0x47effffff0000000};
  for (int i = 0; i < 20000; ++i) patterns.push_back(random());
  for (int i = 0; i < 20000; ++i) {  // ties between two floats, and their neighbours
    const std::uint64_t field = 700 + random() % 500;
    const std::uint64_t tie = (random() & 0xfffffe0000000) | 0x10000000;
    patterns.push_back((random() & 1) << 63 | field << 52 | (tie + random() % 3 - 1));
  }
  bytes data(1);
  for (const std::uint64_t pattern : patterns) {
    for (int k = 0; k < 8; ++k) data.push_back(static_cast<std::uint8_t>(pattern >> (8 * k)));
  }
  const std::span<const std::uint8_t> at(data.data() + 1, data.size() - 1);
  const std::vector<double> doubles = numbers<double>(stored_type::f64, at);
  const std::vector<float> floats = numbers<float>(stored_type::f64, at);
  const std::vector<float> halves = numbers<float>(stored_type::f32, at);
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    std::uint64_t read = 0;
    std::memcpy(&read, &doubles[i], 8);
    CHECK(read == patterns[i]);
    CHECK(same(floats[i], static_cast<float>(doubles[i])));
    for (const std::size_t k : {0u, 1u}) {
      std::uint32_t half = 0;
      std::memcpy(&half, &halves[2 * i + k], 4);
      CHECK(half == static_cast<std::uint32_t>(patterns[i] >> (32 * k)));
    }
  }
}

TEST_CASE("types that are not numbers, and rooms of another size, are refused") {
  const bytes data(24);
  for (int i = 0; i < hb::stored_types; ++i) {
    const auto type = static_cast<stored_type>(i);
    CAPTURE(hb::name(type));
    const hb::stored_tensor tensor{"t", type, {}, data};
    CHECK(tensor.size() == 24 * 8 / static_cast<std::size_t>(hb::stored_bits(type)));
    std::vector<float> room(tensor.size()), more(tensor.size() + 1), less(tensor.size() - 1);
    if (hb::is_number(type)) {
      CHECK_NOTHROW(hb::read_numbers(tensor, std::span<float>(room)));
    } else {
      CHECK_THROWS_AS(hb::read_numbers(tensor, std::span<float>(room)), std::invalid_argument);
    }
    CHECK_THROWS_AS(hb::read_numbers(tensor, std::span<float>(more)), std::invalid_argument);
    CHECK_THROWS_AS(hb::read_numbers(tensor, std::span<float>(less)), std::invalid_argument);
  }
}
