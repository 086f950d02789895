// SPDX-License-Identifier: Apache-2.0
// 1x1x1x1, stride 1, without padding or groups: a product with one small matrix in every voxel, see channel_mix.cu and
// channel_mix_grad_weight.cu.
#ifndef CARDIAC4D_CUDA_CHANNEL_MIX_H
#define CARDIAC4D_CUDA_CHANNEL_MIX_H

#include "conv4d_cuda.h"

namespace c4d_cuda {

// Whether a problem has this shape, whatever its channels.
inline bool is_channel_mix(const c4d_problem& p) {
  for (int axis = 0; axis < 4; ++axis) {
    if (p.kernel[axis] != 1 || p.stride[axis] != 1 || p.padding[axis] != 0) return false;
  }
  return p.groups == 1;
}

// Whether it takes the forward pass, or the input gradient.
bool channel_mix_serves(const c4d_problem& p, bool is_gradient);

// Each returns a status.
int channel_mix_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* stream);
int channel_mix_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* stream);

// The weight gradient, of any channels. workspace: for the sums over pieces of the voxels.
int64_t channel_mix_grad_weight_workspace(const c4d_problem& p);
int channel_mix_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, void* workspace,
                            void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_CHANNEL_MIX_H
