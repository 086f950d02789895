// SPDX-License-Identifier: Apache-2.0
// A 1x1x1x1 convolution to a few classes and their softmax, in one pass: a thread computes one voxel. Logits are float
// and never stored.
#include "pointwise_softmax.h"

#include <math.h>

#include "frames.h"
#include "launch.h"
#include "pointwise.h"

namespace c4d_cuda {
namespace {

constexpr int kThreads = 128;

template <class Storage>
struct Softmax {
  int64_t voxels;
  Octet classes;
  Pointwise<Storage> conv;
  const Storage* x;
  float* y;

  __device__ void compute(int64_t voxel) const {
    float numbers[kOctet];
    conv.compute(x + voxel * conv.in_channels, classes, numbers);
    float largest = numbers[0], sum = 0;
#pragma unroll
    for (int i = 1; i < kOctet; ++i) {
      if (i < classes.count && !(numbers[i] <= largest)) largest = numbers[i];
    }
#pragma unroll
    for (int i = 0; i < kOctet; ++i) {
      numbers[i] = i < classes.count ? expf(numbers[i] - largest) : 0.0f;
      sum += numbers[i];
    }
#pragma unroll
    for (int i = 0; i < kOctet; ++i) {
      if (i < classes.count) y[voxel * classes.count + i] = numbers[i] / sum;
    }
  }
};

template <class Work>
__global__ void __launch_bounds__(kThreads) softmax(const Work work) {
  const int64_t step = int64_t(gridDim.x) * kThreads;
  for (int64_t i = blockIdx.x * int64_t(kThreads) + threadIdx.x; i < work.voxels; i += step) work.compute(i);
}

}  // namespace

int pointwise_softmax(const c4d_frames& f, int64_t classes, const void* x, const void* w, const void* bias, float* y,
                      void* stream) {
  return with_half_or_float(f.dtype, [&](auto type) {
    using S = decltype(type);
    const Octet all{0, static_cast<int>(classes), false};
    const Pointwise<S> conv{f.channels, static_cast<const S*>(w), static_cast<const S*>(bias)};
    const Softmax<S> work{f.batch * volume(f.size), all, conv, static_cast<const S*>(x), y};
    return launch(softmax<Softmax<S>>, work, (work.voxels + kThreads - 1) / kThreads, kThreads, 0, stream);
  });
}

}  // namespace c4d_cuda
