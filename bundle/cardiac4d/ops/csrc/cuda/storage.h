// SPDX-License-Identifier: Apache-2.0
// The stored types: what a kernel reads and writes.
#ifndef CARDIAC4D_CUDA_STORAGE_H
#define CARDIAC4D_CUDA_STORAGE_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <string.h>

#include "../compute.h"
#include "conv4d_cuda.h"

namespace c4d_cuda {

using c4d::Compute;

__device__ inline double value(double stored) { return stored; }
__device__ inline float value(float stored) { return stored; }
__device__ inline float value(__nv_bfloat16 stored) { return __bfloat162float(stored); }
__device__ inline float value(__half stored) { return __half2float(stored); }

// To the nearest, ties to even.
__device__ inline void store(double number, double* to) { *to = number; }
__device__ inline void store(float number, float* to) { *to = number; }
__device__ inline void store(float number, __nv_bfloat16* to) { *to = __float2bfloat16_rn(number); }
__device__ inline void store(float number, __half* to) { *to = __float2half_rn(number); }

// A number as it comes back from memory.
template <class Storage>
__device__ inline float rounded(float number) {
  Storage stored;
  store(number, &stored);
  return value(stored);
}

// Two half numbers in a word.
template <class Half>
__device__ inline uint32_t pack_pair(float first, float second) {
  Half pair[2];
  store(first, pair);
  store(second, pair + 1);
  uint32_t word;
  memcpy(&word, pair, sizeof word);
  return word;
}

// Two neighbouring half numbers at once; the address is a multiple of 4.
template <class Half>
__device__ inline void store_pair(float first, float second, Half* to) {
  *reinterpret_cast<uint32_t*>(to) = pack_pair<Half>(first, second);
}

// Reads what store_pair stored.
template <class Half>
__device__ inline void load_pair(const Half* from, float (&pair)[2]) {
  const uint32_t bits = *reinterpret_cast<const uint32_t*>(from);
  Half stored[2];
  memcpy(stored, &bits, sizeof bits);
  pair[0] = value(stored[0]), pair[1] = value(stored[1]);
}
__device__ inline void load_pair(const float* from, float (&pair)[2]) {
  const float2 stored = *reinterpret_cast<const float2*>(from);
  pair[0] = stored.x, pair[1] = stored.y;
}

// Two float32 numbers; the address is a multiple of 8.
__device__ inline void store_pair(float first, float second, float* to) {
  *reinterpret_cast<float2*>(to) = make_float2(first, second);
}

// Calls call(Storage{}) with the type that a dtype names: a half type.
template <class Call>
auto with_half(int32_t dtype, const Call& call) {
  return dtype == C4D_BFLOAT16 ? call(__nv_bfloat16()) : call(__half());
}

// The same for float32 as well.
template <class Call>
auto with_half_or_float(int32_t dtype, const Call& call) {
  return dtype == C4D_FLOAT32 ? call(float()) : with_half(dtype, call);
}

// The same for all of them.
template <class Call>
auto with_storage(int32_t dtype, const Call& call) {
  return dtype == C4D_FLOAT64 ? call(double()) : with_half_or_float(dtype, call);
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_STORAGE_H
