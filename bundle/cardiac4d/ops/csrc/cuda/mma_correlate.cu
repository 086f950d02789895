// SPDX-License-Identifier: Apache-2.0
// Forward and input gradient on tensor cores: an implicit matrix product without copies of the input.
//
// Eight channels of eight neighbours along D are a block, one register of a tensor-core operand. The three taps along
// D are the same rows of shared memory, shifted by one voxel; the taps along W and T reuse the very registers: a warp
// sums 4 x 4 rows (W x T) of 16 voxels, reads each of the 6 x 6 rows around them once per tap along H, and multiplies
// it with the weights of up to nine taps: less than one block from shared memory per product.
//
// A block of threads walks along H. Of the input it keeps four planes: three are read, while the next one arrives.
#include "frames.h"
#include "launch.h"
#include "mma.h"
#include "ptx.h"
#include "storage.h"
#include "tensor_cores.h"

namespace c4d_cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kVoxels = 16;                     // of a warp along D
constexpr int kRows = 4;                        // of a warp along W, and along T
constexpr int kTapsOfPlane = 27, kTaps = 81;    // kernel 3x3x3 at one tap along H, and whole
constexpr int kSlots = 4;                       // planes in shared memory
constexpr int kSteps = 8;                       // of a block of threads along H

// What is computed: to = from correlated with the weights. For the input gradient these are flipped.
struct Sizes {
  int batch, from[4], to[4], lead[4];  // lead: zeros before the first voxel
  int in_blocks, out_blocks;
};

template <class Storage_, int kTileW_, int kTileT_>
struct MmaCorrelate {
  using Storage = Storage_;
  static constexpr int kTileW = kTileW_, kTileT = kTileT_;
  static constexpr int kWarpsW = kTileW / kRows, kWarpsT = kTileT / kRows, kWarpsOut = kWarps / kWarpsW / kWarpsT;
  static constexpr int kSpanD = kVoxels + 2, kSpanW = kTileW + 2, kSpanT = kTileT + 2;
  static constexpr int kPlane = kSpanD * kSpanW * kSpanT;  // vectors per block of channels
  Sizes sizes;
  const Storage *from, *bias;  // no bias: null
  const uint32_t* weights;     // packed
  Storage* to;

  static int64_t shared_bytes(int64_t in_blocks) { return kSlots * in_blocks * kPlane * kVector; }
  __host__ __device__ int64_t tiles(int axis) const {
    const int extents[] = {kSteps, kTileW, kVoxels, kTileT};
    return (sizes.to[axis] + extents[axis] - 1) / extents[axis];
  }
  __host__ __device__ int64_t jobs() const { return sizes.batch * tiles(kH) * tiles(kW) * tiles(kD) * tiles(kT); }
};

// The first voxel of a job's tile.
struct Tile {
  int n, h, w, d, t;
};

template <class Work>
__device__ Tile tile_at(const Work& work, int64_t job) {
  const int64_t tiles[] = {work.tiles(kH), work.tiles(kW), work.tiles(kD), work.tiles(kT)};
  const Voxel v = voxel_at(job, tiles);
  return {static_cast<int>(v.n), static_cast<int>(v.at[kH] * kSteps), static_cast<int>(v.at[kW] * Work::kTileW),
          static_cast<int>(v.at[kD] * kVoxels), static_cast<int>(v.at[kT] * Work::kTileT)};
}

// Queues the copies of one plane: all that the tile reads at position h of the source, zeros outside.
template <class Work>
__device__ void copy_plane(const Work& work, const Tile& tile, int h, uint32_t to) {
  const Sizes& sizes = work.sizes;
  const int vectors = sizes.in_blocks * Work::kPlane;
#pragma unroll 1
  for (int i = threadIdx.x; i < vectors; i += kThreads) {
    const int block = i % sizes.in_blocks, place = i / sizes.in_blocks;
    const int d = tile.d - sizes.lead[kD] + place % Work::kSpanD;
    const int w = tile.w - sizes.lead[kW] + place / Work::kSpanD % Work::kSpanW;
    const int t = tile.t - sizes.lead[kT] + place / (Work::kSpanD * Work::kSpanW);
    const bool is_inside = h >= 0 && h < sizes.from[kH] && w >= 0 && w < sizes.from[kW] && d >= 0 &&
                           d < sizes.from[kD] && t >= 0 && t < sizes.from[kT];
    const int64_t frame = int64_t(tile.n) * sizes.from[kT] + t;
    const int64_t voxel = ((frame * sizes.from[kH] + h) * sizes.from[kW] + w) * sizes.from[kD] + d;
    const int64_t first = (voxel * sizes.in_blocks + block) * kBlock;
    copy_async(to + (block * Work::kPlane + place) * kVector, work.from + (is_inside ? first : 0), is_inside);
  }
}

// A warp's part of a tile.
struct Part {
  int w, t, out, lane;
};

template <class Work>
__device__ Part part_of_warp() {
  const int warp = threadIdx.x / 32;
  return {warp % Work::kWarpsW * kRows, warp / Work::kWarpsW % Work::kWarpsT * kRows,
          warp / (Work::kWarpsW * Work::kWarpsT), static_cast<int>(threadIdx.x % 32)};
}

// Adds the products of 27 taps: `plane` is the warp's first row of a plane and a block of channels, `taps` the weights.
template <class Work>
__device__ void add_plane(uint32_t plane, const uint32_t* taps, int lane, float (&sums)[kRows][kRows][4]) {
  uint32_t weights[kTapsOfPlane];
#pragma unroll
  for (int i = 0; i < kTapsOfPlane; ++i) weights[i] = taps[i * 32 + lane];
  // Blocks: 8 + 8 voxels at the first tap along D, the same at the second; then the same at the third.
  const uint32_t two = plane + (lane % 16 + lane / 16) * kVector, third = plane + (lane % 16 + 2) * kVector;
#pragma unroll
  for (int w = 0; w < kRows + 2; ++w) {
#pragma unroll
    for (int t = 0; t < kRows + 2; ++t) {
      const uint32_t row = (t * Work::kSpanW + w) * Work::kSpanD * kVector;
      uint32_t a[4], b[2];
      load_blocks(two + row, a);
      load_blocks(third + row, b);
#pragma unroll
      for (int tap = 0; tap < 9; ++tap) {
        const int to_w = w - tap / 3, to_t = t - tap % 3;
        if (to_w < 0 || to_w >= kRows || to_t < 0 || to_t >= kRows) continue;
        multiply(typename Work::Storage(), sums[to_w][to_t], a, weights[tap * 3], weights[tap * 3 + 1]);
        multiply(typename Work::Storage(), sums[to_w][to_t], b, weights[tap * 3 + 2]);
      }
    }
  }
}

// Stores two neighbouring channels of voxels d and d + 8 of each row, where they are inside.
template <class Work>
__device__ void store_rows(const Work& work, const Tile& tile, const Part& part, int h, int channel,
                           const float (&sums)[kRows][kRows][4]) {
  const int(&size)[4] = work.sizes.to;
  const int w = tile.w + part.w, t = tile.t + part.t, d = tile.d + part.lane / 4;
  const int64_t voxel = work.sizes.out_blocks * kBlock, row = voxel * size[kD], frame = row * size[kW] * size[kH];
  typename Work::Storage* to = work.to + (int64_t(tile.n) * size[kT] + t) * frame +
                               (int64_t(h) * size[kW] + w) * row;
  to += d * voxel + channel;
#pragma unroll
  for (int i = 0; i < kRows; ++i, to += frame) {
#pragma unroll
    for (int j = 0; j < kRows; ++j) {
      if (t + i >= size[kT] || w + j >= size[kW]) continue;
      const float(&four)[4] = sums[j][i];
      if (d < size[kD]) store_pair(four[0], four[1], to + j * row);
      if (d + 8 < size[kD]) store_pair(four[2], four[3], to + j * row + 8 * voxel);
    }
  }
}

// One step along H: the warp's rows of the target at h, whose first plane is in slot `step % kSlots`.
template <class Work>
__device__ void compute_step(const Work& work, const Tile& tile, const Part& part, int step) {
  const int in_blocks = work.sizes.in_blocks;
  const uint32_t first_row = (part.t * Work::kSpanW + part.w) * Work::kSpanD;
#pragma unroll 1
  for (int out = part.out; out < work.sizes.out_blocks; out += Work::kWarpsOut) {
    const int channel = out * kBlock + part.lane % 4 * 2;
    float sums[kRows][kRows][4];
#pragma unroll
    for (int i = 0; i < kRows * kRows * 4; ++i) {
      sums[i / 4 / kRows][i / 4 % kRows][i % 4] = work.bias == nullptr ? 0.0f : value(work.bias[channel + i % 2]);
    }
#pragma unroll 1
    for (int i = 0; i < in_blocks * 3; ++i) {
      const int block = i / 3, kh = i % 3, slot = (step + kh) % kSlots;
      const uint32_t plane = (slot * in_blocks + block) * Work::kPlane + first_row;
      const uint32_t* taps = work.weights + (int64_t(out) * in_blocks * 3 + i) * kTapsOfPlane * 32;
      add_plane<Work>(shared_address(c4d_shared) + plane * kVector, taps, part.lane, sums);
    }
    store_rows(work, tile, part, tile.h + step, channel, sums);
  }
}

template <class Work>
__global__ void __launch_bounds__(kThreads) correlate_on_tensor_cores(const Work work) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  const Part part = part_of_warp<Work>();
  const uint32_t shared = shared_address(c4d_shared);
  const uint32_t slot_bytes = work.sizes.in_blocks * Work::kPlane * kVector;
  for (int64_t job = blockIdx.x; job < work.jobs(); job += gridDim.x) {
    const Tile tile = tile_at(work, job);
    const int rest = work.sizes.to[kH] - tile.h, first = tile.h - work.sizes.lead[kH];
    const int steps = rest < kSteps ? rest : kSteps;
    for (int plane = 0; plane < 3; ++plane) copy_plane(work, tile, first + plane, shared + plane * slot_bytes);
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      wait_for_copies();
      __syncthreads();  // now the planes of this step are there, and nobody reads the one that is overwritten next
      const int next = step + 3;
      if (step + 1 < steps) copy_plane(work, tile, first + next, shared + next % kSlots * slot_bytes);
      compute_step(work, tile, part, step);
    }
    __syncthreads();  // before the next job overwrites the planes
  }
#endif
}

template <class Storage_>
struct PackWeights {
  using Storage = Storage_;
  const Storage* weight;  // as torch has them
  int64_t in_channels;    // of the layer
  int in_blocks, out_blocks;
  bool is_gradient;  // exchange the channels, flip the taps
  uint32_t* packed;  // out block, in block, tap H, tap W, tap T, tap D, lane: two input channels

  __host__ __device__ int64_t count() const { return int64_t(out_blocks) * in_blocks * kTaps * 32; }
};

template <class Work>
__global__ void __launch_bounds__(kThreads) pack(const Work work) {
  const int64_t step = int64_t(gridDim.x) * kThreads;
  for (int64_t i = blockIdx.x * int64_t(kThreads) + threadIdx.x; i < work.count(); i += step) {
    const int lane = i % 32, tap = i / 32 % kTaps;  // tap: H, W, T, D
    const int reordered = tap / 9 * 9 + tap % 3 * 3 + tap / 3 % 3;
    const int64_t blocks = i / 32 / kTaps, in = blocks % work.in_blocks * kBlock + lane % 4 * 2;
    const int64_t out = blocks / work.in_blocks * kBlock + lane / 4;
    float pair[2];
    for (int64_t c = 0; c < 2; ++c) {
      const int64_t row = work.is_gradient ? (in + c) * work.in_channels + out : out * work.in_channels + in + c;
      pair[c] = value(work.weight[row * kTaps + (work.is_gradient ? kTaps - 1 - reordered : reordered)]);
    }
    store_pair(pair[0], pair[1], reinterpret_cast<typename Work::Storage*>(work.packed + i));
  }
}

Sizes sizes_of(const c4d_problem& p, bool is_gradient) {
  Sizes sizes{};
  sizes.batch = static_cast<int>(p.batch);
  sizes.in_blocks = static_cast<int>((is_gradient ? p.out_channels : p.in_channels) / kBlock);
  sizes.out_blocks = static_cast<int>((is_gradient ? p.in_channels : p.out_channels) / kBlock);
  for (int axis = 0; axis < 4; ++axis) {
    sizes.from[axis] = static_cast<int>(is_gradient ? p.out[axis] : p.in[axis]);
    sizes.to[axis] = static_cast<int>(is_gradient ? p.in[axis] : p.out[axis]);
    sizes.lead[axis] = static_cast<int>(is_gradient ? 2 - p.padding[axis] : p.padding[axis]);
  }
  return sizes;
}

// Calls call(Work) with the tile for so many input channels: the more of them, the smaller the planes.
template <class Storage, class Call>
auto with_tile(int in_blocks, const Call& call) {
  if (in_blocks == 1) return call(MmaCorrelate<Storage, 8, 8>());
  if (in_blocks == 2) return call(MmaCorrelate<Storage, 8, 4>());
  return call(MmaCorrelate<Storage, 4, 4>());
}

template <class Storage>
int correlate(const c4d_problem& p, bool is_gradient, const void* from, const void* w, const void* bias, void* to,
              void* workspace, void* stream) {
  const Sizes sizes = sizes_of(p, is_gradient);
  uint32_t* packed = static_cast<uint32_t*>(workspace);
  const PackWeights<Storage> weights{static_cast<const Storage*>(w), p.in_channels, sizes.in_blocks, sizes.out_blocks,
                                     is_gradient, packed};
  const int status =
      launch(pack<PackWeights<Storage>>, weights, (weights.count() + kThreads - 1) / kThreads, kThreads, 0, stream);
  if (status != cudaSuccess) return status;
  return with_tile<Storage>(sizes.in_blocks, [&](auto work) {
    work.sizes = sizes, work.weights = packed;
    work.from = static_cast<const Storage*>(from), work.bias = static_cast<const Storage*>(bias);
    work.to = static_cast<Storage*>(to);
    return launch_with_memory(correlate_on_tensor_cores<decltype(work)>, work, work.jobs(), kThreads,
                              work.shared_bytes(sizes.in_blocks), stream);
  });
}

int correlate(const c4d_problem& p, bool is_gradient, const void* from, const void* w, const void* bias, void* to,
              void* workspace, void* stream) {
  const bool is_bfloat = p.dtype == C4D_BFLOAT16;
  return (is_bfloat ? correlate<__nv_bfloat16> : correlate<__half>)(p, is_gradient, from, w, bias, to, workspace,
                                                                    stream);
}

}  // namespace

bool mma_serves(const c4d_problem& p, bool is_gradient) {
  if (!is_half_cube(p, 1) || p.in_channels % kBlock != 0 || p.out_channels % kBlock != 0) return false;
  const int64_t in_blocks = (is_gradient ? p.out_channels : p.in_channels) / kBlock;
  return in_blocks <= 4 && with_tile<__half>(static_cast<int>(in_blocks), [&](auto work) {
           return runs_on_device(correlate_on_tensor_cores<decltype(work)>, work.shared_bytes(in_blocks));
         });
}

int64_t mma_workspace(const c4d_problem& p) { return p.in_channels * p.out_channels * kTaps * 2; }

int mma_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                void* stream) {
  return correlate(p, false, x, w, bias, y, workspace, stream);
}

int mma_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace, void* stream) {
  return correlate(p, true, dy, w, nullptr, dx, workspace, stream);
}

}  // namespace c4d_cuda
