#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <halfbyte/file.hpp>

/// Files of named tensors in the safetensors format. Opt-in: needs nlohmann-json.
///
///     8 bytes   n, the header's length, little-endian
///     n bytes   header: JSON, {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
///     the rest  the tensors' bytes, one after the other, without gaps: row-major, little-endian
///
/// Source: github.com/huggingface/safetensors, README and safetensors/src/tensor.rs.

namespace halfbyte {

/// What a tensor of a safetensors file holds, in ascending order of the reference implementation.
enum class stored_type : std::uint8_t {
  boolean, f4, f6_e2m3, f6_e3m2, u8, i8, f8_e5m2, f8_e4m3, f8_e8m0, f8_e4m3fnuz, f8_e5m2fnuz,
  i16, u16, f16, bf16, i32, u32, f32, c64, f64, i64, u64
};

inline constexpr int stored_types = 22;

/// Its name in the file.
constexpr std::string_view name_of(stored_type type) {
  constexpr std::string_view names[stored_types] = {
      "BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0",
      "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "C64", "F64",
      "I64", "U64"};
  return names[static_cast<int>(type)];
}

/// Bits of one element.
constexpr int stored_bits(stored_type type) {
  if (type == stored_type::f4) return 4;
  if (type == stored_type::f6_e2m3 || type == stored_type::f6_e3m2) return 6;
  if (type <= stored_type::f8_e5m2fnuz) return 8;
  if (type <= stored_type::bf16) return 16;
  return type <= stored_type::f32 ? 32 : 64;
}

/// A tensor in a file that is in memory, or on its way to one. Does not own its bytes.
struct stored_tensor {
  std::string name;
  stored_type type = stored_type::u8;
  std::vector<std::uint64_t> shape;  ///< outermost first; empty for a single number
  std::span<const std::uint8_t> bytes;
  std::uint64_t position = 0;  ///< how far the file had been read when its name was
};

/// A file is not what it should be; `position` tells how far it had been read when that showed.
class safetensors_error : public std::runtime_error {
 public:
  safetensors_error(const std::string& what, std::uint64_t position)
      : std::runtime_error("byte " + std::to_string(position) + ": " + what), position_(position) {}
  std::uint64_t position() const { return position_; }

 private:
  std::uint64_t position_;
};

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

/// `text` as a JSON string in ASCII, cut to a line: safe to print whatever a file put into it.
inline std::string printable(std::string_view text) {
  constexpr std::size_t most = 120;
  const std::string whole =
      nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return whole.size() <= most ? whole : whole.substr(0, most) + "...\"";
}

namespace detail {

/// Bytes that a tensor takes, or false: it overflows 64 bits or ends inside a byte.
inline bool tensor_bytes(stored_type type, std::span<const std::uint64_t> shape,
                         std::uint64_t& bytes) {
  std::uint64_t product = 1;
  const auto times = [&product](std::uint64_t n) {
    if (n != 0 && product > std::numeric_limits<std::uint64_t>::max() / n) return false;
    product *= n;
    return true;
  };
  for (const std::uint64_t extent : shape) {
    if (!times(extent)) return false;
  }
  if (!times(static_cast<std::uint64_t>(stored_bits(type))) || product % 8 != 0) return false;
  bytes = product / 8;
  return true;
}

/// Walks over the header and tells where it is: what the JSON parser has read ends at *read.
struct counted_iterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = char;

  const std::uint8_t* at = nullptr;
  const std::uint8_t** read = nullptr;

  char operator*() const { return static_cast<char>(*at); }
  counted_iterator& operator++() {
    ++at;
    if (read != nullptr) *read = at;
    return *this;
  }
  counted_iterator operator++(int) {
    const counted_iterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const counted_iterator& other) const { return at == other.at; }
};

/// Takes the events of the JSON parser; knows at every moment what may come next, and no recursion.
class header_reader {
 public:
  /// A tensor as the header has it: its bytes are still two numbers.
  struct entry {
    stored_tensor tensor;
    std::uint64_t begin = 0, end = 0;
  };

  explicit header_reader(std::span<const std::uint8_t> header)
      : start_(header.data()), read_(header.data()) {
    using iterator = counted_iterator;
    const bool read = nlohmann::json::sax_parse(
        iterator{header.data(), &read_}, iterator{header.data() + header.size(), nullptr}, this);
    // The parser also takes a zero byte for the end.
    if (!read || read_ != header.data() + header.size()) fail("the header is not JSON");
  }

  std::vector<entry> entries;
  std::map<std::string, std::string> metadata;

  // The parser's events. Each says whether to go on: these throw instead.

  bool key(std::string& name) {
    switch (state_) {
      case state::header:
        if (name == "__metadata__") {
          if (std::exchange(metadata_seen_, true)) fail("a second \"__metadata__\"");
          state_ = state::metadata_value;
        } else {
          entries.push_back({{std::move(name), {}, {}, {}, position()}, 0, 0});
          state_ = state::entry_value;
        }
        return true;
      case state::entry:
        if (name == "dtype") return field(has_type, state::type_value);
        if (name == "shape") return field(has_shape, state::shape_value);
        if (name == "data_offsets") return field(has_offsets, state::offsets_value);
        return ignore();
      case state::metadata:
        if (metadata.contains(name)) fail("a second " + printable(name));
        note_ = std::move(name);
        state_ = state::note_value;
        return true;
      default:
        return ignored();
    }
  }

  bool string(std::string& text) {
    if (state_ == state::type_value) return type(text);
    if (state_ != state::note_value) return ignored();
    metadata.emplace(std::move(note_), std::move(text));
    state_ = state::metadata;
    return true;
  }

  bool number_unsigned(std::uint64_t number) {
    entry* const last = entries.empty() ? nullptr : &entries.back();
    switch (state_) {
      case state::shape:
        if (last->tensor.shape.size() == most_extents) fail("a tensor of too many dimensions");
        last->tensor.shape.push_back(number);
        return true;
      case state::begin:
        last->begin = number;
        state_ = state::end;
        return true;
      case state::end:
        last->end = number;
        state_ = state::offsets_end;
        return true;
      default:
        return ignored();
    }
  }

  bool start_object(std::size_t) {
    switch (state_) {
      case state::start:
        state_ = state::header;
        return true;
      case state::entry_value:
        seen_ = 0;
        state_ = state::entry;
        return true;
      case state::metadata_value:
        state_ = state::metadata;
        return true;
      default:
        return deeper();
    }
  }

  bool end_object() {
    switch (state_) {
      case state::header:
        state_ = state::finished;
        return true;
      case state::entry:
        if (seen_ != (has_type | has_shape | has_offsets)) {
          fail("a tensor without dtype, shape or data_offsets");
        }
        state_ = state::header;
        return true;
      case state::metadata:
        state_ = state::header;
        return true;
      default:
        return shallower();
    }
  }

  bool start_array(std::size_t) {
    if (state_ == state::shape_value) {
      state_ = state::shape;
    } else if (state_ == state::offsets_value) {
      state_ = state::begin;
    } else {
      return deeper();
    }
    return true;
  }

  bool end_array() {
    if (state_ != state::shape && state_ != state::offsets_end) return shallower();
    state_ = state::entry;
    return true;
  }

  bool null() { return ignored(); }
  bool boolean(bool) { return ignored(); }
  bool number_integer(std::int64_t) { return ignored(); }
  bool number_float(double, const std::string&) { return ignored(); }
  bool binary(nlohmann::json::binary_t&) { return ignored(); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) {
    fail("the header is not JSON");
  }

 private:
  enum class state {
    start, header, entry_value, entry, type_value, shape_value, shape, offsets_value, begin, end,
    offsets_end, metadata_value, metadata, note_value, unknown, finished
  };
  static constexpr unsigned has_type = 1, has_shape = 2, has_offsets = 4;
  static constexpr std::size_t most_extents = 64;
  static constexpr int deepest = 8;

  std::uint64_t position() const { return 8 + static_cast<std::uint64_t>(read_ - start_); }
  [[noreturn]] void fail(const std::string& what) const {
    throw safetensors_error(what, position());
  }

  bool field(unsigned which, state next) {
    if ((seen_ & which) != 0) fail("a second dtype, shape or data_offsets");
    seen_ |= which;
    state_ = next;
    return true;
  }

  bool type(std::string_view text) {
    for (int i = 0; i < stored_types; ++i) {
      if (name_of(static_cast<stored_type>(i)) != text) continue;
      entries.back().tensor.type = static_cast<stored_type>(i);
      state_ = state::entry;
      return true;
    }
    fail("unknown dtype " + printable(text));
  }

  // The value of a key that the format does not know is passed over, as the reference does.
  bool ignore() {
    state_ = state::unknown;
    depth_ = 0;
    return true;
  }
  bool ignored() {
    if (state_ != state::unknown) fail("not what a safetensors header has here");
    if (depth_ == 0) state_ = state::entry;
    return true;
  }
  bool deeper() {
    if (state_ != state::unknown) fail("not what a safetensors header has here");
    if (++depth_ > deepest) fail("values nested too deeply");
    return true;
  }
  bool shallower() {
    if (state_ != state::unknown) fail("not what a safetensors header has here");
    if (--depth_ == 0) state_ = state::entry;
    return true;
  }

  const std::uint8_t* start_;
  const std::uint8_t* read_;
  state state_ = state::start;
  unsigned seen_ = 0;
  int depth_ = 0;
  bool metadata_seen_ = false;
  std::string note_;
};

}  // namespace detail

/// Reads a file that is in memory: a total function on bytes, the tensors are views of `file`.
///
/// Throws safetensors_error at the first thing that the format does not allow: a header longer than
/// 100,000,000 bytes or than the file, one that does not start with '{', JSON of any other form, a
/// name twice, an unknown dtype, a shape whose size overflows, ends inside a byte or is not what
/// the offsets say, a gap, an overlap, bytes left over. Keys that the format does not know are
/// passed over. Allocates for what the header holds, never by a number that it states. The values
/// of the elements are not looked at.
inline safetensors read_safetensors(std::span<const std::uint8_t> file) {
  constexpr std::uint64_t longest_header = 100'000'000;
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
  std::vector<std::size_t> order(entries.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&entries](std::size_t a, std::size_t b) {
    const stored_tensor &x = entries[a].tensor, &y = entries[b].tensor;
    return x.name != y.name ? x.name < y.name : x.position < y.position;
  });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const stored_tensor& tensor = entries[order[i]].tensor;
    if (tensor.name == entries[order[i - 1]].tensor.name) {
      throw safetensors_error("a second tensor " + printable(tensor.name), tensor.position);
    }
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
    std::uint64_t bytes = 0;
    if (!detail::tensor_bytes(tensor.type, tensor.shape, bytes)) {
      fail(" has a shape that overflows or ends inside a byte");
    }
    if (bytes != entry.end - at) fail(" has a shape that is not the length of its data");
    tensor.bytes = data.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(bytes));
    result.tensors.push_back(std::move(tensor));
    at = entry.end;
  }
  if (at != data.size()) {
    throw safetensors_error("bytes that belong to no tensor", 8 + header.size() + at);
  }
  return result;
}

namespace detail {

/// The first bytes of a file of these tensors: the length and the header.
inline std::string safetensors_header(std::span<const stored_tensor* const> tensors,
                                      const std::map<std::string, std::string>& metadata) {
  std::string header = "{";
  if (!metadata.empty()) header += "\"__metadata__\":" + nlohmann::json(metadata).dump();
  std::uint64_t at = 0;
  for (const stored_tensor* const tensor : tensors) {
    if (header.size() > 1) header += ',';
    const std::uint64_t end = at + tensor->bytes.size();
    header += nlohmann::json(tensor->name).dump() + ":{\"dtype\":\"";
    header += name_of(tensor->type);
    header += "\",\"shape\":" + nlohmann::json(tensor->shape).dump() + ",\"data_offsets\":[" +
              std::to_string(at) + "," + std::to_string(end) + "]}";
    at = end;
  }
  header += '}';
  header.append((8 - header.size() % 8) % 8, ' ');
  std::string length;
  for (std::size_t i = 0; i < 8; ++i) {
    length += static_cast<char>((std::uint64_t{header.size()} >> (8 * i)) & 0xff);
  }
  return length + header;
}

}  // namespace detail

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
    std::uint64_t bytes = 0;
    if (!detail::tensor_bytes(tensor->type, tensor->shape, bytes) ||
        bytes != tensor->bytes.size()) {
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
  pieces[0] = {reinterpret_cast<const std::uint8_t*>(header.data()), header.size()};
  replace_file(path, pieces);
}

}  // namespace halfbyte
