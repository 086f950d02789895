// SPDX-License-Identifier: Apache-2.0
// How rows of shared memory become operands of the products in mma_grad_weight.cu.
#ifndef CARDIAC4D_CUDA_MMA_GRAD_WEIGHT_LOADS_H
#define CARDIAC4D_CUDA_MMA_GRAD_WEIGHT_LOADS_H

#include "mma_grad_weight.h"
#include "ptx.h"

namespace c4d_cuda {
namespace grad_weight {

// Blocks of one row of the input, as the taps along D read it: the first and the second half of its voxels.
struct Row {
  uint32_t two[4];    // the first two taps: as a product's rows want them; with 16 output channels, as its columns
  uint32_t third[2];  // the third
};

// Half types: blocks lie transposed, and a lane names a row of one of them.
template <class Work, int kWide = Work::kWide>
struct Loader {
  uint32_t two, third, gradient;  // of a warp's first row

  __device__ void load_row(int w, int t, Row& row) const {
    load_transposed(two + Work::In::place(w, 0, t) * kVector, row.two);
    load_transposed(third + Work::In::place(w, 0, t) * kVector, row.third);
  }
  // Both halves of the voxels; of 16 channels the first eight and the others in turn.
  __device__ void load_gradient(int w, int t, uint32_t (&grad)[Work::kOuts / 4]) const {
    load_transposed(gradient + Work::Out::place(w, 0, t) * kVector, grad);
  }
};

// TF32: a lane loads its own words, voxel lane % 4 of each half and channel lane / 4.
template <class Work>
struct Loader<Work, 2> {
  const uint32_t *in, *out;

  __device__ void load_row(int w, int t, Row& row) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int d = half * 4 * Work::kStride;
      row.two[half * 2] = in[Work::In::place(w, d, t) * 4];
      row.two[half * 2 + 1] = in[Work::In::place(w, d + 1, t) * 4];
      row.third[half] = in[Work::In::place(w, d + 2, t) * 4];
    }
  }
  __device__ void load_gradient(int w, int t, uint32_t (&grad)[2]) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) grad[half] = out[Work::Out::place(w, half * 4, t) * 4];
  }
};

// `in` and `out` are the first vectors of a warp's rows in shared memory.
template <class Work>
__device__ Loader<Work> loader_of(int in, int out, int lane) {
  constexpr int kStride = Work::kStride;
  if constexpr (Work::kWide == 2) {
    const uint32_t* words = reinterpret_cast<const uint32_t*>(c4d_shared);
    return {words + (in + Work::In::place(0, lane % 4 * kStride, 0)) * 4 + lane / 4,
            words + (out + Work::Out::place(0, lane % 4, 0)) * 4 + lane / 4};
  } else {
    const uint32_t shared = shared_address(c4d_shared);
    const int eight = lane / 8 % 2, voxel = lane % 8 + lane / 16 * 8;
    const int read = Work::kOuts == 8 ? voxel * kStride + eight : lane % 16 * kStride + lane / 16;
    const int written = Work::kOuts == 8 ? lane % 16 : eight * Work::Out::kVectors + voxel;
    return {shared + (in + Work::In::place(0, read, 0)) * kVector,
            shared + (in + Work::In::place(0, lane % 16 * kStride + 2, 0)) * kVector,
            shared + (out + written) * kVector};
  }
}

}  // namespace grad_weight
}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_GRAD_WEIGHT_LOADS_H
