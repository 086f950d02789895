// SPDX-License-Identifier: Apache-2.0
// How mma_grad_weight.cu and tiled_grad_weight.cu cut their work: tiles, planes in shared memory, steps along H, and
// the order of the sums.
#ifndef CARDIAC4D_CUDA_MMA_GRAD_WEIGHT_H
#define CARDIAC4D_CUDA_MMA_GRAD_WEIGHT_H

#include "add_pieces.h"
#include "frames.h"
#include "mma_fusion.h"
#include "tensor_cores.h"

namespace c4d_cuda {
namespace grad_weight {

constexpr int kVoxels = 16;              // of a step along D, on tensor cores
constexpr int64_t kWantedBlocks = 1024;  // several rounds on any GPU of today, so that the last one costs little
constexpr int64_t kFewestSteps = 6;      // of a piece: below it the end of a block dominates

// A tensor that lies as frames. Positions on one axis have 32 bits.
template <class Storage>
struct Frames {
  const Storage* first;
  int size[4], blocks;  // of channels
  int64_t stride[4];    // in numbers
};

// A plane in shared memory, of one block of channels: kWide vectors per voxel. Of a row, voxels kApart from each other
// are neighbours, so that what a warp loads at once meets all banks whatever the stride.
template <int kSpanW_, int kSpanD_, int kSpanT_, int kApart_, int kWide_>
struct Plane {
  static constexpr int kSpanW = kSpanW_, kSpanD = kSpanD_, kSpanT = kSpanT_, kApart = kApart_, kWide = kWide_;
  static constexpr int kVectors = kSpanW * kSpanD * kSpanT * kWide, kCopies = kVectors;
  __device__ static constexpr int place(int w, int d, int t) {
    return ((t * kSpanW + w) * kSpanD + d % kApart * ((kSpanD + kApart - 1) / kApart) + d / kApart) * kWide;
  }
};

// The numbers of a kernel. kIns: input channels of a product, 8, or 1 beside seven zeros; kOuts: output channels, 8 or
// 16. Rows: of a warp, in so many rounds. Parts: warps for the same sums. Fusion: whether the input is normalised.
template <class Storage_, int kStride_, int kIns_, int kOuts_, int kRowsW_, int kRowsT_, int kRounds_, int kParts_,
          class Fusion_ = NotFused>
struct MmaGradWeight {
  using Storage = Storage_;
  using Fusion = Fusion_;
  using Real = float;
  static constexpr int kStride = kStride_, kIns = kIns_, kOuts = kOuts_, kHalves = kOuts / kBlock;
  static constexpr int kRowsW = kRowsW_, kRowsT = kRowsT_, kRounds = kRounds_, kParts = kParts_;
  static constexpr int kWide = sizeof(Storage) / 2, kDepth = kVoxels / kWide;  // kDepth: voxels of a product
  static constexpr int kThreads = 32 * 3 * kParts, kBlocks = 384 / kThreads / kWide;  // that a multiprocessor holds
  static constexpr int kTileW = kRowsW * kRounds * kParts, kTileD = kVoxels, kTileT = kRowsT;
  static constexpr bool kIsTf32 = kWide == 2;
  static constexpr int kReadsW = kStride * (kRowsW - 1) + 3, kReadsT = kStride * (kRowsT - 1) + 3;
  using In =
      Plane<kStride * (kTileW - 1) + 3, kStride * (kVoxels - 1) + 3, kStride * (kTileT - 1) + 3, kStride, kWide>;
  using Out = Plane<kTileW, kVoxels, kTileT, 1, kWide>;
  // Planes in shared memory: of the input those of a step, while the next one's arrive; of the output's gradient those
  // that the three taps along H want, and the next one.
  static constexpr int kLag = 2 / kStride, kInSlots = 2 * kStride, kOutSlots = kLag + 2;
  static constexpr int kOutVectors = Out::kVectors * kHalves, kFirstOut = In::kVectors * kInSlots;
  static constexpr int kProducts = kOuts == 8 ? 14 : 27;  // sums of a warp
  static constexpr int64_t kSums = kTaps * kOuts * kBlock;
  static constexpr int64_t kPlaneBytes = int64_t(kFirstOut + kOutVectors * kOutSlots) * kVector;
  static constexpr int64_t kPartBytes = kParts > 1 ? 3 * kProducts * 32 * 16 : 0;
  static constexpr int64_t kSharedBytes = kPlaneBytes > kPartBytes ? kPlaneBytes : kPartBytes;

  Frames<Storage> x, dy;
  int padding[4];
  int steps_of_tile;     // along H
  int64_t tiles[4];      // of the output; one along H
  int64_t steps, share;  // of all tiles, of a piece
  int64_t pieces, jobs_of_a_piece, jobs;
  float* sums;  // piece, block of output channels, of input channels; then as first_sum says
  Storage* dw;
  Fusion fusion;

  __host__ __device__ int64_t weights() const { return jobs_of_a_piece * kSums; }

  // Where the sums of a half of a product's rows begin, or -1: taps in torch's order, of each a matrix.
  __device__ static constexpr int first_sum(int product, int half) {
    if (kOuts == 16) return (product / 9 * 9 + product % 3 * 3 + product / 3 % 3) * 128 + half * 64;
    if (product < 9) return (product / 3 * 9 + half * 3 + product % 3) * 64;
    if (product < 12) return ((product - 9) * 9 + 6 + half) * 64;
    return product == 12 || half == 0 ? ((product - 12) * 18 + half * 9 + 8) * 64 : -1;
  }
  // The weight that number i of a piece belongs to, or -1.
  __device__ int64_t weight_at(int64_t i) const {
    const int64_t job = i / kSums, tap = i % kSums / (kOuts * kBlock);
    const int64_t row = i % (kOuts * kBlock) / kBlock, column = i % kBlock;
    const int64_t out = job / x.blocks * kOuts + (kOuts == 8 ? column : row), in_block = job % x.blocks;
    const int64_t in = kOuts == 8 ? row : column;
    return in < kIns ? (out * x.blocks * kIns + in_block * kIns + in) * kTaps + tap : -1;
  }
};

// Where a block of threads is: the first voxel of its tile of the output, and a step along H.
struct Step {
  int n, at[4];
};

template <class Work>
__device__ Step step_at(const Work& work, int64_t index) {
  const Voxel tile = voxel_at(index / work.steps_of_tile, work.tiles);
  return {static_cast<int>(tile.n),
          {static_cast<int>(index % work.steps_of_tile), static_cast<int>(tile.at[kW] * Work::kTileW),
           static_cast<int>(tile.at[kD] * Work::kTileD), static_cast<int>(tile.at[kT] * Work::kTileT)}};
}

// The same for the next index.
template <class Work>
__device__ void advance(const Work& work, Step& step) {
  if (++step.at[kH] < work.steps_of_tile) return;
  step.at[kH] = 0;
  if ((step.at[kD] += Work::kTileD) < work.dy.size[kD]) return;
  step.at[kD] = 0;
  if ((step.at[kW] += Work::kTileW) < work.dy.size[kW]) return;
  step.at[kW] = 0;
  if ((step.at[kT] += Work::kTileT) < work.dy.size[kT]) return;
  step.at[kT] = 0;
  ++step.n;
}

template <class Storage>
Frames<Storage> frames(const void* first, const int64_t (&size)[4], int64_t channels) {
  Frames<Storage> result{static_cast<const Storage*>(first), {}, 0, {}};
  result.blocks = static_cast<int>((channels + kBlock - 1) / kBlock);
  int64_t stride = channels;
  for (const int axis : {kD, kW, kH, kT}) {
    result.size[axis] = static_cast<int>(size[axis]);
    result.stride[axis] = stride, stride *= size[axis];
  }
  return result;
}

// Whether the channels and the kernel are such as these kernels take.
inline bool has_grad_weight_shape(const c4d_problem& p) {
  if (p.out_channels % kBlock != 0 || (p.in_channels % kBlock != 0 && p.in_channels != 1)) return false;
  return is_cube(p, 1) || (is_cube(p, 2) && p.in_channels > 1);
}

// From the shape alone: enough blocks for any GPU, while pieces are long and their sums take little memory.
template <class Work>
void plan(const c4d_problem& p, const void* x, const void* dy, void* dw, void* workspace, Work& work) {
  using Storage = typename Work::Storage;
  work.sums = static_cast<float*>(workspace), work.dw = static_cast<Storage*>(dw);
  work.x = frames<Storage>(x, p.in, p.in_channels), work.dy = frames<Storage>(dy, p.out, p.out_channels);
  const int extents[] = {1, Work::kTileW, Work::kTileD, Work::kTileT};
  work.steps_of_tile = work.dy.size[kH] + Work::kLag;
  work.steps = p.batch * work.steps_of_tile;
  for (int axis = kH; axis <= kT; ++axis) {
    work.padding[axis] = static_cast<int>(p.padding[axis]);
    work.tiles[axis] = axis == kH ? 1 : (p.out[axis] + extents[axis] - 1) / extents[axis];
    work.steps *= work.tiles[axis];
  }
  work.jobs_of_a_piece = work.x.blocks * (p.out_channels / Work::kOuts);
  const int64_t by_memory = kMostBytes / (work.weights() * int64_t(sizeof(float)));
  const int64_t by_blocks = kWantedBlocks / work.jobs_of_a_piece;
  const int64_t bound = by_memory < by_blocks ? by_memory : by_blocks, most = bound > 1 ? bound : 1;
  const int64_t share = (work.steps + most - 1) / most;
  work.share = share > kFewestSteps ? share : kFewestSteps;
  work.pieces = (work.steps + work.share - 1) / work.share;
  work.jobs = work.pieces * work.jobs_of_a_piece;
}

template <class Work>
int64_t workspace_of(const c4d_problem& p, Work work) {
  plan(p, nullptr, nullptr, nullptr, nullptr, work);
  return work.pieces * work.weights() * int64_t(sizeof(float));
}

// Queues the kernel that sums up pieces, and the one that adds them.
template <class Work>
int launch_both(void (*kernel)(Work), const Work& work, void* stream) {
  const int status = launch_with_memory(kernel, work, work.jobs, Work::kThreads, Work::kSharedBytes, stream);
  return status == cudaSuccess ? launch_add_pieces(work, stream) : status;
}

}  // namespace grad_weight
}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_GRAD_WEIGHT_H
