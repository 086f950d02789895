// SPDX-License-Identifier: Apache-2.0
// CUDA's bfloat16 on the CPU: storage and conversions.
#ifndef C4D_EMULATION_CUDA_BF16_H
#define C4D_EMULATION_CUDA_BF16_H

#include "conversion.h"

using __nv_bfloat16 = c4d::BFloat16;

inline float __bfloat162float(__nv_bfloat16 stored) { return emulation::converted<float>(stored); }
inline __nv_bfloat16 __float2bfloat16_rn(float number) { return emulation::converted<__nv_bfloat16>(number); }

#endif  // C4D_EMULATION_CUDA_BF16_H
