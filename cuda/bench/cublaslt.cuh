#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include <cublasLt.h>

#include <halfbyte/cuda/buffer.cuh>

/// cuBLASLt's D[M,N] = A[M,K] · B[N,K]ᵀ as the peer to time: row-major, bfloat16 output.
namespace peer {

enum class scaling { none, tensor, outer, block_1x128_128x128 };

inline void check(cublasStatus_t status) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw std::runtime_error("cuBLASLt status " + std::to_string(static_cast<int>(status)));
}

/// One product, planned once; `run` queues the fastest of the algorithms that cuBLASLt proposes.
class cublaslt_gemm {
 public:
  cublaslt_gemm(cudaDataType_t type, cublasComputeType_t compute, cudaDataType_t output, int m,
                int n, int k, scaling mode, bool fast, const float* scale_a, const float* scale_b) {
    check(cublasLtCreate(&handle_));
    const cudaDataType_t scale_type = compute == CUBLAS_COMPUTE_32I ? CUDA_R_32I : CUDA_R_32F;
    check(cublasLtMatmulDescCreate(&operation_, compute, scale_type));
    const cublasOperation_t transposed = CUBLAS_OP_T;
    set(CUBLASLT_MATMUL_DESC_TRANSA, transposed);
    if (mode != scaling::none) {
      // cuBLASLt's A is our B: column-major D is N x M.
      set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, scale_b);
      set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, scale_a);
      const std::int8_t accumulate_fast = fast ? 1 : 0;
      set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, accumulate_fast);
      if (mode == scaling::outer) {
        set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
        set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
      } else if (mode == scaling::block_1x128_128x128) {
        set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F);
        set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F);
      }
    }
    check(cublasLtMatrixLayoutCreate(&a_, type, static_cast<std::uint64_t>(k),
                                     static_cast<std::uint64_t>(n), k));
    check(cublasLtMatrixLayoutCreate(&b_, type, static_cast<std::uint64_t>(k),
                                     static_cast<std::uint64_t>(m), k));
    check(cublasLtMatrixLayoutCreate(&d_, output, static_cast<std::uint64_t>(n),
                                     static_cast<std::uint64_t>(m), n));
    cublasLtMatmulPreference_t preference;
    check(cublasLtMatmulPreferenceCreate(&preference));
    const std::size_t bytes = workspace_.size();
    check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &bytes, sizeof bytes));
    // Refused combinations give no algorithm.
    if (cublasLtMatmulAlgoGetHeuristic(handle_, operation_, a_, b_, d_, d_, preference, most,
                                       algorithms_, &count_) != CUBLAS_STATUS_SUCCESS)
      count_ = 0;
    cublasLtMatmulPreferenceDestroy(preference);
    integer_ = compute == CUBLAS_COMPUTE_32I;
  }
  cublaslt_gemm(const cublaslt_gemm&) = delete;
  ~cublaslt_gemm() {
    cublasLtMatrixLayoutDestroy(a_);
    cublasLtMatrixLayoutDestroy(b_);
    cublasLtMatrixLayoutDestroy(d_);
    cublasLtMatmulDescDestroy(operation_);
    cublasLtDestroy(handle_);
  }

  bool supported() const { return count_ > 0; }

  void run(const void* a, const void* b, void* d, cudaStream_t stream) {
    const float one = 1.0f, zero = 0.0f;
    const std::int32_t integer_one = 1, integer_zero = 0;
    const void* alpha = integer_ ? static_cast<const void*>(&integer_one) : &one;
    const void* beta = integer_ ? static_cast<const void*>(&integer_zero) : &zero;
    check(cublasLtMatmul(handle_, operation_, alpha, b, a_, a, b_, beta, d, d_, d, d_,
                         &algorithms_[chosen_].algo, workspace_.data(), workspace_.size(), stream));
  }

  /// Times each proposed algorithm and keeps the fastest.
  void tune(const void* a, const void* b, void* d, cudaStream_t stream) {
    cudaEvent_t start, stop;
    cudaEventCreate(&start);
    cudaEventCreate(&stop);
    float best = 1e30f;
    int winner = 0;
    for (chosen_ = 0; chosen_ < count_; ++chosen_) {
      run(a, b, d, stream);
      cudaEventRecord(start, stream);
      for (int i = 0; i < 4; ++i) run(a, b, d, stream);
      cudaEventRecord(stop, stream);
      cudaEventSynchronize(stop);
      float time = 0;
      cudaEventElapsedTime(&time, start, stop);
      if (time < best) {
        best = time;
        winner = chosen_;
      }
    }
    chosen_ = winner;
    cudaEventDestroy(start);
    cudaEventDestroy(stop);
  }

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check(cublasLtMatmulDescSetAttribute(operation_, attribute, &value, sizeof value));
  }

  cublasLtHandle_t handle_{};
  cublasLtMatmulDesc_t operation_{};
  cublasLtMatrixLayout_t a_{}, b_{}, d_{};
  static constexpr int most = 8;
  cublasLtMatmulHeuristicResult_t algorithms_[most];  // a std::vector of them fails in nvcc 13.0
  int count_ = 0, chosen_ = 0;
  bool integer_ = false;
  halfbyte::cuda::buffer<unsigned char> workspace_{std::size_t{64} << 20};
};

}  // namespace peer
