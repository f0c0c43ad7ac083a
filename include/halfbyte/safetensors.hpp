#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <halfbyte/file.hpp>
#include <halfbyte/safetensors_header.hpp>
#include <halfbyte/stored_tensor.hpp>

/// Files of named tensors in the safetensors format. Opt-in: needs nlohmann-json.
///
///     8 bytes   n, the header's length, little-endian
///     n bytes   header: JSON, {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
///     the rest  the tensors' bytes, one after the other, without gaps: row-major, little-endian
///
/// Source: github.com/huggingface/safetensors, README and safetensors/src/tensor.rs.

namespace halfbyte {

/// No file's header may be longer: bytes.
inline constexpr std::uint64_t longest_header = 100'000'000;

/// What a safetensors file holds: its tensors in the order of their bytes, and its notes.
struct safetensors {
  std::vector<stored_tensor> tensors;
  std::map<std::string, std::string> metadata;

  /// The tensor of that name, or null.
  const stored_tensor* find(std::string_view name) const {
    for (const stored_tensor& tensor : tensors) {
      if (tensor.name == name) return &tensor;
    }
    return nullptr;
  }
};

/// Reads a file that is in memory: a total function on bytes, the tensors are views of `file`.
///
/// Throws safetensors_error at the first thing that the format does not allow: a header longer than
/// 100,000,000 bytes or than the file, one that does not start with '{', JSON of any other form, a
/// name twice, an unknown dtype, a shape whose size overflows, ends inside a byte or is not what
/// the offsets say, a gap, an overlap, bytes left over. Keys that the format does not know are
/// passed over. Allocates for what the header holds, never by a number that it states. The values
/// of the elements are not looked at.
inline safetensors read_safetensors(std::span<const std::uint8_t> file) {
  if (file.size() < 8) throw safetensors_error("shorter than the 8 bytes of a length", file.size());
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < 8; ++i) length |= std::uint64_t{file[i]} << (8 * i);
  if (length > longest_header) throw safetensors_error("a header longer than 100,000,000 bytes", 0);
  if (length > file.size() - 8) throw safetensors_error("a header longer than the file", 0);
  const auto header = file.subspan(8, static_cast<std::size_t>(length));
  const auto data = file.subspan(8 + header.size());
  if (header.empty() || header[0] != '{') throw safetensors_error("a header without {", 8);

  detail::header_reader reader(header);
  std::vector<detail::header_reader::entry>& entries = reader.entries;

  // 1. No name twice.
  std::sort(entries.begin(), entries.end(), [](const auto& x, const auto& y) {
    const stored_tensor &a = x.tensor, &b = y.tensor;
    return a.name != b.name ? a.name < b.name : a.position < b.position;
  });
  const auto twice = std::adjacent_find(
      entries.begin(), entries.end(),
      [](const auto& x, const auto& y) { return x.tensor.name == y.tensor.name; });
  if (twice != entries.end()) {
    const stored_tensor& second = std::next(twice)->tensor;
    throw safetensors_error("a second tensor " + printable(second.name), second.position);
  }

  // 2. In the order of their bytes, each begins where the last ended and is as long as its shape.
  std::sort(entries.begin(), entries.end(), [](const auto& x, const auto& y) {
    if (x.begin != y.begin) return x.begin < y.begin;
    return x.end != y.end ? x.end < y.end : x.tensor.position < y.tensor.position;
  });
  safetensors result;
  result.metadata = std::move(reader.metadata);
  result.tensors.reserve(entries.size());
  std::uint64_t at = 0;
  for (detail::header_reader::entry& entry : entries) {
    stored_tensor& tensor = entry.tensor;
    const auto fail = [&tensor](const char* what) {
      throw safetensors_error("tensor " + printable(tensor.name) + what, tensor.position);
    };
    if (entry.begin != at) fail(" leaves a gap or overlaps another");
    if (entry.end < at) fail(" ends before it begins");
    if (entry.end > data.size()) fail(" ends after the end of the file");
    const std::optional<std::uint64_t> bytes = stored_bytes(tensor.type, tensor.shape);
    if (!bytes) fail(" has a shape that overflows or ends inside a byte");
    if (*bytes != entry.end - at) fail(" has a shape that is not the length of its data");
    tensor.bytes = data.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(*bytes));
    result.tensors.push_back(std::move(tensor));
    at = entry.end;
  }
  if (at != data.size()) {
    throw safetensors_error("bytes that belong to no tensor", 8 + header.size() + at);
  }
  return result;
}

/// Writes a safetensors file: whole, or not at all (replace_file()).
///
/// Orders the tensors as the reference implementation does, wide elements first, then by name, and
/// pads the header to 8 bytes, so that elements are aligned. Throws std::invalid_argument, before
/// it writes anything, for a name twice or not in UTF-8, and for bytes that are not as many as
/// the shape says; std::system_error if the file cannot be written.
inline void write_safetensors(const std::filesystem::path& path,
                              std::span<const stored_tensor> tensors,
                              const std::map<std::string, std::string>& metadata = {}) {
  std::vector<const stored_tensor*> order;
  for (const stored_tensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const stored_tensor* x, const stored_tensor* y) {
    return x->type != y->type ? x->type > y->type : x->name < y->name;
  });
  std::vector<std::string_view> names;
  std::vector<std::span<const std::uint8_t>> pieces(1);
  for (const stored_tensor* const tensor : order) {
    const std::optional<std::uint64_t> bytes = stored_bytes(tensor->type, tensor->shape);
    if (bytes != tensor->bytes.size()) {
      throw std::invalid_argument("write_safetensors: tensor " + printable(tensor->name) + " has " +
                                  std::to_string(tensor->bytes.size()) +
                                  " bytes, which is not what its shape takes");
    }
    names.push_back(tensor->name);
    pieces.push_back(tensor->bytes);
  }
  names.push_back("__metadata__");
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) {
    throw std::invalid_argument("write_safetensors: a second tensor " + printable(*twice));
  }
  std::string header;
  try {
    header = detail::safetensors_header(order, metadata);
  } catch (const nlohmann::json::type_error&) {
    throw std::invalid_argument("write_safetensors: a name that is not UTF-8");
  }
  if (header.size() - 8 > longest_header) {
    throw std::invalid_argument("write_safetensors: a header longer than 100,000,000 bytes");
  }
  pieces[0] = {reinterpret_cast<const std::uint8_t*>(header.data()), header.size()};
  replace_file(path, pieces);
}

}  // namespace halfbyte
