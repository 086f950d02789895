// SPDX-License-Identifier: Apache-2.0
// The C interface: a check, then the path that computes the problem.
#include "conv4d_cuda.h"

#include <cuda_runtime.h>

#include "paths.h"

using c4d_cuda::path_of;

int c4d_cuda_forward(const c4d_problem* p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                     void* stream) {
  if (!c4d_is_problem(p)) return C4D_CUDA_BAD_PROBLEM;
  return path_of(*p, C4D_CUDA_FORWARD).forward(*p, x, w, bias, y, workspace, stream);
}

int c4d_cuda_grad_input(const c4d_problem* p, const void* dy, const void* w, void* dx, void* workspace, void* stream) {
  if (!c4d_is_problem(p)) return C4D_CUDA_BAD_PROBLEM;
  return path_of(*p, C4D_CUDA_GRAD_INPUT).grad_input(*p, dy, w, dx, workspace, stream);
}

int c4d_cuda_grad_weight(const c4d_problem* p, const void* x, const void* dy, void* dw, void* workspace,
                         void* stream) {
  if (!c4d_is_problem(p)) return C4D_CUDA_BAD_PROBLEM;
  return path_of(*p, C4D_CUDA_GRAD_WEIGHT).grad_weight(*p, x, dy, dw, workspace, stream);
}

int64_t c4d_cuda_workspace(const c4d_problem* p, int operation) {
  if (!c4d_is_problem(p)) return 0;
  const c4d_cuda::Path& path = path_of(*p, operation);
  return path.workspace == nullptr ? 0 : path.workspace(*p, operation);
}

const char* c4d_cuda_algorithm(const c4d_problem* p, int operation) {
  return c4d_is_problem(p) ? path_of(*p, operation).name : "none";
}

const char* c4d_cuda_error(int status) {
  if (status == C4D_CUDA_BAD_PROBLEM) return "the sizes do not describe a convolution";
  return cudaGetErrorString(static_cast<cudaError_t>(status));
}
