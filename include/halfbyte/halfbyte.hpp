#pragma once

/// All of the library that needs no other library, in layer order.

// clang-format off
#include <halfbyte/config.hpp>
#include <halfbyte/bits.hpp>
#include <halfbyte/format.hpp>
#include <halfbyte/random.hpp>
#include <halfbyte/view.hpp>
#include <halfbyte/pack.hpp>
#include <halfbyte/unpacked.hpp>
#include <halfbyte/rounding.hpp>
#include <halfbyte/overflow.hpp>
#include <halfbyte/encode.hpp>
#include <halfbyte/minifloat.hpp>
#include <halfbyte/literal.hpp>
#include <halfbyte/grid.hpp>
#include <halfbyte/block_format.hpp>
#include <halfbyte/scale_rule.hpp>
#include <halfbyte/scale.hpp>
#include <halfbyte/block.hpp>
#include <halfbyte/hadamard.hpp>
#include <halfbyte/argument_error.hpp>
#include <halfbyte/math.hpp>
#include <halfbyte/storage.hpp>
#include <halfbyte/quantized.hpp>
#include <halfbyte/simd_plan.hpp>
#include <halfbyte/dequantize_plan.hpp>
#include <halfbyte/simd.hpp>
#include <halfbyte/convert.hpp>
#include <halfbyte/transform.hpp>
#include <halfbyte/quantize.hpp>
#include <halfbyte/gemm.hpp>
#include <halfbyte/tensor_core.hpp>
#include <halfbyte/error.hpp>
#include <halfbyte/names.hpp>
// clang-format on
