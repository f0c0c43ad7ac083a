#pragma once

#include "random_cases.cuh"

/// The kinds of products of packed operands, for random shapes.
namespace random_cases {

inline folded_matrix folded(const side& m, buffer<std::uint8_t>& data, buffer<float>& scale,
                            buffer<int>& list, buffer<int>& count, buffer<std::uint8_t>& unfit) {
  return {data.data(),  m.s.columns, m.s.rows,     m.s.columns,
          scale.data(), list.data(), count.data(), unfit.data()};
}

template <output O, accumulation Sums>
void folded_product(const trial& t) {
  rooms& r = t.room;
  const folded_matrix a = folded(t.a, r.wide_a, r.scale_a, r.list_a, r.count_a, r.unfit_a);
  const folded_matrix b = folded(t.b, r.wide_b, r.scale_b, r.list_b, r.count_b, r.unfit_b);
  fold(t.a.packed(), a, t.stream);
  fold(t.b.packed(), b, t.stream);
  gemm_mxfp4<O>(a, t.a.packed(), b, t.b.packed(), t.d, t.how, t.stream, Sums);
}

template <output O>
void folded_blocks_product(const trial& t) {
  rooms& r = t.room;
  const folded_blocks a{r.wide_a.data(),      t.a.s.columns,   t.a.s.rows,       t.a.s.columns,
                        r.exponents_a.data(), r.list_a.data(), r.count_a.data(), r.unfit_a.data()};
  const folded_blocks b{r.wide_b.data(),      t.b.s.columns,   t.b.s.rows,       t.b.s.columns,
                        r.exponents_b.data(), r.list_b.data(), r.count_b.data(), r.unfit_b.data()};
  fold(t.a.packed(), a, t.stream);
  fold(t.b.packed(), b, t.stream);
  gemm_mxfp4<O>(a, t.a.packed(), b, t.b.packed(), t.d, t.how, t.stream);
}

template <output O>
void packed_weights(const trial& t) {
  rooms& r = t.room;
  folded_matrix b = folded(t.b, r.wide_b, r.scale_b, r.list_b, r.count_b, r.unfit_b);
  b.data = nullptr;
  fold(t.b.packed(), b, t.stream);
  epilogue how = t.how;
  how.a = t.a.by_row();
  gemm_packed_weights<O>(t.a.matrix(), t.b.packed(), b, t.d, how, t.stream);
}

template <element A, int BlockA, element B, int BlockB, output O>
void packed(const trial& t) {
  epilogue how = t.how;
  if constexpr (BlockA == 0) how.a = t.a.by_row();
  if constexpr (BlockB == 0) how.b = t.b.by_row();
  gemm_packed<A, BlockA, B, BlockB, O>(t.a.packed(), t.b.packed(), t.d, how, t.stream);
}

template <element A, int BlockA, element B, int BlockB, output O>
void unpacked(const trial& t) {
  auto* a = reinterpret_cast<std::uint16_t*>(t.room.wide_a.data());
  auto* b = reinterpret_cast<std::uint16_t*>(t.room.wide_b.data());
  unpack<A, BlockA>(t.a.packed(), a, t.a.s.columns, t.stream);
  unpack<B, BlockB>(t.b.packed(), b, t.b.s.columns, t.stream);
  using enum element;
  gemm<bfloat16, bfloat16, O>({a, 2 * t.a.s.columns, t.a.s.rows, t.a.s.columns},
                              {b, 2 * t.b.s.columns, t.b.s.rows, t.b.s.columns}, t.d, t.how,
                              t.stream);
}

/// E2M1 with a scale per row: widened, then FP8.
template <output O>
void widened(const trial& t) {
  const auto widen_side = [&](const side& m, buffer<std::uint8_t>& room) {
    const std::int64_t stride = (m.s.columns + 15) / 16 * 16;
    widen(m.bytes, m.s.stride_bytes, room.data(), stride, m.s.rows, m.s.columns, t.stream);
    return operand_matrix{room.data(), stride, m.s.rows, m.s.columns};
  };
  const operand_matrix a = widen_side(t.a, t.room.wide_a), b = widen_side(t.b, t.room.wide_b);
  using enum element;
  gemm<e4m3, e4m3, O>(a, b, t.d, t.scaled(), t.stream);
}

/// Every third channel is an outlier channel: there `kept` is 0, and the list names it.
static __global__ void take_outliers(const operand_matrix a, std::uint8_t* kept,
                                     std::int64_t stride, int* list) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const int row = static_cast<int>(i / a.columns), k = static_cast<int>(i % a.columns);
  if (row >= a.rows) return;
  const bool outlier = k % 3 == 1;
  kept[row * stride + k] = outlier
                               ? std::uint8_t{0}
                               : static_cast<const std::uint8_t*>(a.data)[row * a.stride_bytes + k];
  if (outlier && row == 0) list[k / 3] = k;
}

/// A · Bᵀ as clamped · Bᵀ + residual · Bᵀ of the outlier channels: in one product with K channels
/// more, or in a second one.
template <output O, bool Behind>
void outliers(const trial& t) {
  const int k = t.a.s.columns, count = (k + 1) / 3, with = Behind ? k + count : k;
  const std::int64_t stride = (with + 15) / 16 * 16, stride_residual = (count + 15) / 16 * 16;
  std::uint8_t *a = t.room.wide_a.data(), *b = t.room.wide_b.data();
  int* list = t.room.list_a.data();
  take_outliers<<<blocks_of(std::int64_t{t.a.s.rows} * k), 256, 0, t.stream>>>(t.a.matrix(), a,
                                                                               stride, list);
  std::uint8_t* residual = Behind ? a + k : a + stride * t.a.s.rows;
  std::uint8_t* weights = Behind ? b + k : b;
  const std::int64_t between = Behind ? stride : stride_residual;
  gather_columns(t.a.bytes, t.a.s.stride_bytes, t.a.s.rows, list, count, residual, between,
                 t.stream);
  gather_columns(t.b.bytes, t.b.s.stride_bytes, t.b.s.rows, list, count, weights, between,
                 t.stream);
  using enum element;
  if constexpr (Behind) {
    halfbyte::cuda::check(cudaMemcpy2DAsync(
        b, static_cast<std::size_t>(stride), t.b.bytes,
        static_cast<std::size_t>(t.b.s.stride_bytes), static_cast<std::size_t>(k),
        static_cast<std::size_t>(t.b.s.rows), cudaMemcpyDeviceToDevice, t.stream));
    gemm<e4m3, e4m3, O>({a, stride, t.a.s.rows, with}, {b, stride, t.b.s.rows, with}, t.d,
                        t.scaled(), t.stream);
  } else {
    gemm<e4m3, e4m3, O>({a, stride, t.a.s.rows, k}, t.b.matrix(), t.d, t.scaled(), t.stream);
    epilogue rest = t.scaled();
    rest.bias = nullptr;
    rest.accumulate = true;
    gemm<e4m3, e4m3, O>({residual, between, t.a.s.rows, count},
                        {weights, between, t.b.s.rows, count}, t.d, rest, t.stream);
  }
}

inline std::vector<kind> packed_kinds() {
  using enum element;
  using enum scaling;
  constexpr auto b16 = output::bfloat16, f16 = output::float16, f32 = output::float32;
  constexpr auto fast = accumulation::fast, promoted = accumulation::promoted;
  constexpr int all = 1 << 30;
  // Rows of 18 octaves do not fold: some, in every other product. K up to 4096 keeps the sums of
  // scaled blocks within the tensor core's 14 bits.
  return {
      {"mxfp4 folded to float32", e2m1, e2m1, f32, mx, mx, false, 32, 4096, all, false, 5,
       folded_product<f32, fast>},
      {"mxfp4 folded, promoted to float32", e2m1, e2m1, f32, mx, mx, false, 32, 4096, all, false, 9,
       folded_product<f32, promoted>},
      {"mxfp4 folded in blocks to float32", e2m1, e2m1, f32, mx, mx, false, 32, 4096, all, false, 3,
       folded_blocks_product<f32>},
      {"e4m3 x packed mxfp4 to float32", e4m3, e2m1, f32, per_row, mx, false, 32, 4096, 256, false,
       7, packed_weights<f32>},
      {"nvfp4 unpacked to float32", e2m1, e2m1, f32, nvfp4, nvfp4, false, 16, 4096, all, false, 0,
       unpacked<e2m1, 16, e2m1, 16, f32>},
      {"mxfp4 unpacked to float32", e2m1, e2m1, f32, mx, mx, false, 32, 4096, all, false, 3,
       unpacked<e2m1, 32, e2m1, 32, f32>},
      {"mxfp8 unpacked to float32", e4m3, e5m2, f32, mx, mx, false, 32, 4096, all, false, 0,
       unpacked<e4m3, 32, e5m2, 32, f32>},
      {"mxfp6 unpacked to float32", e2m3, e3m2, f32, mx, mx, false, 32, 4096, all, false, 0,
       unpacked<e2m3, 32, e3m2, 32, f32>},
      {"nvfp4 packed to float16", e2m1, e2m1, f16, nvfp4, nvfp4, false, 16, 4096, all, true, 0,
       packed<e2m1, 16, e2m1, 16, f16>},
      {"mxfp4 x nvfp4 packed to bfloat16", e2m1, e2m1, b16, mx, nvfp4, false, 32, 4096, all, true,
       0, packed<e2m1, 32, e2m1, 16, b16>},
      {"mxfp8 x mxfp6 packed to float32", e4m3, e2m3, f32, mx, mx, false, 32, 4096, all, true, 0,
       packed<e4m3, 32, e2m3, 32, f32>},
      {"e2m1 per row, packed to float32", e2m1, e2m1, f32, per_row, per_row, false, 1, 16384, all,
       true, 0, packed<e2m1, 0, e2m1, 0, f32>},
      {"e2m1 per row, widened to float32", e2m1, e2m1, f32, per_row, per_row, false, 1, 16384, all,
       false, 0, widened<f32>},
      {"outlier channels behind K", e4m3, e4m3, f32, per_row, per_row, false, 4, 4096, all, false,
       0, outliers<f32, true>},
      {"outlier channels added", e4m3, e4m3, f32, per_row, per_row, false, 4, 4096, all, false, 0,
       outliers<f32, false>},
  };
}

}  // namespace random_cases
