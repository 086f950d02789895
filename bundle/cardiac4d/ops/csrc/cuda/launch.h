// SPDX-License-Identifier: Apache-2.0
// How a kernel is started. A kernel takes one struct, and loops over the jobs of its block.
#ifndef CARDIAC4D_CUDA_LAUNCH_H
#define CARDIAC4D_CUDA_LAUNCH_H

#include <cuda_runtime.h>
#include <stdint.h>

// The shared memory of a block, as much of it as its launch asked for; aligned to 16 bytes.
extern __shared__ ulonglong2 c4d_shared[];

namespace c4d_cuda {

// The most blocks of one launch. A kernel goes on with job += gridDim.x while there are more jobs.
#ifdef C4D_MAX_BLOCKS  // tests
constexpr int64_t kMaxBlocks = C4D_MAX_BLOCKS;
#else
constexpr int64_t kMaxBlocks = 0x7FFFFFFF;
#endif

template <class Arguments>
int launch(void (*kernel)(Arguments), const Arguments& arguments, int64_t jobs, int threads, size_t shared_bytes,
           void* stream) {
  if (jobs == 0) return cudaSuccess;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(jobs < kMaxBlocks ? jobs : kMaxBlocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  return cudaLaunchKernelEx(&config, kernel, arguments);
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_LAUNCH_H
