// SPDX-License-Identifier: Apache-2.0
// The C interface: a check, then the path that computes the problem.
#include "conv4d_cuda.h"

#include <cuda_runtime.h>

#include "plain.h"

int c4d_cuda_forward(const c4d_problem* p, const void* x, const void* w, const void* bias, void* y, void* stream) {
  return c4d_is_problem(p) ? c4d_cuda::plain_forward(*p, x, w, bias, y, stream) : C4D_CUDA_BAD_PROBLEM;
}

int c4d_cuda_grad_input(const c4d_problem* p, const void* dy, const void* w, void* dx, void* stream) {
  return c4d_is_problem(p) ? c4d_cuda::plain_grad_input(*p, dy, w, dx, stream) : C4D_CUDA_BAD_PROBLEM;
}

int c4d_cuda_grad_weight(const c4d_problem* p, const void* x, const void* dy, void* dw, void* workspace,
                         void* stream) {
  return c4d_is_problem(p) ? c4d_cuda::plain_grad_weight(*p, x, dy, dw, workspace, stream) : C4D_CUDA_BAD_PROBLEM;
}

int64_t c4d_cuda_grad_weight_workspace(const c4d_problem* p) {
  return c4d_is_problem(p) ? c4d_cuda::plain_grad_weight_workspace(*p) : 0;
}

const char* c4d_cuda_error(int status) {
  if (status == C4D_CUDA_BAD_PROBLEM) return "the sizes do not describe a convolution";
  return cudaGetErrorString(static_cast<cudaError_t>(status));
}
