// SPDX-License-Identifier: Apache-2.0
// Forward with stride 2 in float32 by fused multiply-adds: what tensor cores would round to TF32 stays as it is.
//
// The planes are those of mma_strided_kernels.h, four input channels at a time. A thread sums eight channels of four
// voxels of a row: the nine voxels of the input that a row of it reads serve the three taps along D, and a weight four
// voxels.
#include <math.h>

#include "mma_strided_plane.h"
#include "tiled_strided.h"
#include "tiled_weights.h"

namespace c4d_cuda {
namespace {

constexpr int kRun = 4;  // voxels of a thread along D
constexpr int kIn = kInOfTiled, kOut = 8;

// A job is a tile and two blocks of output channels: half of the threads for each.
struct TiledStrided : MmaStrided<float, 1, true, false> {
  static constexpr bool kIsTf32 = false;
  static constexpr int kRuns = kTileW * kTileT * kVoxels / kRun, kBlocksOut = kThreads / kRuns;
  static_assert(kOfBlock == kIn, "a vector of a plane is what the weights are packed for");

  __device__ const float* taps(int out, int turn) const {
    const int64_t block = int64_t(out) * in_blocks + turn % in_blocks;
    return reinterpret_cast<const float*>(weights) + (block * kTaps + turn / in_blocks * kTapsOfPlane) * kIn * kOut;
  }
};

using Sums = float[kRun][kOut];

// Where a thread's run of voxels lies in the tile, and its block of output channels.
struct Run {
  int w, t, d, out;

  __device__ explicit Run(const TileOfGrid& tile) {
    constexpr int kAlongD = kVoxels / kRun;
    const int run = threadIdx.x % TiledStrided::kRuns;
    w = run % TiledStrided::kTileW, t = run / TiledStrided::kTileW / kAlongD;
    d = run / TiledStrided::kTileW % kAlongD * kRun;
    out = tile.group * TiledStrided::kBlocksOut + threadIdx.x / TiledStrided::kRuns;
  }
};

// Adds the products of the three taps along D of one row of the input.
__device__ void add_row(const ulonglong2* row, const Run& run, const float* taps, Sums& sums) {
  float voxels[2 * kRun + 1][kIn];
#pragma unroll
  for (int i = 0; i < 2 * kRun + 1; ++i) load_vectors(row + place_of(2 * run.d + i), voxels[i]);
#pragma unroll
  for (int tap = 0; tap < 3; ++tap) {
#pragma unroll
    for (int c = 0; c < kIn; ++c) {
      float weights[kOut];
      load_vectors(taps + (tap * kIn + c) * kOut, weights);
#pragma unroll
      for (int i = 0; i < kRun * kOut; ++i) {
        float& sum = sums[i / kOut][i % kOut];
        sum = fmaf(voxels[i / kOut * 2 + tap][c], weights[i % kOut], sum);
      }
    }
  }
}

// Adds the products of 27 taps with four input channels: those of a plane in shared memory.
__device__ void add_plane(const ulonglong2* plane, const Run& run, const float* taps, Sums& sums) {
#pragma unroll 1
  for (int i = 0; i < 9; ++i) {  // taps along W, T
    const int row = (2 * run.t + i % 3) * TiledStrided::kSpanW + 2 * run.w + i / 3;
    add_row(plane + row * kSpanD, run, taps + i * 3 * kIn * kOut, sums);
  }
}

__device__ void begin_run(const TiledStrided& work, const Run& run, Sums& sums) {
  const bool has_bias = work.bias != nullptr && run.out * kOut < work.out_channels;
#pragma unroll
  for (int i = 0; i < kRun * kOut; ++i) {
    sums[i / kOut][i % kOut] = has_bias ? work.bias[run.out * kOut + i % kOut] : 0.0f;
  }
}

__device__ void store_run(const TiledStrided& work, const TileOfGrid& tile, const Run& run, int h, const Sums& sums) {
  const int(&size)[4] = work.grid.extents;
  const int w = tile.w + run.w, t = tile.t + run.t, d = tile.d + run.d;
  if (w >= size[kW] || t >= size[kT] || run.out * kOut >= work.out_channels) return;
  const int64_t row = ((int64_t(tile.n) * size[kT] + t) * size[kH] + h) * size[kW] + w;
  float* to = work.y + (row * size[kD] + d) * work.out_channels + run.out * kOut;
#pragma unroll
  for (int i = 0; i < kRun; ++i, to += work.out_channels) {
    if (d + i < size[kD]) store_vectors(sums[i], to);
  }
}

__device__ void walk(const TiledStrided& work, const TileOfGrid& tile) {
  const Run run(tile);
  const int steps = steps_of(work.grid, tile);
  const Stages<TiledStrided> stages(work, tile, shared_address(c4d_shared));
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    Sums sums;
    begin_run(work, run, sums);
#pragma unroll 1
    for (int turn = 0; turn < 3 * work.in_blocks; ++turn) {
      const int slot = stages.wait_for(step, turn);
      if (run.out * kOut < work.out_channels) add_plane(c4d_shared + slot, run, work.taps(run.out, turn), sums);
    }
    store_run(work, tile, run, tile.h + step, sums);
  }
}

__global__ void __launch_bounds__(kThreads, kResident) correlate_strided_in_float32(const TiledStrided work) {
#ifdef C4D_HAS_TENSOR_CORES  // and asynchronous copies
  for (int64_t job = blockIdx.x; job < work.grid.jobs(); job += gridDim.x) {
    walk(work, tile_at(work.grid, job));
    // Stages are even in number, as the blocks of eight channels are: the next job begins where nobody reads any more.
  }
#endif
}

}  // namespace

bool tiled_strided_serves(const c4d_problem& p) {
  return is_float_strided_cube(p) && runs_on_device(correlate_strided_in_float32, TiledStrided::kSharedBytes);
}

int tiled_strided_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                          void* workspace, void* stream) {
  const int status = pack_float32(p, false, w, workspace, stream);
  if (status != cudaSuccess) return status;
  constexpr int kOfJob = TiledStrided::kBlocksOut * kOut;
  TiledStrided work = with_groups<TiledStrided>(p, (p.out_channels + kOfJob - 1) / kOfJob);
  work.x = static_cast<const float*>(x), work.bias = static_cast<const float*>(bias);
  work.weights = static_cast<const uint32_t*>(workspace), work.y = static_cast<float*>(y);
  return launch_with_memory(correlate_strided_in_float32, work, work.grid.jobs(), kThreads, work.kSharedBytes, stream);
}

}  // namespace c4d_cuda
