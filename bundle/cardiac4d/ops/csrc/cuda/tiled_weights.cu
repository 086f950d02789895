// SPDX-License-Identifier: Apache-2.0
#include "tiled_weights.h"

#include "launch.h"
#include "mma_weights.h"

namespace c4d_cuda {
namespace {

constexpr int kIn = kInOfTiled;

__global__ void __launch_bounds__(kThreads) pack_in_float32(const PackWeights<float> work) {
  const int64_t step = int64_t(gridDim.x) * kThreads;
  for (int64_t i = blockIdx.x * int64_t(kThreads) + threadIdx.x; i < work.count(); i += step) {
    const int tap = i / (kIn * kOut) % kTaps;
    const int64_t blocks = i / (kIn * kOut * kTaps);
    const int64_t in = blocks % work.in_blocks * kIn + i / kOut % kIn, out = blocks / work.in_blocks * kOut + i % kOut;
    const float weight = weight_at(work, in, out, tap);
    memcpy(work.packed + i, &weight, sizeof weight);
  }
}

}  // namespace

int64_t pack_float32_bytes(const c4d_problem& p) { return p.in_channels * p.out_channels * kTaps * 4; }

int pack_float32(const c4d_problem& p, bool is_gradient, const void* w, void* packed, void* stream) {
  const Sizes sizes = sizes_of<float>(p, is_gradient);
  const PackWeights<float> weights{static_cast<const float*>(w), p.in_channels, sizes.in_blocks, sizes.out_blocks,
                                   is_gradient, static_cast<uint32_t*>(packed)};
  return launch(pack_in_float32, weights, (weights.count() + kThreads - 1) / kThreads, kThreads, 0, stream);
}

}  // namespace c4d_cuda
