// SPDX-License-Identifier: Apache-2.0
// Stride 2 in float32 that stays float32: 3x3x3x3, channels in eights. Each call returns a status.
#ifndef CARDIAC4D_CUDA_TILED_STRIDED_H
#define CARDIAC4D_CUDA_TILED_STRIDED_H

#include "tensor_cores.h"

namespace c4d_cuda {

// Whether it is a problem of these kernels, whatever the device.
inline bool is_float_strided_cube(const c4d_problem& p) {
  return p.dtype == C4D_FLOAT32 && is_cube(p, 2) && has_octets(p);
}

// The forward pass, see tiled_strided.cu, and the input gradient, see tiled_strided_gradient.cu. workspace: see
// tiled_weights.h.
bool tiled_strided_serves(const c4d_problem& p);
int tiled_strided_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                          void* workspace, void* stream);
bool tiled_strided_serves_gradient(const c4d_problem& p);
int tiled_strided_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace,
                             void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_TILED_STRIDED_H
