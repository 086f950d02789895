// SPDX-License-Identifier: Apache-2.0
// Registers the fused kernels for CUDA with the operators that binding_fused.cpp defines.
#include "binding_cuda_head.h"

STABLE_TORCH_LIBRARY_IMPL(cardiac4d, CUDA, m) {
  c4d_binding::implement_cuda_fused(m);
  c4d_binding::implement_cuda_head(m);
}
