#pragma once

#include <cstdint>
#include <stdexcept>

#include <cuda_runtime.h>

#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/error.cuh>

/// Columns of an operand moved together, for products with an outlier residual.
///
/// Where a few channels hold the outliers, A = clamped + residual with a residual of `count`
/// columns, and A · Bᵀ = clamped · Bᵀ + residual · B[:, columns]ᵀ. Either the second product
/// follows the first with `epilogue::accumulate`, or both are one: the residual and the gathered
/// columns of B stand behind the K columns of rows long enough, and K + count is the product's K.
namespace halfbyte::cuda {

/// A thread per element of a row: out[r, i] = in[r, columns[i]].
template <class T>
static __global__ void __launch_bounds__(256)
    gather_rows(const T* in, std::int64_t in_stride, int rows, const int* columns, int count,
                T* out, std::int64_t out_stride) {
  const int i = static_cast<int>(blockIdx.x * 256 + threadIdx.x);
  if (i >= count) return;
  const int column = columns[i];
  for (int row = static_cast<int>(blockIdx.y); row < rows; row += static_cast<int>(gridDim.y))
    out[row * out_stride + i] = in[row * in_stride + column];
}

/// Queues out[r, i] = in[r, columns[i]], i < count, of elements of T: a byte, or std::uint16_t for
/// bfloat16. Strides in elements, `columns` on the device. `out` may be the room behind a row of
/// `in`.
template <class T>
void gather_columns(const T* in, std::int64_t in_stride, int rows, const int* columns, int count,
                    T* out, std::int64_t out_stride, cudaStream_t stream) {
  if (rows < 0 || count < 0) throw std::invalid_argument("gather_columns: a negative size");
  if (rows == 0 || count == 0) return;
  const dim3 grid(static_cast<unsigned>((count + 255) / 256),
                  static_cast<unsigned>(rows < 16384 ? rows : 16384));
  gather_rows<<<grid, 256, 0, stream>>>(in, in_stride, rows, columns, count, out, out_stride);
  check(cudaGetLastError());
}

}  // namespace halfbyte::cuda
