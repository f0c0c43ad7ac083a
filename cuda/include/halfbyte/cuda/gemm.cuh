#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>

#include <halfbyte/cuda/columns.cuh>
#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/fold.cuh>
#include <halfbyte/cuda/gemm_sm80.cuh>
#include <halfbyte/cuda/gemm_sm90.cuh>
#include <halfbyte/cuda/gemm_sm90_blockwise.cuh>
#include <halfbyte/cuda/gemm_sm90_skinny.cuh>
#include <halfbyte/cuda/gemm_sm90_wide.cuh>
#include <halfbyte/cuda/tensor_map.cuh>
#include <halfbyte/cuda/unpack.cuh>

/// D[M,N] = A[M,K] · B[N,K]ᵀ on device pointers: which kernel runs, by device and size.
///
/// Every function queues kernels on `stream` and returns; none allocates or synchronises, so all
/// can be captured in a graph. Bad sizes throw std::invalid_argument before any launch.
namespace halfbyte::cuda {

/// Where the sums of FP8 products are kept: in the tensor core to the end, with 13 fraction bits
/// on Hopper, or taken out into float every 128 of K.
enum class accumulation { fast, promoted };

namespace detail {

inline void check_shapes(const char* function, int a_rows, int a_columns, int b_rows, int b_columns,
                         const output_matrix& d) {
  if (a_columns == b_columns && a_rows == d.rows && b_rows == d.columns && a_columns > 0 &&
      d.stride >= d.columns)
    return;
  const auto size = [](int rows, int columns) {
    return std::to_string(rows) + " x " + std::to_string(columns);
  };
  throw std::invalid_argument(std::string(function) + ": A " + size(a_rows, a_columns) + ", B " +
                              size(b_rows, b_columns) + ", D " + size(d.rows, d.columns) +
                              ", stride " + std::to_string(d.stride));
}

inline bool fits_sm90(const operand_matrix& a, const operand_matrix& b) {
  return device_facts::current().architecture == 90 && fits_tensor_map(a.data, a.stride_bytes) &&
         fits_tensor_map(b.data, b.stride_bytes);
}

/// Calls `run` with the smallest instruction width that holds `rows`, if there is one.
template <class F>
bool with_skinny_width(int rows, F run) {
  if (rows <= 8) return run(std::integral_constant<int, 8>{}), true;
  if (rows <= 16) return run(std::integral_constant<int, 16>{}), true;
  if (rows <= 32) return run(std::integral_constant<int, 32>{}), true;
  if (rows <= 64) return run(std::integral_constant<int, 64>{}), true;
  if (rows <= 128) return run(std::integral_constant<int, 128>{}), true;
  return false;
}

inline block_scaled_matrix as_blocks(const operand_matrix& m) {
  return {static_cast<const std::uint8_t*>(m.data), m.stride_bytes, m.rows, m.columns, {}};
}

/// Queues the product on the tiles that finish first, by the multiprocessors' rounds of tiles.
template <element A, element B, output O>
void launch_gemm_sm90(const operand_matrix& a, const operand_matrix& b, const output_matrix& d,
                      const epilogue& how, cudaStream_t stream) {
  // The time of a step: smaller tiles read more for each product, and the power that this takes
  // slows all down.
  const auto time = [&]<class Tile>(Tile, int step) {
    const int tiles = ((d.rows + Tile::m - 1) / Tile::m) * ((d.columns + Tile::n - 1) / Tile::n);
    const int whole = whole_tiles<Tile>(tiles);
    const int at_once = device_facts::current().multiprocessors;
    return (whole + at_once - 1) / at_once * step + (whole < tiles ? step * 9 / 16 : 0);
  };
  // The wide kernel has to write floats between its tiles, not beside them.
  const int wide = time(sm90_tile_shared{}, O == output::float32 ? 1080 : 990);
  const int large = time(sm90_tile_large{}, 512), small = time(sm90_tile_small{}, 282),
            least = time(sm90_tile_least{}, 166);
  if (wide <= large && wide <= small && wide <= least) {
    gemm_sm90_wide<A, B, O, sm90_tile_shared>::launch(a, b, d, how, stream);
  } else if (large <= small && large <= least) {
    gemm_sm90<A, B, O, sm90_tile_large>::launch(a, b, d, how, stream);
  } else if (small <= least) {
    gemm_sm90<A, B, O, sm90_tile_small>::launch(a, b, d, how, stream);
  } else {
    gemm_sm90<A, B, O, sm90_tile_least>::launch(a, b, d, how, stream);
  }
}

/// The scales of a product's blocks of 128, for the sm_80 path.
template <blockwise Scales>
struct scaled_blocks {
  static constexpr bool in_blocks = true;
  block_scales a, b;

  __device__ float operator()(int m, int n, int block) const {
    const int row_b = Scales == blockwise::rows_and_tiles ? n / 128 : n;
    return a(m * a.row_step + block * a.k_step) * b(row_b * b.row_step + block * b.k_step);
  }
};

/// Rows `first` and on of a product: at most `count` of A and D.
inline operand_matrix rows_of(const operand_matrix& a, int first, int count) {
  const auto* data = static_cast<const std::uint8_t*>(a.data) + first * a.stride_bytes;
  return {data, a.stride_bytes, a.rows - first < count ? a.rows - first : count, a.columns};
}

template <output O>
output_matrix rows_of(const output_matrix& d, int first, int count) {
  auto* data = static_cast<std::uint8_t*>(d.data) + first * d.stride * bytes_of(O);
  return {data, d.stride, d.rows - first < count ? d.rows - first : count, d.columns};
}

inline epilogue rows_of(const epilogue& how, int first) {
  epilogue part = how;
  if (part.a.per_row && part.a.scale != nullptr) part.a.scale += first;
  return part;
}

/// Adds to D, or writes, the rows that are listed as unfit: packed MXFP4 as bfloat16. D of such a
/// row already holds what a row of zeros gives, and a bias must not be added twice.
template <element A, int BlockA, output O>
void multiply_unfit(const block_scaled_matrix& a, const row_selection& rows_a,
                    const block_scaled_matrix& b, const row_selection& rows_b,
                    const output_matrix& d, const epilogue& how, cudaStream_t stream) {
  if (rows_a.list == nullptr && rows_b.list == nullptr) return;
  epilogue rest = how;
  if (rest.accumulate) rest.bias = nullptr;
  launch_gemm_sm80<A, BlockA, element::e2m1, 32, O>(a, rows_a, b, rows_b, d, rest, stream);
}

/// No rows where the count is null.
template <class Folded>
row_selection unfit_rows(const Folded& m) {
  if (m.unfit_count == nullptr) return {};
  return {m.unfit_rows, m.unfit_count, m.unfit};
}

}  // namespace detail

/// Elements that tensor cores take as they are: E4M3 and E5M2 in any mix, bfloat16, int8. Scales
/// of the operands per row or per tensor are in `how`.
///
/// On Hopper rows that are 16-byte aligned; anything else, and other GPUs, take the sm_80 path,
/// which sums in float whatever `sums` says (int8 there is exact up to 2^24).
template <element A, element B, output O>
void gemm(const operand_matrix& a, const operand_matrix& b, const output_matrix& d,
          const epilogue& how, cudaStream_t stream, accumulation sums = accumulation::fast) {
  detail::check_shapes("gemm", a.rows, a.columns, b.rows, b.columns, d);
  if (d.rows == 0 || d.columns == 0) return;
  if (!detail::fits_sm90(a, b))
    return launch_gemm_sm80<A, 0, B, 0, O>(detail::as_blocks(a), {}, detail::as_blocks(b), {}, d,
                                           how, stream);
  if constexpr (bits_of(A) == 8 && A != element::int8) {
    if (sums == accumulation::promoted)
      return gemm_sm90_blockwise<A, B, O, sm90_tile_shared, blockwise::unscaled>::launch(
          a, {}, b, {}, d, how, stream);
  }
  if constexpr (A == element::e4m3 && B == element::e4m3) {
    // More rows only where K is long enough to share, and above 32 only where there are so few tiles
    // that most of the device would be idle.
    const bool few = d.rows <= 16 || ((d.rows <= 32 || d.columns <= 2048) && a.columns >= 4096);
    if (few && detail::with_skinny_width(d.rows, [&](auto m) {
          gemm_sm90_skinny<false, m(), O>::launch(a, b, {}, nullptr, d, how, stream);
        }))
      return;
  }
  detail::launch_gemm_sm90<A, B, O>(a, b, d, how, stream);
}

/// FP8 with a scale for each 1 x 128 block of A, and for each 128 x 128 or 1 x 128 block of B;
/// sums are float every 128. On Hopper rows that are 16-byte aligned; else the sm_80 path.
template <element A, element B, output O, blockwise Scales>
void gemm_blockwise(const operand_matrix& a, const block_scales& scale_a, const operand_matrix& b,
                    const block_scales& scale_b, const output_matrix& d, const epilogue& how,
                    cudaStream_t stream) {
  detail::check_shapes("gemm_blockwise", a.rows, a.columns, b.rows, b.columns, d);
  if (d.rows == 0 || d.columns == 0) return;
  if (!detail::fits_sm90(a, b))
    return launch_gemm_sm80<A, 0, B, 0, O>(detail::as_blocks(a), {}, detail::as_blocks(b), {}, d,
                                           how, stream,
                                           detail::scaled_blocks<Scales>{scale_a, scale_b});
  gemm_sm90_blockwise<A, B, O, sm90_tile_shared, Scales>::launch(a, scale_a, b, scale_b, d, how,
                                                                 stream);
}

/// MXFP4 × MXFP4 at the speed of FP8: `a` and `b` as `fold` made them from `packed_a`, `packed_b`.
///
/// The rows that could not be folded are multiplied from their packed form by a second kernel, which
/// leaves at once where there is none. It is slow: where `fold` counts rows at all, and the host may
/// know, `unpack` and a bfloat16 `gemm` are faster (cuda/README.md). Where both counts were seen to be
/// 0, set them to null, and the second kernel is left out. Scales of the operands are theirs; `how.a`
/// and `how.b` must be unset.
template <output O>
void gemm_mxfp4(const folded_matrix& a, const block_scaled_matrix& packed_a, const folded_matrix& b,
                const block_scaled_matrix& packed_b, const output_matrix& d, const epilogue& how,
                cudaStream_t stream, accumulation sums = accumulation::fast) {
  if (how.a.scale != nullptr || how.b.scale != nullptr)
    throw std::invalid_argument("gemm_mxfp4: the operands bring their scales");
  epilogue scaled = how;
  scaled.a = {a.scale, true};
  scaled.b = {b.scale, true};
  gemm<element::e4m3, element::e4m3, O>({a.data, a.stride_bytes, a.rows, a.columns},
                                        {b.data, b.stride_bytes, b.rows, b.columns}, d, scaled,
                                        stream, sums);
  detail::multiply_unfit<element::e2m1, 32, O>(packed_a, detail::unfit_rows(a), packed_b,
                                               detail::unfit_rows(b), d, how, stream);
}

/// The same with both operands folded in blocks of 128, which few rows do not fit; sums are float
/// every 128.
template <output O>
void gemm_mxfp4(const folded_blocks& a, const block_scaled_matrix& packed_a, const folded_blocks& b,
                const block_scaled_matrix& packed_b, const output_matrix& d, const epilogue& how,
                cudaStream_t stream) {
  if (how.a.scale != nullptr || how.b.scale != nullptr)
    throw std::invalid_argument("gemm_mxfp4: the operands bring their scales");
  const auto scales = [](const folded_blocks& m) {
    return block_scales{m.exponents, folded_blocks::blocks(m.columns), 1, true};
  };
  gemm_blockwise<element::e4m3, element::e4m3, O, blockwise::rows_and_rows>(
      {a.data, a.stride_bytes, a.rows, a.columns}, scales(a),
      {b.data, b.stride_bytes, b.rows, b.columns}, scales(b), d, how, stream);
  detail::multiply_unfit<element::e2m1, 32, O>(packed_a, detail::unfit_rows(a), packed_b,
                                               detail::unfit_rows(b), d, how, stream);
}

/// Few rows of E4M3 activations times packed MXFP4 weights: reads half the bytes of FP8 weights.
///
/// `rows` is what `fold` makes of the weights once (its `data` may be null); set its `unfit_count`
/// to null where the count was seen to be 0, and the kernel for such rows is left out. A at most
/// 256 rows, else std::invalid_argument; above 128 the weights are read twice. On Hopper
/// rows 16-byte and scales 4-byte aligned; anything else takes the sm_80 path. Scales of A in
/// `how.a`; `how.b` must be unset.
template <output O>
void gemm_packed_weights(const operand_matrix& a, const block_scaled_matrix& b,
                         const folded_matrix& rows, const output_matrix& d, const epilogue& how,
                         cudaStream_t stream) {
  detail::check_shapes("gemm_packed_weights", a.rows, a.columns, b.rows, b.columns, d);
  if (d.rows == 0 || d.columns == 0) return;
  if (how.b.scale != nullptr || d.rows > 256)
    throw std::invalid_argument("gemm_packed_weights: at most 256 rows, no scale of B");
  const operand_matrix packed{b.data, b.stride_bytes, b.rows, b.columns};
  if (!detail::fits_sm90(a, packed) || reinterpret_cast<std::uintptr_t>(b.scales.data) % 4 != 0)
    return launch_gemm_sm80<element::e4m3, 0, element::e2m1, 32, O>(detail::as_blocks(a), {}, b, {},
                                                                    d, how, stream);
  for (int first = 0; first < d.rows; first += 128) {
    const operand_matrix part = detail::rows_of(a, first, 128);
    detail::with_skinny_width(part.rows, [&](auto m) {
      gemm_sm90_skinny<true, m(), O>::launch(part, packed, b.scales, rows.scale,
                                             detail::rows_of<O>(d, first, 128),
                                             detail::rows_of(how, first), stream);
    });
  }
  detail::multiply_unfit<element::e4m3, 0, O>(detail::as_blocks(a), {}, b, detail::unfit_rows(rows),
                                              d, how, stream);
}

/// Block-scaled operands of any two kinds, MX (Block 32) or NVFP4 (16), without room to expand
/// them: the sm_80 path. With room, `unpack` and a bfloat16 `gemm` are several times faster. Block 0
/// is an operand without block scales: packed E2M1 with a scale per row is <e2m1, 0> and `how.a`.
template <element A, int BlockA, element B, int BlockB, output O>
void gemm_packed(const block_scaled_matrix& a, const block_scaled_matrix& b, const output_matrix& d,
                 const epilogue& how, cudaStream_t stream) {
  detail::check_shapes("gemm_packed", a.rows, a.columns, b.rows, b.columns, d);
  if (d.rows == 0 || d.columns == 0) return;
  launch_gemm_sm80<A, BlockA, B, BlockB, O>(a, {}, b, {}, d, how, stream);
}

}  // namespace halfbyte::cuda
