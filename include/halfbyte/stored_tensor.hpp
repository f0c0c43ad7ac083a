#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace halfbyte {

/// What a tensor of a safetensors file holds, in ascending order of the reference implementation.
enum class stored_type : std::uint8_t {
  boolean,
  f4,
  f6_e2m3,
  f6_e3m2,
  u8,
  i8,
  f8_e5m2,
  f8_e4m3,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  i16,
  u16,
  f16,
  bf16,
  i32,
  u32,
  f32,
  c64,
  f64,
  i64,
  u64
};

inline constexpr int stored_types = 22;

/// Its name in the file.
constexpr std::string_view name_of(stored_type type) {
  constexpr std::string_view names[stored_types] = {
      "BOOL",    "F4",          "F6_E2M3",     "F6_E3M2", "U8",  "I8",  "F8_E5M2", "F8_E4M3",
      "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16",     "U16", "F16", "BF16",    "I32",
      "U32",     "F32",         "C64",         "F64",     "I64", "U64"};
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

/// Bytes that a tensor takes; nothing if they overflow 64 bits or end inside a byte.
inline std::optional<std::uint64_t> stored_bytes(stored_type type,
                                                 std::span<const std::uint64_t> shape) {
  std::uint64_t bits = 1;
  const auto times = [&bits](std::uint64_t n) {
    if (n != 0 && bits > std::numeric_limits<std::uint64_t>::max() / n) return false;
    bits *= n;
    return true;
  };
  for (const std::uint64_t extent : shape) {
    if (!times(extent)) return std::nullopt;
  }
  if (!times(static_cast<std::uint64_t>(stored_bits(type))) || bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

}  // namespace halfbyte
