// SPDX-License-Identifier: Apache-2.0
// Weights in the order in which the lanes of mma_kernels.h read them. An input gradient is a correlation with weights
// whose channels are exchanged and whose taps are flipped.
#ifndef CARDIAC4D_CUDA_MMA_WEIGHTS_H
#define CARDIAC4D_CUDA_MMA_WEIGHTS_H

#include "mma_tile.h"

namespace c4d_cuda {

template <class Storage_>
struct PackWeights {
  using Storage = Storage_;
  static constexpr int kWord = sizeof(uint32_t) / sizeof(Storage);  // input channels
  static constexpr int kBlock = kVector / sizeof(Storage);
  const Storage* weight;  // as torch has them
  int64_t in_channels;    // of the layer
  int in_blocks, out_blocks;
  bool is_gradient;  // exchange the channels, flip the taps
  uint32_t* packed;  // out block, in block, tap H, tap W, tap T, tap D, lane: one word of input channels

  __host__ __device__ int64_t count() const { return int64_t(out_blocks) * in_blocks * kTaps * 32; }
};

// The weight between two channels of the correlation, for a tap of its 81 in the order H, W, T, D.
template <class Work>
__device__ typename Work::Storage weight_at(const Work& work, int64_t in, int64_t out, int tap) {
  const int reordered = tap / 9 * 9 + tap % 3 * 3 + tap / 3 % 3;
  const int64_t row = work.is_gradient ? in * work.in_channels + out : out * work.in_channels + in;
  return work.weight[row * kTaps + (work.is_gradient ? kTaps - 1 - reordered : reordered)];
}

template <class Work>
__global__ void __launch_bounds__(kThreads) pack(const Work work) {
#ifdef C4D_HAS_TENSOR_CORES
  const int64_t step = int64_t(gridDim.x) * kThreads;
  for (int64_t i = blockIdx.x * int64_t(kThreads) + threadIdx.x; i < work.count(); i += step) {
    const int lane = i % 32, tap = i / 32 % kTaps;
    const int64_t blocks = i / 32 / kTaps, in = blocks % work.in_blocks * Work::kBlock + lane % 4 * Work::kWord;
    const int64_t out = blocks / work.in_blocks * kOut + lane / 4;
    typename Work::Storage channels[Work::kWord];
    for (int c = 0; c < Work::kWord; ++c) channels[c] = weight_at(work, in + c, out, tap);
    uint32_t word[1];
    memcpy(word, channels, sizeof word);
    if constexpr (Work::kWord == 1) round_to_tf32(word);
    work.packed[i] = word[0];
  }
#endif
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_WEIGHTS_H
