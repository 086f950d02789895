// SPDX-License-Identifier: Apache-2.0
// Input gradient of stride 2 on tensor cores. What limits it is the memory that the gradient is written to.
//
// The target falls into cells of 2 x 2 x 2 x 2 voxels. On each axis, the first voxel of a cell reads one voxel of the
// source, through the middle tap; the second voxel reads the same one through the last tap, and the next one through
// the first tap. (Padding that is even moves the cells by one voxel.) So a cell reads 2 x 2 x 2 x 2 voxels of the
// source, and its 16 voxels take 81 products, one for each tap: none is wasted on the zeros that a stride leaves.
//
// A warp sums two rows of 16 cells (W x D), 8 channels of all their voxels at one position along H. It reads the rows
// of the source from shared memory, eight channels of eight voxels at once, as one register of a tensor-core operand. A
// block of threads walks along H with three planes of the source in shared memory: two are read, while the next one
// arrives.
#include "frames.h"
#include "half_words.h"
#include "launch.h"
#include "mma_strided.h"
#include "ptx.h"
#include "storage.h"
#include "tensor_cores.h"
#include "walk.h"

namespace c4d_cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kResident = 3;                          // blocks that a multiprocessor's registers hold
constexpr int kRows = 2;                              // of cells of a warp, along W
constexpr int kTileW = 4, kTileD = 16, kTileT = 2;    // cells
constexpr int kWarpsW = kTileW / kRows;               // the others along T
constexpr int kSpanW = kTileW + 1, kSpanD = kTileD + 1, kSpanT = kTileT + 1;
constexpr int kPlane = 260;                           // vectors per block of channels: 5 * 17 * 3, and a few
constexpr int kSlots = 3;                             // planes in shared memory
constexpr int kVoxels = 8;                            // of a cell at one position along H
constexpr int kProduct = 2;                           // blocks of source channels in one product
constexpr int kMostBlocks = 8;                        // of source channels
static_assert(kPlane >= kSpanW * kSpanD * kSpanT, "a plane fits");
static_assert(kWarpsW * kTileT == kWarps, "each warp has a part");

template <class Storage_>
struct MmaStridedGradient {
  using Storage = Storage_;
  Grid grid;  // of cells; groups: blocks of target channels
  int from[4], to[4];
  int lead[4];   // from a cell to the first voxel of the source that it reads
  int shift[4];  // voxels of the first cell that lie before the target
  int from_blocks, products, to_channels;  // products: of pairs of blocks, the last of which may be half empty
  const Storage* dy;
  const uint32_t* weights;  // packed, see Order
  Storage* dx;

  __host__ __device__ int slot_bytes() const { return products * kProduct * kPlane * kVector; }
};

// Queues the copies of one plane: all that the tile reads at position h of the source, zeros outside.
template <class Work>
__device__ void copy_plane(const Work& work, const TileOfGrid& tile, int plane, uint32_t shared) {
  const int(&from)[4] = work.from;
  const int blocks = work.products * kProduct, h = tile.h + work.lead[kH] + plane;
  const uint32_t to = shared + plane % kSlots * work.slot_bytes();
#pragma unroll 1
  for (int i = threadIdx.x; i < blocks * kSpanD * kSpanW * kSpanT; i += kThreads) {
    const int block = i % blocks, place = i / blocks;
    const int d = tile.d + work.lead[kD] + place % kSpanD;
    const int w = tile.w + work.lead[kW] + place / kSpanD % kSpanW;
    const int t = tile.t + work.lead[kT] + place / (kSpanD * kSpanW);
    const bool is_inside = block < work.from_blocks && h >= 0 && h < from[kH] && w >= 0 && w < from[kW] && d >= 0 &&
                           d < from[kD] && t >= 0 && t < from[kT];
    const int64_t frame = int64_t(tile.n) * from[kT] + t;
    const int64_t voxel = ((frame * from[kH] + h) * from[kW] + w) * from[kD] + d;
    const int64_t first = (voxel * work.from_blocks + block) * kBlock;
    copy_async(to + (block * kPlane + place) * kVector, work.dy + (is_inside ? first : 0), is_inside);
  }
}

using Sums = float[kRows][kVoxels][4];  // voxels of a cell: T, W, D

// The tap on one axis that joins a voxel of a cell, the first or second, with one that the cell reads; -1: none.
[[maybe_unused]] __device__ constexpr int tap_of(int voxel, int source) {
  return voxel == 0 ? (source == 0 ? 1 : -1) : (source == 0 ? 2 : 0);
}

// Adds the products of one place around the cells: `rows` are the rows of the source there, one for each row of cells.
// source: the place, one bit per axis: T, W, D.
template <class Storage>
__device__ void add_place(const uint32_t (&first)[4], const uint32_t (&second)[4], const uint32_t* taps, int source,
                          Sums& sums) {
#pragma unroll
  for (int voxel = 0; voxel < kVoxels; ++voxel) {
    const int kt = tap_of(voxel / 4, source / 4), kw = tap_of(voxel / 2 % 2, source / 2 % 2);
    const int kd = tap_of(voxel % 2, source % 2);
    if (kt < 0 || kw < 0 || kd < 0) continue;
    uint32_t b0, b1;
    load_words(taps + ((kw * 3 + kd) * 3 + kt) * 32 * kProduct, b0, b1);
    multiply(Storage(), sums[0][voxel], first, b0, b1);
    multiply(Storage(), sums[1][voxel], second, b0, b1);
  }
}

// Adds the products of one tap along H: `plane` is the warp's first row of a plane and of the first pair of blocks of
// channels, `taps` the weights of its lane.
template <class Work>
__device__ void add_plane(const Work& work, uint32_t plane, const uint32_t* taps, int lane, Sums& sums) {
  plane += (lane / 16 * kPlane + lane % 16) * kVector;  // blocks: 8 + 8 voxels of 8 channels, then of 8 more
#pragma unroll 1
  for (int product = 0; product < work.products; ++product) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int t = i / 2, d = i % 2;
      uint32_t rows[kRows + 1][4];
#pragma unroll
      for (int w = 0; w <= kRows; ++w) load_blocks(plane + ((t * kSpanW + w) * kSpanD + d) * kVector, rows[w]);
#pragma unroll
      for (int w = 0; w < 2; ++w) {
        add_place<typename Work::Storage>(rows[w], rows[w + 1], taps, t * 4 + w * 2 + d, sums);
      }
    }
    plane += kProduct * kPlane * kVector;
    taps += kTaps * 32 * kProduct;
  }
}

// Stores two neighbouring voxels along D, eight channels of each, from four lanes: of `cell`, whose second voxel is at
// d. Each lane gets from its neighbour what makes four channels of one of the voxels.
template <class Storage>
__device__ void store_voxels(const float* first, const float* second, Storage* row, int d, int size, int channels,
                             bool is_inside) {
  const int lane = threadIdx.x % 32, odd = lane % 2;
  const uint32_t pairs[2] = {pack_pair<Storage>(first[0], first[1]), pack_pair<Storage>(second[0], second[1])};
  const uint32_t own = odd ? pairs[1] : pairs[0];
  const uint32_t other = __shfl_xor_sync(0xFFFFFFFF, odd ? pairs[0] : pairs[1], 1);
  const int at = d - 1 + odd;
  if (!is_inside || at < 0 || at >= size) return;
  store_words(odd ? other : own, odd ? own : other, row + at * int64_t(channels) + lane % 4 / 2 * 4);
}

// Stores the voxels of the warp's cells at position h of the target, where they are inside.
template <class Work>
__device__ void store_cells(const Work& work, const TileOfGrid& tile, int h, int w, int t, int lane, const Sums& sums) {
  const int(&size)[4] = work.to;
  const int d = 2 * (tile.d + lane / 4) - work.shift[kD] + 1;
#pragma unroll
  for (int i = 0; i < kRows * kVoxels / 2; ++i) {
    const int row = i / 4, voxel = i % 4 * 2;
    const int at_t = 2 * t - work.shift[kT] + voxel / 4, at_w = 2 * (w + row) - work.shift[kW] + voxel / 2 % 2;
    const bool is_inside = h >= 0 && h < size[kH] && at_w >= 0 && at_w < size[kW] && at_t >= 0 && at_t < size[kT];
    const int64_t first = ((int64_t(tile.n) * size[kT] + at_t) * size[kH] + h) * size[kW] + at_w;
    typename Work::Storage* to = work.dx + first * size[kD] * work.to_channels + tile.group * kBlock;
    const float(&one)[4] = sums[row][voxel], (&two)[4] = sums[row][voxel + 1];
    store_voxels(one, two, to, d, size[kD], work.to_channels, is_inside);
    store_voxels(one + 2, two + 2, to, d + kTileD, size[kD], work.to_channels, is_inside);
  }
}

template <class Work>
__device__ void walk(const Work& work, const TileOfGrid& tile, uint32_t shared) {
  const int steps = steps_of(work.grid, tile), lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int w = warp % kWarpsW * kRows, t = warp / kWarpsW;
  const uint32_t first_row = (t * kSpanW + w) * kSpanD * kVector;
  const uint32_t* taps = work.weights + (int64_t(tile.group) * work.products * kTaps * 32 + lane) * kProduct;
  copy_plane(work, tile, 0, shared);
  copy_plane(work, tile, 1, shared);
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    wait_for_copies();
    __syncthreads();  // now the planes of this step are there, and nobody reads the one that is overwritten next
    if (step + 1 < steps) copy_plane(work, tile, step + 2, shared);
#pragma unroll 1
    for (int voxel = 0; voxel < 2; ++voxel) {
      Sums sums;
#pragma unroll
      for (int i = 0; i < kRows * kVoxels * 4; ++i) sums[i / 4 / kVoxels][i / 4 % kVoxels][i % 4] = 0.0f;
#pragma unroll 1
      for (int source = 0; source <= voxel; ++source) {
        add_plane(work, shared + (step + source) % kSlots * work.slot_bytes() + first_row,
                  taps + tap_of(voxel, source) * kTapsOfPlane * 32 * kProduct, lane, sums);
      }
      store_cells(work, tile, 2 * (tile.h + step) - work.shift[kH] + voxel, tile.w + w, tile.t + t, lane, sums);
    }
  }
}

template <class Work>
__global__ void __launch_bounds__(kThreads, kResident) spread_strided(const Work work) {
#ifdef C4D_HAS_TENSOR_CORES
  const uint32_t shared = shared_address(c4d_shared);
  for (int64_t job = blockIdx.x; job < work.grid.jobs(); job += gridDim.x) {
    walk(work, tile_at(work.grid, job), shared);
    __syncthreads();  // before the next job overwrites the planes
  }
#endif
}

// Packed weights: block of target channels, product, tap, lane, block of the product: two source channels.
template <class Storage_>
struct Order {
  using Storage = Storage_;
  const Storage* weight;  // as torch has them
  int in_channels, out_channels;  // of the layer

  __host__ __device__ int64_t products() const { return (out_channels / kBlock + kProduct - 1) / kProduct; }
  __host__ __device__ int64_t count() const { return in_channels / kBlock * products() * kTaps * 32 * kProduct; }
  __device__ float number(int64_t i, int place) const {
    const int block = i % kProduct, lane = i / kProduct % 32, tap = i / kProduct / 32 % kTaps;
    const int64_t rest = i / kProduct / 32 / kTaps;
    const int64_t source = (rest % products() * kProduct + block) * kBlock + lane % 4 * 2 + place;
    const int64_t target = rest / products() * kBlock + lane / 4;
    return source < out_channels ? value(weight[(source * in_channels + target) * kTaps + tap]) : 0.0f;
  }
};

int products_of(const c4d_problem& p) { return static_cast<int>((p.out_channels / kBlock + kProduct - 1) / kProduct); }

template <class Storage>
MmaStridedGradient<Storage> work_of(const c4d_problem& p) {
  MmaStridedGradient<Storage> work{};
  work.grid.batch = static_cast<int>(p.batch);
  work.grid.groups = static_cast<int>(p.in_channels / kBlock);
  for (int axis = 0; axis < 4; ++axis) {
    const int padding = static_cast<int>(p.padding[axis]);
    work.shift[axis] = padding % 2 == 0 ? 1 : 0;
    work.lead[axis] = (padding + 1) / 2 - 1;
    work.from[axis] = static_cast<int>(p.out[axis]);
    work.to[axis] = static_cast<int>(p.in[axis]);
    work.grid.extents[axis] = (work.to[axis] + work.shift[axis] + 1) / 2;
  }
  work.grid.tile[kW] = kTileW, work.grid.tile[kD] = kTileD, work.grid.tile[kT] = kTileT;
  work.grid.tile[kH] = best_walk(work.grid, kResident, 2, 1);
  work.from_blocks = static_cast<int>(p.out_channels / kBlock);
  work.products = products_of(p);
  work.to_channels = static_cast<int>(p.in_channels);
  return work;
}

template <class Storage>
int grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace, void* stream) {
  const Order<Storage> order{static_cast<const Storage*>(w), static_cast<int>(p.in_channels),
                             static_cast<int>(p.out_channels)};
  const int status = pack_weights(order, workspace, stream);
  if (status != cudaSuccess) return status;
  MmaStridedGradient<Storage> work = work_of<Storage>(p);
  work.dy = static_cast<const Storage*>(dy), work.dx = static_cast<Storage*>(dx);
  work.weights = static_cast<const uint32_t*>(workspace);
  return launch_with_memory(spread_strided<MmaStridedGradient<Storage>>, work, work.grid.jobs(), kThreads,
                            kSlots * work.slot_bytes(), stream);
}

}  // namespace

bool mma_strided_serves_gradient(const c4d_problem& p) {
  return is_half_cube(p, 2) && p.out_channels <= kMostBlocks * kBlock &&
         runs_on_device(spread_strided<MmaStridedGradient<__half>>, kSlots * work_of<__half>(p).slot_bytes());
}

int64_t mma_strided_gradient_workspace(const c4d_problem& p) {
  return Order<__half>{nullptr, static_cast<int>(p.in_channels), static_cast<int>(p.out_channels)}.count() * 4;
}

int mma_strided_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace,
                           void* stream) {
  return (p.dtype == C4D_BFLOAT16 ? grad_input<__nv_bfloat16> : grad_input<__half>)(p, dy, w, dx, workspace, stream);
}

}  // namespace c4d_cuda
