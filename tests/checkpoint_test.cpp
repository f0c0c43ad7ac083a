#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <halfbyte/checkpoint.hpp>
#include <halfbyte/quantize.hpp>

#include "scratch_folder.hpp"

namespace hb = halfbyte;
using hb::stored_type;
using bytes = std::vector<std::uint8_t>;

namespace {

std::vector<float> random_matrix(std::ptrdiff_t rows, std::ptrdiff_t cols, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(rows * cols));
  for (float& value : x) value = normal(random) * 0.05f;
  return x;
}

template <hb::block_format B>
hb::quantized<B> random_quantized(std::ptrdiff_t rows, std::ptrdiff_t cols, std::uint64_t seed) {
  const std::vector<float> x = random_matrix(rows, cols, seed);
  return hb::quantize<B>(hb::matrix_view{x.data(), rows, cols});
}

template <hb::block_format B>
std::vector<float> dequantized(const hb::quantized<B>& q) {
  std::vector<float> x(static_cast<std::size_t>(q.rows() * q.cols()));
  hb::dequantize(q, hb::matrix_view{x.data(), q.rows(), q.cols()});
  return x;
}

/// The number of an element as the three tools look it up.
double looked_up(std::uint8_t byte, std::size_t column) {
  constexpr double table[16] = {0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6};
  return table[column % 2 == 0 ? byte & 15 : byte >> 4];
}

double e4m3(std::uint8_t byte) {
  const int field = byte >> 3 & 15, fraction = byte & 7;
  return field == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, field - 10);
}

float little_endian_float(std::span<const std::uint8_t> b) {
  REQUIRE(b.size() == 4);
  const std::uint32_t pattern = static_cast<std::uint32_t>(b[0]) | std::uint32_t{b[1]} << 8 |
                                std::uint32_t{b[2]} << 16 | std::uint32_t{b[3]} << 24;
  float x = 0;
  std::memcpy(&x, &pattern, 4);
  return x;
}

struct written_model {
  explicit written_model(const hb::checkpoint_writer& writer)
      : file((writer.write(folder.path() / "m"), folder.path() / "m")),
        model(hb::read_safetensors(file.bytes())) {}
  scratch_folder folder;
  hb::mapped_file file;
  hb::safetensors model;
};

using shape = std::vector<std::uint64_t>;

/// A model made by hand: its bytes live as long as it does.
struct made_model {
  std::vector<bytes> kept;
  hb::safetensors model;

  void add(const std::string& name, stored_type type, const shape& s, std::uint8_t value = 0x11) {
    kept.emplace_back(static_cast<std::size_t>(hb::stored_bytes(type, s).value()), value);
    model.tensors.push_back({name, type, s, kept.back(), 100 + kept.size()});
  }
};

template <class Load>
std::string fault(Load load, const made_model& made) {
  try {
    load(made.model, "w");
    return {};
  } catch (const hb::safetensors_error& error) {
    return error.what();
  }
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("an MXFP4 weight is what transformers computes from blocks and scales") {
  const std::ptrdiff_t rows = 5, cols = 96;
  const auto q = random_quantized<hb::mxfp4>(rows, cols, 1);
  hb::checkpoint_writer writer;
  writer.add_huggingface_mxfp4("w", q);
  const written_model written(writer);
  const hb::stored_tensor* blocks = written.model.find("w_blocks");
  const hb::stored_tensor* scales = written.model.find("w_scales");
  REQUIRE(blocks != nullptr);
  REQUIRE(scales != nullptr);
  CHECK(written.model.tensors.size() == 2);
  CHECK(blocks->type == stored_type::u8);
  CHECK(scales->type == stored_type::u8);
  CHECK(blocks->shape == shape{5, 3, 16});
  CHECK(scales->shape == shape{5, 3});
  const std::vector<float> x = dequantized(q);
  for (std::size_t i = 0; i < 5; ++i) {
    for (std::size_t j = 0; j < 96; ++j) {
      const double scale = std::ldexp(1.0, scales->bytes[i * 3 + j / 32] - 127);
      CHECK(looked_up(blocks->bytes[(i * 96 + j) / 2], j) * scale == x[i * 96 + j]);
    }
  }
  CHECK(hb::load_huggingface_mxfp4(written.model, "w") == q);
}

TEST_CASE("an NVFP4 weight is what ModelOpt and compressed-tensors compute from its parts") {
  const auto q = random_quantized<hb::nvfp4>(7, 48, 2);
  const std::vector<float> x = dequantized(q);
  hb::checkpoint_writer writer;
  writer.add_modelopt_nvfp4("a.weight", q);
  writer.add_compressed_tensors_nvfp4("b.weight", q);
  const written_model written(writer);
  CHECK(written.model.tensors.size() == 6);

  const struct {
    std::string elements, scale, tensor_scale;
    bool divides;
    shape tensor_scale_shape;
  } layouts[] = {
      {"a.weight", "a.weight_scale", "a.weight_scale_2", false, {}},
      {"b.weight_packed", "b.weight_scale", "b.weight_global_scale", true, {1}},
  };
  for (const auto& layout : layouts) {
    CAPTURE(layout.elements);
    const hb::stored_tensor* elements = written.model.find(layout.elements);
    const hb::stored_tensor* scale = written.model.find(layout.scale);
    const hb::stored_tensor* tensor_scale = written.model.find(layout.tensor_scale);
    REQUIRE(elements != nullptr);
    REQUIRE(scale != nullptr);
    REQUIRE(tensor_scale != nullptr);
    CHECK(elements->type == stored_type::u8);
    CHECK(elements->shape == shape{7, 24});
    CHECK(scale->type == stored_type::f8_e4m3);
    CHECK(scale->shape == shape{7, 3});
    CHECK(tensor_scale->type == stored_type::f32);
    CHECK(tensor_scale->shape == layout.tensor_scale_shape);
    const double stored = little_endian_float(tensor_scale->bytes);
    for (std::size_t i = 0; i < 7; ++i) {
      for (std::size_t j = 0; j < 48; ++j) {
        const double product =
            looked_up(elements->bytes[(i * 48 + j) / 2], j) * e4m3(scale->bytes[i * 3 + j / 16]);
        const double value = layout.divides ? product / stored : product * stored;
        CHECK(value == doctest::Approx(static_cast<double>(x[i * 48 + j])).epsilon(2e-7));
      }
    }
  }
  CHECK(hb::load_modelopt_nvfp4(written.model, "a.weight") == q);
}

TEST_CASE(
    "a compressed-tensors weight comes back with its bytes and a tensor scale within one ulp") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    auto q = random_quantized<hb::nvfp4>(1, 16, seed);
    hb::checkpoint_writer writer;
    writer.add_compressed_tensors_nvfp4("w", q);
    const written_model written(writer);
    auto back = hb::load_compressed_tensors_nvfp4(written.model, "w");
    const float scale = q.tensor_scale();
    CHECK(std::abs(back.tensor_scale() - scale) <= std::nextafter(scale, 1.0f) - scale);
    back.set_tensor_scale(scale);
    CHECK(back == q);
  }
}

TEST_CASE("the experts of a mixture are read as rows") {
  made_model made;
  made.add("w_blocks", stored_type::u8, {3, 4, 2, 16}, 0x42);
  made.add("w_scales", stored_type::f8_e8m0, {3, 4, 2}, 128);
  const auto q = hb::load_huggingface_mxfp4(made.model, "w");
  CHECK(q.rows() == 12);
  CHECK(q.cols() == 64);
  const std::vector<float> x = dequantized(q);
  CHECK(x[0] == 2.0f);  // nibble 2 is 1, nibble 4 is 2; the scale is 2
  CHECK(x[1] == 4.0f);
  CHECK(x.back() == 4.0f);
}

TEST_CASE("parts of an MXFP4 weight that do not belong together are refused") {
  const auto load = [](const hb::safetensors& m, const std::string& n) {
    return hb::load_huggingface_mxfp4(m, n);
  };
  const auto with = [&load](stored_type b, const shape& blocks, stored_type s,
                            const shape& scales) {
    made_model made;
    made.add("w_blocks", b, blocks);
    made.add("w_scales", s, scales);
    return fault(load, made);
  };
  const auto u8 = stored_type::u8;
  CHECK(with(u8, {2, 3, 16}, u8, {2, 3}) == "");
  CHECK(with(u8, {2, 3, 16}, u8, {3, 2}) ==
        "byte 102: tensor \"w_scales\" does not have one scale for each block");
  CHECK(has(with(u8, {2, 3, 16}, u8, {6}), "one scale for each block"));
  CHECK(has(with(u8, {2, 3, 16}, u8, {2, 3, 1}), "one scale for each block"));
  CHECK(has(with(u8, {2, 3, 16}, u8, {2, 4}), "one scale for each block"));
  CHECK(has(with(u8, {2, 3, 16}, stored_type::f8_e4m3, {2, 3}), "neither U8 nor F8_E8M0"));
  CHECK(has(with(u8, {2, 3, 8}, u8, {2, 3}), "is not [..., n, 16]"));
  CHECK(has(with(u8, {2, 48}, u8, {2}), "is not [..., n, 16]"));
  CHECK(has(with(u8, {16}, u8, {}), "is not [..., n, 16]"));
  CHECK(has(with(u8, {}, u8, {}), "is not [..., n, 16]"));
  CHECK(has(with(stored_type::i8, {2, 3, 16}, u8, {2, 3}), "is not U8"));
  CHECK(has(with(u8, {0, 3, 16}, u8, {0, 3}), "is empty"));
  CHECK(has(with(u8, {2, 0, 16}, u8, {2, 0}), "is empty"));
  CHECK(has(with(u8, {0, 1ull << 60, 16}, u8, {0, 1ull << 60}), "is empty"));
  made_model lonely;
  lonely.add("w_blocks", u8, {2, 3, 16});
  CHECK(fault(load, lonely) == "byte 8: no tensor \"w_scales\"");
}

TEST_CASE("parts of an NVFP4 weight that do not belong together are refused") {
  const auto modelopt = [](const hb::safetensors& m, const std::string& n) {
    return hb::load_modelopt_nvfp4(m, n);
  };
  const auto packed = [](const hb::safetensors& m, const std::string& n) {
    return hb::load_compressed_tensors_nvfp4(m, n);
  };
  const auto f8 = stored_type::f8_e4m3;
  const auto with = [&](stored_type e, const shape& elements, stored_type s, const shape& scales,
                        std::uint8_t scale, stored_type t, const shape& tensor,
                        std::uint8_t value) {
    made_model made, twin;
    made.add("w", e, elements);
    made.add("w_scale", s, scales, scale);
    made.add("w_scale_2", t, tensor, value);
    twin.add("w_packed", e, elements);
    twin.add("w_scale", s, scales, scale);
    twin.add("w_global_scale", t, tensor, value);
    const std::string one = fault(modelopt, made), two = fault(packed, twin);
    CHECK(one.empty() == two.empty());
    return one;
  };
  const auto u8 = stored_type::u8;
  const auto f32 = stored_type::f32;
  CHECK(with(u8, {2, 16}, f8, {2, 2}, 0x38, f32, {}, 0x3f) == "");
  CHECK(with(u8, {2, 16}, f8, {2, 2}, 0x7f, f32, {1}, 0x3f) == "");  // a NaN scale is legal
  CHECK(has(with(u8, {2, 16}, f8, {2, 1}, 0x38, f32, {}, 0x3f), "one scale for each block"));
  CHECK(has(with(u8, {2, 12}, f8, {2, 1}, 0x38, f32, {}, 0x3f), "ends inside a block"));
  CHECK(has(with(u8, {32}, f8, {4}, 0x38, f32, {}, 0x3f), "is not a matrix"));
  CHECK(has(with(u8, {1, 2, 16}, f8, {1, 2, 2}, 0x38, f32, {}, 0x3f), "is not a matrix"));
  CHECK(has(with(u8, {0, 16}, f8, {0, 2}, 0x38, f32, {}, 0x3f), "is empty"));
  CHECK(has(with(stored_type::f4, {2, 16}, f8, {2, 2}, 0x38, f32, {}, 0x3f), "is not U8"));
  CHECK(has(with(u8, {2, 16}, u8, {2, 2}, 0x38, f32, {}, 0x3f), "is not F8_E4M3"));
  CHECK(has(with(u8, {2, 16}, f8, {2, 2}, 0x80, f32, {}, 0x3f), "negative scale"));
  CHECK(has(with(u8, {2, 16}, f8, {2, 2}, 0xb8, f32, {}, 0x3f), "negative scale"));
  CHECK(has(with(u8, {2, 16}, f8, {2, 2}, 0x38, stored_type::bf16, {}, 0x3f), "is not one F32"));
  CHECK(has(with(u8, {2, 16}, f8, {2, 2}, 0x38, f32, {2}, 0x3f), "is not one F32"));

  for (const std::uint8_t value : {std::uint8_t{0}, std::uint8_t{0x80}, std::uint8_t{0xff}}) {
    made_model made;  // 0, a negative number, NaN: cannot be divided by
    made.add("w_packed", u8, {1, 8});
    made.add("w_scale", f8, {1, 1});
    made.add("w_global_scale", f32, {1}, value);
    CHECK(has(fault(packed, made), "is not a positive number"));
  }
}

TEST_CASE("matrices that a layout cannot hold are refused") {
  hb::checkpoint_writer writer;
  const auto ragged = random_quantized<hb::mxfp4>(2, 33, 4);
  CHECK_THROWS_AS(writer.add_huggingface_mxfp4("w", ragged), std::invalid_argument);
  const hb::quantized<hb::nvfp4> swizzled(2, 32, hb::scale_layout::swizzled_128x4);
  CHECK_THROWS_AS(writer.add_modelopt_nvfp4("w", swizzled), std::invalid_argument);
  CHECK_THROWS_AS(writer.add_compressed_tensors_nvfp4("w", swizzled), std::invalid_argument);
  hb::quantized<hb::nvfp4> zero(2, 32);
  zero.set_tensor_scale(0);
  CHECK_THROWS_AS(writer.add_compressed_tensors_nvfp4("w", zero), std::invalid_argument);
}

TEST_CASE("other tensors and the notes go into the checkpoint as they are") {
  const bytes positions{1, 0, 0, 0, 0, 0, 0, 0}, flags{1, 0, 1};
  hb::checkpoint_writer writer;
  writer.metadata = {{"format", "pt"}};
  writer.add({"positions", stored_type::i64, {1}, positions});
  writer.add({"flags", stored_type::boolean, {3}, flags});
  const auto q = random_quantized<hb::mxfp4>(2, 32, 5);
  writer.add_huggingface_mxfp4("w", q);
  const written_model written(writer);
  CHECK(written.model.metadata.at("format") == "pt");
  const hb::stored_tensor* read = written.model.find("positions");
  REQUIRE(read != nullptr);
  CHECK(read->type == stored_type::i64);
  CHECK(bytes(read->bytes.begin(), read->bytes.end()) == positions);
  read = written.model.find("flags");
  REQUIRE(read != nullptr);
  CHECK(read->type == stored_type::boolean);
  CHECK(bytes(read->bytes.begin(), read->bytes.end()) == flags);
  CHECK(hb::load_huggingface_mxfp4(written.model, "w") == q);
}
