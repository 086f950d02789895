// SPDX-License-Identifier: Apache-2.0
// Forward and input gradient in float32 by fused multiply-adds: what tensor cores would round to TF32 stays as it is.
//
// The planes are those of mma_kernels.h, three of four input channels at a time, the next three on their way. A warp
// sums 4 x 4 rows (W x T) of 16 voxels in eight channels; a lane of it eight voxels of one row: a voxel that it reads
// from shared memory serves three taps along D, and a weight eight voxels, 64 products for two loads of weights.
#include <math.h>

#include "mma_tile.h"
#include "tiled.h"
#include "tiled_weights.h"

namespace c4d_cuda {
namespace {

constexpr int kRun = 8;            // voxels of a lane along D
constexpr int kIn = kInOfTiled;    // input channels of a vector

// A job is a tile and as many blocks of output channels as there are warps.
struct Tiled : MmaCorrelate<float, kRows, kRows> {
  static constexpr int kStage = 3 * kPlane;  // vectors

  static int64_t shared_bytes() { return 2 * kStage * kVector; }
  __host__ __device__ int64_t out_jobs() const { return (sizes.out_blocks + kWarps - 1) / kWarps; }
  __host__ __device__ int64_t jobs() const { return MmaCorrelate::jobs() * out_jobs(); }
  __device__ const float* taps(int out, int block) const {
    return reinterpret_cast<const float*>(weights) + (int64_t(out) * sizes.in_blocks + block) * kTaps * kIn * kOut;
  }
};

// Where a lane's run of voxels lies in the tile.
struct Run {
  int w, t, d;
};

__device__ Run run_of_lane() {
  const int lane = threadIdx.x % 32;
  return {lane % kRows, lane / (2 * kRows), lane / kRows % 2 * kRun};
}

// Adds the products of the three taps along D of one row: kRun + 2 voxels from `row` on, four channels each.
__device__ void add_row(const float* row, const float* taps, float (&sums)[kRun][kOut]) {
  float voxels[kRun + 2][kIn];
#pragma unroll
  for (int i = 0; i < kRun + 2; ++i) load_vectors(row + i * kIn, voxels[i]);
#pragma unroll
  for (int tap = 0; tap < 3; ++tap) {
#pragma unroll
    for (int c = 0; c < kIn; ++c) {
      float weights[kOut];
      load_vectors(taps + (tap * kIn + c) * kOut, weights);
#pragma unroll
      for (int i = 0; i < kRun * kOut; ++i) {
        float& sum = sums[i / kOut][i % kOut];
        sum = fmaf(voxels[i / kOut + tap][c], weights[i % kOut], sum);
      }
    }
  }
}

// Adds the products of four input channels: three planes from vector `stage` of shared memory on.
__device__ void add_stage(int stage, const Run& run, const float* taps, float (&sums)[kRun][kOut]) {
#pragma unroll 1
  for (int i = 0; i < kTaps / 3; ++i) {  // taps along H, W, T
    const int w = run.w + i / 3 % 3, t = run.t + i % 3;
    const int row = stage + i / 9 * Tiled::kPlane + (t * Tiled::kSpanW + w) * Tiled::kSpanD + run.d;
    add_row(reinterpret_cast<const float*>(c4d_shared + row), taps + i * 3 * kIn * kOut, sums);
  }
}

__device__ void begin_run(const Tiled& work, int out, float (&sums)[kRun][kOut]) {
#pragma unroll
  for (int i = 0; i < kRun * kOut; ++i) {
    sums[i / kOut][i % kOut] = work.bias == nullptr ? 0.0f : work.bias[out * kOut + i % kOut];
  }
}

__device__ void store_run(const Tiled& work, const Tile& tile, const Run& run, int h, int out,
                          const float (&sums)[kRun][kOut]) {
  const int(&size)[4] = work.sizes.to;
  const int w = tile.w + run.w, t = tile.t + run.t, d = tile.d + run.d;
  if (w >= size[kW] || t >= size[kT]) return;
  const int64_t row = ((int64_t(tile.n) * size[kT] + t) * size[kH] + h) * size[kW] + w;
  float* to = work.to + ((row * size[kD] + d) * work.sizes.out_blocks + out) * kOut;
#pragma unroll
  for (int i = 0; i < kRun; ++i, to += int64_t(work.sizes.out_blocks) * kOut) {
    if (d + i < size[kD]) store_vectors(sums[i], to);
  }
}

__device__ void copy_stage(const Tiled& work, const Tile& tile, int stage) {
  const int step = stage / work.sizes.in_blocks, block = stage % work.sizes.in_blocks;
  for (int kh = 0; kh < 3; ++kh) {
    const int h = tile.h + step - work.sizes.lead[kH] + kh;
    copy_plane(work, tile, h, block, 1, stage % 2 * Tiled::kStage + kh * Tiled::kPlane);
  }
}

__global__ void __launch_bounds__(kThreads) correlate_in_float32(const Tiled work) {
#ifdef C4D_HAS_TENSOR_CORES  // and asynchronous copies
  const Run run = run_of_lane();
  const int in_blocks = work.sizes.in_blocks;
  for (int64_t job = blockIdx.x; job < work.jobs(); job += gridDim.x) {
    const Tile tile = tile_at(work, job / work.out_jobs());
    const int out = static_cast<int>(job % work.out_jobs() * kWarps + threadIdx.x / 32);
    const int rest = work.sizes.to[kH] - tile.h, stages = (rest < kSteps ? rest : kSteps) * in_blocks;
    float sums[kRun][kOut];
    copy_stage(work, tile, 0);
#pragma unroll 1
    for (int stage = 0; stage < stages; ++stage) {
      wait_for_copies();
      __syncthreads();  // now this stage is there, and nobody reads the one that is overwritten next
      if (stage + 1 < stages) copy_stage(work, tile, stage + 1);
      if (out >= work.sizes.out_blocks) continue;
      const int block = stage % in_blocks;
      if (block == 0) begin_run(work, out, sums);
      add_stage(stage % 2 * Tiled::kStage, run, work.taps(out, block), sums);
      if (block + 1 == in_blocks) store_run(work, tile, run, tile.h + stage / in_blocks, out, sums);
    }
    // Stages are even in number, as the blocks of eight channels are: the next job begins where nobody reads any more.
  }
#endif
}

int correlate(const c4d_problem& p, bool is_gradient, const void* from, const void* w, const void* bias, void* to,
              void* workspace, void* stream) {
  const Sizes sizes = sizes_of<float>(p, is_gradient);
  const int status = pack_float32(p, is_gradient, w, workspace, stream);
  if (status != cudaSuccess) return status;
  Tiled work{};
  work.sizes = sizes, work.weights = static_cast<const uint32_t*>(workspace);
  work.from = static_cast<const float*>(from);
  work.bias = static_cast<const float*>(bias), work.to = static_cast<float*>(to);
  return launch_with_memory(correlate_in_float32, work, work.jobs(), kThreads, Tiled::shared_bytes(), stream);
}

}  // namespace

bool tiled_serves(const c4d_problem& p) {
  return p.dtype == C4D_FLOAT32 && is_cube_of_octets(p) && runs_on_device(correlate_in_float32, Tiled::shared_bytes());
}

int64_t tiled_workspace(const c4d_problem& p) { return pack_float32_bytes(p); }

int tiled_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                  void* stream) {
  return correlate(p, false, x, w, bias, y, workspace, stream);
}

int tiled_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace, void* stream) {
  return correlate(p, true, dy, w, nullptr, dx, workspace, stream);
}

}  // namespace c4d_cuda
