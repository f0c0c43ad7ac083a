#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <halfbyte/stored_tensor.hpp>

/// The header of a safetensors file, read and written. Opt-in: needs nlohmann-json.

namespace halfbyte {

/// A file is not what it should be; `position` tells how far it had been read when that showed.
class safetensors_error : public std::runtime_error {
 public:
  safetensors_error(const std::string& what, std::uint64_t position)
      : std::runtime_error("byte " + std::to_string(position) + ": " + what), position_(position) {}
  std::uint64_t position() const { return position_; }

 private:
  std::uint64_t position_;
};

/// `text` as a JSON string in ASCII, cut to a line: safe to print whatever a file put into it.
inline std::string printable(std::string_view text) {
  constexpr std::size_t most = 120;
  const std::string whole =
      nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return whole.size() <= most ? whole : whole.substr(0, most) + "...\"";
}

namespace detail {

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

  explicit header_reader(std::span<const std::uint8_t> header) : start_(header.data()) {
    // JSON has no zero byte; the parser would take one for the end.
    read_ = std::find(header.begin(), header.end(), std::uint8_t{0}) - header.begin() + start_;
    if (read_ != start_ + header.size()) fail("the header is not JSON");

    using iterator = counted_iterator;
    read_ = start_;
    const bool whole = nlohmann::json::sax_parse(iterator{start_, &read_},
                                                 iterator{start_ + header.size(), nullptr}, this);
    if (!whole) fail("the header is not JSON");
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
    start,
    header,
    entry_value,
    entry,
    type_value,
    shape_value,
    shape,
    offsets_value,
    begin,
    end,
    offsets_end,
    metadata_value,
    metadata,
    note_value,
    unknown,
    finished
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
      if (name(static_cast<stored_type>(i)) != text) continue;
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
  const std::uint8_t* read_ = nullptr;
  state state_ = state::start;
  unsigned seen_ = 0;
  int depth_ = 0;
  bool metadata_seen_ = false;
  std::string note_;
};

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
    header += name(tensor->type);
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

}  // namespace halfbyte
