#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <halfbyte/bits.hpp>
#include <halfbyte/block_format.hpp>
#include <halfbyte/encode.hpp>
#include <halfbyte/format.hpp>
#include <halfbyte/quantized.hpp>
#include <halfbyte/safetensors.hpp>
#include <halfbyte/safetensors_header.hpp>
#include <halfbyte/stored_tensor.hpp>
#include <halfbyte/unpacked.hpp>

/// Quantized weights in checkpoints, as three public tools lay them out. Opt-in: needs
/// nlohmann-json. For a weight `w` [rows, cols], low nibble = even column, scales linear:
///
/// - Hugging Face MXFP4: w_blocks U8 [rows, cols/32, 16]; w_scales U8 [rows, cols/32], E8M0.
/// - ModelOpt NVFP4: w U8 [rows, cols/2]; w_scale F8_E4M3 [rows, cols/16]; w_scale_2 F32 [].
/// - compressed-tensors NVFP4: w_packed U8 [rows, cols/2]; w_scale F8_E4M3 [rows, cols/16];
///   w_global_scale F32 [1], the reciprocal of the tensor scale.
///
/// Sources: transformers, integrations/mxfp4.py; TensorRT-Model-Optimizer, qtensor/nvfp4_tensor.py;
/// compressed-tensors, "nvfp4-pack-quantized".

namespace halfbyte {

namespace detail {

/// 1 / x to the nearest float, at most the largest one. Needs x > 0.
inline float reciprocal(float x) {
  return bit_cast<float>(encode<float32>(quotient(unpack_integer(1, 0), unpack(x))));
}

inline bool positive(float x) {
  const unpacked u = unpack(x);
  return u.kind == number_kind::finite && !u.negative;
}

}  // namespace detail

/// Gathers the tensors of a quantized checkpoint, then writes them as one safetensors file.
class checkpoint_writer {
 public:
  std::map<std::string, std::string> metadata;

  /// A tensor as it is. Its bytes must stay until the file is written; so must those of every
  /// quantized matrix below.
  void add(stored_tensor tensor) { tensors_.push_back(std::move(tensor)); }

  /// Each needs whole blocks along the rows and scales in the linear layout, and throws
  /// std::invalid_argument otherwise.
  void add_huggingface_mxfp4(const std::string& name, const quantized<mxfp4>& w) {
    const auto [rows, cols] = size("add_huggingface_mxfp4", name, w);
    add({name + "_blocks", stored_type::u8, {rows, cols / 32, 16}, w.elements()});
    add({name + "_scales", stored_type::u8, {rows, cols / 32}, w.scales()});
  }
  void add_modelopt_nvfp4(const std::string& name, const quantized<nvfp4>& w) {
    const auto [rows, cols] = size("add_modelopt_nvfp4", name, w);
    add({name, stored_type::u8, {rows, cols / 2}, w.elements()});
    add({name + "_scale", stored_type::f8_e4m3, {rows, cols / 16}, w.scales()});
    add({name + "_scale_2", stored_type::f32, {}, made(w.tensor_scale())});
  }
  /// The file has the reciprocal of the tensor scale, rounded to a float: what is read back may
  /// differ from it by one ulp.
  void add_compressed_tensors_nvfp4(const std::string& name, const quantized<nvfp4>& w) {
    const auto [rows, cols] = size("add_compressed_tensors_nvfp4", name, w);
    if (!detail::positive(w.tensor_scale())) {
      throw std::invalid_argument("add_compressed_tensors_nvfp4: tensor " + printable(name) +
                                  " has a tensor scale that is not a positive number");
    }
    add({name + "_packed", stored_type::u8, {rows, cols / 2}, w.elements()});
    add({name + "_scale", stored_type::f8_e4m3, {rows, cols / 16}, w.scales()});
    add({name + "_global_scale",
         stored_type::f32,
         {1},
         made(detail::reciprocal(w.tensor_scale()))});
  }

  /// See write_safetensors().
  void write(const std::filesystem::path& path) const {
    write_safetensors(path, tensors_, metadata);
  }

  checkpoint_writer() = default;
  checkpoint_writer(const checkpoint_writer&) = delete;  // its tensors point into it
  checkpoint_writer& operator=(const checkpoint_writer&) = delete;

 private:
  template <block_format B>
  static std::pair<std::uint64_t, std::uint64_t> size(const char* function, std::string_view name,
                                                      const quantized<B>& w) {
    if (w.cols() % B.cols != 0 || w.layout() != scale_layout::linear) {
      throw std::invalid_argument(
          std::string(function) + ": tensor " + printable(name) +
          (w.cols() % B.cols != 0 ? " ends inside a block" : " has scales that are swizzled"));
    }
    return {static_cast<std::uint64_t>(w.rows()), static_cast<std::uint64_t>(w.cols())};
  }

  /// The bytes of a float in a file, kept here.
  std::span<const std::uint8_t> made(float x) {
    std::vector<std::uint8_t>& bytes = made_.emplace_back(4);
    store_scale<float32>(bytes.data(), 0, bit_cast<std::uint32_t>(x));
    return bytes;
  }

  std::vector<stored_tensor> tensors_;
  std::deque<std::vector<std::uint8_t>> made_;
};

namespace detail {

[[noreturn]] inline void bad_weight(const stored_tensor& tensor, const std::string& what) {
  throw safetensors_error("tensor " + printable(tensor.name) + what, tensor.position);
}

inline const stored_tensor& part(const safetensors& model, const std::string& weight,
                                 const char* suffix) {
  const std::string name = weight + suffix;
  if (const stored_tensor* const found = model.find(name)) return *found;
  throw safetensors_error("no tensor " + printable(name), 8);
}

/// Fills a matrix of `blocks` [..., packed columns] and `scales` [..., blocks of a row], after
/// checking that they belong together.
template <block_format B>
quantized<B> assemble(const stored_tensor& elements, std::span<const std::uint64_t> lead,
                      std::uint64_t row_bytes, const stored_tensor& scales) {
  if (elements.type != stored_type::u8) bad_weight(elements, " is not U8");
  if (elements.bytes.empty()) bad_weight(elements, " is empty");
  const std::uint64_t block_bytes = packed_bytes(B.element, B.cols);
  if (row_bytes % block_bytes != 0) bad_weight(elements, " ends inside a block");
  std::vector<std::uint64_t> expected(lead.begin(), lead.end());
  expected.push_back(row_bytes / block_bytes);
  if (scales.shape != expected) bad_weight(scales, " does not have one scale for each block");
  const std::uint64_t rows = elements.bytes.size() / row_bytes;
  quantized<B> w(static_cast<std::ptrdiff_t>(rows),
                 static_cast<std::ptrdiff_t>(row_bytes / block_bytes) * B.cols);
  std::copy(elements.bytes.begin(), elements.bytes.end(), w.elements().begin());
  std::copy(scales.bytes.begin(), scales.bytes.end(), w.scales().begin());
  return w;
}

inline quantized<nvfp4> assemble_nvfp4(const stored_tensor& elements, const stored_tensor& scales,
                                       const stored_tensor& tensor_scale) {
  if (elements.shape.size() != 2) bad_weight(elements, " is not a matrix");
  if (scales.type != stored_type::f8_e4m3) bad_weight(scales, " is not F8_E4M3");
  if (tensor_scale.type != stored_type::f32 || tensor_scale.bytes.size() != 4) {
    bad_weight(tensor_scale, " is not one F32");
  }
  const std::span<const std::uint64_t> shape(elements.shape);
  quantized<nvfp4> w = assemble<nvfp4>(elements, shape.first(1), shape[1], scales);
  if (std::any_of(scales.bytes.begin(), scales.bytes.end(), [](auto b) { return b >= 0x80; })) {
    bad_weight(scales, " has a negative scale");
  }
  w.set_tensor_scale(bit_cast<float>(load_scale<float32>(tensor_scale.bytes.data(), 0)));
  return w;
}

}  // namespace detail

/// Read the weight `name` of a checkpoint in one of the three layouts. Throw safetensors_error if
/// its tensors are not there or do not belong together: types, shapes and sizes, and for
/// NVFP4 the signs of the scales. Every other byte is a legal value.

/// Leading dimensions, such as that of a mixture's experts, are rows; scales are U8 or F8_E8M0.
inline quantized<mxfp4> load_huggingface_mxfp4(const safetensors& model, const std::string& name) {
  const stored_tensor& blocks = detail::part(model, name, "_blocks");
  const stored_tensor& scales = detail::part(model, name, "_scales");
  const std::span<const std::uint64_t> shape(blocks.shape);
  if (shape.size() < 3 || shape.back() != 16) detail::bad_weight(blocks, " is not [..., n, 16]");
  if (scales.type != stored_type::u8 && scales.type != stored_type::f8_e8m0) {
    detail::bad_weight(scales, " is neither U8 nor F8_E8M0");
  }
  return detail::assemble<mxfp4>(blocks, shape.first(shape.size() - 2),
                                 shape[shape.size() - 2] * 16, scales);
}

inline quantized<nvfp4> load_modelopt_nvfp4(const safetensors& model, const std::string& name) {
  return detail::assemble_nvfp4(detail::part(model, name, ""), detail::part(model, name, "_scale"),
                                detail::part(model, name, "_scale_2"));
}

inline quantized<nvfp4> load_compressed_tensors_nvfp4(const safetensors& model,
                                                      const std::string& name) {
  const stored_tensor& global_scale = detail::part(model, name, "_global_scale");
  quantized<nvfp4> w = detail::assemble_nvfp4(detail::part(model, name, "_packed"),
                                              detail::part(model, name, "_scale"), global_scale);
  if (!detail::positive(w.tensor_scale())) {
    detail::bad_weight(global_scale, " is not a positive number");
  }
  w.set_tensor_scale(detail::reciprocal(w.tensor_scale()));
  return w;
}

}  // namespace halfbyte
