// SPDX-License-Identifier: Apache-2.0
// Forward and input gradient in float32 by fused multiply-adds: what tensor cores would round to TF32 stays as it is.
//
// The planes are those of mma_kernels.h, three of four input channels at a time, the next three on their way. A warp
// sums 4 x 4 rows (W x T) of 16 voxels in eight channels; a lane of it eight voxels of one row: a voxel that it reads
// from shared memory serves three taps along D, and a weight eight voxels, 64 products for two loads of weights. Norm
// and ReLU are applied in shared memory, see mma_fusion.h, and a residual is added before a voxel is stored.
#include <math.h>

#include "mma_tile.h"
#include "tiled.h"
#include "tiled_weights.h"

namespace c4d_cuda {
namespace {

constexpr int kRun = 8;          // voxels of a lane along D
constexpr int kAhead = 2;        // of these, whose residuals are asked for at once
constexpr int kIn = kInOfTiled;  // input channels of a vector

// A job is a tile and as many blocks of output channels as there are warps.
template <class Fusion>
struct Tiled : MmaCorrelate<float, kRows, kRows, Fusion> {
  using Base = MmaCorrelate<float, kRows, kRows, Fusion>;
  static constexpr int kStage = 3 * Base::kPlane;  // vectors

  static int64_t shared_bytes() { return 2 * kStage * kVector; }
  __host__ __device__ int64_t out_jobs() const { return (this->sizes.out_blocks + kWarps - 1) / kWarps; }
  __host__ __device__ int64_t jobs() const { return Base::jobs() * out_jobs(); }
  __device__ const float* taps(int out, int block) const {
    const int64_t blocks = int64_t(out) * this->sizes.in_blocks + block;
    return reinterpret_cast<const float*>(this->weights) + blocks * kTaps * kIn * kOut;
  }
};

// Where a lane's run of voxels lies in the tile.
struct Run {
  int w, t, d;
};

__device__ inline Run run_of_lane() {
  int thread = threadIdx.x;
  asm volatile("" : "+r"(thread));
  const int lane = thread % 32;
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
template <class Work>
__device__ void add_stage(int stage, const Run& run, const float* taps, float (&sums)[kRun][kOut]) {
#pragma unroll 1
  for (int i = 0; i < kTaps / 3; ++i) {  // taps along H, W, T
    const int w = run.w + i / 3 % 3, t = run.t + i % 3;
    const int row = stage + i / 9 * Work::kPlane + (t * Work::kSpanW + w) * Work::kSpanD + run.d;
    add_row(reinterpret_cast<const float*>(c4d_shared + row), taps + i * 3 * kIn * kOut, sums);
  }
}

template <class Work>
__device__ void begin_run(const Work& work, int out, float (&sums)[kRun][kOut]) {
#pragma unroll
  for (int i = 0; i < kRun * kOut; ++i) {
    sums[i / kOut][i % kOut] = work.bias == nullptr ? 0.0f : work.bias[out * kOut + i % kOut];
  }
}

// Adds the residual to eight channels of those of a few voxels that are in their row. All are asked for before the first
// is looked at: one after the other, each would wait for memory.
template <class Work>
__device__ void add_residual(const Work& work, const float* to, int inside, float (*voxels)[kOut]) {
  if (work.fusion.beside == nullptr) return;
  const float* from = work.fusion.beside + (to - work.to);
  float more[kAhead][kOut];
#pragma unroll
  for (int i = 0; i < kAhead; ++i, from += int64_t(work.sizes.out_blocks) * kOut) {
    if (i < inside) load_vectors(from, more[i]);
  }
#pragma unroll
  for (int i = 0; i < kAhead * kOut; ++i) {
    if (i / kOut < inside) voxels[i / kOut][i % kOut] += more[i / kOut][i % kOut];
  }
}

template <class Work>
__device__ void store_run(const Work& work, const Tile& tile, const Run& run, int h, int out,
                          float (&sums)[kRun][kOut]) {
  const int(&size)[4] = work.sizes.to;
  const int w = tile.w + run.w, t = tile.t + run.t, d = tile.d + run.d;
  if (w >= size[kW] || t >= size[kT]) return;
  const int64_t row = ((int64_t(tile.n) * size[kT] + t) * size[kH] + h) * size[kW] + w;
  float* to = work.to + ((row * size[kD] + d) * work.sizes.out_blocks + out) * kOut;
#pragma unroll
  for (int i = 0; i < kRun; ++i, to += int64_t(work.sizes.out_blocks) * kOut) {
    if constexpr (Work::Fusion::kAddsResidual) {
      if (i % kAhead == 0) add_residual(work, to, size[kD] - d - i, sums + i);
    }
    if (d + i < size[kD]) store_vectors(sums[i], to);
  }
}

// Calls visit(h, block, vector) for the planes of a stage: their position, channels, and place in shared memory.
template <class Work, class Visit>
__device__ void visit_stage(const Work& work, const Tile& tile, int stage, const Visit& visit) {
  const int step = stage / work.sizes.in_blocks, block = stage % work.sizes.in_blocks;
#pragma unroll 1
  for (int kh = 0; kh < 3; ++kh) {
    visit(tile.h + step - work.sizes.lead[kH] + kh, block, stage % 2 * Work::kStage + kh * Work::kPlane);
  }
}

template <class Work>
__device__ void copy_stage(const Work& work, const Tile& tile, int stage) {
  visit_stage(work, tile, stage, [&](int h, int block, int vector) { copy_plane(work, tile, h, block, 1, vector); });
}

// Normalises what this thread copied, once that is there. What is outside is zero and stays so.
template <class Work>
__device__ void prepare_stage(const Work& work, const Tile& tile, int stage) {
  if constexpr (Work::Fusion::kNormalises) {
    visit_stage(work, tile, stage, [&](int h, int block, int vector) {
      const int64_t number = (int64_t(tile.n) * work.sizes.in_blocks + block) * kIn;
      visit_plane(work, tile, h, 1, [&](int place, int, int64_t voxel) {
        if (voxel < 0) return;
        uint32_t words[4];
        memcpy(words, c4d_shared + vector + place, kVector);
        normalise<float>(work.fusion.scale + number, work.fusion.shift + number, words);
        memcpy(c4d_shared + vector + place, words, kVector);
      });
    });
  }
}

template <class Work>
__global__ void __launch_bounds__(kThreads) correlate_in_float32(const Work work) {
#ifdef C4D_HAS_TENSOR_CORES  // and asynchronous copies
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
      prepare_stage(work, tile, stage);
      __syncthreads();  // now this stage is there, and nobody reads the one that is overwritten next
      if (stage + 1 < stages) copy_stage(work, tile, stage + 1);
      if (out >= work.sizes.out_blocks) continue;
      const int block = stage % in_blocks;
      const Run run = run_of_lane();
      if (block == 0) begin_run(work, out, sums);
      add_stage<Work>(stage % 2 * Work::kStage, run, work.taps(out, block), sums);
      if (block + 1 == in_blocks) store_run(work, tile, run, tile.h + stage / in_blocks, out, sums);
    }
    // Stages are even in number, as the blocks of eight channels are: the next job begins where nobody reads any more.
  }
#endif
}

template <class Fusion>
int correlate(const c4d_problem& p, bool is_gradient, const void* from, const void* w, const void* bias, void* to,
              const Fusion& fusion, void* workspace, void* stream) {
  const Sizes sizes = sizes_of<float>(p, is_gradient);
  const int status = pack_float32(p, is_gradient, w, workspace, stream);
  if (status != cudaSuccess) return status;
  Tiled<Fusion> work{};
  work.sizes = sizes, work.weights = static_cast<const uint32_t*>(workspace), work.fusion = fusion;
  work.from = static_cast<const float*>(from);
  work.bias = static_cast<const float*>(bias), work.to = static_cast<float*>(to);
  return launch_with_memory(correlate_in_float32<Tiled<Fusion>>, work, work.jobs(), kThreads, work.shared_bytes(),
                            stream);
}

}  // namespace

bool tiled_serves(const c4d_problem& p) {
  using Work = Tiled<NotFused>;
  return p.dtype == C4D_FLOAT32 && is_cube_of_octets(p) &&
         runs_on_device(correlate_in_float32<Work>, Work::shared_bytes());
}

int64_t tiled_workspace(const c4d_problem& p) { return pack_float32_bytes(p); }

int tiled_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                  void* stream) {
  return correlate(p, false, x, w, bias, y, NotFused(), workspace, stream);
}

int tiled_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace, void* stream) {
  return correlate(p, true, dy, w, nullptr, dx, NotFused(), workspace, stream);
}

int tiled_norm_relu_forward(const c4d_problem& p, const void* x, const float* scale, const float* shift, const void* w,
                            const void* bias, const void* residual, void* y, void* workspace, void* stream) {
  const NormReluResidual fusion{{scale, shift}, static_cast<const float*>(residual)};
  return correlate(p, false, x, w, bias, y, fusion, workspace, stream);
}

}  // namespace c4d_cuda
