// SPDX-License-Identifier: Apache-2.0
// What a warp does with planes in shared memory, for the kernels of mma_kernels.h.
//
// A block is a row of 16 bytes per voxel: 8 channels of a half type, 4 of float32. Blocks of eight neighbours along D
// are one register of a tensor-core operand. The three taps along D are the same rows of shared memory, shifted by one
// voxel; the taps along W and T reuse the very registers: a warp sums 4 x 4 rows (W x T) of 16 voxels, reads each of
// the 6 x 6 rows around them once per tap along H, and multiplies it with the weights of up to nine taps: less than one
// block from shared memory per product.
#ifndef CARDIAC4D_CUDA_MMA_TILE_H
#define CARDIAC4D_CUDA_MMA_TILE_H

#include "frames.h"
#include "mma_fusion.h"
#include "ptx.h"
#include "storage.h"
#include "tensor_cores.h"

namespace c4d_cuda {

constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kVoxels = 16;                   // of a warp along D
constexpr int kRows = 4;                      // of a warp along W, and along T
constexpr int kOut = 8;                       // channels that a warp computes at a time
constexpr int kSteps = 8;                     // of a block of threads along H

// What is computed: to = from correlated with the weights. For the input gradient these are flipped.
struct Sizes {
  int batch, from[4], to[4], lead[4];  // lead: zeros before the first voxel
  int in_blocks, out_blocks;
};

// The correlation that a problem comes down to; for the input gradient, from the output to the input.
template <class Storage>
Sizes sizes_of(const c4d_problem& p, bool is_gradient) {
  constexpr int kBlock = kVector / sizeof(Storage);
  Sizes sizes{};
  sizes.batch = static_cast<int>(p.batch);
  sizes.in_blocks = static_cast<int>((is_gradient ? p.out_channels : p.in_channels) / kBlock);
  sizes.out_blocks = static_cast<int>((is_gradient ? p.in_channels : p.out_channels) / kOut);
  for (int axis = 0; axis < 4; ++axis) {
    sizes.from[axis] = static_cast<int>(is_gradient ? p.out[axis] : p.in[axis]);
    sizes.to[axis] = static_cast<int>(is_gradient ? p.in[axis] : p.out[axis]);
    sizes.lead[axis] = static_cast<int>(is_gradient ? 2 - p.padding[axis] : p.padding[axis]);
  }
  return sizes;
}

// Whether a problem has the shape that these tiles are for, whatever its dtype.
inline bool is_cube_of_octets(const c4d_problem& p) {
  return is_cube(p, 1) && has_octets(p);
}

template <class Storage_, int kTileW_, int kTileT_, class Fusion_ = NotFused>
struct MmaCorrelate {
  using Storage = Storage_;
  using Fusion = Fusion_;
  static constexpr int kTileW = kTileW_, kTileT = kTileT_;
  static constexpr int kWarpsW = kTileW / kRows, kWarpsT = kTileT / kRows, kWarpsOut = kWarps / kWarpsW / kWarpsT;
  static constexpr int kSpanD = kVoxels + 2, kSpanW = kTileW + 2, kSpanT = kTileT + 2;
  static constexpr int kPlane = kSpanD * kSpanW * kSpanT;  // vectors per block of channels
  static constexpr int kBlock = kVector / sizeof(Storage);  // channels
  Sizes sizes;
  const Storage *from, *bias;  // no bias: null
  const uint32_t* weights;     // packed, see mma_weights.h
  Storage* to;
  Fusion fusion;

  __host__ __device__ int64_t tiles(int axis) const {
    const int extents[] = {kSteps, kTileW, kVoxels, kTileT};
    return (sizes.to[axis] + extents[axis] - 1) / extents[axis];
  }
  __host__ __device__ int64_t tiles_of_a_sample() const { return tiles(kH) * tiles(kW) * tiles(kD) * tiles(kT); }
  __host__ __device__ int64_t jobs() const { return sizes.batch * tiles_of_a_sample(); }
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

// Calls visit(vector, block, voxel) for this thread's share of a plane, which is all that the tile reads at position h
// of the source in `count` blocks of channels: the vector's place in the plane, and where it comes from. Outside of the
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

// Which of this thread's vectors of a plane are inside of the source along W, D and T: a bit for each, as visit_plane
// deals them out. Where nobody needs them: 0.
template <class Work>
__device__ uint32_t inside_of_planes(const Work& work, const Tile& tile, int count) {
  uint32_t inside = 0, bit = 1;
  if constexpr (Work::Fusion::kNormalises) {
    visit_plane(work, tile, 0, count, [&](int, int, int64_t voxel) {
      if (voxel >= 0) inside |= bit;
      bit <<= 1;
    });
  }
  return inside;
}

// Prepares a plane, that of position h, once this thread's copies are there and before the others read them: normalises
// it, and rounds float32 to TF32. `inside`: see inside_of_planes; what is outside is zero and stays so.
template <class Work>
__device__ void prepare_plane(const Work& work, const Tile& tile, int h, uint32_t inside, int first_block, int count,
                              int first_vector) {
  constexpr bool kNormalises = Work::Fusion::kNormalises, kIsTf32 = sizeof(typename Work::Storage) == 4;
  if constexpr (kNormalises || kIsTf32) {
    if (kNormalises && (h < 0 || h >= work.sizes.from[kH])) return;
#pragma unroll 1
    for (int i = threadIdx.x; i < count * Work::kPlane; i += kThreads, inside >>= 1) {
      if (kNormalises && (inside & 1) == 0) continue;
      const int block = i % count, vector = first_vector + block * Work::kPlane + i / count;
      uint32_t words[4];
      memcpy(words, c4d_shared + vector, kVector);
      if constexpr (kNormalises) {
        const int64_t number = (int64_t(tile.n) * work.sizes.in_blocks + block + first_block) * Work::kBlock;
        normalise<typename Work::Storage>(work.fusion.scale + number, work.fusion.shift + number, words);
      }
      if constexpr (kIsTf32) round_to_tf32(words);
      memcpy(c4d_shared + vector, words, kVector);
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

// Two neighbouring channels of what a fusion reads beside the output, in voxels d and d + 8 of the rows of one frame.
// All are asked for before the first is looked at: one after the other, each would wait for memory.
template <class Work>
struct Beside {
  Pair<typename Work::Storage> pairs[kRows][2];

  // to: where d of the first row is stored; rows: so many are inside; d, d_size: of the voxel, and of a row.
  __device__ void read(const Work& work, const typename Work::Storage* to, int64_t row, int rows, int d, int d_size) {
    if constexpr (Work::Fusion::kReadsBeside) {
      if (work.fusion.beside == nullptr) return;
      const typename Work::Storage* from = work.fusion.beside + (to - work.to);
      const int64_t voxel = work.sizes.out_blocks * kOut;
#pragma unroll
      for (int j = 0; j < kRows; ++j) {
        if (j < rows && d < d_size) pairs[j][0].read(from + j * row);
        if (j < rows && d + 8 < d_size) pairs[j][1].read(from + j * row + 8 * voxel);
      }
    }
  }
};

// Stores two neighbouring channels of a voxel, with what is taken along; `totals`: the sums of a fusion that has any.
template <class Work, class Channels>
__device__ void store_channels(const Work& work, const Channels& channels, const Pair<typename Work::Storage>& beside,
                               float first, float second, typename Work::Storage* to, float (&totals)[4]) {
  if constexpr (Work::Fusion::kSums) {
    float pair[2] = {first, second}, more[2];
    beside.numbers(more);
    work.fusion.finish(more, pair);
    store_pair(pair[0], pair[1], to);
    pair[0] = rounded<typename Work::Storage>(pair[0]), pair[1] = rounded<typename Work::Storage>(pair[1]);
    work.fusion.add(channels, more, pair, totals);
  } else {
    store_pair(first, second, to);
  }
}

// Stores two neighbouring channels of voxels d and d + 8 of each row, where they are inside.
template <class Work>
__device__ void store_rows(const Work& work, const Tile& tile, const Part& part, int h, int channel,
                           const float (&sums)[kRows][kRows][4], float (&totals)[4]) {
  const int(&size)[4] = work.sizes.to;
  const int w = tile.w + part.w, t = tile.t + part.t, d = tile.d + part.lane / 4;
  const int64_t voxel = work.sizes.out_blocks * kOut, row = voxel * size[kD], frame = row * size[kW] * size[kH];
  typename Work::Storage* to = work.to + (int64_t(tile.n) * size[kT] + t) * frame +
                               (int64_t(h) * size[kW] + w) * row;
  to += d * voxel + channel;
  const auto channels = work.fusion.channels(int64_t(tile.n) * voxel + channel);
#pragma unroll
  for (int i = 0; i < kRows; ++i, to += frame) {
    if (t + i >= size[kT]) break;
    Beside<Work> beside;
    beside.read(work, to, row, size[kW] - w, d, size[kD]);
#pragma unroll
    for (int j = 0; j < kRows; ++j) {
      if (w + j >= size[kW]) continue;
      const float(&four)[4] = sums[j][i];
      const auto(&pairs)[2] = beside.pairs[j];
      if (d < size[kD]) store_channels(work, channels, pairs[0], four[0], four[1], to + j * row, totals);
      if (d + 8 < size[kD]) store_channels(work, channels, pairs[1], four[2], four[3], to + j * row + 8 * voxel, totals);
    }
  }
}

// Adds up the totals of the threads that computed a block of channels, in one order, and stores them: those of a tile.
// Takes the memory of the planes: all must have passed a barrier since they read these, and must pass one before the
// next copy. first_out: the block of the first warps.
template <class Work>
__device__ void store_totals(const Work& work, int64_t tile, int first_out, const float (&totals)[4]) {
  if constexpr (Work::Fusion::kSums) {
    double* shared = reinterpret_cast<double*>(c4d_shared);
#pragma unroll
    for (int i = 0; i < 4; ++i) shared[i * kThreads + threadIdx.x] = totals[i];
    __syncthreads();
    // 16 threads per block: a channel and one of its two sums each.
    constexpr int kWarpsOfBlock = Work::kWarpsW * Work::kWarpsT;
    const int place = threadIdx.x / 16, channel = threadIdx.x % 8, square = threadIdx.x / 8 % 2;
    const int out = first_out + place;
    if (place < Work::kWarpsOut && out < work.sizes.out_blocks) {
      const double* from = shared + (square * 2 + channel % 2) * kThreads + place * kWarpsOfBlock * 32 + channel / 2;
      double total = 0;
      for (int i = 0; i < kWarpsOfBlock * 8; ++i) total += from[i * 4];
      work.fusion.pieces[((tile * work.sizes.out_blocks + out) * kOut + channel) * 2 + square] = total;
    }
    __syncthreads();
  }
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_TILE_H
