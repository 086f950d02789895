// SPDX-License-Identifier: Apache-2.0
// Compiled with AVX-512 F, BW, VL, DQ and FMA. 32 registers: 24 sums, 3 vectors of lanes, 1 tap.
#define C4D_ISA avx512
#define C4D_LANES 16
#define C4D_BLOCK_VECTORS 3
#define C4D_BLOCK_CHANNELS 8
#include "isa_kernels.h"

namespace c4d {
extern const IsaKernels kAvx512Kernels = C4D_KERNEL_TABLE("avx512");
}
