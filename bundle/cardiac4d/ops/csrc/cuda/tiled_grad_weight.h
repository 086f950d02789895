// SPDX-License-Identifier: Apache-2.0
// How tiled_grad_weight.cu cuts its work, in the manner of mma_grad_weight.h.
#ifndef CARDIAC4D_CUDA_TILED_GRAD_WEIGHT_H
#define CARDIAC4D_CUDA_TILED_GRAD_WEIGHT_H

#include <type_traits>

#include "mma_grad_weight.h"
#include "ptx.h"

namespace c4d_cuda {
namespace grad_weight {

constexpr int kRun = 4;   // voxels of the output along D
constexpr int kQuad = 4;  // output channels of a lane
#ifdef C4D_CHAIN          // tests
constexpr int kChain = C4D_CHAIN;
#else
constexpr int kChain = 512;  // voxels that a lane sums in a row
#endif

// A plane of one channel: places count numbers. Its rows are an odd number of voxels apart, so that the runs that a
// warp reads at once meet different banks.
template <int kSpanW_, int kSpanD_, int kSpanT_>
struct NumberPlane {
  static constexpr int kSpanW = kSpanW_, kSpanD = kSpanD_ | 1, kSpanT = kSpanT_, kWide = 0;
  static constexpr int kCopies = kSpanW * kSpanD * kSpanT, kVectors = (kCopies + 3) / 4;
  __device__ static constexpr int place(int w, int d, int t) { return (t * kSpanW + w) * kSpanD + d; }
};

// The numbers of a kernel, as those of MmaGradWeight. kIns: 8, or 1.
template <int kStride_, int kIns_, int kTileW_, int kTileD_, int kTileT_, class Fusion_ = NotFused>
struct TiledGradWeight {
  using Storage = float;
  using Real = float;
  using Fusion = Fusion_;
  static constexpr int kStride = kStride_, kIns = kIns_, kOuts = 8, kHalves = 1;
  static constexpr int kTileW = kTileW_, kTileD = kTileD_, kTileT = kTileT_;
  static constexpr int kParts = 4, kThreads = 32 * 3 * kParts;  // parts: warps for the same sums
  static constexpr int kGroups = 32 * kQuad / (kIns * kOuts);   // of a warp's lanes, that take a run each
  static constexpr int kRuns = kTileW * kTileT * (kTileD / kRun) / (kParts * kGroups);  // of a lane in a step
  static constexpr bool kIsTf32 = false;
  static constexpr int kSpanW = kStride * (kTileW - 1) + 3, kSpanD = kStride * (kTileD - 1) + 3;
  static constexpr int kSpanT = kStride * (kTileT - 1) + 3;
  using In = std::conditional_t<kIns == 1, NumberPlane<kSpanW, kSpanD, kSpanT>,
                                Plane<kSpanW, kSpanD, kSpanT, kStride, 2>>;
  using Out = Plane<kTileW, kIns == 1 ? kTileD | 1 : kTileD, kTileT, 1, 2>;  // odd rows as above
  static constexpr int kPlace = kIns == 1 ? 1 : 4;                           // numbers of a place of the input
  static constexpr int kLag = 2 / kStride, kInSlots = 2 * kStride, kOutSlots = kLag + 2;
  static constexpr int kOutVectors = Out::kVectors, kFirstOut = In::kVectors * kInSlots;
  static constexpr int kFirstTotal = kFirstOut + kOutVectors * kOutSlots;
  static constexpr int kSums = kTaps * kOuts * kIns;
  static constexpr int64_t kSharedBytes = int64_t(kFirstTotal) * kVector + kSums * int64_t(sizeof(float));
  static constexpr int kStepsOfChain = kChain / (kRuns * kRun);

  Frames<float> x, dy;
  int padding[4];
  int steps_of_tile;
  int64_t tiles[4];
  int64_t steps, share;
  int64_t pieces, jobs_of_a_piece, jobs;
  float* sums;  // piece, block of output channels, of input channels, tap, output channel, input channel
  float* dw;
  Fusion fusion;

  __host__ __device__ int64_t weights() const { return jobs_of_a_piece * kSums; }
  __device__ int64_t weight_at(int64_t i) const {
    const int64_t job = i / kSums, tap = i % kSums / (kOuts * kIns);
    const int64_t out = job / x.blocks * kOuts + i / kIns % kOuts, in = job % x.blocks * kIns + i % kIns;
    return (out * x.blocks * kIns + in) * kTaps + tap;
  }
};

// A number of the lane whose index differs in one bit.
__device__ inline float of_other_lane(float number, int distance) {
  uint32_t word;
  memcpy(&word, &number, sizeof word);
  word = __shfl_xor_sync(0xFFFFFFFFu, word, distance);
  memcpy(&number, &word, sizeof word);
  return number;
}

}  // namespace grad_weight
}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_TILED_GRAD_WEIGHT_H
