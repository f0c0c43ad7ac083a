#pragma once

#include <cstdarg>
#include <cstdio>
#include <stdexcept>

namespace halfbyte::detail {

/// What a function throws for sizes that do not fit: its text is "halfbyte::" and `format`, filled
/// in as by printf. Plain characters, because strings would be compiled anew for every caller.
#if defined(__GNUC__)
[[gnu::format(printf, 1, 2)]]
#endif
inline std::invalid_argument argument_error(const char* format, ...) {
  char text[256] = "halfbyte::";
  std::va_list values;
  va_start(values, format);
  std::vsnprintf(text + 10, sizeof text - 10, format, values);
  va_end(values);
  return std::invalid_argument(text);
}

}  // namespace halfbyte::detail
