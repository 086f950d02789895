// SPDX-License-Identifier: Apache-2.0
// What every machine of an architecture has: SSE2 (16 registers, no fused multiply-add) or NEON (32 registers).
#define C4D_ISA portable
#define C4D_LANES 4
#if defined(__aarch64__)
#define C4D_BLOCK_VECTORS 3
#define C4D_BLOCK_CHANNELS 8
#else
#define C4D_BLOCK_VECTORS 2
#define C4D_BLOCK_CHANNELS 4
#endif
#include "isa_kernels.h"

namespace c4d {
extern const IsaKernels kPortableKernels = C4D_KERNEL_TABLE("portable");
}
