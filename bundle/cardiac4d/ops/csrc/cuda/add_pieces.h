// SPDX-License-Identifier: Apache-2.0
// The second half of a weight gradient: adds up what blocks have summed over one piece of the voxels each.
#ifndef CARDIAC4D_CUDA_ADD_PIECES_H
#define CARDIAC4D_CUDA_ADD_PIECES_H

#include "launch.h"
#include "storage.h"

namespace c4d_cuda {

constexpr int64_t kMostBytes = int64_t(64) << 20;  // of the pieces' sums, unless one piece has more
constexpr int kAdded = 32;                         // weights of a block of threads
constexpr int kSlices = 8;                         // threads that share a weight: each adds every kSlices-th piece

// Work: pieces, one after the other, each with weights() numbers. Number i is weight weight_at(i); none, if that is -1.
// In double: thousands of pieces lose nothing, and there are few numbers. The order is fixed.
template <class Work>
__global__ void __launch_bounds__(kAdded* kSlices) add_pieces(const Work work) {
  double* shared = reinterpret_cast<double*>(c4d_shared);
  const int slice = threadIdx.x / kAdded, column = threadIdx.x % kAdded;
  for (int64_t first = blockIdx.x * int64_t(kAdded); first < work.weights(); first += gridDim.x * int64_t(kAdded)) {
    const int64_t i = first + column;
    double sum = 0;
    if (i < work.weights()) {
#pragma unroll 8
      for (int64_t piece = slice; piece < work.pieces; piece += kSlices) sum += work.sums[piece * work.weights() + i];
    }
    shared[threadIdx.x] = sum;
    __syncthreads();
    if (slice == 0 && i < work.weights()) {
      for (int other = 1; other < kSlices; ++other) sum += shared[other * kAdded + column];
      const int64_t weight = work.weight_at(i);
      if (weight >= 0) store(static_cast<typename Work::Real>(sum), work.dw + weight);
    }
    __syncthreads();  // before the next weights overwrite the sums
  }
}

template <class Work>
int launch_add_pieces(const Work& work, void* stream) {
  const int64_t blocks = (work.weights() + kAdded - 1) / kAdded;
  return launch(add_pieces<Work>, work, blocks, kAdded * kSlices, kAdded * kSlices * sizeof(double), stream);
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_ADD_PIECES_H
