// SPDX-License-Identifier: Apache-2.0
// What a block of threads reads for the forward pass with stride 2, and how it lies in shared memory; see
// mma_strided_kernels.h.
#ifndef CARDIAC4D_CUDA_MMA_STRIDED_PLANE_H
#define CARDIAC4D_CUDA_MMA_STRIDED_PLANE_H

#include "frames.h"
#include "ptx.h"
#include "tensor_cores.h"
#include "walk.h"

namespace c4d_cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kResident = 2;                  // blocks that a multiprocessor's registers and shared memory hold
constexpr int kVoxels = 16;                   // of a warp along D
constexpr int kRows = 2;                      // of a warp along W, and along T
constexpr int kPair = 2;                      // blocks of output channels of a warp
constexpr int kChannels = 4;                  // neighbours that a lane has of a pair
constexpr int kSlots = 2;                     // planes in shared memory, or parts of them
constexpr int kEven = kVoxels + 1, kSpanD = kEven + kVoxels;  // voxels of a row: even positions first, then odd ones

// kBlocks_: blocks of input channels that a plane has in shared memory, the more of them, the smaller the tile. These
// are all, or with kInParts_ so many at a time. kSums_: takes the sums of what it stores along.
template <class Storage_, int kBlocks_, bool kInParts_, bool kSums_>
struct MmaStrided {
  using Storage = Storage_;
  static constexpr int kBlocks = kBlocks_;
  static constexpr bool kInParts = kInParts_, kSums = kSums_, kIsTf32 = sizeof(Storage) == 4;
  static constexpr int kOfBlock = kVector / sizeof(Storage);  // channels
  static constexpr int kTileW = kBlocks <= 2 ? 4 : 2, kTileT = kBlocks == 1 ? 4 : 2;
  static constexpr int kWarpsW = kTileW / kRows, kWarpsT = kTileT / kRows, kWarpsOut = kWarps / kWarpsW / kWarpsT;
  static constexpr int kSpanW = 2 * kTileW + 1, kSpanT = 2 * kTileT + 1, kRowsOfPlane = kSpanW * kSpanT;
  // Vectors per block of channels, so many that copies of neighbouring vectors of the input go to different banks.
  static constexpr int kPlane = (kRowsOfPlane * kSpanD + 7) / 8 * 8 + (kBlocks == 2 ? 2 : 1);
  static constexpr int kSlotBytes = kBlocks * kPlane * kVector, kSharedBytes = kSlots * kSlotBytes;
  Grid grid;  // groups: of kWarpsOut pairs of blocks
  int from[4], lead[4], out_channels;  // lead: zeros before the first voxel
  int in_blocks;                       // with kInParts; else see blocks()
  const Storage *x, *bias;             // no bias: null
  const uint32_t* weights;             // packed, see Order
  Storage* y;
  double* pieces;  // with kSums: the sums of each tile, (N, tiles, out_channels, 2)

  __device__ int blocks() const { return kInParts ? in_blocks : kBlocks; }
  __device__ int parts() const { return kInParts ? (in_blocks + kBlocks - 1) / kBlocks : 1; }
};

// What is in shared memory at a time: a part of a plane. A plane that is there as a whole serves two steps, others come
// anew for each tap along H.
template <class Work>
struct Stage {
  int plane, part;

  __device__ Stage(const Work& work, int stage)
      : plane(Work::kInParts ? stage / (3 * work.parts()) * 2 + stage / work.parts() % 3 : stage),
        part(stage % work.parts()) {}
};

// Where a row of shared memory has the voxel at a position. Odd ones are turned by three, so that a copy of eight
// neighbours writes to all banks.
[[maybe_unused]] __device__ int place_of(int d) { return d % 2 == 0 ? d / 2 : kEven + (d / 2 + 3) % kVoxels; }

// The copies of one stage: all that the tile reads at position h of the source, zeros outside.
template <class Work>
struct PlaneCopy {
  const Work& work;
  int h, w, d, t;   // where the plane begins
  int first_block;  // of the source
  int64_t first;    // vector of the source
  int to;           // vector of shared memory

  __device__ PlaneCopy(const Work& work_, const TileOfGrid& tile, int stage)
      : work(work_),
        h(2 * tile.h - work.lead[kH] + Stage<Work>(work, stage).plane),
        w(2 * tile.w - work.lead[kW]),
        d(2 * tile.d - work.lead[kD]),
        t(2 * tile.t - work.lead[kT]),
        first_block(Stage<Work>(work, stage).part * Work::kBlocks),
        to(stage % kSlots * Work::kSlotBytes / kVector) {
    const int(&from)[4] = work.from;
    const int64_t voxel = (((int64_t(tile.n) * from[kT] + t) * from[kH] + h) * from[kW] + w) * from[kD] + d;
    first = voxel * work.blocks() + first_block;
  }

  // Where shared memory has a vector. A row is one of the plane, along D; its vectors lie as in the source: voxel,
  // block of channels.
  __device__ int place(int row, int vector) const {
    return to + vector % Work::kBlocks * Work::kPlane + row * kSpanD + place_of(vector / Work::kBlocks);
  }

  // The last part may have fewer blocks, and leaves those behind them as they are: nobody reads them.
  __device__ bool has(int vector) const {
    return !Work::kInParts || first_block + vector % Work::kBlocks < work.in_blocks;
  }

  __device__ void copy_vector(int row, int vector, uint32_t shared) const {
    const int(&from)[4] = work.from;
    const int voxel = vector / Work::kBlocks;
    const int in_w = row % Work::kSpanW, in_t = row / Work::kSpanW;
    const bool is_inside = h >= 0 && h < from[kH] && w + in_w >= 0 && w + in_w < from[kW] && d + voxel >= 0 &&
                           d + voxel < from[kD] && t + in_t >= 0 && t + in_t < from[kT];
    const int64_t row_step = int64_t(from[kD]) * work.blocks(), frame_step = row_step * from[kW] * from[kH];
    const int64_t in_row = Work::kInParts ? voxel * int64_t(work.in_blocks) + vector % Work::kBlocks : vector;
    const int64_t from_vector = first + in_t * frame_step + in_w * row_step + in_row;
    copy_async(shared + place(row, vector) * kVector, work.x + (is_inside ? from_vector * Work::kOfBlock : 0),
               is_inside);
  }

  // Calls visit(row, vector) for this thread's share. A warp takes a row at a time; the one voxel that each row has
  // beyond a warp's vectors follows.
  template <class Visit>
  __device__ void visit_vectors(const Visit& visit) const {
    constexpr int kVoxelsOfWarp = kSpanD - 1;
#pragma unroll
    for (int part = 0; part < Work::kBlocks; ++part) {
#pragma unroll 1
      for (int row = threadIdx.x / 32; row < Work::kRowsOfPlane; row += kWarps) {
        const int vector = part * 32 + threadIdx.x % 32;
        if (has(vector)) visit(row, vector);
      }
    }
#pragma unroll 1
    for (int i = threadIdx.x; i < Work::kRowsOfPlane * Work::kBlocks; i += kThreads) {
      const int vector = kVoxelsOfWarp * Work::kBlocks + i % Work::kBlocks;
      if (has(vector)) visit(i / Work::kBlocks, vector);
    }
  }

  __device__ void queue(uint32_t shared) const {
    visit_vectors([&](int row, int vector) { copy_vector(row, vector, shared); });
  }

  // Rounds float32 to TF32, once this thread's copies are there and before the others read them.
  __device__ void prepare() const {
    if constexpr (Work::kIsTf32) {
      visit_vectors([&](int row, int vector) {
        uint32_t words[4];
        memcpy(words, c4d_shared + place(row, vector), kVector);
        round_to_tf32(words);
        memcpy(c4d_shared + place(row, vector), words, kVector);
      });
    }
  }
};

// The stages of a tile, one after the other; the first one begins to arrive when this is made.
template <class Work>
struct Stages {
  const Work& work;
  const TileOfGrid& tile;
  uint32_t shared;
  int count;

  __device__ Stages(const Work& work_, const TileOfGrid& tile_, uint32_t shared_)
      : work(work_), tile(tile_), shared(shared_) {
    const int steps = steps_of(work.grid, tile);
    count = Work::kInParts ? steps * 3 * work.parts() : 2 * steps + 1;
    PlaneCopy<Work>(work, tile, 0).queue(shared);
  }

  // Waits for a stage: `turn` counts the parts of the three planes of a step. The slot that it is in.
  __device__ int wait_for(int step, int turn) const {
    const int stage = Work::kInParts ? step * 3 * work.parts() + turn : 2 * step + turn;
    if (Work::kInParts || stage == 0 || turn > 0) {
      wait_for_copies();
      PlaneCopy<Work>(work, tile, stage).prepare();
      __syncthreads();  // now this stage is there, and nobody reads the one that is overwritten next
      if (stage + 1 < count) PlaneCopy<Work>(work, tile, stage + 1).queue(shared);
    }
    return stage % kSlots * Work::kSlotBytes / kVector;
  }
};

// A problem as work; groups: of output channels, for a block of threads each.
template <class Work>
Work with_groups(const c4d_problem& p, int64_t groups) {
  Work work{};
  work.grid.batch = static_cast<int>(p.batch);
  work.grid.groups = static_cast<int>(groups);
  for (int axis = 0; axis < 4; ++axis) {
    work.grid.extents[axis] = static_cast<int>(p.out[axis]);
    work.from[axis] = static_cast<int>(p.in[axis]);
    work.lead[axis] = static_cast<int>(p.padding[axis]);
  }
  work.grid.tile[kW] = Work::kTileW, work.grid.tile[kD] = kVoxels, work.grid.tile[kT] = Work::kTileT;
  work.grid.tile[kH] = best_walk(work.grid, kResident, 2, 1);
  work.out_channels = static_cast<int>(p.out_channels);
  work.in_blocks = static_cast<int>(p.in_channels / Work::kOfBlock);
  return work;
}

}  // namespace
}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_STRIDED_PLANE_H
