// SPDX-License-Identifier: Apache-2.0
// The binding of the fused CUDA kernels, as it is, on tensors of the CPU; see binding.cpp.
#include "cuda/binding_cuda_fused.h"

STABLE_TORCH_LIBRARY_FRAGMENT(cardiac4d_emulated, m) {
  m.def(c4d_binding::kConv4dSums);
  m.def(c4d_binding::kResidualBlock);
  m.def(c4d_binding::kResidualBlockInPlace);
  m.def(c4d_binding::kResidualBlockBackward);
  m.def(c4d_binding::kUpsampleConvAdd);
  m.def(c4d_binding::kPointwiseSoftmax);
  m.def(c4d_binding::kUpsampleAdd);
  m.def(c4d_binding::kUpsampleBackward);
}

STABLE_TORCH_LIBRARY_IMPL(cardiac4d_emulated, CPU, m) {
  m.impl("conv4d_sums", TORCH_BOX(&c4d_binding::cuda_conv4d_sums));
  m.impl("residual_block", TORCH_BOX(&c4d_binding::cuda_residual_block));
  m.impl("residual_block_", TORCH_BOX(&c4d_binding::cuda_residual_block_));
  m.impl("residual_block_backward", TORCH_BOX(&c4d_binding::cuda_residual_block_backward));
  m.impl("upsample_conv_add", TORCH_BOX(&c4d_binding::cuda_upsample_conv_add));
  m.impl("pointwise_softmax", TORCH_BOX(&c4d_binding::cuda_pointwise_softmax));
  m.impl("upsample_add", TORCH_BOX(&c4d_binding::cuda_upsample_add));
  m.impl("upsample_backward", TORCH_BOX(&c4d_binding::cuda_upsample_backward));
}
