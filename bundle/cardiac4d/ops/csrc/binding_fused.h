// SPDX-License-Identifier: Apache-2.0
// What the bindings of the fused CPU kernels share: numbers of a tensor, sizes.
#ifndef CARDIAC4D_BINDING_FUSED_H
#define CARDIAC4D_BINDING_FUSED_H

#include "binding.h"
#include "cpu/conv4d_cpu_fused.h"

namespace c4d_binding {

inline const float* floats(const Tensor& tensor) { return static_cast<const float*>(tensor.const_data_ptr()); }

inline c4d_tensor tensor_of(const Sizes& size, int32_t dtype) {
  return {size[0], size[1], {size[2], size[3], size[4], size[5]}, dtype};
}

}  // namespace c4d_binding

#endif  // CARDIAC4D_BINDING_FUSED_H
