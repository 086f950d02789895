// SPDX-License-Identifier: Apache-2.0
// As much of CUDA's runtime as the kernels use, on the CPU: g++ compiles the very .cu files against this folder.
//
// The threads of a block are fibers. Each runs on until it waits for others, so threads are as far apart as their
// barriers allow; `c4d_emulation_reverse` runs them in the opposite order. A barrier that part of the threads misses
// fails the launch, and so does an instruction of a warp that part of its lanes miss, or a copy from or to an address
// that is no multiple of its bytes. Shared memory holds NaN before a block starts, and must not be touched beyond what
// was asked for.
// There is a device of every architecture, with its number; one of 90 is current, unless c4d_emulation_architecture
// says another. What a kernel was allowed holds on one device.
// This tests the logic of kernels: not the hardware, not its memory model, not coalescing.
#ifndef C4D_EMULATION_CUDA_RUNTIME_H
#define C4D_EMULATION_CUDA_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#include <functional>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __shared__
#define __launch_bounds__(...)

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorMisalignedAddress = 716,
  cudaErrorLaunchFailure = 719,
  cudaErrorUnknown = 999
};
typedef struct CUstream_st* cudaStream_t;
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin };
struct cudaFuncAttributes {
  int ptxVersion;
};

struct alignas(16) ulonglong2 {
  unsigned long long x, y;
};

struct alignas(8) float2 {
  float x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

extern dim3 threadIdx, blockIdx, gridDim;

namespace emulation {

void wait_for_block();
void expect(bool is_right);  // else the launch fails
cudaError_t run(const void* kernel, const cudaLaunchConfig_t& config, const std::function<void()>& thread);

}  // namespace emulation

inline void __syncthreads() { emulation::wait_for_block(); }
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetDevice(int* device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel);
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value);

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  return emulation::run(reinterpret_cast<const void*>(kernel), *config, [&] { kernel(arguments...); });
}

#endif  // C4D_EMULATION_CUDA_RUNTIME_H
