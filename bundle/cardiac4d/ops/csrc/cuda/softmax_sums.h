// SPDX-License-Identifier: Apache-2.0
// The sums over a softmax that the losses are made of, and their gradients, see fused.h. Each call returns a status.
#ifndef CARDIAC4D_CUDA_SOFTMAX_SUMS_H
#define CARDIAC4D_CUDA_SOFTMAX_SUMS_H

#include "fused.h"

namespace c4d_cuda {

int softmax_sums(const c4d_cuda_head& head, const void* x, double* sums, void* workspace, void* stream);
int softmax_sums_grad(const c4d_cuda_head& head, const void* x, const double* grad_sums, void* dx, float* dhead,
                      void* workspace, void* stream);
int64_t softmax_sums_workspace(const c4d_cuda_head& head);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_SOFTMAX_SUMS_H
