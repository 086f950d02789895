// SPDX-License-Identifier: Apache-2.0
// Forward with one input channel on tensor cores. What limits it is the memory that the result is written to.
//
// A row of the matrix is a pair of voxels of the output, neighbours along D: both read the same four voxels of each row
// of the input, one of which has weight zero. (Where it is infinite or NaN, so becomes a voxel just beyond its reach.)
// The columns are four channels of the one and four of the other; two products give all eight. Four voxels of two rows
// of the input are eight numbers of the sum. The nine rows at one tap along W are five such blocks, the last one half
// empty.
//
// A warp computes 8 rows (W) of 32 voxels, and goes through the 10 rows around them: the blocks of a row are read from
// shared memory once, and multiplied with all taps along W. All weights stay in registers. A block of threads walks
// along H with four planes in shared memory: three are read, while the next one passes through registers, since voxel
// pairs that begin in the padding lie at no multiple of four bytes in memory.
#include "frames.h"
#include "half_words.h"
#include "launch.h"
#include "mma_image.h"
#include "ptx.h"
#include "storage.h"
#include "tensor_cores.h"
#include "walk.h"

namespace c4d_cuda {
namespace {

constexpr int kTileW = 8, kTileT = 4, kTileD = 32;  // a warp per frame
constexpr int kThreads = 32 * kTileT;
constexpr int kResident = 3;  // blocks that a multiprocessor's registers hold
constexpr int kSpanW = kTileW + 2, kSpanT = kTileT + 2;
constexpr int kRowWords = kTileD / 2 + 1;  // a word: two voxels
constexpr int kPlaneWords = kSpanW * kSpanT * kRowWords;
constexpr int kWordsOfThread = (kPlaneWords + kThreads - 1) / kThreads;
// Two rows that a warp reads at once lie in different banks: frames follow each other at 170 words, planes at 1024.
constexpr int kSlots = 4, kSlotWords = 1024;
constexpr int kSharedBytes = kSlots * kSlotWords * 4;
static_assert(kWordsOfThread * kThreads <= kSlotWords, "every thread copies as many words; nobody reads the last few");
constexpr int kRowsOfTap = 9;                               // rows of the input (H x T) at one tap along W
constexpr int kBlocksOfTap = 5, kWeights = 3 * 2 * kBlocksOfTap;  // words of a lane

template <class Storage_>
struct MmaImage {
  using Storage = Storage_;
  Grid grid;  // groups: blocks of output channels
  int from[4], lead[4], out_channels;  // lead: zeros before the first voxel
  const Storage *x, *bias;             // no bias: null
  const uint32_t* weights;             // packed, see Order
  Storage* y;
};

// The words of a plane that a thread copies, the same in every plane.
struct Words {
  int first[kWordsOfThread];  // from the first voxel of the plane at the tile's first frame
  unsigned is_inside;         // two bits per word
};

template <class Work>
__device__ Words words_of_thread(const Work& work, const TileOfGrid& tile) {
  const int(&from)[4] = work.from;
  Words words{};
#pragma unroll
  for (int i = 0; i < kWordsOfThread; ++i) {
    const int word = threadIdx.x + i * kThreads, row = word / kRowWords;
    const int d = tile.d - work.lead[kD] + word % kRowWords * 2;
    const int w = tile.w - work.lead[kW] + row % kSpanW, t = tile.t - work.lead[kT] + row / kSpanW;
    const bool is_row = w >= 0 && w < from[kW] && t >= 0 && t < from[kT];
    words.first[i] = (row / kSpanW * from[kH] * from[kW] + w) * from[kD] + d;
    words.is_inside |= (is_row && d >= 0 && d < from[kD] ? 1u : 0u) << 2 * i;
    words.is_inside |= (is_row && d + 1 >= 0 && d + 1 < from[kD] ? 2u : 0u) << 2 * i;
  }
  return words;
}

// The voxels of these words, on their way.
using Fetched = uint16_t[kWordsOfThread][2];

// Reads a thread's words of one plane, zeros outside.
template <class Work>
__device__ void fetch_plane(const Work& work, const TileOfGrid& tile, const Words& words, int plane, Fetched& fetched) {
  const int h = tile.h - work.lead[kH] + plane;
  const unsigned is_inside = h >= 0 && h < work.from[kH] ? words.is_inside : 0;
  const int64_t frame = int64_t(tile.n) * work.from[kT] + tile.t - work.lead[kT];
  const uint16_t* first = reinterpret_cast<const uint16_t*>(work.x) +
                          (frame * work.from[kH] + h) * (int64_t(work.from[kW]) * work.from[kD]);
#pragma unroll
  for (int i = 0; i < kWordsOfThread; ++i) {
    fetched[i][0] = is_inside >> 2 * i & 1 ? first[words.first[i]] : 0;
    fetched[i][1] = is_inside >> 2 * i & 2 ? first[words.first[i] + 1] : 0;
  }
}

[[maybe_unused]] __device__ void keep_plane(uint32_t* shared, int plane, const Fetched& fetched) {
#pragma unroll
  for (int i = 0; i < kWordsOfThread; ++i) {
    const int word = threadIdx.x + i * kThreads;
    shared[plane % kSlots * kSlotWords + word] = uint32_t(fetched[i][1]) << 16 | fetched[i][0];
  }
}

// Which row of the input (H x T) a lane has in a block, and the tap on an axis that reads it. The last block has but
// one row; the lanes of the second one repeat it, with weights of zero.
struct InputRow {
  int kh, kt;
  bool is_repeated;
};

__device__ inline InputRow input_row(int block, int lane) {
  const int row = block * 2 + lane % 4 / 2, existing = row < kRowsOfTap ? row : kRowsOfTap - 1;
  return {existing / 3, existing % 3, row != existing};
}

// The first channel and voxel of what a lane computes: four channels of one voxel of a pair, see Order.
[[maybe_unused]] __device__ int channel_of(const TileOfGrid& tile, int lane) {
  return tile.group * kBlock + lane % 2 * 4;
}
[[maybe_unused]] __device__ int voxel_of(const TileOfGrid& tile, int lane) {
  return tile.d + lane / 4 * 2 + lane % 4 / 2;
}

using Sums = float[2][4];  // of one row of 32 voxels

// Stores four channels of voxels d and d + 16 of a row that begins at `row`; `room`: voxels from d on that are inside.
template <class Storage>
__device__ void store_row(const Sums& sums, Storage* row, int64_t voxel, int room) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (half * kTileD / 2 >= room) continue;
    store_words(pack_pair<Storage>(sums[0][2 * half], sums[0][2 * half + 1]),
                pack_pair<Storage>(sums[1][2 * half], sums[1][2 * half + 1]), row + half * kTileD / 2 * voxel);
  }
}

// Adds the products of the taps at one tap along W.
template <class Storage>
__device__ void add_blocks(const uint32_t (&a)[kBlocksOfTap][2], const uint32_t* weights, Sums& sums) {
#pragma unroll
  for (int part = 0; part < 2; ++part) {
    const uint32_t* b = weights + part * kBlocksOfTap;
#pragma unroll
    for (int block = 0; block + 1 < kBlocksOfTap; block += 2) {
      const uint32_t two[4] = {a[block][0], a[block][1], a[block + 1][0], a[block + 1][1]};
      multiply(Storage(), sums[part], two, b[block], b[block + 1]);
    }
    multiply(Storage(), sums[part], a[kBlocksOfTap - 1], b[kBlocksOfTap - 1]);
  }
}

// One step along H: the warp's rows of the output at h, whose first plane is in slot `step % kSlots`.
template <class Work>
__device__ void compute_step(const Work& work, const TileOfGrid& tile, const uint32_t* shared, int step,
                             const uint32_t (&weights)[kWeights], const float (&first)[4]) {
  const int lane = threadIdx.x % 32, frame = threadIdx.x / 32;
  const uint32_t* rows[kBlocksOfTap];  // where the lane reads of each block
#pragma unroll
  for (int block = 0; block < kBlocksOfTap; ++block) {
    const InputRow row = input_row(block, lane);
    rows[block] = shared + (step + row.kh) % kSlots * kSlotWords + (frame + row.kt) * kSpanW * kRowWords + lane / 4 +
                  lane % 2;
  }
  const int(&size)[4] = work.grid.extents;
  const int t = tile.t + frame, d = voxel_of(tile, lane), rows_inside = t < size[kT] ? size[kW] - tile.w : 0;
  const int64_t voxel = work.out_channels, row_step = size[kD] * voxel;
  const int64_t first_row = ((int64_t(tile.n) * size[kT] + t) * size[kH] + tile.h + step) * size[kW] + tile.w;
  typename Work::Storage* to = work.y + first_row * row_step + d * voxel + channel_of(tile, lane);
  Sums sums[3];  // of the rows that a row of the input adds to
#pragma unroll
  for (int w = 0; w < kSpanW; ++w) {
    uint32_t a[kBlocksOfTap][2];
#pragma unroll
    for (int block = 0; block < kBlocksOfTap; ++block) {
      a[block][0] = rows[block][w * kRowWords];
      a[block][1] = rows[block][w * kRowWords + 8];
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) sums[w % 3][i / 4][i % 4] = first[i / 4 * 2 + i % 2];
#pragma unroll
    for (int kw = 0; kw < 3; ++kw) {
      if (w - kw < 0 || w - kw >= kTileW) continue;
      add_blocks<typename Work::Storage>(a, weights + kw * 2 * kBlocksOfTap, sums[(w - kw) % 3]);
    }
    if (w >= 2 && w - 2 < rows_inside) store_row(sums[(w - 2) % 3], to + (w - 2) * row_step, voxel, size[kD] - d);
  }
}

template <class Work>
__device__ void walk(const Work& work, const TileOfGrid& tile, uint32_t* shared) {
  const int steps = steps_of(work.grid, tile), lane = threadIdx.x % 32;
  const Words words = words_of_thread(work, tile);
  Fetched first_planes[3], fetched;
#pragma unroll
  for (int plane = 0; plane < 3; ++plane) fetch_plane(work, tile, words, plane, first_planes[plane]);
#pragma unroll
  for (int plane = 0; plane < 3; ++plane) keep_plane(shared, plane, first_planes[plane]);
  uint32_t weights[kWeights];
#pragma unroll
  for (int i = 0; i < kWeights; ++i) weights[i] = work.weights[(tile.group * kWeights + i) * 32 + lane];
  float first[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) first[i] = work.bias == nullptr ? 0.0f : value(work.bias[channel_of(tile, lane) + i]);
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    __syncthreads();  // now the planes of this step are there, and nobody reads the one that is overwritten next
    const bool has_next = step + 1 < steps;
    if (has_next) fetch_plane(work, tile, words, step + 3, fetched);
    compute_step(work, tile, shared, step, weights, first);
    if (has_next) keep_plane(shared, step + 3, fetched);
  }
}

template <class Work>
__global__ void __launch_bounds__(kThreads, kResident) correlate_image(const Work work) {
#ifdef C4D_HAS_TENSOR_CORES
  uint32_t* shared = reinterpret_cast<uint32_t*>(c4d_shared);
  for (int64_t job = blockIdx.x; job < work.grid.jobs(); job += gridDim.x) {
    walk(work, tile_at(work.grid, job), shared);
    __syncthreads();  // before the next job overwrites the planes
  }
#endif
}

// Packed weights: block of output channels, tap W, product, block of the sum, lane: two of the four voxels of a row.
// The columns of the first product are channels 0, 1, 4, 5 of both voxels of a pair, those of the second one the rest:
// so a lane has four neighbouring channels of one voxel.
template <class Storage_>
struct Order {
  using Storage = Storage_;
  const Storage* weight;  // as torch has them
  int out_channels;

  __host__ __device__ int64_t count() const { return int64_t(out_channels) / kBlock * kWeights * 32; }
  __device__ float number(int64_t i, int place) const {
    const int lane = i % 32, block = i / 32 % kBlocksOfTap, part = i / 32 / kBlocksOfTap % 2;
    const int kw = i / 32 / kBlocksOfTap / 2 % 3, column = lane / 4;
    const int64_t out = i / 32 / kWeights * kBlock + column / 2 % 2 * 4 + part * 2 + column % 2;
    const InputRow row = input_row(block, lane);
    const int kd = lane % 2 * 2 + place - column / 4;  // the second voxel of a pair leaves out the first of the four
    if (row.is_repeated || kd < 0 || kd > 2) return 0.0f;
    return value(weight[out * kTaps + ((row.kh * 3 + kw) * 3 + kd) * 3 + row.kt]);
  }
};

template <class Storage>
int forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
            void* stream) {
  const Order<Storage> order{static_cast<const Storage*>(w), static_cast<int>(p.out_channels)};
  const int status = pack_weights(order, workspace, stream);
  if (status != cudaSuccess) return status;
  MmaImage<Storage> work{};
  work.grid.batch = static_cast<int>(p.batch);
  work.grid.groups = static_cast<int>(p.out_channels / kBlock);
  for (int axis = 0; axis < 4; ++axis) {
    work.grid.extents[axis] = static_cast<int>(p.out[axis]);
    work.from[axis] = static_cast<int>(p.in[axis]);
    work.lead[axis] = static_cast<int>(p.padding[axis]);
  }
  work.grid.tile[kW] = kTileW, work.grid.tile[kD] = kTileD, work.grid.tile[kT] = kTileT;
  work.grid.tile[kH] = best_walk(work.grid, kResident, 1, 1);
  work.out_channels = static_cast<int>(p.out_channels);
  work.x = static_cast<const Storage*>(x), work.bias = static_cast<const Storage*>(bias);
  work.weights = static_cast<const uint32_t*>(workspace), work.y = static_cast<Storage*>(y);
  return launch(correlate_image<MmaImage<Storage>>, work, work.grid.jobs(), kThreads, kSharedBytes, stream);
}

}  // namespace

bool mma_image_serves(const c4d_problem& p) {
  c4d_problem in_eights = p;
  in_eights.in_channels = kBlock;
  if (p.in_channels != 1 || !is_half_cube(in_eights, 1)) return false;
  // Positions within the frames of a tile have 32 bits.
  return p.in[kH] * p.in[kW] * p.in[kD] <= kLargest / (kSpanT + 1) &&
         runs_on_device(correlate_image<MmaImage<__half>>, kSharedBytes);
}

int64_t mma_image_workspace(const c4d_problem& p) {
  return Order<__half>{nullptr, static_cast<int>(p.out_channels)}.count() * 4;
}

int mma_image_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                      void* stream) {
  return (p.dtype == C4D_BFLOAT16 ? forward<__nv_bfloat16> : forward<__half>)(p, x, w, bias, y, workspace, stream);
}

}  // namespace c4d_cuda
