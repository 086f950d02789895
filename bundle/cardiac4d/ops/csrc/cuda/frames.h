// SPDX-License-Identifier: Apache-2.0
// Voxels of tensors that lie as frames (physically N, T, H, W, D, C), and which of them a tap joins.
#ifndef CARDIAC4D_CUDA_FRAMES_H
#define CARDIAC4D_CUDA_FRAMES_H

#include <cuda_runtime.h>

#include "conv4d_cuda.h"

namespace c4d_cuda {

enum Axis { kH = 0, kW = 1, kD = 2, kT = 3 };  // the order of c4d_problem

inline __host__ __device__ int64_t volume(const int64_t (&size)[4]) {
  return size[kT] * size[kH] * size[kW] * size[kD];
}

inline __device__ bool is_on(int position, int size) { return position >= 0 && position < size; }

struct Voxel {
  int64_t n, at[4];
};

// The voxel at a position in memory. Where the numbers fit into 32 bits the compiler divides so.
inline __device__ Voxel voxel_at(int64_t position, const int64_t (&size)[4]) {
  Voxel v;
  v.at[kD] = position % size[kD], position /= size[kD];
  v.at[kW] = position % size[kW], position /= size[kW];
  v.at[kH] = position % size[kH], position /= size[kH];
  v.at[kT] = position % size[kT], v.n = position / size[kT];
  return v;
}

// The position on an axis of the input that an output position reads with a tap, or -1.
inline __device__ int64_t read_by(const c4d_problem& p, int axis, int64_t o, int64_t tap) {
  const int64_t i = o * p.stride[axis] - p.padding[axis] + tap * p.dilation[axis];
  return i < p.in[axis] ? i : -1;  // negative: in the padding before the input
}

// The position on an axis of the output that reads an input position with a tap, or -1.
inline __device__ int64_t reader_of(const c4d_problem& p, int axis, int64_t i, int64_t tap) {
  const int64_t reach = i + p.padding[axis] - tap * p.dilation[axis];
  if (reach < 0) return -1;
  const int64_t stride = p.stride[axis], o = stride == 1 ? reach : reach / stride;
  return o * stride == reach && o < p.out[axis] ? o : -1;
}

inline __host__ __device__ int64_t taps_of(const c4d_problem& p) {
  return p.kernel[kH] * p.kernel[kW] * p.kernel[kD] * p.kernel[kT];
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_FRAMES_H
