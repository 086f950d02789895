// SPDX-License-Identifier: Apache-2.0
// The binding of the CUDA kernels, as it is, on tensors of the CPU: torch.ops.cardiac4d_emulated.
#include "cuda/binding_cuda.h"
#include "schemas.h"

namespace {

int guards = 0;  // that are alive

}  // namespace

// What the binding asks torch about devices, answered here: the CPU is the one CUDA device. The linker prefers these.
extern "C" {

int32_t aoti_torch_device_type_cuda() { return 0; }  // that of the CPU

AOTITorchError aoti_torch_get_current_cuda_stream(int32_t, void** stream) {
  *stream = nullptr;
  return guards > 0 ? AOTI_TORCH_SUCCESS : AOTI_TORCH_FAILURE;
}

AOTITorchError aoti_torch_create_device_guard(int32_t, DeviceGuardHandle* guard) {
  ++guards;
  *guard = reinterpret_cast<DeviceGuardHandle>(&guards);
  return AOTI_TORCH_SUCCESS;
}

AOTITorchError aoti_torch_delete_device_guard(DeviceGuardHandle) {
  --guards;
  return AOTI_TORCH_SUCCESS;
}

}  // extern "C"

namespace {

int64_t guards_alive() { return guards; }

}  // namespace

STABLE_TORCH_LIBRARY(cardiac4d_emulated, m) {
  m.def(c4d_binding::kConv4d);
  m.def(c4d_binding::kConv4dInput);
  m.def(c4d_binding::kConv4dWeight);
  m.def("guards_alive() -> int");
}

STABLE_TORCH_LIBRARY_IMPL(cardiac4d_emulated, CPU, m) {
  m.impl("conv4d", TORCH_BOX(&c4d_binding::cuda_conv4d));
  m.impl("conv4d_input", TORCH_BOX(&c4d_binding::cuda_conv4d_input));
  m.impl("conv4d_weight", TORCH_BOX(&c4d_binding::cuda_conv4d_weight));
}

STABLE_TORCH_LIBRARY_IMPL(cardiac4d_emulated, CompositeExplicitAutograd, m) {
  m.impl("guards_alive", TORCH_BOX(&guards_alive));
}
