#pragma once

#include <cstdint>

#include <halfbyte/cuda/element.cuh>
#include <halfbyte/format.hpp>
#include <halfbyte/minifloat.hpp>

/// Elements and block scales of any operand as bfloat16, in which every product of the two is
/// exact: at most 4 + 4 significant bits.
namespace halfbyte::cuda {

/// `bits` bits at bit `position` of a row, least significant first; reads only the bytes needed.
inline __device__ std::uint32_t load_bits(const std::uint8_t* row, std::int64_t position,
                                          int bits) {
  const std::uint8_t* p = row + position / 8;
  const int shift = static_cast<int>(position % 8);
  std::uint32_t word = *p;
  if (shift + bits > 8) word |= std::uint32_t{p[1]} << 8;
  return (word >> shift) & ((1u << bits) - 1);
}

template <element E>
inline __device__ float decode_element(std::uint32_t pattern) {
  if constexpr (E == element::bfloat16) return __uint_as_float(pattern << 16);
  if constexpr (E == element::int8) return static_cast<float>(static_cast<signed char>(pattern));
  if constexpr (E == element::e4m3) return decode<e4m3>(pattern);
  if constexpr (E == element::e5m2) return decode<e5m2>(pattern);
  if constexpr (E == element::e2m1) return decode<e2m1>(pattern);
  if constexpr (E == element::e2m3) return decode<e2m3>(pattern);
  if constexpr (E == element::e3m2) return decode<e3m2>(pattern);
  return 0.0f;
}

template <element E>
inline __device__ float load_element(const std::uint8_t* row, int k) {
  if constexpr (E == element::bfloat16)
    return decode_element<E>(reinterpret_cast<const std::uint16_t*>(row)[k]);
  constexpr int bits = bits_of(E);
  return decode_element<E>(load_bits(row, static_cast<std::int64_t>(k) * bits, bits));
}

/// The scale of a block: UE8M0 for blocks of 32, UE4M3 for blocks of 16; BlockSize 0 is none.
template <int BlockSize>
inline __device__ float load_scale(const scale_grid& scales, int row, int k) {
  if constexpr (BlockSize == 32) return decode<ue8m0>(scales(row, k / 32));
  if constexpr (BlockSize == 16) return decode<ue4m3>(scales(row, k / 16));
  return 1.0f;
}

}  // namespace halfbyte::cuda
