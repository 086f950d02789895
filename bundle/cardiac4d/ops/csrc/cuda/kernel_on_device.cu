// SPDX-License-Identifier: Apache-2.0
#include "kernel_on_device.h"

#include <cuda_runtime.h>

#include <map>
#include <mutex>
#include <utility>

namespace c4d_cuda {
namespace {

struct Answers {
  std::mutex mutex;
  std::map<std::pair<const void*, int>, KernelOnDevice> known;  // by kernel and device
};

// Made by the first who asks, and never destroyed: other threads may launch kernels while the process ends.
Answers& answers() {
  static Answers* const all = new Answers;
  return *all;
}

int ask(const void* kernel, int device, KernelOnDevice* answer) {
  cudaFuncAttributes code{};
  int status = cudaFuncGetAttributes(&code, kernel);
  if (status != cudaSuccess) return status;
  int bytes = 0;
  status = cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
  if (status != cudaSuccess) return status;
  *answer = {code.ptxVersion, bytes};
  // Always the most, whatever a launch needs: another thread may launch the same kernel with more or less.
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

}  // namespace

int ask_driver(const void* kernel, KernelOnDevice* answer) {
  int device = 0;
  int status = cudaGetDevice(&device);
  if (status != cudaSuccess) return status;
  const std::lock_guard<std::mutex> lock(answers().mutex);
  auto& known = answers().known;
  const auto found = known.find({kernel, device});
  if (found != known.end()) {
    *answer = found->second;
    return cudaSuccess;
  }
  status = ask(kernel, device, answer);
  if (status == cudaSuccess) known.emplace(std::make_pair(kernel, device), *answer);
  return status;
}

}  // namespace c4d_cuda
