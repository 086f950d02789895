// SPDX-License-Identifier: Apache-2.0
// Kernels that visit everything a sample holds, eight channels at a time, and sum up per channel if asked to.
//
// A `Work` says what is done at an item (a voxel, as a rule):
//   Cut cut;                                                        the items, spread over blocks
//   State start(int64_t n, const Octet&) const;                     what the items of a thread share
//   void visit(const State&, int64_t item, float (&sums)[2][kOctet]) const;   one item; adds to the sums
//   double* pieces;                                                 for sum_channels: its sums of each piece
// A thread adds in float, at most kMostItems items; from there on sums are in double. Every sum has one order, which
// depends on the shape alone.
#ifndef CARDIAC4D_CUDA_CHANNEL_WORK_H
#define CARDIAC4D_CUDA_CHANNEL_WORK_H

#include "channel_sums.h"
#include "launch.h"
#include "octets.h"

namespace c4d_cuda {

constexpr int kWorkThreads = 256;
constexpr int kMostColumns = 16;        // octets that lie side by side in a block
constexpr int64_t kMostItems = 64;      // of a thread
constexpr int64_t kWantedPieces = kMaxBlocks < 1024 ? kMaxBlocks : 1024;  // of a sample: enough for any GPU of today

// How items and channels are spread: a block takes a piece of the items of one sample, and up to kMostColumns octets;
// neighbouring threads take neighbouring octets of an item, so that a warp reads memory in one stretch.
struct Cut {
  int64_t batch, channels, items;  // items: of a sample
  int64_t share, pieces, parts;    // items of a piece; pieces of a sample; blocks that share a piece's channels
  int columns, rows;

  __host__ __device__ int64_t jobs() const { return batch * pieces * parts; }
};

inline Cut cut_for(int64_t batch, int64_t channels, int64_t items) {
  Cut cut{};
  cut.batch = batch, cut.channels = channels, cut.items = items;
  cut.columns = 1;
  while (cut.columns < kMostColumns && cut.columns < octets_of(channels)) cut.columns *= 2;
  cut.rows = kWorkThreads / cut.columns;
  cut.parts = (octets_of(channels) + cut.columns - 1) / cut.columns;
  const int64_t wanted = items / (cut.rows * kWantedPieces);
  cut.share = cut.rows * (wanted < 1 ? 1 : wanted < kMostItems ? wanted : kMostItems);
  cut.pieces = (items + cut.share - 1) / cut.share;
  return cut;
}

// What a thread does in a job.
struct Turn {
  int64_t n, piece, octet, item, end;  // the first item of this thread, and the end of all

  __device__ Turn(const Cut& cut, int64_t job) {
    octet = job % cut.parts * cut.columns + threadIdx.x % cut.columns;
    piece = job / cut.parts % cut.pieces, n = job / cut.parts / cut.pieces;
    item = piece * cut.share + threadIdx.x / cut.columns;
    end = (piece + 1) * cut.share;
    end = octet * kOctet >= cut.channels ? 0 : end < cut.items ? end : cut.items;
  }
};

template <class Work>
__device__ void visit_items(const Work& work, const Turn& turn, float (&sums)[2][kOctet]) {
  if (turn.item >= turn.end) return;
  const auto state = work.start(turn.n, octet_at(turn.octet, work.cut.channels));
  for (int64_t item = turn.item; item < turn.end; item += work.cut.rows) work.visit(state, item, sums);
}

template <class Work>
__global__ void __launch_bounds__(kWorkThreads, 2) visit_channels(const Work work) {
  for (int64_t job = blockIdx.x; job < work.cut.jobs(); job += gridDim.x) {
    float unused[2][kOctet];
    visit_items(work, Turn(work.cut, job), unused);
  }
}

// Adds up, in shared memory, the 16 sums of the threads of each column; those of the first row get the totals. A row
// of shared memory is one sum of all threads.
inline __device__ void add_rows(const Cut& cut, double* shared) {
  for (int half = cut.rows / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) >= half * cut.columns) continue;
#pragma unroll
    for (int i = 0; i < 2 * kOctet; ++i) {
      double* sum = shared + i * kWorkThreads + threadIdx.x;
      *sum += sum[half * cut.columns];
    }
  }
}

template <class Work>
__global__ void __launch_bounds__(kWorkThreads) sum_channels(const Work work) {
  const Cut& cut = work.cut;
  double* shared = reinterpret_cast<double*>(c4d_shared);
  for (int64_t job = blockIdx.x; job < cut.jobs(); job += gridDim.x) {
    const Turn turn(cut, job);
    float sums[2][kOctet] = {};
    visit_items(work, turn, sums);
#pragma unroll
    for (int i = 0; i < 2 * kOctet; ++i) shared[i * kWorkThreads + threadIdx.x] = sums[i / kOctet][i % kOctet];
    add_rows(cut, shared);
    if (turn.end > 0 && static_cast<int>(threadIdx.x) < cut.columns) {
      const Octet octet = octet_at(turn.octet, cut.channels);
      double* to = work.pieces + ((turn.n * cut.pieces + turn.piece) * cut.channels + octet.first) * 2;
      for (int i = 0; i < 2 * octet.count; ++i) to[i] = shared[(i % 2 * kOctet + i / 2) * kWorkThreads + threadIdx.x];
    }
    __syncthreads();  // before the next job overwrites the sums
  }
}

// Visits the items and sums up; `pieces` has pieces_bytes of memory.
inline int64_t pieces_bytes(const Cut& cut) {
  return cut.batch * cut.pieces * cut.channels * 2 * int64_t(sizeof(double));
}

template <class Work>
int sum_up(Work work, double* sums, void* workspace, void* stream) {
  work.pieces = static_cast<double*>(workspace);
  const int status = launch(sum_channels<Work>, work, work.cut.jobs(), kWorkThreads,
                            2 * kOctet * kWorkThreads * sizeof(double), stream);
  if (status != cudaSuccess) return status;
  const Cut& cut = work.cut;
  return add_pieces_of_samples(cut.batch, cut.pieces, cut.channels, work.pieces, sums, stream);
}

template <class Work>
int visit(const Work& work, void* stream) {
  return launch(visit_channels<Work>, work, work.cut.jobs(), kWorkThreads, 0, stream);
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_CHANNEL_WORK_H
