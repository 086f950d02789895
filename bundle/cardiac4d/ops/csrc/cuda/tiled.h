// SPDX-License-Identifier: Apache-2.0
// The path for float32 that stays float32: 3x3x3x3, see tiled_correlate.cu and tiled_grad_weight.cu. Each call returns
// a status.
#ifndef CARDIAC4D_CUDA_TILED_H
#define CARDIAC4D_CUDA_TILED_H

#include "conv4d_cuda.h"

namespace c4d_cuda {

// Whether it takes the forward pass, or the input gradient, of a problem on the current device.
bool tiled_serves(const c4d_problem& p);

// workspace: for the weights in the order in which lanes read them.
int64_t tiled_workspace(const c4d_problem& p);
int tiled_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                  void* stream);
int tiled_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace, void* stream);

// y = conv(max(0, x * scale + shift), w) + bias + residual (or null); scale and shift are (N, C). y may be the
// residual.
int tiled_norm_relu_forward(const c4d_problem& p, const void* x, const float* scale, const float* shift, const void* w,
                            const void* bias, const void* residual, void* y, void* workspace, void* stream);

// The same for the weight gradient, stride 1 or 2. workspace: for the sums over pieces of the voxels.
bool tiled_serves_grad_weight(const c4d_problem& p);
int64_t tiled_grad_weight_workspace(const c4d_problem& p);
int tiled_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, void* workspace, void* stream);
// dw of conv(max(0, x * scale + shift)) with stride 1 and channels in eights; scale and shift are (N, C).
int tiled_norm_relu_grad_weight(const c4d_problem& p, const void* x, const float* scale, const float* shift,
                                const void* dy, void* dw, void* workspace, void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_TILED_H
