// SPDX-License-Identifier: Apache-2.0
// What the bindings of the CPU kernels share: tensors to plain pointers, torch's threads for the kernels, errors.
#ifndef CARDIAC4D_BINDING_H
#define CARDIAC4D_BINDING_H

#include "binding_problem.h"
#include "cpu/conv4d_cpu.h"

namespace c4d_binding {

// A dense tensor on the CPU of this size and dtype, as every kernel wants it; copies only from other strides.
inline Tensor dense(const Tensor& tensor, const char* name, const Sizes& size, int32_t dtype) {
  STD_TORCH_CHECK(tensor.is_cpu() && dtype_of(tensor) == dtype, "conv4d: ", name,
                  " must be on the CPU and have the dtype of the other tensors");
  STD_TORCH_CHECK(sizes_of(tensor) == size, "conv4d: ", name, " has the wrong size");
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

// Threads of torch's own pool. A kernel's job is large, so each index is worth a thread (grain 1).
inline void run_in_torch_pool(int64_t count, c4d_job job, void* context) {
  torch::stable::parallel_for(0, count, 1, [job, context](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      job(context, index);
    }
  });
}

inline void check_status(int status) { STD_TORCH_CHECK(status == 0, "conv4d: ", c4d_cpu_error(status)); }

}  // namespace c4d_binding

#endif  // CARDIAC4D_BINDING_H
