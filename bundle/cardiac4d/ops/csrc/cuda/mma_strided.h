// SPDX-License-Identifier: Apache-2.0
// Stride 2 on tensor cores: 3x3x3x3, half types, channels in eights. Each call returns a status.
#ifndef CARDIAC4D_CUDA_MMA_STRIDED_H
#define CARDIAC4D_CUDA_MMA_STRIDED_H

#include "conv4d_cuda.h"

namespace c4d_cuda {

// The forward pass, see mma_strided.cu. workspace: for the weights in the order in which lanes read them.
bool mma_strided_serves(const c4d_problem& p);
int64_t mma_strided_workspace(const c4d_problem& p);
int mma_strided_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                        void* stream);

// The input gradient, see mma_strided_gradient.cu; the same.
bool mma_strided_serves_gradient(const c4d_problem& p);
int64_t mma_strided_gradient_workspace(const c4d_problem& p);
int mma_strided_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace,
                           void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_STRIDED_H
