#pragma once

#include <cstddef>
#include <cstdint>

#include <halfbyte/config.hpp>
#include <halfbyte/format.hpp>

namespace halfbyte {

/// Bytes that `n` patterns of format `f` take: patterns follow each other without gaps, least
/// significant bit first, so an even 4-bit element is a low nibble and four 6-bit elements are 3
/// bytes.
HALFBYTE_HD constexpr std::size_t packed_bytes(format f, std::ptrdiff_t n) {
  return (static_cast<std::size_t>(n) * static_cast<std::size_t>(f.bits()) + 7) / 8;
}

/// Pattern `i` of a packed row of format F.
template <format F>
HALFBYTE_HD constexpr std::uint32_t load_packed(const std::uint8_t* row, std::ptrdiff_t i) {
  const std::uint64_t first = static_cast<std::uint64_t>(i) * static_cast<unsigned>(F.bits());
  const std::uint8_t* byte = row + first / 8;
  const int shift = static_cast<int>(first % 8);
  std::uint64_t window = 0;
  for (int k = 0; 8 * k < shift + F.bits(); ++k) window |= std::uint64_t{byte[k]} << (8 * k);
  return static_cast<std::uint32_t>(window >> shift) & F.mask();
}

/// Writes pattern `i` of a packed row of format F; its neighbours' bits stay.
template <format F>
HALFBYTE_HD constexpr void store_packed(std::uint8_t* row, std::ptrdiff_t i,
                                        std::uint32_t pattern) {
  const std::uint64_t first = static_cast<std::uint64_t>(i) * static_cast<unsigned>(F.bits());
  std::uint8_t* byte = row + first / 8;
  const int shift = static_cast<int>(first % 8);
  const std::uint64_t field = std::uint64_t{F.mask()} << shift;
  const std::uint64_t value = std::uint64_t{pattern & F.mask()} << shift;
  for (int k = 0; 8 * k < shift + F.bits(); ++k) {
    const auto keep = static_cast<std::uint8_t>(~(field >> (8 * k)));
    byte[k] = static_cast<std::uint8_t>((byte[k] & keep) | (value >> (8 * k)));
  }
}

/// Bytes of one scale: whole bytes, least significant first.
HALFBYTE_HD constexpr int scale_bytes(format f) { return (f.bits() + 7) / 8; }

template <format F>
HALFBYTE_HD constexpr std::uint32_t load_scale(const std::uint8_t* scales, std::ptrdiff_t i) {
  std::uint32_t pattern = 0;
  for (int k = 0; k < scale_bytes(F); ++k) {
    pattern |= std::uint32_t{scales[i * scale_bytes(F) + k]} << (8 * k);
  }
  return pattern & F.mask();
}

template <format F>
HALFBYTE_HD constexpr void store_scale(std::uint8_t* scales, std::ptrdiff_t i,
                                       std::uint32_t pattern) {
  for (int k = 0; k < scale_bytes(F); ++k) {
    scales[i * scale_bytes(F) + k] = static_cast<std::uint8_t>(pattern >> (8 * k));
  }
}

}  // namespace halfbyte
