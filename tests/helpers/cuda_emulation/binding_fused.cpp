// SPDX-License-Identifier: Apache-2.0
// The binding of the fused CUDA kernels, as it is, on tensors of the CPU; see binding.cpp.
#include "cuda/binding_cuda_head.h"

STABLE_TORCH_LIBRARY_FRAGMENT(cardiac4d_emulated, m) {
  m.def(c4d_binding::kConv4dSums);
  m.def(c4d_binding::kResidualBlock);
  m.def(c4d_binding::kResidualBlockInPlace);
  m.def(c4d_binding::kResidualBlockBackward);
  m.def(c4d_binding::kUpsampleConvAdd);
  m.def(c4d_binding::kPointwiseSoftmax);
  m.def(c4d_binding::kSoftmaxSums);
  m.def(c4d_binding::kSoftmaxSumsBackward);
  m.def(c4d_binding::kUpsampleAdd);
  m.def(c4d_binding::kUpsampleBackward);
}

STABLE_TORCH_LIBRARY_IMPL(cardiac4d_emulated, CPU, m) {
  c4d_binding::implement_cuda_fused(m);
  c4d_binding::implement_cuda_head(m);
}
