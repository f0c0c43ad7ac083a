#pragma once

#include <cstdint>

#include <halfbyte/cuda/element.cuh>
#include <halfbyte/cuda/fold.cuh>
#include <halfbyte/cuda/ptx.cuh>

/// Packed MXFP4 rows in shared memory as E4M3 operands of wgmma in registers.
///
/// wgmma wants 4 + 4 neighbouring elements of a row in each of the four threads that share it, and
/// the threads of a natural order would gather them 2 bytes at a time. The order of K is free as
/// long as both operands agree on it: here each of the four threads has two whole blocks of every
/// 256 elements, two 16-byte loads and two neighbouring scales, and an instruction multiplies 8
/// elements of a block of each. `reordered_activations` puts the other operand into the same order.
namespace halfbyte::cuda {

/// One thread's part of a warp's 16 rows of a tile of rows of 128 bytes (256 elements of K), in the
/// 128-byte swizzle: blocks 2q and 2q + 1 of rows i and i + 8, for lane 4i + q.
struct packed_fragment {
  struct scale_pairs {
    std::uint32_t of_row[2];  // two scales, a byte each; if they are not aligned, the first...
    std::uint32_t second[2];  // ...and the second
  };
  std::uint32_t line;             // offset in the tile
  const std::uint8_t* scale[2];   // of this thread's first block of its rows
  int block, blocks;              // the first of eight; in a row
  int step, last;                 // bytes from one scale to the ninth; the last eight it has one in
  bool aligned;                   // all pairs of scales lie at even addresses
  int row[2];                     // of B
  float of_row[2];                // the scales of its rows
  std::uint32_t tables, bias[2];  // in shared memory; from a scale to the offset of its table

  __device__ packed_fragment(const scale_grid& scales, int warp, int first, int rows,
                             std::uint32_t tables_address)
      : block(static_cast<int>(threadIdx.x) % 4 * 2),
        blocks(scales.blocks),
        step(scales.swizzled_128x4 ? 1024 : 8),
        last(max(blocks - 1 - block, 0) / 8),
        aligned(scales.swizzled_128x4 || scales.blocks % 2 == 0),
        tables(tables_address) {
    const int in_tile = 16 * warp + static_cast<int>(threadIdx.x) % 32 / 4;
    line = static_cast<std::uint32_t>(in_tile * 128 + (block ^ (in_tile % 8)) * 16);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      row[i] = min(first + in_tile + 8 * i, rows - 1);
      scale[i] = scales.data + scales.offset(row[i], block < blocks ? block : 0);
    }
  }

  /// Begins to load the scales of its rows, and waits for them: once, when more loads have begun.
  __device__ void load_row_scales(const float* row_scale) {
#pragma unroll
    for (int i = 0; i < 2; ++i) of_row[i] = __ldg(row_scale + row[i]);
  }
  __device__ void wait_for_row_scales() {
    // The row's scale is that of k = 0, and the first table that of k = -8.
#pragma unroll
    for (int i = 0; i < 2; ++i) bias[i] = 8u * (8u - (__float_as_uint(of_row[i]) >> 23));
  }

  /// The scales of this thread's blocks of the k-th 256 elements; behind the row's end, where
  /// elements are zero, others of the row. Nothing here waits for a load.
  template <bool Aligned>
  __device__ void load_scales(int k, scale_pairs& to) const {
    const auto offset = static_cast<std::uint32_t>(min(k, last) * step);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const std::uint8_t* from = scale[i] + offset;
      if constexpr (Aligned) {
        to.of_row[i] = __ldg(reinterpret_cast<const std::uint16_t*>(from));
      } else {
        to.of_row[i] = __ldg(from);
        to.second[i] = __ldg(from + (8 * k + block + 1 < blocks ? 1 : 0));
      }
    }
  }

  /// This thread's blocks 2q + `half` of its rows, packed, and their tables.
  struct packed_blocks {
    uint4 of_row[2];
    uint2 table[2];
  };
  template <bool Aligned>
  __device__ packed_blocks load(std::uint32_t tile, int half, const scale_pairs& scales) const {
    const std::uint32_t from = (tile + line) ^ static_cast<std::uint32_t>(half * 16);
    packed_blocks blocks;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      blocks.of_row[i] = ptx::load_shared(from + 8u * 128u * static_cast<std::uint32_t>(i));
      const std::uint32_t eightfold = half == 0 ? scales.of_row[i] << 3
                                      : Aligned ? scales.of_row[i] >> 5
                                                : scales.second[i] << 3;
      blocks.table[i] = ptx::load_shared_pair(tables + ((eightfold + bias[i]) & 0x78u));
    }
    return blocks;
  }

  /// The same as operands of four instructions.
  static __device__ void decode(const packed_blocks& blocks, std::uint32_t (&operand)[4][4]) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const uint4& packed = blocks.of_row[i];
      folded_magnitudes table;
      table.low = blocks.table[i].x;
      table.high = blocks.table[i].y;
      const std::uint32_t words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const uint2 eight = fold_word(words[j], table);
        operand[j][i] = eight.x;
        operand[j][2 + i] = eight.y;
      }
    }
  }
};

/// M rows of 256 activations in shared memory, two of wgmma's tiles of rows of 128 bytes, put in
/// order: word 8 (2q + half) + 2j + h becomes word 8j + 4h + q of tile `half`.
///
/// A thread makes four chunks of 16 bytes of a row from one chunk of each q; a warp has eight rows.
template <int M>
struct reordered_activations {
  static constexpr int tasks = 4 * M;
  static constexpr int team = tasks < 128 ? tasks : 128;  // threads that share the rows
  static constexpr int teams = 128 / team, tasks_each = tasks / team;

  /// Called by whole warps, `thread` of a team.
  static __device__ void run(std::uint32_t activations, int thread) {
    // Eight threads at a time have rows 0, 2, 5, 7 or 1, 3, 4, 6: no two meet in a bank.
    const int side = thread % 2, pick = thread / 2 % 4, half = thread / 16 % 2;
    const int row = thread / 32 * 8 + 2 * pick + (pick / 2 ^ thread / 8 % 2);
#pragma unroll
    for (int t = 0; t < tasks_each; ++t) {
      const int own = row + t * team / 4;
      uint4 w[4];
#pragma unroll
      for (int q = 0; q < 4; ++q)
        w[q] = ptx::load_shared(chunk(activations, own, q / 2, q % 2 * 4 + 2 * half + side));
      __syncwarp();  // the rest of the row is with other threads
      const uint4 moved[4] = {{w[0].x, w[1].x, w[2].x, w[3].x},
                              {w[0].y, w[1].y, w[2].y, w[3].y},
                              {w[0].z, w[1].z, w[2].z, w[3].z},
                              {w[0].w, w[1].w, w[2].w, w[3].w}};
#pragma unroll
      for (int i = 0; i < 4; ++i)
        ptx::store_shared(chunk(activations, own, half, 4 * side + i), moved[i]);
    }
  }

 private:
  static __device__ std::uint32_t chunk(std::uint32_t activations, int row, int tile, int index) {
    return activations +
           static_cast<std::uint32_t>((tile * M + row) * 128 + (index ^ (row % 8)) * 16);
  }
};

}  // namespace halfbyte::cuda
