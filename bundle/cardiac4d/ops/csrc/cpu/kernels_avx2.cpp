// SPDX-License-Identifier: Apache-2.0
// Compiled with AVX2 and FMA. 16 registers: 12 sums, 3 vectors of lanes, 1 tap.
#define C4D_ISA avx2
#define C4D_LANES 8
#define C4D_BLOCK_VECTORS 3
#define C4D_BLOCK_CHANNELS 4
#include "isa_kernels.h"

namespace c4d {
extern const IsaKernels kAvx2Kernels = C4D_KERNEL_TABLE("avx2");
}
