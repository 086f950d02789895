// SPDX-License-Identifier: Apache-2.0
// What the paths that cut the volume into tiles ask before they launch a kernel.
#ifndef CARDIAC4D_CUDA_MMA_HOST_H
#define CARDIAC4D_CUDA_MMA_HOST_H

#include "mma_tile.h"

namespace c4d_cuda {

// Whether a problem has the shape that tiles are cut for, whatever its dtype.
inline bool is_for_tiles(const c4d_problem& p) {
  if (p.groups != 1 || p.in_channels % 8 != 0 || p.out_channels % 8 != 0) return false;
  for (int axis = 0; axis < 4; ++axis) {
    if (p.kernel[axis] != 3 || p.stride[axis] != 1 || p.dilation[axis] != 1 || p.padding[axis] > 2) return false;
    if (p.in[axis] > kLargest || p.out[axis] > kLargest) return false;
  }
  return p.batch <= kLargest && p.in_channels <= kLargest && p.out_channels <= kLargest;
}

// The correlation that a problem comes down to; for the input gradient, from the output to the input.
template <class Storage>
Sizes sizes_of(const c4d_problem& p, bool is_gradient) {
  constexpr int kBlock = kVector / sizeof(Storage);
  Sizes sizes{};
  sizes.batch = static_cast<int>(p.batch);
  sizes.in_blocks = static_cast<int>((is_gradient ? p.out_channels : p.in_channels) / kBlock);
  sizes.out_blocks = static_cast<int>((is_gradient ? p.in_channels : p.out_channels) / kOut);
  for (int axis = 0; axis < 4; ++axis) {
    sizes.from[axis] = static_cast<int>(is_gradient ? p.out[axis] : p.in[axis]);
    sizes.to[axis] = static_cast<int>(is_gradient ? p.in[axis] : p.out[axis]);
    sizes.lead[axis] = static_cast<int>(is_gradient ? 2 - p.padding[axis] : p.padding[axis]);
  }
  return sizes;
}

// Whether the current device runs a kernel that was compiled for sm_80 or newer, and has the shared memory for it. What
// counts is the code that the device loads: it may be that of an older architecture, or compiled from its PTX.
template <class Kernel>
bool fits_device(Kernel* kernel, int64_t shared_bytes) {
  cudaFuncAttributes code{};
  int device = 0, bytes = 0;
  return cudaFuncGetAttributes(&code, kernel) == cudaSuccess && code.ptxVersion >= 80 &&
         cudaGetDevice(&device) == cudaSuccess &&
         cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) == cudaSuccess &&
         shared_bytes <= bytes;
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_HOST_H
