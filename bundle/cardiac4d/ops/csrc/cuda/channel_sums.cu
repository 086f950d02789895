// SPDX-License-Identifier: Apache-2.0
// Sums per channel of a tensor, and what adds up the sums of pieces that any kernel has left.
#include "channel_sums.h"

#include "channel_work.h"
#include "frames.h"

namespace c4d_cuda {
namespace {

constexpr int kThreads = 128;

struct AddSums {
  int64_t batch, pieces, channels;
  const double* from;
  double* sums;

  __host__ __device__ int64_t jobs() const { return batch * channels; }
};

// A block adds up one channel of a sample: its threads every kThreads-th piece, then their sums pairwise.
__global__ void __launch_bounds__(kThreads) add_sums(const AddSums work) {
  double* shared = reinterpret_cast<double*>(c4d_shared);
  for (int64_t job = blockIdx.x; job < work.jobs(); job += gridDim.x) {
    const int64_t n = job / work.channels, channel = job % work.channels;
    double first = 0, second = 0;
    for (int64_t piece = threadIdx.x; piece < work.pieces; piece += kThreads) {
      const double* from = work.from + ((n * work.pieces + piece) * work.channels + channel) * 2;
      first += from[0], second += from[1];
    }
    shared[threadIdx.x] = first, shared[kThreads + threadIdx.x] = second;
    for (int half = kThreads / 2; half > 0; half /= 2) {
      __syncthreads();
      if (static_cast<int>(threadIdx.x) >= half) continue;
      shared[threadIdx.x] += shared[threadIdx.x + half];
      shared[kThreads + threadIdx.x] += shared[kThreads + threadIdx.x + half];
    }
    if (threadIdx.x == 0) work.sums[job * 2] = shared[0], work.sums[job * 2 + 1] = shared[kThreads];
    __syncthreads();  // before the next job overwrites the sums
  }
}

template <class Storage>
struct ChannelSums {
  struct State {
    const Storage* x;
    Octet octet;
  };
  Cut cut;
  const Storage* x;
  double* pieces;

  __device__ State start(int64_t n, const Octet& octet) const {
    return {x + n * cut.items * cut.channels + octet.first, octet};
  }
  __device__ void visit(const State& state, int64_t item, float (&sums)[2][kOctet]) const {
    float numbers[kOctet];
    load_octet(state.x + item * cut.channels, state.octet, numbers);
#pragma unroll
    for (int i = 0; i < kOctet; ++i) sums[0][i] += numbers[i], sums[1][i] += numbers[i] * numbers[i];
  }
};

}  // namespace

int add_pieces_of_samples(int64_t batch, int64_t pieces, int64_t channels, const double* from, double* sums,
                          void* stream) {
  const AddSums work{batch, pieces, channels, from, sums};
  return launch(add_sums, work, work.jobs(), kThreads, 2 * kThreads * sizeof(double), stream);
}

int channel_sums(const c4d_frames& f, const void* x, double* sums, void* workspace, void* stream) {
  return with_half_or_float(f.dtype, [&](auto type) {
    using S = decltype(type);
    const ChannelSums<S> work{cut_for(f.batch, f.channels, volume(f.size)), static_cast<const S*>(x), nullptr};
    return sum_up(work, sums, workspace, stream);
  });
}

int64_t channel_sums_workspace(const c4d_frames& f) {
  return pieces_bytes(cut_for(f.batch, f.channels, volume(f.size)));
}

}  // namespace c4d_cuda
