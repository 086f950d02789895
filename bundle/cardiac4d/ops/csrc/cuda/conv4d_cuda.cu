// SPDX-License-Identifier: Apache-2.0
// The C interface: a check, then the path that computes the problem.
#include "conv4d_cuda.h"

#include <cuda_runtime.h>

#include "mma.h"
#include "plain.h"

namespace {

bool runs_on_tensor_cores(const c4d_problem& p, int operation) {
  return operation == C4D_CUDA_GRAD_WEIGHT ? c4d_cuda::mma_serves_grad_weight(p)
                                           : c4d_cuda::mma_serves(p, operation == C4D_CUDA_GRAD_INPUT);
}

}  // namespace

int c4d_cuda_forward(const c4d_problem* p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                     void* stream) {
  if (!c4d_is_problem(p)) return C4D_CUDA_BAD_PROBLEM;
  return runs_on_tensor_cores(*p, C4D_CUDA_FORWARD) ? c4d_cuda::mma_forward(*p, x, w, bias, y, workspace, stream)
                                                    : c4d_cuda::plain_forward(*p, x, w, bias, y, stream);
}

int c4d_cuda_grad_input(const c4d_problem* p, const void* dy, const void* w, void* dx, void* workspace, void* stream) {
  if (!c4d_is_problem(p)) return C4D_CUDA_BAD_PROBLEM;
  return runs_on_tensor_cores(*p, C4D_CUDA_GRAD_INPUT) ? c4d_cuda::mma_grad_input(*p, dy, w, dx, workspace, stream)
                                                       : c4d_cuda::plain_grad_input(*p, dy, w, dx, stream);
}

int c4d_cuda_grad_weight(const c4d_problem* p, const void* x, const void* dy, void* dw, void* workspace,
                         void* stream) {
  if (!c4d_is_problem(p)) return C4D_CUDA_BAD_PROBLEM;
  return runs_on_tensor_cores(*p, C4D_CUDA_GRAD_WEIGHT)
             ? c4d_cuda::mma_grad_weight(*p, x, dy, dw, workspace, stream)
             : c4d_cuda::plain_grad_weight(*p, x, dy, dw, workspace, stream);
}

int64_t c4d_cuda_workspace(const c4d_problem* p, int operation) {
  if (!c4d_is_problem(p)) return 0;
  const bool on_tensor_cores = runs_on_tensor_cores(*p, operation);
  if (operation != C4D_CUDA_GRAD_WEIGHT) return on_tensor_cores ? c4d_cuda::mma_workspace(*p) : 0;
  return on_tensor_cores ? c4d_cuda::mma_grad_weight_workspace(*p) : c4d_cuda::plain_grad_weight_workspace(*p);
}

const char* c4d_cuda_algorithm(const c4d_problem* p, int operation) {
  if (!c4d_is_problem(p)) return "none";
  return runs_on_tensor_cores(*p, operation) ? "mma" : "plain";
}

const char* c4d_cuda_error(int status) {
  if (status == C4D_CUDA_BAD_PROBLEM) return "the sizes do not describe a convolution";
  return cudaGetErrorString(static_cast<cudaError_t>(status));
}
