#include "text.hpp"

#include <cmath>
#include <cstdarg>
#include <cstdio>

std::string formatted(const char* format, ...) {
  va_list list;
  va_start(list, format);
  char buffer[512];
  const int length = std::vsnprintf(buffer, sizeof buffer, format, list);
  va_end(list);
  return length < 0 ? std::string() : std::string(buffer);
}

double unsigned_nan(double x) { return std::isnan(x) ? std::abs(x) : x; }

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

std::string with_commas(std::size_t n) {
  std::string text = std::to_string(n);
  for (std::size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, 1, ',');
  return text;
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        // Control characters are not allowed in HTML, and names are UTF-8 already.
        result += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
    }
  }
  return result;
}

std::string shortened(const std::string& text, std::size_t most) {
  if (text.size() <= most) return text;
  const auto boundary = [&text](std::size_t at) {  // not inside a UTF-8 character
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) ++at;
    return at;
  };
  const std::size_t half = (most - 1) / 2;
  return text.substr(0, boundary(half)) + "\u2026" + text.substr(boundary(text.size() - half));
}
