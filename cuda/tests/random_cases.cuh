#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include <halfbyte/cuda/gemm.cuh>

#include "gemm_check.cuh"
#include "random_operand.cuh"

/// Random products of every kind, one after the other in the same device memory.
namespace random_cases {

using namespace halfbyte::cuda;

constexpr int largest_extent = 4096;

/// Device memory for a product of operands of up to `elements` each, `extent` rows, and `outputs`,
/// and for what the functions under test want besides.
struct rooms {
  explicit rooms(std::size_t elements, std::size_t outputs, std::size_t extent)
      : a(2 * elements),
        b(2 * elements),
        scales_a(elements / 2),
        scales_b(elements / 2),
        values_a(elements),
        values_b(elements),
        bias(extent),
        d(4 * outputs),
        d_before(4 * outputs),
        expected(outputs),
        expected_before(outputs),
        wide_a(2 * elements),
        wide_b(2 * elements),
        exponents_a(elements / 32),
        exponents_b(elements / 32),
        unfit_a(extent),
        unfit_b(extent),
        scale_a(extent),
        scale_b(extent),
        list_a(extent),
        list_b(extent) {}

  buffer<std::uint8_t> a, b, scales_a, scales_b;
  buffer<float> values_a, values_b, bias;
  buffer<std::uint8_t> d, d_before;
  buffer<std::uint32_t> expected, expected_before;
  buffer<unsigned long long> counts{3};
  // For folding and expansion.
  buffer<std::uint8_t> wide_a, wide_b, exponents_a, exponents_b, unfit_a, unfit_b;
  buffer<float> scale_a, scale_b;
  buffer<int> list_a, list_b, count_a{1}, count_b{1};
};

/// One operand on the device, in the forms that functions take.
struct side {
  spec s;
  const std::uint8_t *bytes, *scales;

  operand_matrix matrix() const { return {bytes, s.stride_bytes, s.rows, s.columns}; }
  block_scaled_matrix packed() const {
    return {bytes, s.stride_bytes, s.rows, s.columns, {scales, s.blocks(), s.swizzled}};
  }
  halfbyte::cuda::block_scales by_128() const {
    return {scales, s.row_step(), s.block_step(), s.scales == scale_kind::ue8m0};
  }
  row_scales by_row() const { return {reinterpret_cast<const float*>(scales), s.block_rows == 1}; }
};

/// What a kind's function is given: D = alpha · A · Bᵀ + bias (+ D); `how` has no scales yet.
struct trial {
  side a, b;
  output_matrix d;
  epilogue how;
  rooms& room;
  cudaStream_t stream;

  epilogue scaled() const {
    epilogue with = how;
    with.a = a.by_row();
    with.b = b.by_row();
    return with;
  }
};

enum class scaling { per_row, blocks_128, mx, nvfp4 };

struct kind {
  std::string name;
  element a, b;
  output o;
  scaling a_scales, b_scales;
  bool tiles;  // B's blocks are 128 x 128
  int depth_multiple, most_depth, most_rows;
  bool any_stride;  // rows need not be 16-byte aligned
  int wide_every;
  void (*run)(const trial&);
};

/// The number that a packed pattern is, from the formats' definitions.
inline float from_pattern(element e, unsigned p) {
  const int bits = bits_of(e);
  if (bits >= 8) {
    const unsigned char bytes[2] = {static_cast<unsigned char>(p),
                                    static_cast<unsigned char>(p >> 8)};
    return check::from_element(e, bytes, 0);
  }
  const int mantissa_bits = e == element::e2m1 ? 1 : e == element::e2m3 ? 3 : 2;
  const int bias = e == element::e3m2 ? 3 : 1;
  const int field = static_cast<int>(p >> mantissa_bits) & ((1 << (bits - 1 - mantissa_bits)) - 1);
  const int fraction = static_cast<int>(p) & ((1 << mantissa_bits) - 1);
  const float magnitude =
      std::ldexp(static_cast<float>(fraction + (field != 0 ? 1 << mantissa_bits : 0)),
                 std::max(field, 1) - bias - mantissa_bits);
  return (p >> (bits - 1)) != 0 ? -magnitude : magnitude;
}

/// A matrix read on the CPU from the bytes on the device.
inline std::vector<double> read_matrix(element e, const side& m) {
  const spec& s = m.s;
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(s.stride_bytes * s.rows));
  std::vector<std::uint8_t> scales(static_cast<std::size_t>(scale_room(s)));
  halfbyte::cuda::check(cudaMemcpy(bytes.data(), m.bytes, bytes.size(), cudaMemcpyDeviceToHost));
  if (s.scales != scale_kind::none)
    halfbyte::cuda::check(
        cudaMemcpy(scales.data(), m.scales, scales.size(), cudaMemcpyDeviceToHost));
  std::vector<double> values;
  for (int r = 0; r < s.rows; ++r)
    for (int k = 0; k < s.columns; ++k) {
      unsigned p = 0;
      for (int bit = 0; bit < s.bits; ++bit) {
        const std::int64_t at =
            r * s.stride_bytes * 8 + static_cast<std::int64_t>(k) * s.bits + bit;
        p |= ((bytes[static_cast<std::size_t>(at / 8)] >> (at % 8)) & 1u) << bit;
      }
      const int i = r / s.block_rows, j = k / s.block_columns;
      // Of the 128 x 4 layout, with T tiles in a row of them: row 128 q + 32 c + b and block 4 t + d
      // lie at ((q T + t) 32 + b) 16 + 4 c + d.
      const int tiles = (s.blocks() + 3) / 4;
      const std::size_t at = static_cast<std::size_t>(
          s.swizzled ? ((i / 128 * tiles + j / 4) * 32 + i % 32) * 16 + i / 32 % 4 * 4 + j % 4
                     : i * s.row_step() + j * s.block_step());
      double scale = 1;
      if (s.scales == scale_kind::float32) {
        float x;
        std::memcpy(&x, scales.data() + 4 * at, 4);
        scale = static_cast<double>(x);
      } else if (s.scales == scale_kind::ue8m0) {
        scale = std::ldexp(1.0, scales[at] - 127);
      } else if (s.scales == scale_kind::ue4m3) {
        scale = static_cast<double>(check::from_fp8(scales[at], false));
      }
      values.push_back(static_cast<double>(from_pattern(e, p)) * scale);
    }
  return values;
}

class laboratory {
 public:
  laboratory(std::uint64_t seed, std::size_t elements, std::size_t outputs, std::size_t extent)
      : random_(seed), room_(elements, outputs, extent) {
    halfbyte::cuda::check(cudaStreamCreate(&stream_));
  }

  /// A random product of the kind; every fourth is captured in a graph and replayed, every fourth
  /// again with one scale doubled, small ones are compared with the CPU.
  void run(const kind& k, check::tally& expect) {
    const int trick = static_cast<int>(random_() % 4);
    int m = extent(std::min(k.most_rows, 2048)), n = extent(2048);
    int depth = extent(random_() % 8 == 0 ? k.most_depth : 2048);
    if (random_() % 8 == 0 && k.most_rows > 2048) m = extent(largest_extent);
    if (random_() % 8 == 0) n = extent(largest_extent);
    depth = (depth + k.depth_multiple - 1) / k.depth_multiple * k.depth_multiple;
    while (static_cast<std::int64_t>(m) * n * depth > std::int64_t{1} << 31 ||
           static_cast<std::int64_t>(std::max(m, n)) * depth > std::int64_t{1} << 24)
      (m > n ? m : n) /= 2;
    run(k, m, n, depth, trick, -1, expect);
  }

  /// One product of this size, as it is.
  void run(const kind& k, int m, int n, int depth, check::tally& expect) {
    run(k, m, n, depth, 0, -1, expect);
  }

  /// Each scale of both operands doubled in turn.
  void double_each_scale(const kind& k, int m, int n, int depth, check::tally& expect) {
    for (int i = 0; i < 100000; ++i)
      if (!run(k, m, n, depth, 2, i, expect)) break;
  }

  long compared_with_cpu = 0, replayed = 0, doubled = 0;

 private:
  /// False if there is no scale number `hot`.
  bool run(const kind& k, int m, int n, int depth, int trick, int hot, check::tally& expect) {
    spec a = make_spec(k.a, k.a_scales, false, m, depth, k);
    spec b = make_spec(k.b, k.b_scales, k.tiles, n, depth, k);
    a.wide_every = b.wide_every = k.wide_every != 0 && random_() % 2 == 0 ? k.wide_every : 0;
    b.wide_upside_down = true;
    finish how;
    const double alphas[] = {1, 0.5, 2, -1};
    how.alpha = alphas[random_() % 4];
    how.bias = random_() % 2 == 0;
    how.accumulate = random_() % 3 == 0;
    how.seed = random_();
    framed_output d{k.o, m, n, n + static_cast<int>(random_() % 9),
                    static_cast<int>(random_() % 4)};
    if (random_() % 2 == 0) {  // rows and start on 16 bytes: the straight way out
      d.stride = (d.stride + 7) / 8 * 8;
      d.lead = 0;
    }
    const std::ptrdiff_t lead_a = lead(k, a), lead_b = lead(k, b);
    const side side_a{a, room_.a.data() + lead_a, room_.scales_a.data()};
    const side side_b{b, room_.b.data() + lead_b, room_.scales_b.data()};
    const trial t{side_a,
                  side_b,
                  {room_.d.data() + d.lead * d.bytes(), d.stride, m, n},
                  {static_cast<float>(how.alpha),
                   {},
                   {},
                   how.bias ? room_.bias.data() : nullptr,
                   how.accumulate},
                  room_,
                  stream_};
    const std::string what = k.name + " " + std::to_string(m) + " x " + std::to_string(n) + " x " +
                             std::to_string(depth) + (a.wide_every != 0 ? " wide" : "") +
                             (how.accumulate ? " accumulate" : "") + (how.bias ? " bias" : "");
    // A graph is captured while the operands still hold the product before this one.
    cudaGraphExec_t graph = nullptr;
    if (trick == 1) {
      cudaGraph_t captured;
      halfbyte::cuda::check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal));
      k.run(t);
      halfbyte::cuda::check(cudaStreamEndCapture(stream_, &captured));
      halfbyte::cuda::check(cudaGraphInstantiate(&graph, captured, 0));
      halfbyte::cuda::check(cudaGraphDestroy(captured));
    }
    write_operand(side_a, room_.values_a, k.a);
    write_operand(side_b, room_.values_b, k.b);
    std::vector<float> bias(static_cast<std::size_t>(n));
    for (int i = 0; i < n; ++i) bias[static_cast<std::size_t>(i)] = how.bias_of(i);
    halfbyte::cuda::check(cudaMemcpyAsync(room_.bias.data(), bias.data(), 4 * bias.size(),
                                          cudaMemcpyHostToDevice, stream_));
    if (graph != nullptr) {  // twice: the second finds what the first left behind
      ++replayed;
      product(t, d, how, graph, k, what + " graph", expect);
      product(t, d, how, graph, k, what + " graph again", expect);
      halfbyte::cuda::check(cudaGraphExecDestroy(graph));
      return true;
    }
    product(t, d, how, nullptr, k, what, expect);
    if (static_cast<std::int64_t>(m) * n * depth <= 1 << 15)
      compare_with_cpu(k, t, d, how, what, expect);
    if (trick != 2) return true;
    return double_a_scale(k, t, d, how, hot, what, expect);
  }

  int extent(int largest) {
    const double u = static_cast<double>(random_() >> 11) * 0x1p-53;
    const int x = static_cast<int>(std::exp2(u * std::log2(largest + 1.0)));
    return std::max(1, random_() % 4 == 0 ? std::min(largest, (x + 15) / 16 * 16) : x);
  }

  static std::ptrdiff_t lead(const kind& k, const spec& s) {
    return !k.any_stride || s.stride_bytes % 16 == 0 ? 0 : s.stride_bytes % 16;
  }

  spec make_spec(element e, scaling scales, bool tiles, int rows, int columns, const kind& k) {
    spec s;
    s.seed = random_();
    s.rows = rows;
    s.columns = columns;
    s.bits = bits_of(e);
    for (const float x : {0.0f, 1.0f, -1.0f, 2.0f, -2.0f, 3.0f, -3.0f}) {
      unsigned p = 0;
      while (from_pattern(e, p) != x) ++p;
      s.patterns[s.choices - 1] = static_cast<std::uint16_t>(p);
      s.values[s.choices - 1] = x;
      ++s.choices;
    }
    --s.choices;
    s.stride_bytes = (static_cast<std::int64_t>(columns) * s.bits + 127) / 128 * 16 +
                     16 * static_cast<std::int64_t>(random_() % 3);
    if (k.any_stride && random_() % 4 == 0)
      s.stride_bytes += static_cast<std::int64_t>(random_() % 8) * (s.bits == 16 ? 2 : 1);
    switch (scales) {
      case scaling::per_row:
        s.scales = scale_kind::float32;
        s.block_rows = random_() % 4 == 0 ? rows : 1;
        s.block_columns = columns;
        s.spread = 5;
        break;
      case scaling::blocks_128:
        s.scales = random_() % 2 == 0 ? scale_kind::float32 : scale_kind::ue8m0;
        s.block_rows = tiles ? 128 : 1;
        s.block_columns = 128;
        s.spread = 4;
        s.down = random_() % 2 == 0;
        s.scale_line = s.down ? s.row_blocks() : s.blocks();
        if (random_() % 2 == 0) s.scale_line = (s.scale_line + 3) / 4 * 4;
        break;
      case scaling::mx:
      case scaling::nvfp4:
        s.scales = scales == scaling::mx ? scale_kind::ue8m0 : scale_kind::ue4m3;
        s.block_columns = scales == scaling::mx ? 32 : 16;
        s.spread = 2;
        s.swizzled = random_() % 2 == 0;
        break;
    }
    if (s.scale_line == 0) s.scale_line = s.blocks();
    return s;
  }

  void write_operand(const side& m, buffer<float>& values, element e) {
    const spec& s = m.s;
    // NaN where the format has one, else the largest number.
    const std::uint8_t poison = s.bits < 8 ? 0x77 : e == element::bfloat16 ? 0xFF : 0x7F;
    auto* bytes = const_cast<std::uint8_t*>(m.bytes);
    auto* scales = const_cast<std::uint8_t*>(m.scales);
    write_elements<<<blocks_of(s.stride_bytes * (s.rows + 2)), 256, 0, stream_>>>(s, bytes, poison);
    if (s.scales != scale_kind::none) {
      halfbyte::cuda::check(
          cudaMemsetAsync(scales, 0xFF, static_cast<std::size_t>(scale_room(s)) + 64, stream_));
      write_scales<<<blocks_of(static_cast<std::int64_t>(s.row_blocks()) * s.blocks()), 256, 0,
                     stream_>>>(s, scales);
    }
    write_values<<<blocks_of(static_cast<std::int64_t>(s.rows) * s.columns), 256, 0, stream_>>>(
        s, values.data());
  }

  /// The kind's product, and what is wrong with it; the expected bits stay in room_.expected.
  void product(const trial& t, const framed_output& d, const finish& how, cudaGraphExec_t graph,
               const kind& k, const std::string& what, check::tally& expect) {
    const std::int64_t outputs = static_cast<std::int64_t>(d.rows) * d.columns;
    halfbyte::cuda::check(cudaMemsetAsync(room_.counts.data(), 0, room_.counts.bytes(), stream_));
    write_before<<<blocks_of(d.size()), 256, 0, stream_>>>(d, how, room_.d.data());
    write_expected<<<blocks_of(outputs), 256, 0, stream_>>>(
        room_.values_a.data(), room_.values_b.data(), t.a.s.columns, d, how, room_.expected.data());
    if (graph != nullptr) {
      halfbyte::cuda::check(cudaGraphLaunch(graph, stream_));
    } else {
      k.run(t);
    }
    count_wrong<<<blocks_of(d.size()), 256, 0, stream_>>>(d, room_.d.data(), room_.expected.data(),
                                                          room_.counts.data());
    halfbyte::cuda::check(cudaGetLastError());
    halfbyte::cuda::check(cudaStreamSynchronize(stream_));
    const std::vector<unsigned long long> counts = room_.counts.to_host();
    expect(counts[0] == 0 && counts[1] == 0, what + ": " + std::to_string(counts[0]) + " wrong, " +
                                                 std::to_string(counts[1]) + " overwritten");
  }

  void compare_with_cpu(const kind& k, const trial& t, const framed_output& d, const finish& how,
                        const std::string& what, check::tally& expect) {
    ++compared_with_cpu;
    const std::vector<double> a = read_matrix(k.a, t.a), b = read_matrix(k.b, t.b);
    std::vector<std::uint32_t> expected(static_cast<std::size_t>(d.rows * d.columns));
    halfbyte::cuda::check(cudaMemcpy(expected.data(), room_.expected.data(), 4 * expected.size(),
                                     cudaMemcpyDeviceToHost));
    const check::result rounding(d.kind, 0, 0, 1);
    long wrong = 0;
    const auto depth = static_cast<std::size_t>(t.a.s.columns);
    for (int m = 0; m < d.rows; ++m)
      for (int n = 0; n < d.columns; ++n) {
        double sum = 0;
        for (std::size_t i = 0; i < depth; ++i)
          sum += a[static_cast<std::size_t>(m) * depth + i] *
                 b[static_cast<std::size_t>(n) * depth + i];
        sum *= how.alpha;
        if (how.bias) sum += static_cast<double>(how.bias_of(n));
        if (how.accumulate) sum += static_cast<double>(how.before(m, n));
        const std::uint32_t bits = expected[static_cast<std::size_t>(m * d.columns + n)];
        float got;
        std::memcpy(&got, &bits, 4);
        if (d.kind == output::bfloat16)
          got = check::from_bfloat16(static_cast<std::uint16_t>(bits));
        if (d.kind == output::float16) got = check::from_float16(static_cast<std::uint16_t>(bits));
        wrong += got != rounding.rounded(sum);
      }
    expect(wrong == 0, what + ": the reference differs from the CPU's in " + std::to_string(wrong));
  }

  bool double_a_scale(const kind& k, trial t, const framed_output& d, const finish& how, int hot,
                      const std::string& what, check::tally& expect) {
    const int scales_a = t.a.s.row_blocks() * t.a.s.blocks();
    const int scales = scales_a + t.b.s.row_blocks() * t.b.s.blocks();
    if (hot >= scales) return false;
    if (hot < 0) hot = static_cast<int>(random_() % static_cast<unsigned>(scales));
    ++doubled;
    const bool of_a = hot < scales_a;
    side& hit = of_a ? t.a : t.b;
    const int index = of_a ? hot : hot - scales_a;
    hit.s.hot_row = index / hit.s.blocks();
    hit.s.hot_block = index % hit.s.blocks();
    const int first = hit.s.hot_row * hit.s.block_rows;
    const int last = std::min(first + hit.s.block_rows, hit.s.rows);
    const footprint reach =
        of_a ? footprint{first, last, 0, d.columns} : footprint{0, d.rows, first, last};
    const std::size_t bytes = static_cast<std::size_t>(d.size() * d.bytes());
    halfbyte::cuda::check(cudaMemcpyAsync(room_.d_before.data(), room_.d.data(), bytes,
                                          cudaMemcpyDeviceToDevice, stream_));
    halfbyte::cuda::check(
        cudaMemcpyAsync(room_.expected_before.data(), room_.expected.data(),
                        4 * static_cast<std::size_t>(d.rows) * static_cast<std::size_t>(d.columns),
                        cudaMemcpyDeviceToDevice, stream_));
    write_operand(hit, of_a ? room_.values_a : room_.values_b, of_a ? k.a : k.b);
    product(t, d, how, nullptr, k, what + " one scale doubled", expect);
    count_strayed<<<blocks_of(d.size()), 256, 0, stream_>>>(
        d, reach, room_.d_before.data(), room_.d.data(), room_.expected_before.data(),
        room_.expected.data(), room_.counts.data());
    halfbyte::cuda::check(cudaStreamSynchronize(stream_));
    const unsigned long long strayed = room_.counts.to_host()[2];
    expect(strayed == 0, what + ": a doubled scale went astray in " + std::to_string(strayed));
    return true;
  }

  std::mt19937_64 random_;
  cudaStream_t stream_;
  rooms room_;
};

/// Random products of all kinds, every scale of a small one of each doubled in turn, and one with
/// more than 2^31 outputs of those that `many` names. Fewer than 1000: the random ones alone.
inline void run_all(const std::vector<kind>& kinds, const std::vector<std::string>& many,
                    std::uint64_t seed, int count, check::tally& expect) {
  {
    laboratory lab(seed, std::size_t{20} << 20, std::size_t{20} << 20, largest_extent);
    for (int i = 0; i < count; ++i)
      lab.run(kinds[static_cast<std::size_t>(i) % kinds.size()], expect);
    std::printf(
        "%d random shapes: %ld compared with the CPU, %ld graphs replayed twice, %ld with "
        "one scale doubled\n",
        count, lab.compared_with_cpu, lab.replayed, lab.doubled);
    if (count < 1000) return;
    // On 132 multiprocessors the last round of tiles has few, which are cut into two.
    for (const kind& k : kinds)
      for (int i = 0; i < 4 && k.most_rows > largest_extent; ++i) {
        lab.run(k, 1405, 3100 + 64 * i, 512, expect);
        lab.run(k, 4090, 3325 - 64 * i, 256, expect);
      }
    lab.doubled = 0;
    for (const kind& k : kinds)
      lab.double_each_scale(k, std::min(k.most_rows, 135), 140, 288, expect);
    std::printf("%ld scales doubled one by one\n", lab.doubled);
  }
  for (const kind& k : kinds) {
    if (std::find(many.begin(), many.end(), k.name) == many.end()) continue;
    laboratory lab(seed, std::size_t{65536} * 128, std::size_t{65538} * 40008 + 3, 65536);
    lab.run(k, 65536, 40000, 64, expect);
    std::printf("%s: 65536 x 40000 outputs\n", k.name.c_str());
  }
}

}  // namespace random_cases
