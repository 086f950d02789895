// SPDX-License-Identifier: Apache-2.0
// Forward with stride 2 on tensor cores. Memory is what limits it, so the input is read from there once.
//
// Eight channels of eight voxels are a block, one register of a tensor-core operand. Neighbours in the output read
// every other voxel of the input: the copy into shared memory parts even from odd positions along D, so that the voxels
// of a block lie side by side there. A warp sums 2 x 2 rows (W x T) of 16 voxels and 16 channels of the output. It
// reads the 5 x 5 rows of the input around them, each once per tap along H, and multiplies each with all taps that join
// it with one of its rows.
//
// A block of threads walks along H. Of the input it keeps two planes: one is read, while the next one arrives. An even
// plane is the last tap of one step and the first one of the next.
#include "frames.h"
#include "half_words.h"
#include "launch.h"
#include "mma_strided.h"
#include "mma_strided_plane.h"
#include "ptx.h"
#include "storage.h"
#include "tensor_cores.h"
#include "walk.h"

namespace c4d_cuda {
namespace {

// A warp's part of a tile.
struct Part {
  int w, t, pair, lane;
};

template <class Work>
__device__ Part part_of_warp(const TileOfGrid& tile) {
  const int warp = threadIdx.x / 32;
  return {warp % Work::kWarpsW * kRows, warp / Work::kWarpsW % Work::kWarpsT * kRows,
          tile.group * Work::kWarpsOut + warp / (Work::kWarpsW * Work::kWarpsT), static_cast<int>(threadIdx.x % 32)};
}

using Sums = float[kRows][kRows][kPair][4];

// Multiplies the row of a plane at (w, t) with all taps that join it with a row of the warp.
template <class Work>
__device__ void add_row(uint32_t pairs, uint32_t third, const uint32_t (&weights)[kTapsOfPlane][kPair], int w, int t,
                        Sums& sums) {
  uint32_t a[4], b[2];
  load_blocks(pairs, a);
  load_blocks(third, b);
#pragma unroll
  for (int tap = 0; tap < 9; ++tap) {
    const int to_w = w - tap / 3, to_t = t - tap % 3;
    if (to_w < 0 || to_w % 2 != 0 || to_w >= 2 * kRows || to_t < 0 || to_t % 2 != 0 || to_t >= 2 * kRows) continue;
#pragma unroll
    for (int out = 0; out < kPair; ++out) {
      float(&four)[4] = sums[to_w / 2][to_t / 2][out];
      multiply(typename Work::Storage(), four, a, weights[tap * 3][out], weights[tap * 3 + 1][out]);
      multiply(typename Work::Storage(), four, b, weights[tap * 3 + 2][out]);
    }
  }
}

// Adds the products of 27 taps: `plane` is the warp's first row of a plane, `taps` the weights of its lane.
template <class Work>
__device__ void add_plane(uint32_t plane, const uint32_t* taps, int lane, Sums& sums) {
  // Blocks: 8 + 8 voxels at the first tap along D, the same at the second; then the same at the third.
  const int voxel = lane % 16;
  const uint32_t pairs = plane + place_of(2 * voxel + lane / 16) * kVector;
  const uint32_t third = plane + place_of(2 * voxel + 2) * kVector;
#pragma unroll 1
  for (int block = 0; block < Work::kBlocks; ++block, taps += kTapsOfPlane * kPair * 32) {
    uint32_t weights[kTapsOfPlane][kPair];
#pragma unroll
    for (int i = 0; i < kTapsOfPlane; ++i) load_words(taps + i * kPair * 32, weights[i][0], weights[i][1]);
#pragma unroll
    for (int i = 0; i < (2 * kRows + 1) * (2 * kRows + 1); ++i) {
      const int w = i / (2 * kRows + 1), t = i % (2 * kRows + 1);
      const uint32_t row = (block * Work::kPlane + (t * Work::kSpanW + w) * kSpanD) * kVector;
      add_row<Work>(pairs + row, third + row, weights, w, t, sums);
    }
  }
}

// The first of the four neighbouring channels that a lane has: two of each block of the pair, see Order.
[[maybe_unused]] __device__ int channel_of(const Part& part) { return part.pair * kPair * kBlock + part.lane % 4 * 4; }

template <class Work>
__device__ void begin_sums(const Work& work, const Part& part, Sums& sums) {
  const int channel = channel_of(part);
  float first[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  if (work.bias != nullptr && channel < work.out_channels) {
#pragma unroll
    for (int i = 0; i < 4; ++i) first[i] = value(work.bias[channel + i]);
  }
#pragma unroll
  for (int i = 0; i < kRows * kRows * kPair * 4; ++i) {
    sums[i / 4 / kPair / kRows][i / 4 / kPair % kRows][i / 4 % kPair][i % 4] = first[i / 4 % kPair * 2 + i % 2];
  }
}

// Stores four channels of voxels d and d + 8 of each row, where they are inside.
template <class Work>
__device__ void store_rows(const Work& work, const TileOfGrid& tile, const Part& part, int h, const Sums& sums) {
  const int(&size)[4] = work.grid.extents;
  const int channel = channel_of(part);
  if (channel >= work.out_channels) return;
  const int w = tile.w + part.w, t = tile.t + part.t, d = tile.d + part.lane / 4;
#pragma unroll
  for (int i = 0; i < kRows * kRows * 2; ++i) {
    const int j = i / 2 % kRows, k = i / 2 / kRows, half = i % 2;
    if (w + j >= size[kW] || t + k >= size[kT] || d + 8 * half >= size[kD]) continue;
    const int64_t frame = int64_t(tile.n) * size[kT] + t + k;
    const int64_t voxel = ((frame * size[kH] + h) * size[kW] + w + j) * size[kD] + d + 8 * half;
    const float(&four)[kPair][4] = sums[j][k];
    store_words(pack_pair<typename Work::Storage>(four[0][2 * half], four[0][2 * half + 1]),
                pack_pair<typename Work::Storage>(four[1][2 * half], four[1][2 * half + 1]),
                work.y + voxel * work.out_channels + channel);
  }
}

template <class Work>
__device__ void walk(const Work& work, const TileOfGrid& tile, uint32_t shared) {
  const Part part = part_of_warp<Work>(tile);
  const int steps = steps_of(work.grid, tile), planes = 2 * steps + 1;
  const uint32_t first_row = (2 * part.t * Work::kSpanW + 2 * part.w) * kSpanD * kVector;
  const uint32_t* taps = work.weights + int64_t(part.pair) * 3 * Work::kBlocks * kTapsOfPlane * kPair * 32;
  PlaneCopy<Work>(work, tile, 0, shared).run();
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    Sums sums;
    begin_sums(work, part, sums);
#pragma unroll 1
    for (int kh = 0; kh < 3; ++kh) {
      const int plane = 2 * step + kh;
      if (plane == 0 || kh > 0) {
        wait_for_copies();
        __syncthreads();  // now this plane is there, and nobody reads the one that is overwritten next
        if (plane + 1 < planes) PlaneCopy<Work>(work, tile, plane + 1, shared).run();
      }
      if (part.pair * kPair * kBlock >= work.out_channels) continue;
      add_plane<Work>(shared + plane % kSlots * Work::kSlotBytes + first_row,
                      taps + (kh * Work::kBlocks * kTapsOfPlane * 32 + part.lane) * kPair, part.lane, sums);
    }
    store_rows(work, tile, part, tile.h + step, sums);
  }
}

template <class Work>
__global__ void __launch_bounds__(kThreads, kResident) correlate_strided(const Work work) {
#ifdef C4D_HAS_TENSOR_CORES
  const uint32_t shared = shared_address(c4d_shared);
  for (int64_t job = blockIdx.x; job < work.grid.jobs(); job += gridDim.x) {
    walk(work, tile_at(work.grid, job), shared);
    __syncthreads();  // before the next job overwrites the planes
  }
#endif
}

// Packed weights: pair of blocks of output channels, tap H, block of input channels, taps W, T, D, lane, block of the
// pair: two input channels. The 16 output channels of a pair are dealt out so that a lane has four neighbours.
template <class Storage_>
struct Order {
  using Storage = Storage_;
  const Storage* weight;  // as torch has them
  int in_channels, out_channels;

  __host__ __device__ int64_t pairs() const { return (out_channels + kPair * kBlock - 1) / (kPair * kBlock); }
  __host__ __device__ int64_t count() const { return pairs() * in_channels / kBlock * kTaps * kPair * 32; }
  __device__ float number(int64_t i, int place) const {
    const int block = i % kPair, lane = i / kPair % 32, tap = i / kPair / 32 % kTapsOfPlane;
    const int64_t rest = i / kPair / 32 / kTapsOfPlane, in_blocks = in_channels / kBlock;
    const int64_t in = rest % in_blocks * kBlock + lane % 4 * 2 + place;
    const int column = lane / 4;
    const int64_t kh = rest / in_blocks % 3;
    const int64_t out = rest / in_blocks / 3 * kPair * kBlock + column / 2 * 4 + block * 2 + column % 2;
    const int in_torch = tap / 9 * 9 + tap % 3 * 3 + tap / 3 % 3;  // W, D, T
    if (out >= out_channels) return 0.0f;
    return value(weight[(out * in_channels + in) * kTaps + kh * kTapsOfPlane + in_torch]);
  }
};

template <class Work>
Work work_of(const c4d_problem& p) {
  Work work{};
  const int64_t pairs = (p.out_channels + kPair * kBlock - 1) / (kPair * kBlock);
  work.grid.batch = static_cast<int>(p.batch);
  work.grid.groups = static_cast<int>((pairs + Work::kWarpsOut - 1) / Work::kWarpsOut);
  for (int axis = 0; axis < 4; ++axis) {
    work.grid.extents[axis] = static_cast<int>(p.out[axis]);
    work.from[axis] = static_cast<int>(p.in[axis]);
    work.lead[axis] = static_cast<int>(p.padding[axis]);
  }
  work.grid.tile[kW] = Work::kTileW, work.grid.tile[kD] = kVoxels, work.grid.tile[kT] = Work::kTileT;
  work.grid.tile[kH] = best_walk(work.grid, kResident, 2, 1);
  work.out_channels = static_cast<int>(p.out_channels);
  return work;
}

// Calls call(Work) with the kernel for so many input channels.
template <class Storage, class Call>
auto with_blocks(int64_t blocks, const Call& call) {
  switch (blocks) {
    case 1:
      return call(MmaStrided<Storage, 1>());
    case 2:
      return call(MmaStrided<Storage, 2>());
    case 3:
      return call(MmaStrided<Storage, 3>());
    default:
      return call(MmaStrided<Storage, 4>());
  }
}

template <class Storage>
int forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
            void* stream) {
  const Order<Storage> order{static_cast<const Storage*>(w), static_cast<int>(p.in_channels),
                             static_cast<int>(p.out_channels)};
  const int status = pack_weights(order, workspace, stream);
  if (status != cudaSuccess) return status;
  return with_blocks<Storage>(p.in_channels / kBlock, [&](auto kind) {
    using Work = decltype(kind);
    Work work = work_of<Work>(p);
    work.x = static_cast<const Storage*>(x), work.bias = static_cast<const Storage*>(bias);
    work.weights = static_cast<const uint32_t*>(workspace), work.y = static_cast<Storage*>(y);
    return launch_with_memory(correlate_strided<Work>, work, work.grid.jobs(), kThreads, Work::kSharedBytes, stream);
  });
}

}  // namespace

bool mma_strided_serves(const c4d_problem& p) {
  return is_half_cube(p, 2) && p.in_channels <= 4 * kBlock &&
         with_blocks<__half>(p.in_channels / kBlock, [](auto kind) {
           using Work = decltype(kind);
           return runs_on_device(correlate_strided<Work>, Work::kSharedBytes);
         });
}

int64_t mma_strided_workspace(const c4d_problem& p) {
  return Order<__half>{nullptr, static_cast<int>(p.in_channels), static_cast<int>(p.out_channels)}.count() * 4;
}

int mma_strided_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                        void* stream) {
  return (p.dtype == C4D_BFLOAT16 ? forward<__nv_bfloat16> : forward<__half>)(p, x, w, bias, y, workspace, stream);
}

}  // namespace c4d_cuda
