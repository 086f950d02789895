// SPDX-License-Identifier: Apache-2.0
// Weights in the order in which the lanes of mma_strided_kernels.h read them.
#ifndef CARDIAC4D_CUDA_MMA_STRIDED_WEIGHTS_H
#define CARDIAC4D_CUDA_MMA_STRIDED_WEIGHTS_H

#include "mma_strided_plane.h"
#include "packed_words.h"

namespace c4d_cuda {
namespace {

// Packed weights: pair of blocks of output channels, tap H, block of input channels, taps W, T, D, lane, block of the
// pair: a word of input channels. The 16 output channels of a pair are dealt out so that a lane has four neighbours.
template <class Storage_>
struct Order {
  using Storage = Storage_;
  static constexpr int kOfBlock = kVector / sizeof(Storage), kOfWord = kOfBlock / 4;  // channels
  const Storage* weight;  // as torch has them
  int in_channels, out_channels;

  __host__ __device__ int64_t pairs() const { return (int64_t(out_channels) + kPair * kBlock - 1) / (kPair * kBlock); }
  __host__ __device__ int64_t count() const { return pairs() * (in_channels / kOfBlock) * kTaps * kPair * 32; }
  __device__ float number(int64_t i, int place) const {
    const int block = i % kPair, lane = i / kPair % 32, tap = i / kPair / 32 % kTapsOfPlane;
    const int64_t rest = i / kPair / 32 / kTapsOfPlane, in_blocks = in_channels / kOfBlock;
    const int64_t in = rest % in_blocks * kOfBlock + lane % 4 * kOfWord + place;
    const int column = lane / 4;
    const int64_t kh = rest / in_blocks % 3;
    const int64_t out = rest / in_blocks / 3 * kPair * kBlock + column / 2 * 4 + block * 2 + column % 2;
    const int in_torch = tap / 9 * 9 + tap % 3 * 3 + tap / 3 % 3;  // W, D, T
    if (out >= out_channels) return 0.0f;
    return value(weight[(out * in_channels + in) * kTaps + kh * kTapsOfPlane + in_torch]);
  }
};

template <class Storage>
Order<Storage> order_of(const c4d_problem& p, const void* w) {
  return {static_cast<const Storage*>(w), static_cast<int>(p.in_channels), static_cast<int>(p.out_channels)};
}

}  // namespace
}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_STRIDED_WEIGHTS_H
