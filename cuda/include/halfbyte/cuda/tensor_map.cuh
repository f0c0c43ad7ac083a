#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include <cuda.h>

#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/error.cuh>

namespace halfbyte::cuda {

constexpr CUtensorMapDataType tensor_map_type(element e) {
  return e == element::bfloat16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_UINT8;
}

constexpr CUtensorMapDataType tensor_map_type(output o) {
  return o == output::bfloat16  ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
         : o == output::float16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                : CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
}

/// True if the copy engine can address this matrix: 16-byte aligned start and rows.
inline bool fits_tensor_map(const void* data, std::ptrdiff_t stride_bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 && stride_bytes % 16 == 0;
}

/// Tells the copy engine of a row-major matrix, read or written in boxes of `box_rows` rows of
/// `box_columns`. What lies outside reads as zero and is not written.
inline CUtensorMap make_tensor_map(CUtensorMapDataType type, const void* data, std::int64_t rows,
                                   std::int64_t columns, std::int64_t stride_bytes, int box_rows,
                                   int box_columns, CUtensorMapSwizzle swizzle) {
  static const auto encode = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found{};
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                           cudaEnableDefault, &found));
    if (found != cudaDriverEntryPointSuccess)
      throw error("the driver has no cuTensorMapEncodeTiled");
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
  }();
  const cuuint64_t extent[2] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint64_t stride[1] = {static_cast<cuuint64_t>(stride_bytes)};
  const cuuint32_t box[2] = {static_cast<cuuint32_t>(box_columns),
                             static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t step[2] = {1, 1};
  CUtensorMap map;
  const CUresult status =
      encode(&map, type, 2, const_cast<void*>(data), extent, stride, box, step,
             CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
             CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status != CUDA_SUCCESS)
    throw std::invalid_argument("tensor map of " + std::to_string(rows) + " x " +
                                std::to_string(columns) + ", stride " +
                                std::to_string(stride_bytes) + " bytes: driver error " +
                                std::to_string(static_cast<int>(status)));
  return map;
}

/// The same in boxes of rows of 128 bytes, swizzled in shared memory.
inline CUtensorMap make_tensor_map(CUtensorMapDataType type, int element_bytes, const void* data,
                                   std::int64_t rows, std::int64_t columns,
                                   std::int64_t stride_bytes, int box_rows) {
  return make_tensor_map(type, data, rows, columns, stride_bytes, box_rows, 128 / element_bytes,
                         CU_TENSOR_MAP_SWIZZLE_128B);
}

}  // namespace halfbyte::cuda
