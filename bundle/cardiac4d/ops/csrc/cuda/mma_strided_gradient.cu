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
// arrives. Where these are too many channels, it has parts of planes, of which one is read while the next one arrives.
#include "frames.h"
#include "launch.h"
#include "mma_strided.h"
#include "mma_strided_gradient_plane.h"
#include "packed_words.h"
#include "ptx.h"
#include "storage.h"
#include "tensor_cores.h"
#include "walk.h"

namespace c4d_cuda {
namespace {

using Sums = float[kRows][kVoxels][4];  // voxels of a cell: T, W, D

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

// Adds `products` products of one tap along H: `plane` is the warp's first row of a plane and of the first pair of
// blocks of channels, `taps` the weights of its lane.
template <class Work>
__device__ void add_plane(uint32_t plane, int products, const uint32_t* taps, int lane, Sums& sums) {
  plane += (lane / 16 * kPlane + lane % 16) * kVector;  // blocks: 8 + 8 voxels of 8 channels, then of 8 more
#pragma unroll 1
  for (int product = 0; product < products; ++product) {
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

// The same of float32: two of them are as many bytes, those of four lanes a whole sector of memory.
[[maybe_unused]] __device__ void store_voxels(const float* first, const float* second, float* row, int d, int size,
                                              int channels, bool is_inside) {
  float* to = row + d * int64_t(channels) + threadIdx.x % 4 * 2;
  if (is_inside && d >= 1 && d - 1 < size) store_pair(first[0], first[1], to - channels);
  if (is_inside && d < size) store_pair(second[0], second[1], to);
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
  const Stages<Work> stages(work, tile, shared);
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
#pragma unroll 1
    for (int voxel = 0; voxel < 2; ++voxel) {
      Sums sums;
#pragma unroll
      for (int i = 0; i < kRows * kVoxels * 4; ++i) sums[i / 4 / kVoxels][i / 4 % kVoxels][i % 4] = 0.0f;
#pragma unroll 1
      for (int turn = 0; turn < (voxel + 1) * work.parts(); ++turn) {
        const Stage<Work> stage = stages.wait_for(step, voxel, turn);
        const int64_t first = stage.part * int64_t(kMostProducts) * kTaps;
        const int64_t tap = first + tap_of(voxel, turn / work.parts()) * kTapsOfPlane;
        add_plane<Work>(shared + stage.slot * kVector + first_row, work.products_of(stage.part),
                        taps + tap * 32 * kProduct, lane, sums);
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

// Packed weights: block of target channels, product, tap, lane, block of the product: a word of source channels.
template <class Storage_>
struct Order {
  using Storage = Storage_;
  static constexpr int kOfBlock = kVector / sizeof(Storage), kOfWord = kOfBlock / 4;  // channels
  const Storage* weight;  // as torch has them
  int in_channels, out_channels;  // of the layer

  __host__ __device__ int64_t products() const { return (out_channels / kOfBlock + kProduct - 1) / kProduct; }
  __host__ __device__ int64_t count() const { return in_channels / kBlock * products() * kTaps * 32 * kProduct; }
  __device__ float number(int64_t i, int place) const {
    const int block = i % kProduct, lane = i / kProduct % 32, tap = i / kProduct / 32 % kTaps;
    const int64_t rest = i / kProduct / 32 / kTaps;
    const int64_t source = (rest % products() * kProduct + block) * kOfBlock + lane % 4 * kOfWord + place;
    const int64_t target = rest / products() * kBlock + lane / 4;
    return source < out_channels ? value(weight[(source * in_channels + target) * kTaps + tap]) : 0.0f;
  }
};

template <class Storage>
Order<Storage> order_of(const c4d_problem& p, const void* w) {
  return {static_cast<const Storage*>(w), static_cast<int>(p.in_channels), static_cast<int>(p.out_channels)};
}

// Calls call(work) with the kernel for so many source channels.
template <class Storage, class Call>
auto with_work(const c4d_problem& p, const Call& call) {
  const auto whole = work_of<MmaStridedGradient<Storage, false>>(p);
  return whole.products <= kMostProducts ? call(whole) : call(work_of<MmaStridedGradient<Storage, true>>(p));
}

template <class Storage>
int grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace, void* stream) {
  const int status = pack_weights(order_of<Storage>(p, w), workspace, stream);
  if (status != cudaSuccess) return status;
  return with_work<Storage>(p, [&](auto work) {
    work.dy = static_cast<const Storage*>(dy), work.dx = static_cast<Storage*>(dx);
    work.weights = static_cast<const uint32_t*>(workspace);
    return launch_with_memory(spread_strided<decltype(work)>, work, work.grid.jobs(), kThreads, work.shared_bytes(),
                              stream);
  });
}

}  // namespace

bool mma_strided_serves_gradient(const c4d_problem& p) {
  return is_strided_cube(p) && with_half_or_float(p.dtype, [&](auto storage) {
    return with_work<decltype(storage)>(p, [](auto work) {
      return runs_on_device(spread_strided<decltype(work)>, work.shared_bytes());
    });
  });
}

int64_t mma_strided_gradient_workspace(const c4d_problem& p) {
  return with_half_or_float(p.dtype, [&](auto storage) {
    return order_of<decltype(storage)>(p, nullptr).count() * int64_t(sizeof(uint32_t));
  });
}

int mma_strided_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace,
                           void* stream) {
  return with_half_or_float(p.dtype, [&](auto storage) {
    return grad_input<decltype(storage)>(p, dy, w, dx, workspace, stream);
  });
}

}  // namespace c4d_cuda
