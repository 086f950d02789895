// SPDX-License-Identifier: Apache-2.0
// Convolutions on tensor cores that take normalisation, ReLU, residual and sums along. Each call returns a status.
#ifndef CARDIAC4D_CUDA_MMA_FUSED_H
#define CARDIAC4D_CUDA_MMA_FUSED_H

#include "conv4d_cuda.h"

namespace c4d_cuda {

// They serve a problem that mma_serves, forward and backward; those with a norm if it has as many channels on both
// sides. scale and shift are (N, C), sums (N, C, 2); the workspace is that of mma.h, `pieces` has mma_pieces_bytes.
int64_t mma_pieces_bytes(const c4d_problem& p);
// y = conv(x, w) + bias (or null), and the sums of y.
int mma_forward_sums(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, double* sums,
                     void* workspace, void* pieces, void* stream);
// y = conv(max(0, x * scale + shift), w) + bias + residual (or null), and the sums of y. y may be the residual.
int mma_norm_relu_forward(const c4d_problem& p, const void* x, const float* scale, const float* shift, const void* w,
                          const void* bias, const void* residual, void* y, double* sums, void* workspace, void* pieces,
                          void* stream);
// dz = the gradient behind the ReLU; with g = dz where x * scale + shift > 0, else 0: the sums of g and of g * x.
int mma_norm_relu_grad_input(const c4d_problem& p, const void* dy, const void* w, const void* x, const float* scale,
                             const float* shift, void* dz, double* sums, void* workspace, void* pieces, void* stream);
// dw of conv(max(0, x * scale + shift)), where mma_serves_grad_weight; the workspace is the one there.
int mma_norm_relu_grad_weight(const c4d_problem& p, const void* x, const float* scale, const float* shift,
                              const void* dy, void* dw, void* workspace, void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_FUSED_H
