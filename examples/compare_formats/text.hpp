#pragma once

#include <cstddef>
#include <string>
#include <string_view>

/// printf into a string.
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
std::string
formatted(const char* format, ...);

/// x, or a NaN that prints without a sign.
double unsigned_nan(double x);

/// `text` with spaces behind it, `width` characters.
std::string padded(std::string text, std::size_t width);

/// 1234567 as 1,234,567.
std::string with_commas(std::size_t n);

/// `text` as HTML shows it: the names of tensors are whatever a file says they are.
std::string escaped(std::string_view text);

/// `text` in at most `most` characters: its middle gives way to an ellipsis.
std::string shortened(const std::string& text, std::size_t most);
