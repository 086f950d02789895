// SPDX-License-Identifier: Apache-2.0
// Weight gradient in float32 by fused multiply-adds, in the steps along H and the pieces of mma_grad_weight.cu.
//
// A lane sums the 27 taps of one position along H, for one input channel and 4 output channels: 108 sums. A warp has
// eight input channels, eight output channels and two runs of four voxels along D; or one input channel and 16 runs.
// Twelve warps, three for each scheduler: three taps along H, and four times the runs.
//
// Of a run a lane reads nine rows of six voxels of the input (with stride 2: nine), which the three taps along D share,
// and 4 x 4 numbers of the output's gradient, for 432 multiply-adds. In clocks of a multiprocessor, of which each takes
// the multiply-adds of four warps, and 128 bytes from shared memory: 108 for the multiply-adds of a warp; one for a
// number, one to four for 16 bytes (lanes that ask for the same get it at once, or in their turn): 58 to 70 for a run
// (with stride 2: 85 to 97). So arithmetic is what limits. Of the instructions seven of eight are multiply-adds. All
// this is reckoned, not measured.
//
// Float32 loses what is small beside a long sum: after kChain voxels a lane's sums are added to those of the block.
#include <math.h>

#include "mma_grad_weight_copies.h"
#include "ptx.h"
#include "tiled.h"
#include "tiled_grad_weight.h"

namespace c4d_cuda {
namespace {

using namespace grad_weight;

// What a lane sums: its tap along H, its input channel, the first of its output channels; and its first run.
struct Role {
  int tap, part, channel, out, run;
};

// The compiler must not know that it is the same at every step: it would keep what it computes from it in registers.
template <class Work>
__device__ Role role_of_lane() {
  int thread = threadIdx.x;
  asm volatile("" : "+r"(thread));
  const int lane = thread % 32, part = thread / 96, group = lane / (32 / Work::kGroups);
  return {thread / 32 % 3, part, lane % Work::kIns, lane / Work::kIns % 2 * kQuad, part * Work::kGroups + group};
}

// Adds the products of a run: `in` is the lane's channel of the first voxel that is read, `out` its channels of the
// first one of the output's gradient.
template <class Work>
__device__ void add_run(const float* in, const float* out, float (&sums)[kTapsOfPlane][kQuad]) {
  constexpr int kReads = Work::kStride * (kRun - 1) + 3;
  float dy[kRun][kQuad];
#pragma unroll
  for (int d = 0; d < kRun; ++d) load_vectors(out + d * Work::kOuts, dy[d]);
#pragma unroll
  for (int row = 0; row < 9; ++row) {  // taps along W and T
    float x[kReads];
#pragma unroll
    for (int i = 0; i < kReads; ++i) x[i] = in[Work::In::place(row / 3, i, row % 3) * Work::kPlace];
#pragma unroll
    for (int i = 0; i < 3 * kRun * kQuad; ++i) {
      const int tap = i / (kRun * kQuad), d = i / kQuad % kRun;
      float& sum = sums[row / 3 * 9 + tap * 3 + row % 3][i % kQuad];
      sum = fmaf(x[d * Work::kStride + tap], dy[d][i % kQuad], sum);
    }
  }
}

// A lane's share of step number `count`, which is at h.
template <class Work>
__device__ void add_step(const Work& work, int h, int count, float (&sums)[kTapsOfPlane][kQuad]) {
  using In = typename Work::In;
  using Out = typename Work::Out;
  constexpr int kStride = Work::kStride;
  const Role role = role_of_lane<Work>();
  const int lag = role.tap / kStride, plane = role.tap % kStride;
  if (!is_on(h - lag, work.dy.size[kH])) return;
  if (!is_on(h * kStride + plane - work.padding[kH], work.x.size[kH])) return;
  const int in_slot = count % 2 * kStride + plane, out_slot = (count + Work::kOutSlots - lag) % Work::kOutSlots;
  const float* shared = reinterpret_cast<const float*>(c4d_shared);
  const float* in = shared + in_slot * In::kVectors * 4 + role.channel;
  const float* out = shared + (Work::kFirstOut + out_slot * Work::kOutVectors) * 4 + role.out;
#pragma unroll 1
  for (int i = 0; i < Work::kRuns; ++i) {
    const int run = role.run + i * Work::kParts * Work::kGroups, row = run / Work::kTileW;
    const int w = run % Work::kTileW, d = row % (Work::kTileD / kRun) * kRun, t = row / (Work::kTileD / kRun);
    add_run<Work>(in + In::place(w * kStride, d * kStride, t * kStride) * Work::kPlace, out + Out::place(w, d, t) * 4,
                  sums);
  }
}

// Adds the lanes' sums to those of the block, or begins these: one part after the other. The lanes' are zero then.
template <class Work>
__device__ void add_up(bool is_first, float (&sums)[kTapsOfPlane][kQuad]) {
  const Role role = role_of_lane<Work>();
  float* to = reinterpret_cast<float*>(c4d_shared + Work::kFirstTotal);
  to += (role.tap * kTapsOfPlane * Work::kOuts + role.out) * Work::kIns + role.channel;
#pragma unroll
  for (int i = 0; i < kTapsOfPlane * kQuad; ++i) {
    float& sum = sums[i / kQuad][i % kQuad];
#pragma unroll
    for (int distance = 32 / Work::kGroups; distance < 32; distance *= 2) sum += of_other_lane(sum, distance);
  }
#pragma unroll 1
  for (int part = 0; part < Work::kParts; ++part) {
    if (role.part == part && threadIdx.x % 32 < 32 / Work::kGroups) {
#pragma unroll
      for (int i = 0; i < kTapsOfPlane * kQuad; ++i) {
        float* total = to + (i / kQuad * Work::kOuts + i % kQuad) * Work::kIns;
        *total = (is_first && part == 0 ? 0.0f : *total) + sums[i / kQuad][i % kQuad];
      }
    }
    __syncthreads();  // before the next part adds, or the sums are stored
  }
#pragma unroll
  for (int i = 0; i < kTapsOfPlane * kQuad; ++i) sums[i / kQuad][i % kQuad] = 0;
}

template <class Work>
__global__ void __launch_bounds__(Work::kThreads) sum_in_float32(const Work work) {
#ifdef C4D_HAS_TENSOR_CORES  // and asynchronous copies
  for (int64_t job = blockIdx.x; job < work.jobs; job += gridDim.x) {
    const int64_t first = job / work.jobs_of_a_piece * work.share, rest = work.steps - first;
    const int64_t channels = job % work.jobs_of_a_piece;  // neighbours read the same voxels
    const int steps = static_cast<int>(rest < work.share ? rest : work.share);
    const Copier<Work> copier{work, static_cast<int>(channels % work.x.blocks),
                              static_cast<int>(channels / work.x.blocks)};
    float sums[kTapsOfPlane][kQuad] = {};
    Step next = step_at(work, first);
    copier.copy_earlier(next);
    copier.copy_step(next, 0);
#pragma unroll 1
    for (int count = 0; count < steps; ++count) {
      wait_for_copies();
      copier.prepare_step(next, count);
      __syncthreads();  // now the planes of this step are there, and nobody reads those that are overwritten next
      const int h = next.at[kH];
      advance(work, next);
      if (count + 1 < steps) copier.copy_step(next, count + 1);
      add_step(work, h, count, sums);
      if ((count + 1) % Work::kStepsOfChain == 0 || count + 1 == steps) {
        add_up<Work>(count < Work::kStepsOfChain, sums);
      }
    }
    const float* totals = reinterpret_cast<const float*>(c4d_shared + Work::kFirstTotal);
    for (int i = threadIdx.x; i < Work::kSums; i += Work::kThreads) work.sums[job * Work::kSums + i] = totals[i];
    // All have passed the barrier of the last sum: planes may be overwritten. Totals are, behind the barrier of a step.
  }
#endif
}

// Calls call(Work) with the kernel's numbers for a problem.
template <class Call>
auto with_work(const c4d_problem& p, const Call& call) {
  if (p.in_channels == 1) return call(TiledGradWeight<1, 1, 8, 16, 4>());
  return p.stride[kH] == 2 ? call(TiledGradWeight<2, 8, 4, 4, 2>()) : call(TiledGradWeight<1, 8, 4, 16, 4>());
}

}  // namespace

bool tiled_serves_grad_weight(const c4d_problem& p) {
  if (p.dtype != C4D_FLOAT32 || !has_grad_weight_shape(p)) return false;
  return with_work(p, [](auto work) { return runs_on_device(sum_in_float32<decltype(work)>, work.kSharedBytes); });
}

int64_t tiled_grad_weight_workspace(const c4d_problem& p) {
  return with_work(p, [&](auto work) { return workspace_of(p, work); });
}

int tiled_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, void* workspace, void* stream) {
  return with_work(p, [&](auto work) {
    plan(p, x, dy, dw, workspace, work);
    return launch_both(sum_in_float32<decltype(work)>, work, stream);
  });
}

int tiled_norm_relu_grad_weight(const c4d_problem& p, const void* x, const float* scale, const float* shift,
                                const void* dy, void* dw, void* workspace, void* stream) {
  TiledGradWeight<1, 8, 4, 16, 4, NormReluInput> work{};
  plan(p, x, dy, dw, workspace, work);
  work.fusion = {scale, shift};
  return launch_both(sum_in_float32<decltype(work)>, work, stream);
}

}  // namespace c4d_cuda
