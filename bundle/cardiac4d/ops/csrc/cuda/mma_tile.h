// SPDX-License-Identifier: Apache-2.0
// What a warp does with planes in shared memory, for the kernels of mma_correlate.cu.
//
// A block is a row of 16 bytes per voxel: 8 channels of a half type, 4 of float32. Blocks of eight neighbours along D
// are one register of a tensor-core operand. The three taps along D are the same rows of shared memory, shifted by one
// voxel; the taps along W and T reuse the very registers: a warp sums 4 x 4 rows (W x T) of 16 voxels, reads each of
// the 6 x 6 rows around them once per tap along H, and multiplies it with the weights of up to nine taps: less than one
// block from shared memory per product.
#ifndef CARDIAC4D_CUDA_MMA_TILE_H
#define CARDIAC4D_CUDA_MMA_TILE_H

#include "frames.h"
#include "launch.h"
#include "ptx.h"
#include "storage.h"

namespace c4d_cuda {

constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kVoxels = 16;                   // of a warp along D
constexpr int kRows = 4;                      // of a warp along W, and along T
constexpr int kVector = 16;                   // bytes of a block's row
constexpr int kOut = 8;                       // channels that a warp computes at a time
constexpr int kTapsOfPlane = 27, kTaps = 81;  // kernel 3x3x3 at one tap along H, and whole
constexpr int kSteps = 8;                     // of a block of threads along H

// What is computed: to = from correlated with the weights. For the input gradient these are flipped.
// Positions on one axis have 32 bits, positions in memory 64.
struct Sizes {
  int batch, from[4], to[4], lead[4];  // lead: zeros before the first voxel
  int in_blocks, out_blocks;
};
constexpr int64_t kLargest = 0x7FFFFFFF - 64;  // extent of an axis: with what a tile adds, no more than 32 bits

template <class Storage_, int kTileW_, int kTileT_>
struct MmaCorrelate {
  using Storage = Storage_;
  static constexpr int kTileW = kTileW_, kTileT = kTileT_;
  static constexpr int kWarpsW = kTileW / kRows, kWarpsT = kTileT / kRows, kWarpsOut = kWarps / kWarpsW / kWarpsT;
  static constexpr int kSpanD = kVoxels + 2, kSpanW = kTileW + 2, kSpanT = kTileT + 2;
  static constexpr int kPlane = kSpanD * kSpanW * kSpanT;  // vectors per block of channels
  static constexpr int kBlock = kVector / sizeof(Storage);  // channels
  Sizes sizes;
  const Storage *from, *bias;  // no bias: null
  const uint32_t* weights;     // packed, see mma_weights.h
  Storage* to;

  __host__ __device__ int64_t tiles(int axis) const {
    const int extents[] = {kSteps, kTileW, kVoxels, kTileT};
    return (sizes.to[axis] + extents[axis] - 1) / extents[axis];
  }
  __host__ __device__ int64_t jobs() const { return sizes.batch * tiles(kH) * tiles(kW) * tiles(kD) * tiles(kT); }
};

// The first voxel of a job's tile.
struct Tile {
  int n, h, w, d, t;
};

template <class Work>
__device__ Tile tile_at(const Work& work, int64_t job) {
  const int64_t tiles[] = {work.tiles(kH), work.tiles(kW), work.tiles(kD), work.tiles(kT)};
  const Voxel v = voxel_at(job, tiles);
  return {static_cast<int>(v.n), static_cast<int>(v.at[kH] * kSteps), static_cast<int>(v.at[kW] * Work::kTileW),
          static_cast<int>(v.at[kD] * kVoxels), static_cast<int>(v.at[kT] * Work::kTileT)};
}

// Calls visit(vector, block, voxel) for this thread's share of a plane, which is all that the tile reads at position h of
// the source in `count` blocks of channels: the vector's place in the plane, and where it comes from. Outside of the
// source the voxel is -1.
template <class Work, class Visit>
__device__ void visit_plane(const Work& work, const Tile& tile, int h, int count, const Visit& visit) {
  const Sizes& sizes = work.sizes;
#pragma unroll 1
  for (int i = threadIdx.x; i < count * Work::kPlane; i += kThreads) {
    const int block = i % count, place = i / count;
    const int d = tile.d - sizes.lead[kD] + place % Work::kSpanD;
    const int w = tile.w - sizes.lead[kW] + place / Work::kSpanD % Work::kSpanW;
    const int t = tile.t - sizes.lead[kT] + place / (Work::kSpanD * Work::kSpanW);
    const bool is_inside = h >= 0 && h < sizes.from[kH] && w >= 0 && w < sizes.from[kW] && d >= 0 &&
                           d < sizes.from[kD] && t >= 0 && t < sizes.from[kT];
    const int64_t frame = int64_t(tile.n) * sizes.from[kT] + t;
    const int64_t voxel = ((frame * sizes.from[kH] + h) * sizes.from[kW] + w) * sizes.from[kD] + d;
    visit(block * Work::kPlane + place, block, is_inside ? voxel : -1);
  }
}

// Queues the copies of a plane to the vectors from `first_vector` of shared memory on, zeros outside of the source.
template <class Work>
__device__ void copy_plane(const Work& work, const Tile& tile, int h, int first_block, int count, int first_vector) {
  const uint32_t to = shared_address(c4d_shared + first_vector);
  visit_plane(work, tile, h, count, [&](int vector, int block, int64_t voxel) {
    const int64_t first = (voxel * work.sizes.in_blocks + first_block + block) * Work::kBlock;
    copy_async(to + vector * kVector, work.from + (voxel < 0 ? 0 : first), voxel >= 0);
  });
}

// Prepares a plane once this thread's copies are there and before the others read them: rounds float32 to TF32.
template <class Work>
__device__ void prepare_plane(int count, int first_vector) {
  if constexpr (sizeof(typename Work::Storage) == 4) {
#pragma unroll 1
    for (int i = threadIdx.x; i < count * Work::kPlane; i += kThreads) {
      const int vector = i % count * Work::kPlane + i / count;  // as visit_plane deals them out
      uint32_t words[4];
      memcpy(words, c4d_shared + first_vector + vector, kVector);
      round_to_tf32(words);
      memcpy(c4d_shared + first_vector + vector, words, kVector);
    }
  }
}

// A warp's part of a tile.
struct Part {
  int w, t, out, lane;
};

template <class Work>
__device__ Part part_of_warp() {
  const int warp = threadIdx.x / 32;
  return {warp % Work::kWarpsW * kRows, warp / Work::kWarpsW % Work::kWarpsT * kRows,
          warp / (Work::kWarpsW * Work::kWarpsT), static_cast<int>(threadIdx.x % 32)};
}

// The sums of a warp's rows before the first product: the bias of channels `channel` and `channel` + 1.
template <class Work>
__device__ void begin_sums(const Work& work, int channel, float (&sums)[kRows][kRows][4]) {
#pragma unroll
  for (int i = 0; i < kRows * kRows * 4; ++i) {
    sums[i / 4 / kRows][i / 4 % kRows][i % 4] = work.bias == nullptr ? 0.0f : value(work.bias[channel + i % 2]);
  }
}

// Adds the products of 27 taps: `plane` is the warp's first row of a plane and a block of channels, `taps` the weights.
template <class Work>
__device__ void add_plane(uint32_t plane, const uint32_t* taps, int lane, float (&sums)[kRows][kRows][4]) {
  uint32_t weights[kTapsOfPlane];
#pragma unroll
  for (int i = 0; i < kTapsOfPlane; ++i) weights[i] = taps[i * 32 + lane];
  // Blocks: 8 + 8 voxels at the first tap along D, the same at the second; then the same at the third.
  const uint32_t two = plane + (lane % 16 + lane / 16) * kVector, third = plane + (lane % 16 + 2) * kVector;
#pragma unroll
  for (int w = 0; w < kRows + 2; ++w) {
#pragma unroll
    for (int t = 0; t < kRows + 2; ++t) {
      const uint32_t row = (t * Work::kSpanW + w) * Work::kSpanD * kVector;
      uint32_t a[4], b[2];
      load_blocks(two + row, a);
      load_blocks(third + row, b);
#pragma unroll
      for (int tap = 0; tap < 9; ++tap) {
        const int to_w = w - tap / 3, to_t = t - tap % 3;
        if (to_w < 0 || to_w >= kRows || to_t < 0 || to_t >= kRows) continue;
        multiply(typename Work::Storage(), sums[to_w][to_t], a, weights[tap * 3], weights[tap * 3 + 1]);
        multiply(typename Work::Storage(), sums[to_w][to_t], b, weights[tap * 3 + 2]);
      }
    }
  }
}

// Stores two neighbouring channels of voxels d and d + 8 of each row, where they are inside.
template <class Work>
__device__ void store_rows(const Work& work, const Tile& tile, const Part& part, int h, int channel,
                           const float (&sums)[kRows][kRows][4]) {
  const int(&size)[4] = work.sizes.to;
  const int w = tile.w + part.w, t = tile.t + part.t, d = tile.d + part.lane / 4;
  const int64_t voxel = work.sizes.out_blocks * kOut, row = voxel * size[kD], frame = row * size[kW] * size[kH];
  typename Work::Storage* to = work.to + (int64_t(tile.n) * size[kT] + t) * frame +
                               (int64_t(h) * size[kW] + w) * row;
  to += d * voxel + channel;
#pragma unroll
  for (int i = 0; i < kRows; ++i, to += frame) {
#pragma unroll
    for (int j = 0; j < kRows; ++j) {
      if (t + i >= size[kT] || w + j >= size[kW]) continue;
      const float(&four)[4] = sums[j][i];
      if (d < size[kD]) store_pair(four[0], four[1], to + j * row);
      if (d + 8 < size[kD]) store_pair(four[2], four[3], to + j * row + 8 * voxel);
    }
  }
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_TILE_H
