// SPDX-License-Identifier: Apache-2.0
// Input gradient of stride 2 in float32 by fused multiply-adds: what tensor cores would round to TF32 stays as it is.
//
// Cells and planes are those of mma_strided_gradient.cu. A thread sums eight channels of one cell at one position along
// H: it reads the eight voxels of a plane of the source around the cell, and the 27 taps that join these.
#include <math.h>

#include "mma_strided_gradient_plane.h"
#include "tiled_strided.h"
#include "tiled_weights.h"

namespace c4d_cuda {
namespace {

constexpr int kIn = kInOfTiled, kOut = 8;
static_assert(kTileW * kTileD * kTileT == kThreads, "each thread has a cell");

template <bool kInParts_>
struct TiledStridedGradient : MmaStridedGradient<float, kInParts_> {
  static constexpr bool kIsTf32 = false;
  static_assert(TiledStridedGradient::kOfBlock == kIn, "a vector of a plane is what the weights are packed for");
};

using Row = float[2][kOut];  // two voxels of a cell along D
using Sums = Row[2][2];      // along T, and along W

// Where a thread's cell lies in the tile.
struct Cell {
  int w, t, d;
};

__device__ Cell cell_of_thread() {
  const int thread = threadIdx.x;
  return {thread / kTileD % kTileW, thread / (kTileD * kTileW), thread % kTileD};
}

// Adds the products of two voxels of the source along D with two of the cell. The packed taps are flipped, and `taps`
// is behind the three.
__device__ void add_row(const float (&from)[2][kIn], const float* taps, Row& sums) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int source = i / 2, voxel = i % 2, kd = tap_of(voxel, source);
    if (kd < 0) continue;
#pragma unroll
    for (int c = 0; c < kIn; ++c) {
      float weights[kOut];
      load_vectors(taps - ((kd + 1) * kIn - c) * kOut, weights);
#pragma unroll
      for (int j = 0; j < kOut; ++j) sums[voxel][j] = fmaf(from[source][c], weights[j], sums[voxel][j]);
    }
  }
}

// Adds the products of one tap along H with `blocks` of source channels: `plane` is the first voxel that the cell
// reads, `taps` where the weights of the first block end.
__device__ void add_plane(const ulonglong2* plane, int blocks, const float* taps, Sums& sums) {
#pragma unroll 1
  for (int i = 0; i < blocks * 4; ++i) {  // and the source's places around the cell along T and W
    const int source_t = i / 2 % 2, source_w = i % 2;
    const ulonglong2* row = plane + i / 4 * kPlane + (source_t * kSpanW + source_w) * kSpanD;
    const float* behind = taps + int64_t(i / 4) * kTaps * kIn * kOut;
    float from[2][kIn];
    load_vectors(row, from[0]);
    load_vectors(row + 1, from[1]);
#pragma unroll
    for (int voxel = 0; voxel < 4; ++voxel) {
      const int kt = tap_of(voxel / 2, source_t), kw = tap_of(voxel % 2, source_w);
      if (kt >= 0 && kw >= 0) add_row(from, behind - (kw * 9 + kt * 3) * kIn * kOut, sums[voxel / 2][voxel % 2]);
    }
  }
}

// Stores the voxels of the thread's cell at position h of the target, where they are inside.
template <class Work>
__device__ void store_cell(const Work& work, const TileOfGrid& tile, const Cell& cell, int h, const Sums& sums) {
  const int(&size)[4] = work.to;
  if (h < 0 || h >= size[kH]) return;
#pragma unroll
  for (int i = 0; i < kVoxels; ++i) {
    const int t = 2 * (tile.t + cell.t) - work.shift[kT] + i / 4;
    const int w = 2 * (tile.w + cell.w) - work.shift[kW] + i / 2 % 2;
    const int d = 2 * (tile.d + cell.d) - work.shift[kD] + i % 2;
    if (t < 0 || t >= size[kT] || w < 0 || w >= size[kW] || d < 0 || d >= size[kD]) continue;
    const int64_t voxel = (((int64_t(tile.n) * size[kT] + t) * size[kH] + h) * size[kW] + w) * size[kD] + d;
    store_vectors(sums[i / 4][i / 2 % 2][i % 2], work.dx + voxel * work.to_channels + tile.group * kOut);
  }
}

template <class Work>
__device__ void walk(const Work& work, const TileOfGrid& tile) {
  const int steps = steps_of(work.grid, tile);
  const Cell cell = cell_of_thread();
  const int first = (cell.t * kSpanW + cell.w) * kSpanD + cell.d;
  const float* taps = reinterpret_cast<const float*>(work.weights);
  taps += int64_t(tile.group) * work.from_blocks * kTaps * kIn * kOut;
  const Stages<Work> stages(work, tile, shared_address(c4d_shared));
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
#pragma unroll 1
    for (int voxel = 0; voxel < 2; ++voxel) {
      Sums sums = {};
#pragma unroll 1
      for (int turn = 0; turn < (voxel + 1) * work.parts(); ++turn) {
        const Stage<Work> stage = stages.wait_for(step, voxel, turn);
        const int64_t block = stage.part * int64_t(kMostProducts * kProduct);
        const int behind = kTaps - tap_of(voxel, turn / work.parts()) * kTapsOfPlane;
        add_plane(c4d_shared + stage.slot + first, work.products_of(stage.part) * kProduct,
                  taps + (block * kTaps + behind) * kIn * kOut, sums);
      }
      store_cell(work, tile, cell, 2 * (tile.h + step) - work.shift[kH] + voxel, sums);
    }
  }
}

template <class Work>
__global__ void __launch_bounds__(kThreads, 2) spread_strided_in_float32(const Work work) {
#ifdef C4D_HAS_TENSOR_CORES  // and asynchronous copies
  for (int64_t job = blockIdx.x; job < work.grid.jobs(); job += gridDim.x) {
    walk(work, tile_at(work.grid, job));
    __syncthreads();  // before the next job overwrites the planes
  }
#endif
}

// Calls call(work) with the kernel for so many source channels.
template <class Call>
auto with_work(const c4d_problem& p, const Call& call) {
  const auto whole = work_of<TiledStridedGradient<false>>(p);
  return whole.products <= kMostProducts ? call(whole) : call(work_of<TiledStridedGradient<true>>(p));
}

}  // namespace

bool tiled_strided_serves_gradient(const c4d_problem& p) {
  return is_float_strided_cube(p) && with_work(p, [](auto work) {
    return runs_on_device(spread_strided_in_float32<decltype(work)>, work.shared_bytes());
  });
}

int tiled_strided_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace,
                             void* stream) {
  const int status = pack_float32(p, true, w, workspace, stream);
  if (status != cudaSuccess) return status;
  return with_work(p, [&](auto work) {
    work.dy = static_cast<const float*>(dy), work.dx = static_cast<float*>(dx);
    work.weights = static_cast<const uint32_t*>(workspace);
    return launch_with_memory(spread_strided_in_float32<decltype(work)>, work, work.grid.jobs(), kThreads,
                              work.shared_bytes(), stream);
  });
}

}  // namespace c4d_cuda
