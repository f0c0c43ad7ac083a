#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include <halfbyte/cuda/error.cuh>

namespace halfbyte::cuda {

/// An array of T in device memory, owned; movable, not copyable.
///
/// Copies synchronise with the host. Kernels never allocate: buffers are made before them.
template <class T>
class buffer {
 public:
  buffer() = default;
  explicit buffer(std::size_t size) : size_(size) {
    if (size != 0) check(cudaMalloc(&data_, size * sizeof(T)));
  }
  explicit buffer(const std::vector<T>& values) : buffer(values.size()) {
    check(cudaMemcpy(data_, values.data(), bytes(), cudaMemcpyHostToDevice));
  }
  buffer(buffer&& other) noexcept { swap(other); }
  buffer& operator=(buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~buffer() { cudaFree(data_); }

  T* data() { return static_cast<T*>(data_); }
  const T* data() const { return static_cast<const T*>(data_); }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }

  /// Sets every byte, padding included, to `byte`.
  void fill(int byte) { check(cudaMemset(data_, byte, bytes())); }

  std::vector<T> to_host() const {
    std::vector<T> values(size_);
    check(cudaMemcpy(values.data(), data_, bytes(), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  void swap(buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace halfbyte::cuda
