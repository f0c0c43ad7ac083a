#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <halfbyte/bits.hpp>

namespace halfbyte::detail {

/// `bytes` of memory at a multiple of 64, so that no word of vectors lies in two lines of a cache.
///
/// From 4 MiB on in huge pages, where the system has them on request: faults of small ones would
/// take longer than quantizing what fills them.
inline void* allocate(std::size_t bytes) {
  void* const memory = ::operator new (bytes, std::align_val_t{64});
#if defined(MADV_HUGEPAGE)
  if (bytes >= std::size_t{4} << 20) {
    const std::size_t rest_of_page = 4096 - bit_cast<std::size_t>(memory) % 4096;
    ::madvise(static_cast<char*>(memory) + rest_of_page, bytes - rest_of_page, MADV_HUGEPAGE);
  }
#endif
  return memory;
}

/// Asks for memory whose values nobody has set.
struct unset {};

/// An array of `n` values whose bytes are zero. Throws std::bad_alloc.
template <class T>
class storage {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  storage() = default;
  explicit storage(std::size_t n) : storage(n, unset{}) { zero(); }
  storage(std::size_t n, unset) : size_(n) {
    if (n > PTRDIFF_MAX / sizeof(T)) throw std::bad_array_new_length();
    if (n != 0) data_ = static_cast<T*>(allocate(n * sizeof(T)));
  }
  storage(const storage& other) : storage(other.size_, unset{}) {
    if (size_ != 0) std::memcpy(data_, other.data_, size_ * sizeof(T));
  }
  storage(storage&& other) noexcept : data_(other.data_), size_(other.size_) {
    other.data_ = nullptr;
    other.size_ = 0;
  }
  storage& operator=(storage other) noexcept {
    T* const data = data_;
    data_ = other.data_;
    size_ = other.size_;
    other.data_ = data;
    return *this;
  }
  ~storage() { ::operator delete (data_, std::align_val_t{64}); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  void zero() {
    if (size_ != 0) std::memset(data_, 0, size_ * sizeof(T));
  }

  friend bool operator==(const storage& a, const storage& b) {
    return a.size_ == b.size_ &&
           (a.size_ == 0 || std::memcmp(a.data_, b.data_, a.size_ * sizeof(T)) == 0);
  }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace halfbyte::detail
