// SPDX-License-Identifier: Apache-2.0
// Convolution on tensor cores: an implicit matrix product without copies of the input.
//
// A block of threads walks along H. Either it keeps four planes of all input channels in shared memory: three are read,
// while the next one arrives. Or, where these are too many, it sums one block of channels after the other, three planes
// of each: they are read, while those of the next block arrive. The order of the sums is the same.
#ifndef CARDIAC4D_CUDA_MMA_KERNELS_H
#define CARDIAC4D_CUDA_MMA_KERNELS_H

#include "channel_sums.h"
#include "mma_tile.h"
#include "mma_weights.h"

namespace c4d_cuda {
namespace {

template <class Work>
struct Resident : Work {
  static constexpr int kSlots = 4;  // planes in shared memory

  static int64_t shared_bytes(int64_t in_blocks) { return kSlots * in_blocks * Work::kPlane * kVector; }
};

// One step along H: the warp's rows of the target at h, whose first plane is in slot `step % kSlots`.
template <class Work>
__device__ void compute_step(const Work& work, const Tile& tile, const Part& part, int step, float (&totals)[4]) {
  const int in_blocks = work.sizes.in_blocks;
  const int first_row = (part.t * Work::kSpanW + part.w) * Work::kSpanD;
#pragma unroll 1
  for (int out = part.out; out < work.sizes.out_blocks; out += Work::kWarpsOut) {
    const int channel = out * kOut + part.lane % 4 * 2;
    float sums[kRows][kRows][4];
    begin_sums(work, channel, sums);
#pragma unroll 1
    for (int i = 0; i < in_blocks * 3; ++i) {
      const int block = i / 3, kh = i % 3, slot = (step + kh) % Work::kSlots;
      const int plane = (slot * in_blocks + block) * Work::kPlane + first_row;
      const uint32_t* taps = work.weights + (int64_t(out) * in_blocks * 3 + i) * kTapsOfPlane * 32;
      add_plane<Work>(shared_address(c4d_shared + plane), taps, part.lane, sums);
    }
    store_rows(work, tile, part, tile.h + step, channel, sums, totals);
  }
}

template <class Work>
__global__ void __launch_bounds__(kThreads, 1) correlate_on_tensor_cores(const Work work) {
#ifdef C4D_HAS_TENSOR_CORES
  const Part part = part_of_warp<Work>();
  const int in_blocks = work.sizes.in_blocks, slot = in_blocks * Work::kPlane;
  for (int64_t job = blockIdx.x; job < work.jobs(); job += gridDim.x) {
    const Tile tile = tile_at(work, job);
    const int rest = work.sizes.to[kH] - tile.h, first = tile.h - work.sizes.lead[kH];
    const int steps = rest < kSteps ? rest : kSteps;
    const uint32_t inside = inside_of_planes(work, tile, in_blocks);
    float totals[4] = {};
    for (int plane = 0; plane < 3; ++plane) copy_plane(work, tile, first + plane, 0, in_blocks, plane * slot);
#pragma unroll 1
    for (int step = 0; step < steps; ++step) {
      wait_for_copies();
      for (int plane = step == 0 ? 0 : step + 2; plane < step + 3; ++plane) {
        prepare_plane(work, tile, first + plane, inside, 0, in_blocks, plane % Work::kSlots * slot);
      }
      __syncthreads();  // now the planes of this step are there, and nobody reads the one that is overwritten next
      const int next = step + 3;
      if (step + 1 < steps) copy_plane(work, tile, first + next, 0, in_blocks, next % Work::kSlots * slot);
      compute_step(work, tile, part, step, totals);
    }
    __syncthreads();  // before the next job overwrites the planes
    store_totals(work, job, 0, totals);
  }
#endif
}

// A job is a tile and as many blocks of output channels as there are warps for them.
template <class Work>
struct Streamed : Work {
  static int64_t shared_bytes(int64_t) { return 2 * 3 * Work::kPlane * kVector; }
  __host__ __device__ int64_t out_jobs() const {
    return (this->sizes.out_blocks + Work::kWarpsOut - 1) / Work::kWarpsOut;
  }
  __host__ __device__ int64_t jobs() const { return Work::jobs() * out_jobs(); }
};

template <class Work>
__device__ void copy_stage(const Work& work, const Tile& tile, int stage) {
  const int step = stage / work.sizes.in_blocks, block = stage % work.sizes.in_blocks;
  for (int kh = 0; kh < 3; ++kh) {
    const int h = tile.h + step - work.sizes.lead[kH] + kh;
    copy_plane(work, tile, h, block, 1, (stage % 2 * 3 + kh) * Work::kPlane);
  }
}

template <class Work>
__global__ void __launch_bounds__(kThreads, 1) correlate_streamed(const Work work) {
#ifdef C4D_HAS_TENSOR_CORES
  const Part part = part_of_warp<Work>();
  const int first_row = (part.t * Work::kSpanW + part.w) * Work::kSpanD;
  const int in_blocks = work.sizes.in_blocks;
  for (int64_t job = blockIdx.x; job < work.jobs(); job += gridDim.x) {
    const Tile tile = tile_at(work, job / work.out_jobs());
    const int out = static_cast<int>(job % work.out_jobs()) * Work::kWarpsOut + part.out;
    const int rest = work.sizes.to[kH] - tile.h, stages = (rest < kSteps ? rest : kSteps) * in_blocks;
    const int channel = out * kOut + part.lane % 4 * 2;
    const uint32_t* taps = work.weights + int64_t(out) * in_blocks * kTaps * 32;
    const uint32_t inside = inside_of_planes(work, tile, 1);
    float sums[kRows][kRows][4], totals[4] = {};
    copy_stage(work, tile, 0);
#pragma unroll 1
    for (int stage = 0; stage < stages; ++stage) {
      const int first = stage % 2 * 3, block = stage % in_blocks;
      const int h = tile.h + stage / in_blocks - work.sizes.lead[kH];
      wait_for_copies();
      for (int kh = 0; kh < 3; ++kh) {
        prepare_plane(work, tile, h + kh, inside, block, 1, (first + kh) * Work::kPlane);
      }
      __syncthreads();  // now this stage is there, and nobody reads the one that is overwritten next
      if (stage + 1 < stages) copy_stage(work, tile, stage + 1);
      if (out >= work.sizes.out_blocks) continue;
      if (block == 0) begin_sums(work, channel, sums);
#pragma unroll 1
      for (int kh = 0; kh < 3; ++kh) {
        const uint32_t plane = shared_address(c4d_shared + (first + kh) * Work::kPlane + first_row);
        add_plane<Work>(plane, taps + (block * 3 + kh) * kTapsOfPlane * 32, part.lane, sums);
      }
      if (block + 1 == in_blocks) {
        store_rows(work, tile, part, tile.h + stage / in_blocks, channel, sums, totals);
      }
    }
    __syncthreads();  // before the next job overwrites the stages
    store_totals(work, job / work.out_jobs(), out - part.out, totals);
  }
#endif
}

template <class Work>
constexpr auto kernel_of(const Resident<Work>&) {
  return correlate_on_tensor_cores<Resident<Work>>;
}
template <class Work>
constexpr auto kernel_of(const Streamed<Work>&) {
  return correlate_streamed<Streamed<Work>>;
}

template <class Work>
bool fits(const Work& work, int64_t in_blocks) {
  return runs_on_device(kernel_of(work), work.shared_bytes(in_blocks));
}

// Whether a kernel with resident planes serves: with sums, a warp has those of one block of output channels.
template <class Work>
bool is_for(const Work& work, const Sizes& sizes, int most_in_blocks) {
  return sizes.in_blocks <= most_in_blocks && (!Work::Fusion::kSums || sizes.out_blocks <= Work::kWarpsOut) &&
         fits(work, sizes.in_blocks);
}

// Calls call(work) with the first of these that fits the device, or with the last: the more input channels, the smaller
// the planes.
template <class Storage, class Fusion, class Call>
auto with_work(const Sizes& sizes, const Call& call) {
  if constexpr (sizeof(Storage) == 2) {  // 8 channels of float32 are two blocks
    const Resident<MmaCorrelate<Storage, 8, 8, Fusion>> large{};
    if (is_for(large, sizes, 1)) return call(large);
  }
  const Resident<MmaCorrelate<Storage, 8, 4, Fusion>> middle{};
  const Resident<MmaCorrelate<Storage, 4, 4, Fusion>> small{};
  if (is_for(middle, sizes, 2)) return call(middle);
  if (is_for(small, sizes, 4)) return call(small);
  return call(Streamed<MmaCorrelate<Storage, 4, 4, Fusion>>());
}

// With what a fusion takes along.
template <class Storage, class Fusion>
int correlate(const c4d_problem& p, bool is_gradient, const void* from, const void* w, const void* bias, void* to,
              const Fusion& fusion, double* sums, void* workspace, void* stream) {
  const Sizes sizes = sizes_of<Storage>(p, is_gradient);
  uint32_t* packed = static_cast<uint32_t*>(workspace);
  const PackWeights<Storage> weights{static_cast<const Storage*>(w), p.in_channels, sizes.in_blocks, sizes.out_blocks,
                                     is_gradient, packed};
  const int status =
      launch(pack<PackWeights<Storage>>, weights, (weights.count() + kThreads - 1) / kThreads, kThreads, 0, stream);
  if (status != cudaSuccess) return status;
  return with_work<Storage, Fusion>(sizes, [&](auto work) {
    work.sizes = sizes, work.weights = packed, work.fusion = fusion;
    work.from = static_cast<const Storage*>(from), work.bias = static_cast<const Storage*>(bias);
    work.to = static_cast<Storage*>(to);
    const int64_t bytes = work.shared_bytes(sizes.in_blocks);
    const int launched = launch_with_memory(kernel_of(work), work, work.jobs(), kThreads, bytes, stream);
    if constexpr (Fusion::kSums) {
      if (launched != cudaSuccess) return launched;
      return add_pieces_of_samples(p.batch, work.tiles_of_a_sample(), sizes.out_blocks * kOut, fusion.pieces, sums,
                                   stream);
    }
    return launched;
  });
}

}  // namespace
}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_KERNELS_H
