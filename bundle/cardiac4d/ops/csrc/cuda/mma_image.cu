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
// along H with four planes in shared memory: three are read, while the next one passes through registers.
#include "mma_image.h"

#include "channel_sums.h"
#include "image_sums.h"
#include "mma_image_planes.h"
#include "packed_words.h"
#include "ptx.h"
#include "tensor_cores.h"

namespace c4d_cuda {
namespace {

constexpr int kResident = 3;   // blocks that a multiprocessor's registers hold
constexpr int kRowsOfTap = 9;  // rows of the input (H x T) at one tap along W
constexpr int kBlocksOfTap = 5, kWeights = 3 * 2 * kBlocksOfTap;  // words of a lane

// With or without the sums that the next norm needs.
template <class Storage_, bool kHasSums_ = false>
struct MmaImage {
  using Storage = Storage_;
  [[maybe_unused]] static constexpr bool kHasSums = kHasSums_;
  Grid grid;  // groups: blocks of output channels
  int from[4], lead[4], out_channels;  // lead: zeros before the first voxel
  const Storage *x, *bias;             // no bias: null
  const uint32_t* weights;             // packed, see Order
  Storage* y;
  double* pieces;  // sums of each job, (8, 2); together (N, tiles, C, 2)
};

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
template <class Work>
__device__ void store_row(const Sums& sums, typename Work::Storage* row, int64_t voxel, int room, Totals& totals) {
  using Storage = typename Work::Storage;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    if (half * kTileD / 2 >= room) continue;
    const float quad[kQuad] = {sums[0][2 * half], sums[0][2 * half + 1], sums[1][2 * half], sums[1][2 * half + 1]};
    store_words(pack_pair<Storage>(quad[0], quad[1]), pack_pair<Storage>(quad[2], quad[3]),
                row + half * kTileD / 2 * voxel);
    if constexpr (Work::kHasSums) add_quad<Storage>(quad, totals);
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
                             const uint32_t (&weights)[kWeights], const float (&first)[4], Totals& totals) {
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
    if (w < 2 || w - 2 >= rows_inside) continue;
    store_row<Work>(sums[(w - 2) % 3], to + (w - 2) * row_step, voxel, size[kD] - d, totals);
  }
}

template <class Work>
__device__ void walk(const Work& work, const TileOfGrid& tile, uint32_t* shared, Totals& totals) {
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
    compute_step(work, tile, shared, step, weights, first, totals);
    if (has_next) keep_plane(shared, step + 3, fetched);
  }
}

template <class Work>
__global__ void __launch_bounds__(kThreads, kResident) correlate_image(const Work work) {
#ifdef C4D_HAS_TENSOR_CORES
  uint32_t* shared = reinterpret_cast<uint32_t*>(c4d_shared);
  for (int64_t job = blockIdx.x; job < work.grid.jobs(); job += gridDim.x) {
    Totals totals = {};
    walk(work, tile_at(work.grid, job), shared, totals);
    __syncthreads();  // before the next job overwrites the planes
    if constexpr (Work::kHasSums) {
      store_totals<kThreads>(totals, work.pieces + job * kSumsOfBlock);
      __syncthreads();  // before the next job overwrites the sums
    }
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

Grid grid_of(const c4d_problem& p) {
  Grid grid{};
  grid.batch = static_cast<int>(p.batch);
  grid.groups = static_cast<int>(p.out_channels / kBlock);
  for (int axis = 0; axis < 4; ++axis) grid.extents[axis] = static_cast<int>(p.out[axis]);
  grid.tile[kW] = kTileW, grid.tile[kD] = kTileD, grid.tile[kT] = kTileT;
  grid.tile[kH] = best_walk(grid, kResident, 1, 1);
  return grid;
}

// A convolution, and the sums of each of its jobs where there is memory for them.
template <class Work>
int forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, double* pieces,
            void* workspace, void* stream) {
  using Storage = typename Work::Storage;
  const Order<Storage> order{static_cast<const Storage*>(w), static_cast<int>(p.out_channels)};
  const int status = pack_weights(order, workspace, stream);
  if (status != cudaSuccess) return status;
  Work work{};
  work.grid = grid_of(p);
  for (int axis = 0; axis < 4; ++axis) {
    work.from[axis] = static_cast<int>(p.in[axis]);
    work.lead[axis] = static_cast<int>(p.padding[axis]);
  }
  work.out_channels = static_cast<int>(p.out_channels);
  work.x = static_cast<const Storage*>(x), work.bias = static_cast<const Storage*>(bias);
  work.weights = static_cast<const uint32_t*>(workspace), work.y = static_cast<Storage*>(y);
  work.pieces = pieces;
  return launch(correlate_image<Work>, work, work.grid.jobs(), kThreads, kSharedBytes, stream);
}

}  // namespace

bool mma_image_serves(const c4d_problem& p) {
  const bool is_half = p.dtype == C4D_BFLOAT16 || p.dtype == C4D_FLOAT16;
  if (!is_half || p.in_channels != 1 || p.out_channels % kBlock != 0 || !is_cube(p, 1)) return false;
  // Positions within the frames of a tile have 32 bits.
  return p.in[kH] * p.in[kW] * p.in[kD] <= kLargest / (kSpanT + 1) &&
         runs_on_device(correlate_image<MmaImage<__half>>, kSharedBytes);
}

int64_t mma_image_workspace(const c4d_problem& p) {
  return Order<__half>{nullptr, static_cast<int>(p.out_channels)}.count() * 4;
}

int64_t mma_image_pieces_bytes(const c4d_problem& p) {
  return grid_of(p).jobs() * kSumsOfBlock * int64_t(sizeof(double));
}

int mma_image_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                      void* stream) {
  return with_half(p.dtype, [&](auto storage) {
    return forward<MmaImage<decltype(storage)>>(p, x, w, bias, y, nullptr, workspace, stream);
  });
}

int mma_image_forward_sums(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, double* sums,
                           void* workspace, void* pieces, void* stream) {
  double* of_jobs = static_cast<double*>(pieces);
  const int status = with_half(p.dtype, [&](auto storage) {
    return forward<MmaImage<decltype(storage), true>>(p, x, w, bias, y, of_jobs, workspace, stream);
  });
  if (status != cudaSuccess) return status;
  return add_pieces_of_samples(p.batch, grid_of(p).tiles_of_a_sample(), p.out_channels, of_jobs, sums, stream);
}

}  // namespace c4d_cuda
