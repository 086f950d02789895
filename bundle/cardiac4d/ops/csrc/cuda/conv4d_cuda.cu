// SPDX-License-Identifier: Apache-2.0
// The C interface: a check, then the path that computes the problem.
#include "conv4d_cuda.h"

#include <cuda_runtime.h>

#include "channel_mix.h"
#include "mma.h"
#include "mma_image.h"
#include "mma_strided.h"
#include "plain.h"

namespace {

enum class Path { kPlain, kChannelMix, kMma, kMmaStrided, kMmaImage };

Path path_of(const c4d_problem& p, int operation) {
  if (operation == C4D_CUDA_GRAD_WEIGHT) return Path::kPlain;
  if (c4d_cuda::channel_mix_serves(p, operation == C4D_CUDA_GRAD_INPUT)) return Path::kChannelMix;
  if (c4d_cuda::mma_serves(p, operation == C4D_CUDA_GRAD_INPUT)) return Path::kMma;
  if (operation == C4D_CUDA_GRAD_INPUT) {
    return c4d_cuda::mma_strided_serves_gradient(p) ? Path::kMmaStrided : Path::kPlain;
  }
  if (c4d_cuda::mma_strided_serves(p)) return Path::kMmaStrided;
  return c4d_cuda::mma_image_serves(p) ? Path::kMmaImage : Path::kPlain;
}

}  // namespace

int c4d_cuda_forward(const c4d_problem* p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                     void* stream) {
  if (!c4d_is_problem(p)) return C4D_CUDA_BAD_PROBLEM;
  switch (path_of(*p, C4D_CUDA_FORWARD)) {
    case Path::kChannelMix:
      return c4d_cuda::channel_mix_forward(*p, x, w, bias, y, stream);
    case Path::kMma:
      return c4d_cuda::mma_forward(*p, x, w, bias, y, workspace, stream);
    case Path::kMmaStrided:
      return c4d_cuda::mma_strided_forward(*p, x, w, bias, y, workspace, stream);
    case Path::kMmaImage:
      return c4d_cuda::mma_image_forward(*p, x, w, bias, y, workspace, stream);
    default:
      return c4d_cuda::plain_forward(*p, x, w, bias, y, stream);
  }
}

int c4d_cuda_grad_input(const c4d_problem* p, const void* dy, const void* w, void* dx, void* workspace, void* stream) {
  if (!c4d_is_problem(p)) return C4D_CUDA_BAD_PROBLEM;
  switch (path_of(*p, C4D_CUDA_GRAD_INPUT)) {
    case Path::kChannelMix:
      return c4d_cuda::channel_mix_grad_input(*p, dy, w, dx, stream);
    case Path::kMma:
      return c4d_cuda::mma_grad_input(*p, dy, w, dx, workspace, stream);
    case Path::kMmaStrided:
      return c4d_cuda::mma_strided_grad_input(*p, dy, w, dx, workspace, stream);
    default:
      return c4d_cuda::plain_grad_input(*p, dy, w, dx, stream);
  }
}

int c4d_cuda_grad_weight(const c4d_problem* p, const void* x, const void* dy, void* dw, void* workspace,
                         void* stream) {
  return c4d_is_problem(p) ? c4d_cuda::plain_grad_weight(*p, x, dy, dw, workspace, stream) : C4D_CUDA_BAD_PROBLEM;
}

int64_t c4d_cuda_workspace(const c4d_problem* p, int operation) {
  if (!c4d_is_problem(p)) return 0;
  if (operation == C4D_CUDA_GRAD_WEIGHT) return c4d_cuda::plain_grad_weight_workspace(*p);
  switch (path_of(*p, operation)) {
    case Path::kMma:
      return c4d_cuda::mma_workspace(*p);
    case Path::kMmaStrided:
      return operation == C4D_CUDA_GRAD_INPUT ? c4d_cuda::mma_strided_gradient_workspace(*p)
                                              : c4d_cuda::mma_strided_workspace(*p);
    case Path::kMmaImage:
      return c4d_cuda::mma_image_workspace(*p);
    default:
      return 0;
  }
}

const char* c4d_cuda_algorithm(const c4d_problem* p, int operation) {
  if (!c4d_is_problem(p)) return "none";
  switch (path_of(*p, operation)) {
    case Path::kChannelMix:
      return "channel_mix";
    case Path::kMma:
      return "mma";
    case Path::kMmaStrided:
      return "mma_strided";
    case Path::kMmaImage:
      return "mma_image";
    default:
      return "plain";
  }
}

const char* c4d_cuda_error(int status) {
  if (status == C4D_CUDA_BAD_PROBLEM) return "the sizes do not describe a convolution";
  return cudaGetErrorString(static_cast<cudaError_t>(status));
}
