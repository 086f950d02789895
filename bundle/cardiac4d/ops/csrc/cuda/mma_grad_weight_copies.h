// SPDX-License-Identifier: Apache-2.0
// How the planes that mma_grad_weight.cu and tiled_grad_weight.cu read come into shared memory.
#ifndef CARDIAC4D_CUDA_MMA_GRAD_WEIGHT_COPIES_H
#define CARDIAC4D_CUDA_MMA_GRAD_WEIGHT_COPIES_H

#include <string.h>

#include <type_traits>

#include "mma_grad_weight.h"
#include "ptx.h"

namespace c4d_cuda {
namespace grad_weight {

// Voxel number i of a plane whose first one is `first`.
struct Source {
  bool is_inside;
  int64_t position;  // in the tensor, channel 0
  int place;         // in the plane
};

template <class Plane, class Storage>
__device__ Source source_of(const Frames<Storage>& from, int n, const int (&first)[4], int i) {
  const int d = i % Plane::kSpanD, w = i / Plane::kSpanD % Plane::kSpanW, t = i / (Plane::kSpanD * Plane::kSpanW);
  const bool is_inside = is_on(first[kW] + w, from.size[kW]) && is_on(first[kD] + d, from.size[kD]) &&
                         is_on(first[kT] + t, from.size[kT]);
  int64_t begin = (int64_t(n) * from.size[kT] + first[kT]) * from.stride[kT];
  for (int axis = kH; axis < kT; ++axis) begin += first[axis] * from.stride[axis];
  return {is_inside, begin + w * from.stride[kW] + d * from.stride[kD] + t * from.stride[kT], Plane::place(w, d, t)};
}

// Queues the copies of one plane of a block of channels; zeros outside. `to` is a vector in shared memory.
template <class Plane, int kThreads, class Storage>
__device__ void copy_plane(const Frames<Storage>& from, int n, const int (&first)[4], int block, int to) {
  const uint32_t begin = shared_address(c4d_shared) + to * kVector;
#pragma unroll 1
  for (int i = threadIdx.x; i < Plane::kCopies; i += kThreads) {
    const int part = i % Plane::kWide, channel = block * kBlock + part * (kBlock / Plane::kWide);
    const Source source = source_of<Plane>(from, n, first, i / Plane::kWide);
    copy_async(begin + (source.place + part) * kVector, from.first + (source.is_inside ? source.position + channel : 0),
               source.is_inside);
  }
}

// The same for one channel of float32 in a plane of single numbers: places in it count numbers.
template <class Plane, int kThreads>
__device__ void copy_numbers(const Frames<float>& from, int n, const int (&first)[4], int to) {
  const uint32_t begin = shared_address(c4d_shared) + to * kVector;
#pragma unroll 1
  for (int i = threadIdx.x; i < Plane::kCopies; i += kThreads) {
    const Source source = source_of<Plane>(from, n, first, i);
    copy_number_async(begin + source.place * sizeof(float), from.first + (source.is_inside ? source.position : 0),
                      source.is_inside);
  }
}

// The same for one channel in a plane of eight; seven zeros join it. All numbers are on their way before the first is
// waited for.
template <class Plane, int kThreads, class Storage>
__device__ void fill_plane(const Frames<Storage>& from, int n, const int (&first)[4], int to) {
  using Bits = std::conditional_t<Plane::kWide == 2, uint32_t, uint16_t>;
  constexpr int kVoxelsOfPlane = Plane::kVectors / Plane::kWide, kEach = (kVoxelsOfPlane + kThreads - 1) / kThreads;
  const Bits* numbers = reinterpret_cast<const Bits*>(from.first);
  Bits arriving[kEach];
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const Source source = source_of<Plane>(from, n, first, threadIdx.x + j * kThreads);
    arriving[j] = source.is_inside ? numbers[source.position] : Bits(0);
  }
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const int i = threadIdx.x + j * kThreads;
    if (i >= kVoxelsOfPlane) continue;
    ulonglong2* vector = c4d_shared + to + source_of<Plane>(from, n, first, i).place;
    uint32_t word[] = {arriving[j]};
    if constexpr (Plane::kWide == 2) {
      round_to_tf32(word);
      vector[1] = ulonglong2{0, 0};
    }
    vector[0] = ulonglong2{word[0], 0};
  }
}

// Calls change(words) with vector number `vector` of shared memory.
template <class Change>
__device__ void change_vector(int vector, const Change& change) {
  uint32_t words[4];
  memcpy(words, c4d_shared + vector, kVector);
  change(words);
  memcpy(c4d_shared + vector, words, kVector);
}

// Rounds a plane of float32 to TF32, each thread what it copied: as soon as that is there.
template <class Plane, int kThreads>
__device__ void round_plane(int first) {
#pragma unroll 1
  for (int i = threadIdx.x; i < Plane::kVectors; i += kThreads) {
    const int d = i / Plane::kWide % Plane::kSpanD, row = i / Plane::kWide / Plane::kSpanD;
    const int place = Plane::place(row % Plane::kSpanW, d, row / Plane::kSpanW) + i % Plane::kWide;
    change_vector(first + place, [](uint32_t(&words)[4]) { round_to_tf32(words); });
  }
}

// Normalises what copy_plane copied with the same arguments, and rounds float32 to TF32. What is outside is zero and
// stays so; it is looked up again, since a bit for each vector would be one register too many.
template <class Work>
__device__ void normalise_plane(const Work& work, int n, const int (&first)[4], int block, int to) {
  using Plane = typename Work::In;
  static_assert(Work::kThreads % Plane::kWide == 0, "all vectors of a thread are of the same channels");
  const int part = threadIdx.x % Plane::kWide;
  const int64_t number = (int64_t(n) * work.x.blocks + block) * kBlock + part * (kBlock / Plane::kWide);
#pragma unroll 1
  for (int i = threadIdx.x; i < Plane::kCopies; i += Work::kThreads) {
    const Source source = source_of<Plane>(work.x, n, first, i / Plane::kWide);
    if (!source.is_inside) continue;
    change_vector(to + source.place + part, [&](uint32_t(&words)[4]) {
      normalise<typename Work::Storage>(work.fusion.scale + number, work.fusion.shift + number, words);
      if constexpr (Work::kIsTf32) round_to_tf32(words);
    });
  }
}

// Fills the slots of a block of threads, for its channels.
template <class Work>
struct Copier {
  const Work& work;
  int in_block, out_block;  // the first

  // The output's gradient at h, if there is such a plane.
  __device__ void copy_out(const Step& step, int h, int slot) const {
    if (!is_on(h, work.dy.size[kH])) return;
    const int first[] = {h, step.at[kW], step.at[kD], step.at[kT]};
#pragma unroll 1
    for (int half = 0; half < Work::kHalves; ++half) {
      copy_plane<typename Work::Out, Work::kThreads>(
          work.dy, step.n, first, out_block + half,
          Work::kFirstOut + slot * Work::kOutVectors + half * Work::Out::kVectors);
    }
  }
  // Where the planes of the input begin that a step reads.
  __device__ void place_input(const Step& step, int (&first)[4]) const {
    for (int axis = 0; axis < 4; ++axis) first[axis] = step.at[axis] * Work::kStride - work.padding[axis];
  }
  // What arrives at step number `count` of this block of threads.
  __device__ void copy_step(const Step& step, int count) const {
    int first[4];
    place_input(step, first);
    int to = count % 2 * Work::kStride * Work::In::kVectors;
#pragma unroll 1
    for (int plane = 0; plane < Work::kStride; ++plane, ++first[kH], to += Work::In::kVectors) {
      if (!is_on(first[kH], work.x.size[kH])) continue;
      if constexpr (Work::In::kWide == 0) {
        copy_numbers<typename Work::In, Work::kThreads>(work.x, step.n, first, to);
      } else if constexpr (Work::kIns == 1) {
        fill_plane<typename Work::In, Work::kThreads>(work.x, step.n, first, to);
      } else {
        copy_plane<typename Work::In, Work::kThreads>(work.x, step.n, first, in_block, to);
      }
    }
    copy_out(step, step.at[kH], count % Work::kOutSlots);
  }
  // Prepares what was copied for a step, once this thread's copies are there: normalises and rounds it.
  __device__ void prepare_step(const Step& step, int count) const {
    if constexpr (Work::Fusion::kNormalises) {
      static_assert(Work::kStride == 1 && Work::kIns > 1, "one plane of a block of channels");
      int first[4];
      place_input(step, first);
      normalise_plane(work, step.n, first, in_block, count % 2 * Work::In::kVectors);
    }
    if constexpr (Work::kIsTf32) {
      constexpr bool kRoundsInput = Work::kIns > 1 && !Work::Fusion::kNormalises;
      for (int plane = 0; plane < Work::kStride && kRoundsInput; ++plane) {
        round_plane<typename Work::In, Work::kThreads>((count % 2 * Work::kStride + plane) * Work::In::kVectors);
      }
      round_plane<typename Work::Out, Work::kThreads>(Work::kFirstOut + count % Work::kOutSlots * Work::kOutVectors);
      for (int back = 1; count == 0 && back <= Work::kLag; ++back) {
        const int slot = Work::kOutSlots - back;
        round_plane<typename Work::Out, Work::kThreads>(Work::kFirstOut + slot * Work::kOutVectors);
      }
    }
  }
  // What had arrived before the first step, of the same tile.
  __device__ void copy_earlier(const Step& step) const {
#pragma unroll 1
    for (int back = 1; back <= Work::kLag; ++back) copy_out(step, step.at[kH] - back, Work::kOutSlots - back);
  }
};

}  // namespace grad_weight
}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_GRAD_WEIGHT_COPIES_H
