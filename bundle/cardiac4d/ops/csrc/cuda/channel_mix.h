// SPDX-License-Identifier: Apache-2.0
// 1x1x1x1, stride 1, without padding or groups: a product with one small matrix in every voxel, see channel_mix.cu.
#ifndef CARDIAC4D_CUDA_CHANNEL_MIX_H
#define CARDIAC4D_CUDA_CHANNEL_MIX_H

#include "conv4d_cuda.h"

namespace c4d_cuda {

// Whether it takes the forward pass, or the input gradient.
bool channel_mix_serves(const c4d_problem& p, bool is_gradient);

// Each returns a status.
int channel_mix_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* stream);
int channel_mix_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_CHANNEL_MIX_H
