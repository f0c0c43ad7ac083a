#include <doctest/doctest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <halfbyte/halfbyte.hpp>
#include <halfbyte/io.hpp>

#include "exact.hpp"
#include "tally.hpp"

namespace hb = halfbyte;

namespace {

template <hb::format F>
hb::minifloat<F> number(std::uint32_t pattern) {
  return hb::minifloat<F>::from_pattern(pattern);
}

template <class T>
std::string printed(const T& x) {
  std::ostringstream out;
  out << x;
  return out.str();
}

}  // namespace

TEST_CASE("a number is printed with its bits, sign exponent mantissa, and its value") {
  CHECK(printed(hb::float4_e2m1(3.0)) == "0 10 1 = 3");
  CHECK(printed(hb::float4_e2m1(-0.5)) == "1 00 1 = -0.5");
  CHECK(printed(hb::float8_e4m3(448.0)) == "0 1111 110 = 448");
  CHECK(printed(number<hb::e4m3>(0x7f)) == "0 1111 111 = nan");
  CHECK(printed(number<hb::e5m2>(0xfc)) == "1 11111 00 = -inf");
  CHECK(printed(number<hb::e5m2>(0x80)) == "1 00000 00 = -0");
  CHECK(printed(number<hb::ue8m0>(127)) == "01111111 = 1");
  CHECK(printed(number<hb::ue8m0>(0)) == "00000000 = 5.877472e-39");
  CHECK(printed(number<hb::ue4m3>(0x38)) == "0111 000 = 1");
  CHECK(printed(number<hb::int8>(0xff)) == "1 1111111 = -1");
  CHECK(printed(hb::minifloat<hb::bfloat16>(1.5)) == "0 01111111 1000000 = 1.5");
  CHECK(printed(hb::minifloat<hb::float32>(0.1f)) ==
        "0 01111011 10011001100110011001101 = 0.1");
}

TEST_CASE("the bits of every pattern of every format are its fields, from the top") {
  hb::for_each_format([](auto f) {
    constexpr hb::format F = f.value;
    tally count;
    const auto check = [&](std::uint32_t p) {
      std::string expected;
      for (int i = F.bits() - 1; i >= 0; --i) {
        expected += static_cast<char>('0' + ((p >> i) & 1));
      }
      std::string found = hb::bits(number<F>(p));
      std::string fields;
      for (const int width : {F.sign_bits, F.exponent_bits, F.mantissa_bits}) {
        if (width == 0) continue;
        if (!fields.empty()) fields += ' ';
        fields += expected.substr(0, static_cast<std::size_t>(width));
        expected.erase(0, static_cast<std::size_t>(width));
      }
      count.expect(found == fields, [&] { return found + " is not " + fields; });
    };
    if constexpr (F.bits() <= 16) {
      for (std::uint32_t p = 0; p <= F.mask(); ++p) check(p);
    } else {
      for (std::uint32_t p = 0; p < 10000; ++p) check(p * 429497u);
    }
  });
}

TEST_CASE("every number that is printed reads back as itself, and no shorter decimal does") {
  hb::for_each_format([](auto f) {
    constexpr hb::format F = f.value;
    tally count;
    const auto check = [&](std::uint32_t p) {
      const hb::minifloat<F> x = number<F>(p);
      if (!x.is_finite() || (F.fixed_point() && p == F.sign_mask())) return;
      const std::string text = hb::decimal(x);
      const double back = std::strtod(text.c_str(), nullptr);
      count.expect(hb::encode<F>(back) == p, [&] { return text + " is not pattern " + hex(p); });
      std::size_t digits = 0;
      bool leading = true;
      for (const char c : text.substr(0, text.find('e'))) {
        if (c < '0' || c > '9') continue;
        leading = leading && c == '0';
        if (!leading) ++digits;
      }
      if (digits < 2 || text.find('.') == std::string::npos) return;
      char shorter[400];
      std::snprintf(shorter, sizeof shorter, "%.*g", static_cast<int>(digits) - 1,
                    static_cast<double>(x));
      count.expect(exact::bits_of(std::strtof(shorter, nullptr)) !=
                       exact::bits_of(static_cast<float>(x)),
                   [&] { return text + " could be " + shorter; });
    };
    if constexpr (F.bits() <= 16) {
      for (std::uint32_t p = 0; p <= F.mask(); ++p) check(p);
    } else {
      for (std::uint32_t p = 0; p < 10000; ++p) check(p * 429497u);
    }
  });
}

TEST_CASE("formats, block formats and quantized matrices print their names") {
  CHECK(printed(hb::e4m3) == "e4m3");
  CHECK(printed(hb::nvfp4) == "nvfp4");
  CHECK(printed(hb::quantized<hb::mxfp4>(128, 256)) == "mxfp4 128 x 256, 17408 bytes");
  CHECK(printed(hb::quantized<hb::nvfp4>(2, 16)) == "nvfp4 2 x 16, 22 bytes");
}

TEST_CASE("a block is printed as scale times elements, a line for each row") {
  std::vector<float> x{3, -1.5f, 0.25f, 0, 24, 12, -8, 4};
  const auto q = hb::quantize<hb::mxfp4>(hb::matrix_view<const float>{x.data(), 2, 4});
  CHECK(hb::describe_block(q, 0, 0) == "0.5 * [6 -3 0.5 0]");
  CHECK(hb::describe_block(q, 1, 0) == "4 * [6 3 -2 1]");
  constexpr hb::block_format square{hb::e2m1, hb::ue8m0, 2, 2};
  const auto s = hb::quantize<square>(hb::matrix_view<const float>{x.data(), 2, 3, 4});
  CHECK(hb::describe_block(s, 0, 0) == "4 * [1 -0.5]\n4 * [6 3]");
  CHECK(hb::describe_block(s, 0, 1) == "2 * [0]\n2 * [-4]");
  const auto cut = hb::quantize<square>(hb::matrix_view<const float>{x.data(), 1, 2});
  CHECK(hb::describe_block(cut, 0, 0) == "0.5 * [6 -3]");
  const auto n = hb::quantize<hb::nvfp4>(hb::matrix_view<const float>{x.data(), 1, 8}, {},
                                         hb::absmax{}, {.tensor_scale = 0.25f});
  CHECK(hb::describe_block(n, 0, 0) == "0.25 * 16 * [1 -0.5 0 0 6 3 -2 1]");
}

TEST_CASE("doctest shows a number with its bits") {
  CHECK(doctest::toString(hb::float4_e2m1(3.0)) == "0 10 1 = 3");
}

// Fails when it is run, which only the next test does.
TEST_CASE("three is two" * doctest::skip()) { CHECK(hb::float4_e2m1(3.0) == hb::float4_e2m1(2.0)); }

#if defined(__linux__)
TEST_CASE("the report of a failed comparison has the bits of both numbers") {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string command = "'" + self + "' --no-skip --no-colors --test-case='three is two'";
  std::FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string report;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) report += static_cast<char>(c);
  CHECK(pclose(pipe) != 0);
  CAPTURE(report);
  CHECK(report.find("values: CHECK( 0 10 1 = 3 == 0 10 0 = 2 )") != std::string::npos);
}
#endif
