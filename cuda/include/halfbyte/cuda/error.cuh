#pragma once

#include <source_location>
#include <stdexcept>
#include <string>

#include <cuda_runtime_api.h>

namespace halfbyte::cuda {

/// A CUDA call that failed, with the call's place in the source.
struct error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Throws `error` unless `status` is success.
inline void check(cudaError_t status,
                  std::source_location where = std::source_location::current()) {
  if (status == cudaSuccess) return;
  throw error(std::string(where.file_name()) + ':' + std::to_string(where.line()) + ": " +
              cudaGetErrorName(status) + ", " + cudaGetErrorString(status));
}

}  // namespace halfbyte::cuda
