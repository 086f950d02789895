// SPDX-License-Identifier: Apache-2.0
// What a block of threads reads for the forward pass with stride 2, and how it lies in shared memory; see
// mma_strided.cu.
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
constexpr int kSlots = 2;                     // planes in shared memory
constexpr int kEven = kVoxels + 1, kSpanD = kEven + kVoxels;  // voxels of a row: even positions first, then odd ones

template <class Storage_, int kBlocks_>
struct MmaStrided {
  using Storage = Storage_;
  static constexpr int kBlocks = kBlocks_;  // of input channels: the more of them, the smaller the tile
  static constexpr int kTileW = kBlocks <= 2 ? 4 : 2, kTileT = kBlocks == 1 ? 4 : 2;
  static constexpr int kWarpsW = kTileW / kRows, kWarpsT = kTileT / kRows, kWarpsOut = kWarps / kWarpsW / kWarpsT;
  static constexpr int kSpanW = 2 * kTileW + 1, kSpanT = 2 * kTileT + 1, kRowsOfPlane = kSpanW * kSpanT;
  // Vectors per block of channels, so many that copies of neighbouring vectors of the input go to different banks.
  static constexpr int kPlane = (kRowsOfPlane * kSpanD + 7) / 8 * 8 + (kBlocks == 2 ? 2 : 1);
  static constexpr int kSlotBytes = kBlocks * kPlane * kVector, kSharedBytes = kSlots * kSlotBytes;
  Grid grid;  // groups: of kWarpsOut pairs of blocks
  int from[4], lead[4], out_channels;  // lead: zeros before the first voxel
  const Storage *x, *bias;             // no bias: null
  const uint32_t* weights;             // packed, see Order
  Storage* y;
};

// Where a row of shared memory has the voxel at a position. Odd ones are turned by three, so that a copy of eight
// neighbours writes to all banks.
[[maybe_unused]] __device__ int place_of(int d) { return d % 2 == 0 ? d / 2 : kEven + (d / 2 + 3) % kVoxels; }

// Queues the copies of one plane: all that the tile reads at position h of the source, zeros outside.
template <class Work>
struct PlaneCopy {
  const Work& work;
  int h, w, d, t;  // where the plane begins
  int64_t first;   // vector of the source
  uint32_t to;

  __device__ PlaneCopy(const Work& work_, const TileOfGrid& tile, int plane, uint32_t shared)
      : work(work_),
        h(2 * tile.h - work.lead[kH] + plane),
        w(2 * tile.w - work.lead[kW]),
        d(2 * tile.d - work.lead[kD]),
        t(2 * tile.t - work.lead[kT]),
        to(shared + plane % kSlots * Work::kSlotBytes) {
    const int(&from)[4] = work.from;
    first = ((((int64_t(tile.n) * from[kT] + t) * from[kH] + h) * from[kW] + w) * from[kD] + d) * Work::kBlocks;
  }

  // A row is one of the plane, along D; its vectors lie as in the source: voxel, block of channels.
  __device__ void copy_vector(int row, int vector) const {
    const int(&from)[4] = work.from;
    const int block = vector % Work::kBlocks, voxel = vector / Work::kBlocks;
    const int in_w = row % Work::kSpanW, in_t = row / Work::kSpanW;
    const bool is_inside = h >= 0 && h < from[kH] && w + in_w >= 0 && w + in_w < from[kW] && d + voxel >= 0 &&
                           d + voxel < from[kD] && t + in_t >= 0 && t + in_t < from[kT];
    const int64_t row_step = int64_t(from[kD]) * Work::kBlocks, frame_step = row_step * from[kW] * from[kH];
    const int64_t place = first + in_t * frame_step + in_w * row_step + vector;
    copy_async(to + (block * Work::kPlane + row * kSpanD + place_of(voxel)) * kVector,
               work.x + (is_inside ? place * kBlock : 0), is_inside);
  }

  // A warp copies a row at a time; the one voxel that each row has beyond a warp's vectors follows.
  __device__ void run() const {
    constexpr int kVoxelsOfWarp = kSpanD - 1;
#pragma unroll
    for (int part = 0; part < Work::kBlocks; ++part) {
#pragma unroll 1
      for (int row = threadIdx.x / 32; row < Work::kRowsOfPlane; row += kWarps) {
        copy_vector(row, part * 32 + threadIdx.x % 32);
      }
    }
#pragma unroll 1
    for (int i = threadIdx.x; i < Work::kRowsOfPlane * Work::kBlocks; i += kThreads) {
      copy_vector(i / Work::kBlocks, kVoxelsOfWarp * Work::kBlocks + i % Work::kBlocks);
    }
  }
};

}  // namespace
}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_STRIDED_PLANE_H
