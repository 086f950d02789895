// SPDX-License-Identifier: Apache-2.0
// What the driver says of a kernel, asked once for every device.
#ifndef CARDIAC4D_CUDA_KERNEL_ON_DEVICE_H
#define CARDIAC4D_CUDA_KERNEL_ON_DEVICE_H

#include <stdint.h>

namespace c4d_cuda {

struct KernelOnDevice {
  int code;              // architecture that the code was compiled for which the device loads, 80 for sm_80
  int64_t shared_bytes;  // the most that a block may have; the kernel has been allowed them
};

// Tells about a kernel on the current device. Only the first call for both asks the driver, so that a graph captures no
// such question after a first call without it. Any threads may call it. Returns the status of what failed, if anything;
// that is not kept, and the next call asks again.
int ask_driver(const void* kernel, KernelOnDevice* answer);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_KERNEL_ON_DEVICE_H
