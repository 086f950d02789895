// SPDX-License-Identifier: Apache-2.0
// Forward with stride 2 on tensor cores. Memory is what limits it, so the input is read from there once.
//
// Eight channels of eight voxels are a block, one register of a tensor-core operand. Neighbours in the output read
// every other voxel of the input: the copy into shared memory parts even from odd positions along D, so that the voxels
// of a block lie side by side there. A warp sums 2 x 2 rows (W x T) of 16 voxels and 16 channels of the output. It
// reads the 5 x 5 rows of the input around them, each once per tap along H, and multiplies each with all taps that join
// it with one of its rows.
//
// A block of threads walks along H. Of the input it keeps two planes: one is read, while the next one arrives. An even
// plane is the last tap of one step and the first one of the next. Where a plane of all input channels does not fit,
// these are parts of planes, of which each serves one tap. The order of the sums is the same.
#ifndef CARDIAC4D_CUDA_MMA_STRIDED_KERNELS_H
#define CARDIAC4D_CUDA_MMA_STRIDED_KERNELS_H

#include "channel_sums.h"
#include "frames.h"
#include "launch.h"
#include "mma_strided_plane.h"
#include "mma_strided_weights.h"
#include "packed_words.h"
#include "ptx.h"
#include "storage.h"
#include "tensor_cores.h"
#include "walk.h"

namespace c4d_cuda {
namespace {

// A warp's part of a tile.
struct Part {
  int w, t, pair, lane;
};

template <class Work>
__device__ Part part_of_warp(const TileOfGrid& tile) {
  const int warp = threadIdx.x / 32;
  return {warp % Work::kWarpsW * kRows, warp / Work::kWarpsW % Work::kWarpsT * kRows,
          tile.group * Work::kWarpsOut + warp / (Work::kWarpsW * Work::kWarpsT), static_cast<int>(threadIdx.x % 32)};
}

using Sums = float[kRows][kRows][kPair][4];

// Multiplies the row of a plane at (w, t) with all taps that join it with a row of the warp.
template <class Work>
__device__ void add_row(uint32_t pairs, uint32_t third, const uint32_t (&weights)[kTapsOfPlane][kPair], int w, int t,
                        Sums& sums) {
  uint32_t a[4], b[2];
  load_blocks(pairs, a);
  load_blocks(third, b);
#pragma unroll
  for (int tap = 0; tap < 9; ++tap) {
    const int to_w = w - tap / 3, to_t = t - tap % 3;
    if (to_w < 0 || to_w % 2 != 0 || to_w >= 2 * kRows || to_t < 0 || to_t % 2 != 0 || to_t >= 2 * kRows) continue;
#pragma unroll
    for (int out = 0; out < kPair; ++out) {
      float(&four)[4] = sums[to_w / 2][to_t / 2][out];
      multiply(typename Work::Storage(), four, a, weights[tap * 3][out], weights[tap * 3 + 1][out]);
      multiply(typename Work::Storage(), four, b, weights[tap * 3 + 2][out]);
    }
  }
}

// Adds the products of 27 taps: `plane` is the warp's first row of a plane or a part of it that has `blocks`, `taps`
// the weights of its lane.
template <class Work>
__device__ void add_plane(uint32_t plane, int blocks, const uint32_t* taps, int lane, Sums& sums) {
  // Blocks: 8 + 8 voxels at the first tap along D, the same at the second; then the same at the third.
  const int voxel = lane % 16;
  const uint32_t pairs = plane + place_of(2 * voxel + lane / 16) * kVector;
  const uint32_t third = plane + place_of(2 * voxel + 2) * kVector;
#pragma unroll 1
  for (int block = 0; block < blocks; ++block, taps += kTapsOfPlane * kPair * 32) {
    uint32_t weights[kTapsOfPlane][kPair];
#pragma unroll
    for (int i = 0; i < kTapsOfPlane; ++i) load_words(taps + i * kPair * 32, weights[i][0], weights[i][1]);
#pragma unroll
    for (int i = 0; i < (2 * kRows + 1) * (2 * kRows + 1); ++i) {
      const int w = i / (2 * kRows + 1), t = i % (2 * kRows + 1);
      const uint32_t row = (block * Work::kPlane + (t * Work::kSpanW + w) * kSpanD) * kVector;
      add_row<Work>(pairs + row, third + row, weights, w, t, sums);
    }
  }
}

// The first of the four neighbouring channels that a lane has: two of each block of the pair, see Order.
[[maybe_unused]] __device__ int channel_of(const Part& part) { return part.pair * kPair * kBlock + part.lane % 4 * 4; }

template <class Work>
__device__ void begin_sums(const Work& work, const Part& part, Sums& sums) {
  const int channel = channel_of(part);
  float first[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  if (work.bias != nullptr && channel < work.out_channels) {
#pragma unroll
    for (int i = 0; i < 4; ++i) first[i] = value(work.bias[channel + i]);
  }
#pragma unroll
  for (int i = 0; i < kRows * kRows * kPair * 4; ++i) {
    sums[i / 4 / kPair / kRows][i / 4 / kPair % kRows][i / 4 % kPair][i % 4] = first[i / 4 % kPair * 2 + i % 2];
  }
}

// What a lane has stored: of its four channels the sums, then the sums of squares.
using Totals = float[2 * kChannels];

// Stores four neighbouring channels of a voxel, and adds them to the totals if anyone wants these.
template <class Work>
__device__ void store_channels(const float (&four)[kChannels], typename Work::Storage* to, Totals& totals) {
  using S = typename Work::Storage;
  if constexpr (sizeof(S) == 2) {
    store_words(pack_pair<S>(four[0], four[1]), pack_pair<S>(four[2], four[3]), to);
  } else {
    store_vectors(four, to);
  }
  if constexpr (Work::kSums) {
#pragma unroll
    for (int i = 0; i < kChannels; ++i) {
      const float stored = rounded<S>(four[i]);
      totals[i] += stored, totals[kChannels + i] += stored * stored;
    }
  }
}

// Stores four channels of voxels d and d + 8 of each row, where they are inside.
template <class Work>
__device__ void store_rows(const Work& work, const TileOfGrid& tile, const Part& part, int h, const Sums& sums,
                           Totals& totals) {
  const int(&size)[4] = work.grid.extents;
  const int channel = channel_of(part);
  if (channel >= work.out_channels) return;
  const int w = tile.w + part.w, t = tile.t + part.t, d = tile.d + part.lane / 4;
#pragma unroll
  for (int i = 0; i < kRows * kRows * 2; ++i) {
    const int j = i / 2 % kRows, k = i / 2 / kRows, half = i % 2;
    if (w + j >= size[kW] || t + k >= size[kT] || d + 8 * half >= size[kD]) continue;
    const int64_t frame = int64_t(tile.n) * size[kT] + t + k;
    const int64_t voxel = ((frame * size[kH] + h) * size[kW] + w + j) * size[kD] + d + 8 * half;
    const float(&both)[kPair][4] = sums[j][k];
    const float four[] = {both[0][2 * half], both[0][2 * half + 1], both[1][2 * half], both[1][2 * half + 1]};
    store_channels<Work>(four, work.y + voxel * work.out_channels + channel, totals);
  }
}

// Adds up the totals of the threads that computed a pair of blocks, in one order, and stores them: those of a tile.
// Takes the memory of the planes: all must have passed a barrier since they read these.
template <class Work>
__device__ void store_totals(const Work& work, int64_t job, const Totals& totals) {
  if constexpr (Work::kSums) {
    double* shared = reinterpret_cast<double*>(c4d_shared);
#pragma unroll
    for (int i = 0; i < 2 * kChannels; ++i) shared[i * kThreads + threadIdx.x] = totals[i];
    __syncthreads();  // now the totals are there
    // A warp per pair: a channel and one of its two sums per thread.
    constexpr int kWarpsOfPair = Work::kWarpsW * Work::kWarpsT, kOut = kPair * kBlock;
    const int place = threadIdx.x / 32, channel = threadIdx.x % kOut, square = threadIdx.x / kOut % 2;
    const int64_t out = (job % work.grid.groups * Work::kWarpsOut + place) * kOut + channel;
    if (place < Work::kWarpsOut && out < work.out_channels) {
      const double* from = shared + (square * kChannels + channel % kChannels) * kThreads + place * kWarpsOfPair * 32 +
                           channel / kChannels;
      double total = 0;
      for (int i = 0; i < kWarpsOfPair * 8; ++i) total += from[i * 4];
      work.pieces[(job / work.grid.groups * work.out_channels + out) * 2 + square] = total;
    }
    __syncthreads();  // before the next job overwrites the totals
  }
}

template <class Work>
__device__ void walk(const Work& work, const TileOfGrid& tile, uint32_t shared, Totals& totals) {
  const Part part = part_of_warp<Work>(tile);
  const int steps = steps_of(work.grid, tile);
  const uint32_t first_row = (2 * part.t * Work::kSpanW + 2 * part.w) * kSpanD * kVector;
  const uint32_t* taps = work.weights + int64_t(part.pair) * 3 * work.blocks() * kTapsOfPlane * kPair * 32;
  const Stages<Work> stages(work, tile, shared);
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    Sums sums;
    begin_sums(work, part, sums);
#pragma unroll 1
    for (int turn = 0; turn < 3 * work.parts(); ++turn) {
      const int slot = stages.wait_for(step, turn);
      if (part.pair * kPair * kBlock >= work.out_channels) continue;
      const int first = turn / work.parts() * work.blocks() + turn % work.parts() * Work::kBlocks;
      const int rest = (turn / work.parts() + 1) * work.blocks() - first;
      add_plane<Work>(shared + slot * kVector + first_row,
                      Work::kInParts && rest < Work::kBlocks ? rest : Work::kBlocks,
                      taps + (int64_t(first) * kTapsOfPlane * 32 + part.lane) * kPair, part.lane, sums);
    }
    store_rows(work, tile, part, tile.h + step, sums, totals);
  }
}

template <class Work>
__global__ void __launch_bounds__(kThreads, kResident) correlate_strided(const Work work) {
#ifdef C4D_HAS_TENSOR_CORES
  const uint32_t shared = shared_address(c4d_shared);
  for (int64_t job = blockIdx.x; job < work.grid.jobs(); job += gridDim.x) {
    Totals totals = {};
    walk(work, tile_at(work.grid, job), shared, totals);
    __syncthreads();  // before the next job overwrites the planes
    store_totals(work, job, totals);
  }
#endif
}

template <class Work>
Work work_of(const c4d_problem& p) {
  const int64_t pairs = (p.out_channels + kPair * kBlock - 1) / (kPair * kBlock);
  return with_groups<Work>(p, (pairs + Work::kWarpsOut - 1) / Work::kWarpsOut);
}

template <class Work>
bool fits(const Work&) {
  return runs_on_device(correlate_strided<Work>, Work::kSharedBytes);
}

// Calls call(Work) with the kernel whose planes have so many input channels, or with the first one of those in parts
// that fits the device, or with the last. Channels are in eights: of float32 the blocks are even.
template <class Storage, bool kSums, class Call>
auto with_blocks(int64_t blocks, const Call& call) {
  const MmaStrided<Storage, 2, false, kSums> two{};
  const MmaStrided<Storage, 4, false, kSums> four{};
  const MmaStrided<Storage, 4, true, kSums> four_at_a_time{};
  if constexpr (sizeof(Storage) == 2) {
    if (blocks == 1) return call(MmaStrided<Storage, 1, false, kSums>());
    if (blocks == 3) return call(MmaStrided<Storage, 3, false, kSums>());
  }
  if (blocks == 2) return call(two);
  if (blocks == 4 && fits(four)) return call(four);
  if (fits(four_at_a_time)) return call(four_at_a_time);
  return call(MmaStrided<Storage, 2, true, kSums>());
}

template <class Storage, bool kSums>
int correlate(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, double* sums,
              void* workspace, void* pieces, void* stream) {
  const int status = pack_weights(order_of<Storage>(p, w), workspace, stream);
  if (status != cudaSuccess) return status;
  return with_blocks<Storage, kSums>(p.in_channels / Order<Storage>::kOfBlock, [&](auto kind) {
    using Work = decltype(kind);
    Work work = work_of<Work>(p);
    work.x = static_cast<const Storage*>(x), work.bias = static_cast<const Storage*>(bias);
    work.weights = static_cast<const uint32_t*>(workspace), work.y = static_cast<Storage*>(y);
    work.pieces = static_cast<double*>(pieces);
    const int64_t jobs = work.grid.jobs();
    const int launched = launch_with_memory(correlate_strided<Work>, work, jobs, kThreads, Work::kSharedBytes, stream);
    if (!kSums || launched != cudaSuccess || jobs == 0) return launched;
    const int64_t tiles = jobs / work.grid.groups / p.batch;
    return add_pieces_of_samples(p.batch, tiles, p.out_channels, work.pieces, sums, stream);
  });
}

}  // namespace
}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_STRIDED_KERNELS_H
