#pragma once

#include <cstdint>

#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/ptx.cuh>

namespace halfbyte::cuda {

/// Scales of one operand: one float for every row, or one for all of it; null is 1.
struct row_scales {
    const float* scale = nullptr;
    bool per_row = false;

    __device__ float operator()(int row, int rows) const {
        if (scale == nullptr) return 1.0f;
        if (!per_row) return *scale;
        return row < rows ? scale[row] : 0.0f;
    }
};

/// From a sum to an element of D: D = alpha · a[m] · b[n] · sum + bias[n] (+ D).
///
/// One rounding to float per operation, one to the output's format. Products of a scale outside
/// 2^±80 are taken in double, so that no intermediate overflows or loses bits.
struct epilogue {
    float alpha = 1.0f;
    row_scales a, b;
    const float* bias = nullptr;
    bool accumulate = false;
};

/// D in device memory, rows of `stride` elements.
struct output_matrix {
    void* data = nullptr;
    std::int64_t stride = 0;
    int rows = 0, columns = 0;
};

template <output O>
inline __device__ float load_output(const output_matrix& d, int row, int column) {
    const std::int64_t i = row * d.stride + column;
    if constexpr (O == output::float32) return static_cast<const float*>(d.data)[i];
    const std::uint16_t pattern = static_cast<const std::uint16_t*>(d.data)[i];
    if constexpr (O == output::float16) return ptx::from_float16(pattern);
    return __uint_as_float(std::uint32_t{pattern} << 16);
}

template <output O>
inline __device__ void store_output(const output_matrix& d, int row, int column, float value) {
    const std::int64_t i = row * d.stride + column;
    if constexpr (O == output::float32) {
        static_cast<float*>(d.data)[i] = value;
    } else {
        const std::uint32_t pattern = O == output::float16 ? ptx::to_float16x2(value, 0.0f)
                                                           : ptx::to_bfloat16x2(value, 0.0f);
        static_cast<std::uint16_t*>(d.data)[i] = static_cast<std::uint16_t>(pattern);
    }
}

/// True if a product with this scale needs double to be safe; NaN and infinity do no harm there.
inline __device__ bool scale_is_wide(float scale) {
    const float magnitude = fabsf(scale);
    return !(scale == 0.0f || (magnitude >= 0x1p-80f && magnitude <= 0x1p80f));
}

/// How a warp of a warpgroup writes its 16 x N accumulators: slab by slab of 16 rows of 128 bytes
/// through shared memory and the copy engine, or element by element where that cannot go.
///
/// With two slabs in turn, one is written while the other is read. No warp waits for another.
/// All loops that index registers are unrolled.
template <output O, int N, int Slabs = 2>
struct warp_writer {
    static constexpr int slab_bytes = 16 * 128;
    static constexpr int shared_bytes = Slabs * slab_bytes;
    static constexpr int slab_columns = 128 / bytes_of(O);
    static constexpr int slabs = N / slab_columns;
    static constexpr int sums = slab_columns / 2;  // of this thread in a slab
    static_assert(slabs * slab_columns == N);

    /// Factors of this thread's columns in a slab, and of its two rows.
    struct factors {
        float column[sums / 2], upper, lower;
    };

    const epilogue& how;
    const output_matrix& d;
    const CUtensorMap* map;  // null: element by element
    std::uint32_t shared;    // this warp's slabs, 1024-byte aligned
    int row, column;         // of the warp's first element

    /// The factors of the first slab: called before the sums are ready, to hide the loads.
    __device__ factors first_factors() const {
        factors f;
        f.upper = how.alpha * how.a(upper_row(), d.rows);
        f.lower = how.alpha * how.a(upper_row() + 8, d.rows);
        load_columns(0, f);
        return f;
    }

    template <class T>
    __device__ void write(const T (&sum)[N / 2], factors f) const {
        const bool wide = __any_sync(~0u, scale_is_wide(f.upper) || scale_is_wide(f.lower));
        if (wide || map == nullptr || how.accumulate) return write_carefully(sum, f);
#pragma unroll
        for (int slab = 0; slab < slabs; ++slab) {
            if (column + slab * slab_columns >= d.columns) break;
            float value[sums];
#pragma unroll
            for (int i = 0; i < sums; ++i)
                value[i] = static_cast<float>(sum[slab * sums + i]) * row_factor(f, i) *
                           f.column[i / 4 * 2 + i % 2];
            if (slab + 1 < slabs) load_columns(slab + 1, f);
            if (how.bias != nullptr) add_bias(slab, value);
            store_slab(slab, value);
        }
    }

private:
    __device__ int upper_row() const { return row + static_cast<int>(threadIdx.x) % 32 / 4; }
    __device__ int row_of(int i) const { return upper_row() + (i % 4 < 2 ? 0 : 8); }
    __device__ int column_of(int slab, int i) const {
        return column + slab * slab_columns + 8 * (i / 4) +
               2 * (static_cast<int>(threadIdx.x) % 4) + i % 2;
    }
    static __device__ float row_factor(const factors& f, int i) {
        return i % 4 < 2 ? f.upper : f.lower;
    }

    __device__ void load_columns(int slab, factors& f) const {
        if (how.b.scale == nullptr || !how.b.per_row) {
            const float all = how.b(0, 1);
#pragma unroll
            for (int i = 0; i < sums / 2; ++i) f.column[i] = all;
        } else {
            const float* scale = how.b.scale + column_of(slab, 0);
            const int left = d.columns - column_of(slab, 0);
#pragma unroll
            for (int i = 0; i < sums / 2; ++i) {
                const int offset = i / 2 * 8 + i % 2;
                f.column[i] = offset < left ? scale[offset] : 0.0f;
            }
        }
    }

    __device__ void add_bias(int slab, float (&value)[sums]) const {
        const float* bias = how.bias + column_of(slab, 0);
        const int left = d.columns - column_of(slab, 0);
#pragma unroll
        for (int i = 0; i < sums; ++i) {
            const int offset = i / 4 * 8 + i % 2;
            if (offset < left) value[i] += bias[offset];
        }
    }

    /// Scales in double, adds to D, or writes where the copy engine cannot.
    template <class T>
    __device__ void write_carefully(const T (&sum)[N / 2], factors f) const {
#pragma unroll
        for (int slab = 0; slab < slabs; ++slab) {
            float value[sums];
            load_columns(slab, f);
#pragma unroll
            for (int i = 0; i < sums; ++i)
                value[i] = static_cast<float>(static_cast<double>(sum[slab * sums + i]) *
                                              row_factor(f, i) * f.column[i / 4 * 2 + i % 2]);
            if (how.bias != nullptr) add_bias(slab, value);
#pragma unroll
            for (int i = 0; i < sums; ++i) {
                const int m = row_of(i), n = column_of(slab, i);
                if (m >= d.rows || n >= d.columns) continue;
                if (how.accumulate) value[i] += load_output<O>(d, m, n);
                store_output<O>(d, m, n, value[i]);
            }
        }
    }

    __device__ void store_slab(int slab, const float (&value)[sums]) const {
        const int lane = static_cast<int>(threadIdx.x) % 32;
        const std::uint32_t memory = shared + static_cast<std::uint32_t>(slab % Slabs * slab_bytes);
        if (lane == 0) ptx::bulk_wait_read<Slabs - 1>();
        __syncwarp();
        if constexpr (O == output::float32) {
            const int r = lane / 4;
#pragma unroll
            for (int i = 0; i < sums; i += 2) {
                const int line = i % 4 < 2 ? r : r + 8;
                const int chunk = 2 * (i / 4) + lane % 4 / 2;
                const int offset = line * 128 + ((chunk ^ r) << 4) + 8 * (lane % 2);
                ptx::store_shared(memory + static_cast<std::uint32_t>(offset), value[i],
                                  value[i + 1]);
            }
        } else {
            const int line = lane % 16;
#pragma unroll
            for (int i = 0; i < sums; i += 8) {
                const int chunk = i / 4 + lane / 16;
                const int offset = line * 128 + ((chunk ^ (line % 8)) << 4);
                ptx::stmatrix_x4(memory + static_cast<std::uint32_t>(offset),
                                 packed(value[i], value[i + 1]),
                                 packed(value[i + 2], value[i + 3]),
                                 packed(value[i + 4], value[i + 5]),
                                 packed(value[i + 6], value[i + 7]));
            }
        }
        ptx::fence_proxy_async();
        __syncwarp();
        if (lane == 0) {
            ptx::tma_store(*map, memory, column + slab * slab_columns, row);
            ptx::bulk_commit();
        }
    }

    static __device__ std::uint32_t packed(float low, float high) {
        return O == output::float16 ? ptx::to_float16x2(low, high) : ptx::to_bfloat16x2(low, high);
    }
};

}  // namespace halfbyte::cuda
