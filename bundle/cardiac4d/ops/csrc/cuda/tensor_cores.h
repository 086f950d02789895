// SPDX-License-Identifier: Apache-2.0
// What the paths for 3x3x3x3 share, those on tensor cores and the tiled ones: sizes that they take, and whether the
// device has code and memory for them.
#ifndef CARDIAC4D_CUDA_TENSOR_CORES_H
#define CARDIAC4D_CUDA_TENSOR_CORES_H

#include "conv4d_cuda.h"
#include "kernel_on_device.h"
#include "launch.h"
#include "vectors.h"

// Kernels for sm_80 and newer are compiled for sm_75 as well, without their content, but not called there.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define C4D_HAS_TENSOR_CORES
#endif

namespace c4d_cuda {

constexpr int kBlock = 8;                     // channels of a half type in a block's row, a vector
constexpr int kTapsOfPlane = 27, kTaps = 81;  // kernel 3x3x3 at one tap along H, and whole

// Positions on one axis have 32 bits, positions in memory 64.
constexpr int64_t kLargest = 0x7FFFFFFF - 64;  // extent of an axis: with what a tile adds, no more than 32 bits

// Whether it is a cube, 3x3x3x3 without groups or dilation, of this stride, whatever its dtype and its channels.
inline bool is_cube(const c4d_problem& p, int64_t stride) {
  if (p.groups != 1) return false;
  for (int axis = 0; axis < 4; ++axis) {
    if (p.kernel[axis] != 3 || p.stride[axis] != stride || p.dilation[axis] != 1 || p.padding[axis] > 2) return false;
    if (p.in[axis] > kLargest || p.out[axis] > kLargest) return false;
  }
  return p.batch <= kLargest && p.in_channels <= kLargest && p.out_channels <= kLargest;
}

// Whether the channels of both sides come in eights.
inline bool has_octets(const c4d_problem& p) { return p.in_channels % kBlock == 0 && p.out_channels % kBlock == 0; }

// Whether the current device runs a kernel that was compiled for sm_80 or newer, and has the shared memory for it. What
// counts is the code that the device loads: it may be that of an older architecture, or compiled from its PTX.
template <class Arguments>
bool runs_on_device(void (*kernel)(Arguments), int64_t shared_bytes) {
  KernelOnDevice there{};
  return ask_driver(reinterpret_cast<const void*>(kernel), &there) == cudaSuccess && there.code >= 80 &&
         shared_bytes <= there.shared_bytes;
}

// Starts a kernel with more shared memory than a launch gets unasked.
template <class Arguments>
int launch_with_memory(void (*kernel)(Arguments), const Arguments& arguments, int64_t jobs, int threads,
                       int64_t shared_bytes, void* stream) {
  KernelOnDevice there{};
  const int status = ask_driver(reinterpret_cast<const void*>(kernel), &there);
  return status == cudaSuccess ? launch(kernel, arguments, jobs, threads, shared_bytes, stream) : status;
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_TENSOR_CORES_H
