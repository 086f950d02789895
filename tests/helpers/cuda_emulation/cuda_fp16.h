// SPDX-License-Identifier: Apache-2.0
// CUDA's float16 on the CPU: storage and conversions.
#ifndef C4D_EMULATION_CUDA_FP16_H
#define C4D_EMULATION_CUDA_FP16_H

#include "cpu/half.h"

using __half = c4d::Float16;

inline float __half2float(__half stored) {
  float number;
  c4d::convert(stored, number);
  return number;
}

inline __half __float2half_rn(float number) {
  __half stored;
  c4d::convert(number, stored);
  return stored;
}

#endif  // C4D_EMULATION_CUDA_FP16_H
