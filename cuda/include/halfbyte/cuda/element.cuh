#pragma once

#include <halfbyte/config.hpp>

namespace halfbyte::cuda {

/// What the bytes of a GEMM operand are to the tensor cores.
enum class element { e4m3, e5m2, bfloat16, int8 };

/// What the GEMM writes.
enum class output { bfloat16, float16, float32 };

HALFBYTE_HD constexpr int bytes_of(element e) { return e == element::bfloat16 ? 2 : 1; }
HALFBYTE_HD constexpr int bytes_of(output o) { return o == output::float32 ? 4 : 2; }

}  // namespace halfbyte::cuda
