// SPDX-License-Identifier: Apache-2.0
// What the sums over a softmax and their gradients share: how voxels are spread over blocks, the softmax at a voxel of
// neighbouring frames, sums of a block.
//
// A block takes a stretch of one frame. The blocks of a stretch in all frames follow each other, so that what one reads
// of its neighbouring frames is in the L2 cache, for their blocks read it at the same time. Sums stay in registers
// until the stretch ends: in float over at most kMostVoxels of a thread, in double from there on.
#ifndef CARDIAC4D_CUDA_SOFTMAX_HEAD_H
#define CARDIAC4D_CUDA_SOFTMAX_HEAD_H

#include <math.h>

#include "add_pieces.h"
#include "frames.h"
#include "fused.h"
#include "launch.h"
#include "octets.h"

namespace c4d_cuda {

constexpr int kHeadThreads = 256;
constexpr int64_t kMostVoxels = 256;      // of a thread
constexpr int64_t kWantedStretches = 2048;  // of all frames: enough for any GPU of today

struct Stretches {
  int64_t batch, frames, voxels;  // voxels: of a frame
  int64_t share, count;           // voxels of a stretch, stretches of a frame

  __host__ __device__ int64_t jobs() const { return batch * count * frames; }
};

// What a stretch leaves in the workspace: the sums of its frame, or its part of the head's gradient.
inline int64_t bytes_of_stretch(const c4d_cuda_head& head) {
  const int64_t of_sums = 2 * head.classes + 3, of_head = head.w == nullptr ? 0 : head.classes * (head.x.channels + 1);
  return (of_sums > of_head ? of_sums : of_head) * int64_t(sizeof(double));
}

// From the shape alone: enough for any GPU, and no more than kMostBytes allow, as long as a thread has kMostVoxels at
// most; of each frame at least one.
inline Stretches stretches_of(const c4d_cuda_head& head) {
  const c4d_frames& f = head.x;
  Stretches cut{};
  cut.batch = f.batch, cut.frames = f.size[kT];
  cut.voxels = f.size[kH] * f.size[kW] * f.size[kD];
  const int64_t frames = f.batch * cut.frames, fitting = kMostBytes / bytes_of_stretch(head);
  const int64_t most = frames > 0 && frames < fitting ? fitting / frames : 1;  // of a frame
  const int64_t by_memory = (cut.voxels + kHeadThreads * most - 1) / (kHeadThreads * most);
  const int64_t by_blocks = frames * cut.voxels / (kHeadThreads * kWantedStretches);
  const int64_t wanted = by_memory > by_blocks ? by_memory : by_blocks;
  cut.share = kHeadThreads * (wanted < kMostVoxels ? wanted : kMostVoxels);
  cut.count = (cut.voxels + cut.share - 1) / cut.share;
  return cut;
}

// Adds up what all stretches have left.
template <class Real_>
struct AddStretches {
  using Real = Real_;
  int64_t pieces, numbers;
  const double* sums;
  Real* dw;

  __device__ int64_t weights() const { return numbers; }
  __device__ int64_t weight_at(int64_t i) const { return i; }
};

// The stretch of a job, and its frame.
struct Stretch {
  int64_t n, index, t, first, end;  // first: the voxel of this thread

  __device__ Stretch(const Stretches& cut, int64_t job) {
    t = job % cut.frames, index = job / cut.frames % cut.count, n = job / cut.frames / cut.count;
    first = index * cut.share + threadIdx.x;
    end = (index + 1) * cut.share;
    if (end > cut.voxels) end = cut.voxels;
  }
};

// kMost: room for classes.
template <class Storage, int kMost>
struct Head {
  using Stored = Storage;
  static constexpr int kRoom = kMost;
  int64_t channels;
  int classes;
  const Storage *w, *bias;  // w: or null

  __host__ __device__ int64_t pitch() const { return octets_of(channels) * kOctet; }
  // In shared memory: the weights, zeros in channels that are not there, then the bias and room up to 16 bytes.
  __host__ __device__ int64_t numbers() const { return w == nullptr ? 0 : classes * pitch() + kOctet; }

  // Whoever reads them waits for all threads.
  __device__ void copy(float* weights) const {
    if (w == nullptr) return;
    for (int64_t i = threadIdx.x; i < classes * pitch(); i += kHeadThreads) {
      const int64_t c = i % pitch();
      weights[i] = c < channels ? value(w[i / pitch() * channels + c]) : 0.0f;
    }
    if (static_cast<int>(threadIdx.x) < classes) {
      weights[classes * pitch() + threadIdx.x] = bias == nullptr ? 0.0f : value(bias[threadIdx.x]);
    }
  }

  // The probabilities at kCount voxels; zeros in classes that are not there.
  template <int kCount>
  __device__ void probabilities(const Storage* const (&from)[kCount], const float* weights,
                                float (&p)[kCount][kMost]) const {
    if (w == nullptr) {
#pragma unroll
      for (int f = 0; f < kCount; ++f) {
#pragma unroll
        for (int i = 0; i < kMost; ++i) p[f][i] = i < classes ? value(from[f][i]) : 0.0f;
      }
    } else {
      convolve(from, weights, p);
    }
#pragma unroll
    for (int f = 0; f < kCount; ++f) softmax(p[f]);
  }

 private:
  template <int kCount>
  __device__ void convolve(const Storage* const (&from)[kCount], const float* weights,
                           float (&logits)[kCount][kMost]) const {
#pragma unroll
    for (int f = 0; f < kCount; ++f) {
#pragma unroll
      for (int i = 0; i < kMost; ++i) logits[f][i] = i < classes ? weights[classes * pitch() + i] : 0.0f;
    }
#pragma unroll 1
    for (int64_t block = 0; block < octets_of(channels); ++block) {
      const Octet in = octet_at(block, channels);
      float numbers[kCount][kOctet];
#pragma unroll
      for (int f = 0; f < kCount; ++f) load_octet(from[f] + in.first, in, numbers[f]);
#pragma unroll
      for (int i = 0; i < kMost; ++i) {
        if (i >= classes) continue;
        float row[kOctet];
        load_vectors(weights + i * pitch() + in.first, row);
#pragma unroll
        for (int f = 0; f < kCount; ++f) {
#pragma unroll
          for (int k = 0; k < kOctet; ++k) logits[f][i] += numbers[f][k] * row[k];
        }
      }
    }
  }

  __device__ void softmax(float (&logits)[kMost]) const {
    float largest = logits[0], sum = 0;
#pragma unroll
    for (int i = 1; i < kMost; ++i) {
      if (i < classes && !(logits[i] <= largest)) largest = logits[i];
    }
#pragma unroll
    for (int i = 0; i < kMost; ++i) {
      logits[i] = i < classes ? expf(logits[i] - largest) : 0.0f;
      sum += logits[i];
    }
#pragma unroll
    for (int i = 0; i < kMost; ++i) logits[i] /= sum;
  }
};

constexpr int kRows = 16;   // numbers that are added up at a time
constexpr int kParts = 8;   // threads that share a number
constexpr int kRowPitch = kHeadThreads + kParts;  // the threads of a warp read different banks
constexpr int64_t kBlockSumBytes = kRows * kRowPitch * sizeof(float) + kRows * kParts * sizeof(double);

// Adds up numbers of all threads; take(i, sum) is called for each by one thread. `shared` has kBlockSumBytes, which
// calls may use one after the other without a barrier between them.
template <int kCount, class Take>
__device__ void sum_over_block(const float (&numbers)[kCount], float* shared, const Take& take) {
  double* parts = reinterpret_cast<double*>(shared + kRows * kRowPitch);
  const int thread = threadIdx.x, row = thread / kParts, part = thread % kParts;
#pragma unroll
  for (int first = 0; first < kCount; first += kRows) {
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      if (first + i < kCount) shared[i * kRowPitch + thread] = numbers[first + i];
    }
    __syncthreads();
    if (row < kRows && first + row < kCount) {
      double sum = 0;
      for (int i = part; i < kHeadThreads; i += kParts) sum += shared[row * kRowPitch + i];
      parts[thread] = sum;
    }
    __syncthreads();
    if (thread < kRows && first + thread < kCount) {
      double sum = 0;
      for (int i = 0; i < kParts; ++i) sum += parts[thread * kParts + i];
      take(first + thread, sum);
    }
  }
}

// Calls call(Head<Storage, kMost>) with the head as its kernels want it.
template <class Call>
int with_head(const c4d_cuda_head& head, const Call& call) {
  return with_half_or_float(head.x.dtype, [&](auto type) {
    using S = decltype(type);
    const auto* w = static_cast<const S*>(head.w);
    const auto* bias = static_cast<const S*>(head.bias);
    const int classes = static_cast<int>(head.classes);
    if (classes <= 3) return call(Head<S, 3>{head.x.channels, classes, w, bias});
    return call(Head<S, 8>{head.x.channels, classes, w, bias});
  });
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_SOFTMAX_HEAD_H
