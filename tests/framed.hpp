#pragma once

// Matrices for the tests of quantize: inside a frame of NaNs, filled with numbers that go wrong.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <halfbyte/block_format.hpp>
#include <halfbyte/view.hpp>

#include "every_block.hpp"
#include "exact.hpp"

namespace hb = halfbyte;

/// A matrix inside a larger one: what is around it is poison, to be neither read nor written.
template <class T>
struct framed {
  std::ptrdiff_t rows, cols, stride, first;
  std::vector<T> storage;
  T poison = exact::numbers_of<T>::from((std::uint64_t{1} << (exact::hard_blocks<T>::e +
                                                               exact::hard_blocks<T>::f)) -
                                        1);  // a NaN

  framed(std::ptrdiff_t r, std::ptrdiff_t c, std::ptrdiff_t gap = 0, std::ptrdiff_t offset = 0)
      : rows(r), cols(c), stride(c + gap), first(offset) {
    storage.assign(static_cast<std::size_t>(first + rows * stride + 5), poison);
  }
  T& at(std::ptrdiff_t i, std::ptrdiff_t j) {
    return storage[static_cast<std::size_t>(first + i * stride + j)];
  }
  hb::matrix_view<T> view() { return {storage.data() + first, rows, cols, stride}; }
  hb::matrix_view<const T> reader() { return view(); }
  bool frame_intact() {
    std::vector<T> copy = storage;
    for (std::ptrdiff_t i = 0; i < rows; ++i) {
      for (std::ptrdiff_t j = 0; j < cols; ++j) {
        copy[static_cast<std::size_t>(first + i * stride + j)] = poison;
      }
    }
    return std::all_of(copy.begin(), copy.end(), [&](const T& x) { return same(x, poison); });
  }
  static bool same(const T& a, const T& b) {
    return std::equal(reinterpret_cast<const unsigned char*>(&a),
                      reinterpret_cast<const unsigned char*>(&a) + sizeof(T),
                      reinterpret_cast<const unsigned char*>(&b));
  }
};

/// Numbers of the kinds that go wrong, block after block; some are NaN or infinite when `special`.
template <class T>
void fill(framed<T>& m, std::uint64_t seed, bool special = true) {
  exact::hard_blocks<T> make(16, seed);
  std::vector<T> pool;
  for (std::ptrdiff_t i = 0; i < m.rows; ++i) {
    for (std::ptrdiff_t j = 0; j < m.cols; ++j) {
      if (pool.empty()) {
        constexpr int middle = exact::hard_blocks<T>::top / 2;
        const std::uint64_t kind = make.random() % 16;
        pool = kind < 10   ? make.between(middle - 5, middle + 2)
               : kind < 12 ? make.ordinary()
               : kind < 13 ? make.zeros()
               : kind < 14 ? make.between(0, 2)
               : kind < 15 ? make.between(middle - 2, middle + 12)
                           : make.between(middle, middle);
        if (special && make.random() % 16 == 0) pool = make.with(pool, make.nan());
        if (special && make.random() % 16 == 0) pool = make.with(pool, make.infinity());
      }
      m.at(i, j) = pool.back();
      pool.pop_back();
    }
  }
}

template <hb::block_format B>
std::string shape(std::ptrdiff_t rows, std::ptrdiff_t cols, const char* what) {
  return exact::name(B) + ", " + std::to_string(rows) + " x " + std::to_string(cols) + ": " + what;
}

inline bool bits_equal(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const float& x, const float& y) {
    return exact::bits_of(x) == exact::bits_of(y);
  });
}
