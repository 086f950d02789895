// SPDX-License-Identifier: Apache-2.0
// CUDA's float16 on the CPU: storage and conversions.
#ifndef C4D_EMULATION_CUDA_FP16_H
#define C4D_EMULATION_CUDA_FP16_H

#include "conversion.h"

using __half = c4d::Float16;

inline float __half2float(__half stored) { return emulation::converted<float>(stored); }
inline __half __float2half_rn(float number) { return emulation::converted<__half>(number); }

#endif  // C4D_EMULATION_CUDA_FP16_H
