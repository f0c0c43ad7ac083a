#include "matrices.hpp"

#include <span>

namespace hb = halfbyte;

bool fits(std::string_view name, std::string_view pattern) {
  std::size_t n = 0, p = 0;
  std::size_t star = std::string_view::npos, retry = 0;  // the last * and where its text ends
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      retry = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++retry;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool is_weight(const hb::stored_tensor& tensor) {
  using hb::stored_type;
  const bool packed = tensor.type == stored_type::u8 || tensor.type == stored_type::i8 ||
                      tensor.type == stored_type::f8_e8m0;
  return tensor.shape.size() == 2 && !tensor.bytes.empty() && hb::is_number(tensor.type) && !packed;
}

weight::weight(const hb::stored_tensor& tensor)
    : numbers(tensor.size()),
      rows(static_cast<std::ptrdiff_t>(tensor.shape[0])),
      cols(static_cast<std::ptrdiff_t>(tensor.shape[1])) {
  hb::read_numbers(tensor, std::span<float>(numbers));
}
