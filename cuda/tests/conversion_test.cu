// Conversions inside a kernel give the bytes that they give on the CPU.

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <halfbyte/cuda/buffer.cuh>
#include <halfbyte/halfbyte.hpp>

#include "known_answers/table.hpp"
#include "on_device.cuh"

namespace {

using namespace halfbyte;

int passed = 0, failed = 0;

void verdict(bool right, const std::string& what) {
  ++(right ? passed : failed);
  if (!right) std::printf("FAILED: %s\n", what.c_str());
}

constexpr std::uint64_t seed = 0x853c49e6748fea9bu;

/// Every rounding of every input under one overflow policy, or every pattern decoded.
template <format F, class Source, class Overflow>
struct encode_all {
  const Source* in;
  std::uint32_t* out;
  std::ptrdiff_t count;

  HALFBYTE_HD void operator()(std::ptrdiff_t i) const {
    std::uint32_t* place = out + i;
    const auto index = static_cast<std::uint64_t>(i);
    for_each(in[i], index, [&](std::uint32_t pattern) {
      *place = pattern;
      place += count;
    });
  }

  static constexpr int roundings = 10;
  template <class Use>
  HALFBYTE_HD static void for_each(Source x, std::uint64_t index, Use use) {
    const Overflow o{};
    use(encode<format(F)>(x, nearest_even{}, o, index));
    use(encode<format(F)>(x, nearest_away{}, o, index));
    use(encode<format(F)>(x, nearest_toward_zero{}, o, index));
    use(encode<format(F)>(x, toward_zero{}, o, index));
    use(encode<format(F)>(x, upward{}, o, index));
    use(encode<format(F)>(x, downward{}, o, index));
    use(encode<format(F)>(x, to_odd{}, o, index));
    use(encode<format(F)>(x, stochastic<32>{seed, 1}, o, index));
    use(encode<format(F)>(x, stochastic<8>{seed, 2}, o, index));
    use(encode<format(F)>(x, stochastic_unbiased<8>{seed, 3}, o, index));
  }
};

template <format F>
struct decode_all {
  float* out;
  HALFBYTE_HD void operator()(std::ptrdiff_t i) const {
    out[i] = decode<format(F)>(static_cast<std::uint32_t>(i));
  }
};

template <format F, class Overflow, class Source>
void compare_encodings(const std::vector<Source>& inputs, const std::string& what) {
  using job = encode_all<F, Source, Overflow>;
  const auto count = static_cast<std::ptrdiff_t>(inputs.size());
  const std::size_t results = inputs.size() * job::roundings;
  cuda::buffer<Source> in(inputs);
  cuda::buffer<std::uint32_t> out(results);
  out.fill(0xa5);
  on_device::run(job{in.data(), out.data(), count}, count);
  std::vector<std::uint32_t> expected(results);
  const job host{inputs.data(), expected.data(), count};
  for (std::ptrdiff_t i = 0; i < count; ++i) host(i);
  verdict(out.to_host() == expected, name(F) + " " + name(Overflow{}) + " from " + what);
}

template <format F>
void compare_decodings() {
  const std::size_t patterns = std::size_t{F.mask()} + 1;
  cuda::buffer<float> out(patterns);
  on_device::run(decode_all<F>{out.data()}, static_cast<std::ptrdiff_t>(patterns));
  const std::vector<float> device = out.to_host();
  bool same = true;
  for (std::uint32_t p = 0; p < patterns; ++p) {
    same = same && bit_cast<std::uint32_t>(device[p]) == bit_cast<std::uint32_t>(decode<format(F)>(p));
  }
  verdict(same, name(F) + " decoded");
}

}  // namespace

int main(int argc, char** argv) {
  if (!on_device::available()) {
    std::printf("skipped: no GPU\n");
    return 77;
  }
  std::vector<minifloat<bfloat16>> bfloats(65536);
  std::vector<minifloat<float16>> halves(65536);
  for (std::uint32_t p = 0; p < 65536; ++p) {
    bfloats[p] = minifloat<bfloat16>::from_pattern(p);
    halves[p] = minifloat<float16>::from_pattern(p);
  }
  std::vector<float> floats(1 << 18);
  std::vector<double> doubles(1 << 18);
  for (std::uint64_t i = 0; i < floats.size(); ++i) {
    floats[i] = bit_cast<float>(random_bits(seed, 4, i));
    const std::uint64_t high = random_bits(seed, 5, i), low = random_bits(seed, 6, i);
    // Exponents near 1, so that doubles meet the formats' range and its edges.
    doubles[i] = bit_cast<double>(((high & 0x83ffffffu) << 32 | low) + (std::uint64_t{0x3c0u} << 52));
  }
  const std::vector<known_answers::section> table =
      argc > 1 ? known_answers::read(argv[1]) : std::vector<known_answers::section>{};
  std::vector<float> known_floats;
  std::vector<double> known_doubles;
  for (const auto& section : table) {
    for (const auto& answer : section.answers) {
      if (answer.wide) known_doubles.push_back(bit_cast<double>(answer.input));
      if (!answer.wide) {
        known_floats.push_back(bit_cast<float>(static_cast<std::uint32_t>(answer.input)));
      }
    }
  }

  for_each_format([&](auto f) {
    constexpr format F = f.value;
    compare_encodings<F, saturate>(bfloats, "every bfloat16");
    compare_encodings<F, to_special>(bfloats, "every bfloat16");
    compare_encodings<F, saturate_finite>(bfloats, "every bfloat16");
    compare_encodings<F, saturate>(halves, "every float16");
    compare_encodings<F, saturate>(floats, "random floats");
    compare_encodings<F, saturate>(doubles, "random doubles");
    if (!known_floats.empty()) {
      compare_encodings<F, saturate>(known_floats, "the known answers' floats");
      compare_encodings<F, to_special>(known_floats, "the known answers' floats");
    }
    if (!known_doubles.empty()) {
      compare_encodings<F, saturate>(known_doubles, "the known answers' doubles");
      compare_encodings<F, to_special>(known_doubles, "the known answers' doubles");
    }
    if constexpr (F.bits() <= 16) compare_decodings<F>();
  });

  std::vector<std::int64_t> integers(1 << 18);
  std::vector<std::uint64_t> counts(1 << 18);
  for (std::uint64_t i = 0; i < integers.size(); ++i) {
    const std::uint64_t high = random_bits(seed, 7, i), low = random_bits(seed, 8, i);
    counts[i] = (high << 32 | low) >> (i % 64);
    integers[i] = bit_cast<std::int64_t>(counts[i]) * (i % 2 == 0 ? 1 : -1);
  }
  compare_encodings<e4m3, saturate>(integers, "random integers");
  compare_encodings<int8, saturate>(integers, "random integers");
  compare_encodings<float32, saturate>(integers, "random integers");
  compare_encodings<e5m2, saturate>(counts, "random unsigned integers");
  compare_encodings<bfloat16, saturate>(counts, "random unsigned integers");
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
