#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <halfbyte/bits.hpp>
#include <halfbyte/encode.hpp>
#include <halfbyte/format.hpp>
#include <halfbyte/pack.hpp>
#include <halfbyte/unpacked.hpp>

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
constexpr std::string_view name(stored_type type) {
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

  /// Number of elements.
  std::size_t size() const {
    return static_cast<std::size_t>(std::uint64_t{bytes.size()} * 8 /
                                    static_cast<std::uint64_t>(stored_bits(type)));
  }
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

/// Whether read_numbers() reads elements of that type. The others are counts, flags and pairs.
constexpr bool is_number(stored_type type) {
  switch (type) {
    case stored_type::boolean:
    case stored_type::i16:
    case stored_type::u16:
    case stored_type::i32:
    case stored_type::u32:
    case stored_type::c64:
    case stored_type::i64:
    case stored_type::u64:
      return false;
    default:
      return true;
  }
}

namespace detail {

template <format F, class T>
void read_format(std::span<const std::uint8_t> bytes, std::span<T> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::uint32_t pattern = load_packed<F>(bytes.data(), static_cast<std::ptrdiff_t>(i));
    if constexpr (std::same_as<T, double>) {
      out[i] = to_double(unpack<F>(pattern));
    } else if constexpr (F == float32) {
      out[i] = bit_cast<float>(pattern);
    } else {
      out[i] = decode<F>(pattern);
    }
  }
}

template <class T>
void read_doubles(std::span<const std::uint8_t> bytes, std::span<T> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint64_t pattern = 0;
    for (std::size_t k = 0; k < 8; ++k) pattern |= std::uint64_t{bytes[8 * i + k]} << (8 * k);
    const double number = bit_cast<double>(pattern);
    if constexpr (std::same_as<T, double>) {
      out[i] = number;
    } else {
      out[i] = bit_cast<float>(encode<float32>(number, nearest_even{}, to_special{}));
    }
  }
}

template <class T>
void read_bytes(std::span<const std::uint8_t> bytes, std::span<T> out) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<T>(bytes[i]);
}

}  // namespace detail

/// The elements of `tensor` as numbers, in order. Exact, but for F64 in floats: rounded once, to
/// nearest even.
///
/// The bytes may lie at any address. Throws std::invalid_argument unless is_number(tensor.type) and
/// `out` has tensor.size() elements.
template <class T>
requires(std::same_as<T, float> ||
         std::same_as<T, double>) void read_numbers(const stored_tensor& tensor, std::span<T> out) {
  if (out.size() != tensor.size()) {
    throw std::invalid_argument("halfbyte::read_numbers: room for " + std::to_string(out.size()) +
                                " of " + std::to_string(tensor.size()) + " numbers");
  }
  switch (tensor.type) {
    case stored_type::f4:
      return detail::read_format<e2m1>(tensor.bytes, out);
    case stored_type::f6_e2m3:
      return detail::read_format<e2m3>(tensor.bytes, out);
    case stored_type::f6_e3m2:
      return detail::read_format<e3m2>(tensor.bytes, out);
    case stored_type::u8:
      return detail::read_bytes(tensor.bytes, out);
    case stored_type::i8:
      return detail::read_format<int8>(tensor.bytes, out);
    case stored_type::f8_e5m2:
      return detail::read_format<e5m2>(tensor.bytes, out);
    case stored_type::f8_e4m3:
      return detail::read_format<e4m3>(tensor.bytes, out);
    case stored_type::f8_e8m0:
      return detail::read_format<ue8m0>(tensor.bytes, out);
    case stored_type::f8_e4m3fnuz:
      return detail::read_format<e4m3fnuz>(tensor.bytes, out);
    case stored_type::f8_e5m2fnuz:
      return detail::read_format<e5m2fnuz>(tensor.bytes, out);
    case stored_type::f16:
      return detail::read_format<float16>(tensor.bytes, out);
    case stored_type::bf16:
      return detail::read_format<bfloat16>(tensor.bytes, out);
    case stored_type::f32:
      return detail::read_format<float32>(tensor.bytes, out);
    case stored_type::f64:
      return detail::read_doubles(tensor.bytes, out);
    default:
      throw std::invalid_argument("halfbyte::read_numbers: elements of type " +
                                  std::string(name(tensor.type)));
  }
}

}  // namespace halfbyte
