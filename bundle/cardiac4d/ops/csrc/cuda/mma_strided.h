// SPDX-License-Identifier: Apache-2.0
// Stride 2 on tensor cores: 3x3x3x3, half types and TF32, channels in eights. Each call returns a status.
#ifndef CARDIAC4D_CUDA_MMA_STRIDED_H
#define CARDIAC4D_CUDA_MMA_STRIDED_H

#include "tensor_cores.h"

namespace c4d_cuda {

// Whether it is a problem of these kernels, whatever the device.
inline bool is_strided_cube(const c4d_problem& p) {
  const bool is_type = p.dtype != C4D_FLOAT64 && (p.dtype != C4D_FLOAT32 || p.precision == C4D_TF32);
  return is_type && is_cube(p, 2) && has_octets(p);
}

// The forward pass, see mma_strided_kernels.h. workspace: for the weights in the order in which lanes read them.
bool mma_strided_serves(const c4d_problem& p);
int64_t mma_strided_workspace(const c4d_problem& p);
int mma_strided_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                        void* stream);
// With the sums of y, (N, C, 2); `pieces` has so many bytes.
int64_t mma_strided_pieces_bytes(const c4d_problem& p);
int mma_strided_forward_sums(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                             double* sums, void* workspace, void* pieces, void* stream);

// The input gradient, see mma_strided_gradient.cu; the same.
bool mma_strided_serves_gradient(const c4d_problem& p);
int64_t mma_strided_gradient_workspace(const c4d_problem& p);
int mma_strided_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace,
                           void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_STRIDED_H
