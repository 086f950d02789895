// SPDX-License-Identifier: Apache-2.0
// What the next norm needs of the layer that reads an image: sums of its result, taken while that is in registers. For
// kernels that compute blocks of eight channels: even threads the first four of them, odd threads the others.
#ifndef CARDIAC4D_CUDA_IMAGE_SUMS_H
#define CARDIAC4D_CUDA_IMAGE_SUMS_H

#include "launch.h"
#include "storage.h"

namespace c4d_cuda {

constexpr int kQuad = 4;                     // channels of a thread
constexpr int kSumsOfBlock = 2 * 2 * kQuad;  // of eight channels: two each

// A thread's sums, and those of squares, in float: a kernel adds at most 512 voxels to them.
using Totals = float[2][kQuad];

// Adds four channels of a voxel as they come back from memory.
template <class Storage>
__device__ inline void add_quad(const float (&quad)[kQuad], Totals& totals) {
#pragma unroll
  for (int i = 0; i < kQuad; ++i) {
    const float number = rounded<Storage>(quad[i]);
    totals[0][i] += number, totals[1][i] += number * number;
  }
}

// Adds up the totals of a block's threads, in one order, and stores them as (8, 2). Takes shared memory from its first
// byte on: all must have passed a barrier since they read what was there, and must pass one before they write again.
template <int kThreads>
__device__ void store_totals(const Totals& totals, double* to) {
  static_assert(kThreads % (kSumsOfBlock * 2) == 0, "as many threads for every sum, even or odd ones");
  constexpr int kParts = kThreads / kSumsOfBlock;  // threads that share a sum
  double* shared = reinterpret_cast<double*>(c4d_shared);
  double* parts = shared + 2 * kQuad * kThreads;
#pragma unroll
  for (int i = 0; i < 2 * kQuad; ++i) shared[i * kThreads + threadIdx.x] = totals[i / kQuad][i % kQuad];
  __syncthreads();  // now the totals are there
  const int channel = threadIdx.x / kParts / 2, square = threadIdx.x / kParts % 2;
  const double* from = shared + (square * kQuad + channel % kQuad) * kThreads + channel / kQuad;
  double total = 0;
  for (int i = threadIdx.x % kParts; i < kThreads / 2; i += kParts) total += from[2 * i];
  parts[threadIdx.x] = total;
  __syncthreads();  // now the parts are there
  if (threadIdx.x >= kSumsOfBlock) return;
  total = 0;
  for (int i = 0; i < kParts; ++i) total += parts[threadIdx.x * kParts + i];
  to[threadIdx.x] = total;
}

// Bytes of shared memory for this.
constexpr int64_t totals_bytes(int threads) { return int64_t(2 * kQuad + 1) * threads * int64_t(sizeof(double)); }

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_IMAGE_SUMS_H
