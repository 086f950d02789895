// SPDX-License-Identifier: Apache-2.0
// What a convolution takes along, on tensor cores or in float32 (tiled_*.cu): a norm and ReLU of its input, applied in
// shared memory by the thread that copied a vector, before the barrier that shows it to the others; a residual; and, on
// tensor cores, at the end of a tile what the next layer needs of its output, while that is in registers.
//
// A fusion may have three parts, which its constants announce:
//   kNormalises: the input is max(0, x * scale + shift); scale and shift are (N, C). Padding stays zero.
//   kSums: `add` gets two neighbouring channels of a voxel as stored, and adds to a thread's four sums, two per channel;
//     `pieces` takes those of each tile, (N, tiles, C, 2). `beside`, unless it is null, is read where the output is
//     stored; `finish` may change the channels before. What belongs to the channels alone is in `Channels`.
//   kAddsResidual: `beside` is added to the output; with kSums by `finish`.
#ifndef CARDIAC4D_CUDA_MMA_FUSION_H
#define CARDIAC4D_CUDA_MMA_FUSION_H

#include <string.h>

#include "storage.h"
#include "vectors.h"

namespace c4d_cuda {

// Four words of shared memory as numbers, normalised and behind the ReLU. scale, shift: of their channels, in vectors.
template <class Storage>
__device__ void normalise(const float* scale, const float* shift, uint32_t (&words)[4]) {
  constexpr int kCount = kVector / sizeof(Storage);
  float scales[kCount], shifts[kCount];
  load_vectors(scale, scales);
  load_vectors(shift, shifts);
  Storage stored[kCount];
  memcpy(stored, words, kVector);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float normal = value(stored[i]) * scales[i] + shifts[i];
    store(normal < 0 ? 0.0f : normal, stored + i);  // a NaN passes
  }
  memcpy(words, stored, kVector);
}

struct NotFused {
  static constexpr bool kNormalises = false, kSums = false, kAddsResidual = false, kReadsBeside = false;
  struct Channels {};

  __device__ Channels channels(int64_t) const { return {}; }
};

// The input alone: that of a weight gradient.
struct NormReluInput {
  static constexpr bool kNormalises = true, kSums = false, kAddsResidual = false;
  const float *scale, *shift;
};

// With a residual that is added to the output.
struct NormReluResidual : NormReluInput {
  static constexpr bool kAddsResidual = true;
  const float* beside;  // nothing to add: null
};

// Sums of what is stored, and of its squares.
struct ForwardSums {
  static constexpr bool kNormalises = false, kSums = true, kAddsResidual = false;
  static constexpr bool kReadsBeside = false;
  struct Channels {};
  double* pieces;

  __device__ Channels channels(int64_t) const { return {}; }
  __device__ void finish(const float (&)[2], float (&)[2]) const {}
  __device__ void add(const Channels&, const float (&)[2], const float (&pair)[2], float (&sums)[4]) const {
    for (int i = 0; i < 2; ++i) sums[i] += pair[i], sums[2 + i] += pair[i] * pair[i];
  }
};

// The same behind norm and ReLU of the input, and with a residual.
template <class Storage>
struct NormReluForward : ForwardSums {
  static constexpr bool kNormalises = true, kAddsResidual = true, kReadsBeside = true;
  const float *scale, *shift;
  const Storage* beside;  // the residual; nothing to add: null

  __device__ void finish(const float (&residual)[2], float (&pair)[2]) const {
    pair[0] += residual[0], pair[1] += residual[1];
  }
};

// The input gradient of such a layer before its ReLU: sums of it where the ReLU lets it pass, and of it times x.
template <class Storage>
struct NormReluGradient {
  static constexpr bool kNormalises = false, kSums = true, kAddsResidual = false, kReadsBeside = true;
  struct Channels {
    float scale[2], shift[2];
  };
  const float *scale, *shift;
  const Storage* beside;  // x
  double* pieces;

  // number: where the scale of the first channel is.
  __device__ Channels channels(int64_t number) const {
    return {{scale[number], scale[number + 1]}, {shift[number], shift[number + 1]}};
  }
  __device__ void finish(const float (&)[2], float (&)[2]) const {}
  __device__ void add(const Channels& channels, const float (&x)[2], const float (&pair)[2], float (&sums)[4]) const {
    for (int i = 0; i < 2; ++i) {
      const float normal = x[i] * channels.scale[i] + channels.shift[i];
      const float gradient = normal <= 0 ? 0.0f : pair[i];
      sums[i] += gradient, sums[2 + i] += gradient * x[i];
    }
  }
};

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_FUSION_H
