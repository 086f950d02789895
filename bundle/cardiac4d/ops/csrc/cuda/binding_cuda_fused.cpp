// SPDX-License-Identifier: Apache-2.0
// Registers the fused kernels for CUDA with the operators that binding_fused.cpp defines.
#include "binding_cuda_fused.h"

STABLE_TORCH_LIBRARY_IMPL(cardiac4d, CUDA, m) {
  m.impl("conv4d_sums", TORCH_BOX(&c4d_binding::cuda_conv4d_sums));
  m.impl("residual_block", TORCH_BOX(&c4d_binding::cuda_residual_block));
  m.impl("residual_block_", TORCH_BOX(&c4d_binding::cuda_residual_block_));
  m.impl("residual_block_backward", TORCH_BOX(&c4d_binding::cuda_residual_block_backward));
  m.impl("upsample_conv_add", TORCH_BOX(&c4d_binding::cuda_upsample_conv_add));
  m.impl("pointwise_softmax", TORCH_BOX(&c4d_binding::cuda_pointwise_softmax));
  m.impl("upsample_add", TORCH_BOX(&c4d_binding::cuda_upsample_add));
  m.impl("upsample_backward", TORCH_BOX(&c4d_binding::cuda_upsample_backward));
}
