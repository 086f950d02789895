// SPDX-License-Identifier: Apache-2.0
// The path on tensor cores: 3x3x3x3, see mma_correlate.cu and mma_grad_weight.cu. Each call returns a status.
#ifndef CARDIAC4D_CUDA_MMA_H
#define CARDIAC4D_CUDA_MMA_H

#include "conv4d_cuda.h"

namespace c4d_cuda {

// Whether it takes the forward pass, or the input gradient, of a problem on the current device.
bool mma_serves(const c4d_problem& p, bool is_gradient);

// workspace: for the weights in the order in which lanes read them.
int64_t mma_workspace(const c4d_problem& p);
int mma_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                void* stream);
int mma_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace, void* stream);

// The same for the weight gradient, stride 1 or 2. workspace: for the sums over pieces of the voxels.
bool mma_serves_grad_weight(const c4d_problem& p);
int64_t mma_grad_weight_workspace(const c4d_problem& p);
int mma_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, void* workspace, void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_H
