// SPDX-License-Identifier: Apache-2.0
// What a block of threads reads for the input gradient with stride 2, and how it lies in shared memory; see
// mma_strided_gradient.cu.
#ifndef CARDIAC4D_CUDA_MMA_STRIDED_GRADIENT_PLANE_H
#define CARDIAC4D_CUDA_MMA_STRIDED_GRADIENT_PLANE_H

#include "frames.h"
#include "ptx.h"
#include "tensor_cores.h"
#include "walk.h"

namespace c4d_cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kResident = 3;                          // blocks that a multiprocessor's registers hold
constexpr int kRows = 2;                              // of cells of a warp, along W
constexpr int kTileW = 4, kTileD = 16, kTileT = 2;    // cells
constexpr int kWarpsW = kTileW / kRows;               // the others along T
constexpr int kSpanW = kTileW + 1, kSpanD = kTileD + 1, kSpanT = kTileT + 1;
constexpr int kPlane = 260;                           // vectors per block of channels: 5 * 17 * 3, and a few
constexpr int kVoxels = 8;                            // of a cell at one position along H
constexpr int kProduct = 2;                           // blocks of source channels in one product
constexpr int kMostProducts = 4;                      // of a plane in shared memory
constexpr int kTurns = 3;                             // voxel and voxel of the source along H that a tap joins
static_assert(kPlane >= kSpanW * kSpanD * kSpanT, "a plane fits");
static_assert(kWarpsW * kTileT == kWarps, "each warp has a part");

// With kInParts_, planes are in shared memory so many products at a time.
template <class Storage_, bool kInParts_>
struct MmaStridedGradient {
  using Storage = Storage_;
  static constexpr bool kInParts = kInParts_;
  static constexpr int kOfBlock = kVector / sizeof(Storage);  // source channels
  static constexpr int kSlots = kInParts ? 2 : 3;             // planes in shared memory, or parts of them
  static constexpr bool kIsTf32 = sizeof(Storage) == 4;       // or a half type
  Grid grid;  // of cells; groups: blocks of target channels
  int from[4], to[4];
  int lead[4];   // from a cell to the first voxel of the source that it reads
  int shift[4];  // voxels of the first cell that lie before the target
  int from_blocks, products, to_channels;  // products: of pairs of blocks, the last of which may be half empty
  const Storage* dy;
  const uint32_t* weights;  // packed, see Order
  Storage* dx;

  __host__ __device__ int parts() const { return kInParts ? (products + kMostProducts - 1) / kMostProducts : 1; }
  __host__ __device__ int slot() const {  // vectors
    return (kInParts ? kMostProducts : products) * kProduct * kPlane;
  }
  __host__ __device__ int64_t shared_bytes() const { return int64_t(kSlots) * slot() * kVector; }
  __device__ int products_of(int part) const {
    const int rest = products - part * kMostProducts;
    return kInParts && rest > kMostProducts ? kMostProducts : rest;
  }
};

// The tap on one axis that joins a voxel of a cell, the first or second, with one that the cell reads; -1: none.
[[maybe_unused]] __device__ constexpr int tap_of(int voxel, int source) {
  return voxel == 0 ? (source == 0 ? 1 : -1) : (source == 0 ? 2 : 0);
}

// A plane of the source, or a part of it, and the slot of shared memory that it has. A plane that is there as a whole
// serves two steps; parts come anew for each of the kTurns turns of a step.
template <class Work>
struct Stage {
  int plane, part, slot;  // slot: its first vector

  __device__ Stage(const Work& work, int stage)
      : plane(Work::kInParts ? stage / (kTurns * work.parts()) + stage / work.parts() % kTurns / 2 : stage),
        part(stage % work.parts()),
        slot(stage % Work::kSlots * work.slot()) {}
};

// Queues the copies of one stage: all that the tile reads at position h of the source, zeros outside.
template <class Work>
__device__ void copy_stage(const Work& work, const TileOfGrid& tile, int stage, uint32_t shared) {
  const int(&from)[4] = work.from;
  const Stage<Work> to(work, stage);
  const int blocks = work.products_of(to.part) * kProduct, h = tile.h + work.lead[kH] + to.plane;
#pragma unroll 1
  for (int i = threadIdx.x; i < blocks * kSpanD * kSpanW * kSpanT; i += kThreads) {
    const int place = i / blocks, block = to.part * kMostProducts * kProduct + i % blocks;
    const int d = tile.d + work.lead[kD] + place % kSpanD;
    const int w = tile.w + work.lead[kW] + place / kSpanD % kSpanW;
    const int t = tile.t + work.lead[kT] + place / (kSpanD * kSpanW);
    const bool is_inside = block < work.from_blocks && h >= 0 && h < from[kH] && w >= 0 && w < from[kW] && d >= 0 &&
                           d < from[kD] && t >= 0 && t < from[kT];
    const int64_t frame = int64_t(tile.n) * from[kT] + t;
    const int64_t voxel = ((frame * from[kH] + h) * from[kW] + w) * from[kD] + d;
    const int64_t first = (voxel * work.from_blocks + block) * Work::kOfBlock;
    copy_async(shared + (to.slot + i % blocks * kPlane + place) * kVector, work.dy + (is_inside ? first : 0),
               is_inside);
  }
}

// Rounds float32 to TF32, once this thread's copies of a stage are there and before the others read them.
template <class Work>
__device__ void prepare_stage(const Work& work, int stage) {
  if constexpr (Work::kIsTf32) {
    const Stage<Work> of(work, stage);
    const int blocks = work.products_of(of.part) * kProduct;
#pragma unroll 1
    for (int i = threadIdx.x; i < blocks * kSpanD * kSpanW * kSpanT; i += kThreads) {
      ulonglong2* vector = c4d_shared + of.slot + i % blocks * kPlane + i / blocks;
      uint32_t words[4];
      memcpy(words, vector, kVector);
      round_to_tf32(words);
      memcpy(vector, words, kVector);
    }
  }
}

// The stages of a tile, one after the other; they begin to arrive when this is made.
template <class Work>
struct Stages {
  const Work& work;
  const TileOfGrid& tile;
  uint32_t shared;
  int count;

  __device__ Stages(const Work& work_, const TileOfGrid& tile_, uint32_t shared_)
      : work(work_), tile(tile_), shared(shared_) {
    const int steps = steps_of(work.grid, tile);
    count = Work::kInParts ? steps * kTurns * work.parts() : steps + 1;
    for (int stage = 0; stage < Work::kSlots - 1; ++stage) copy_stage(work, tile, stage, shared);
  }

  // Waits for a stage: `turn` counts the parts of the planes that a voxel of the cells reads along H. Planes that are
  // there as a whole are two for both voxels.
  __device__ Stage<Work> wait_for(int step, int voxel, int turn) const {
    const int stage = Work::kInParts ? (step * kTurns + voxel) * work.parts() + turn : step + turn;
    if (Work::kInParts || voxel == 0) {
      const int last = Work::kInParts ? stage : step + 1, next = last + 1;
      wait_for_copies();
      for (int arrived = stage == 0 ? 0 : last; arrived <= last; ++arrived) prepare_stage(work, arrived);
      __syncthreads();  // now these stages are there, and nobody reads the one that is overwritten next
      if (next < count) copy_stage(work, tile, next, shared);
    }
    return Stage<Work>(work, stage);
  }
};

template <class Work>
Work work_of(const c4d_problem& p) {
  Work work{};
  work.grid.batch = static_cast<int>(p.batch);
  work.grid.groups = static_cast<int>(p.in_channels / kBlock);
  for (int axis = 0; axis < 4; ++axis) {
    const int padding = static_cast<int>(p.padding[axis]);
    work.shift[axis] = padding % 2 == 0 ? 1 : 0;
    work.lead[axis] = (padding + 1) / 2 - 1;
    work.from[axis] = static_cast<int>(p.out[axis]);
    work.to[axis] = static_cast<int>(p.in[axis]);
    work.grid.extents[axis] = (work.to[axis] + work.shift[axis] + 1) / 2;
  }
  work.grid.tile[kW] = kTileW, work.grid.tile[kD] = kTileD, work.grid.tile[kT] = kTileT;
  work.grid.tile[kH] = best_walk(work.grid, kResident, 2, 1);
  work.from_blocks = static_cast<int>(p.out_channels / Work::kOfBlock);
  work.products = (work.from_blocks + kProduct - 1) / kProduct;
  work.to_channels = static_cast<int>(p.in_channels);
  return work;
}

}  // namespace
}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_STRIDED_GRADIENT_PLANE_H
