// SPDX-License-Identifier: Apache-2.0
// Registers the CUDA kernels with the operators that binding.cpp defines. A library of its own, loaded behind the
// first: the CPU's is built without nvcc, and stays what it is whatever becomes of this one.
#include "binding_cuda.h"

namespace {

// Read from the file by native.py before it loads the library.
[[gnu::used]] const char kSources[] = "cardiac4d-sources:" C4D_SOURCES;
[[gnu::used]] const char kArchitectures[] = "cardiac4d-architectures:" C4D_ARCHITECTURES;

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(cardiac4d, CUDA, m) {
  m.impl("conv4d", TORCH_BOX(&c4d_binding::cuda_conv4d));
  m.impl("conv4d_input", TORCH_BOX(&c4d_binding::cuda_conv4d_input));
  m.impl("conv4d_weight", TORCH_BOX(&c4d_binding::cuda_conv4d_weight));
}
