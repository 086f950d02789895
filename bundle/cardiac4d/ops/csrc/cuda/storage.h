// SPDX-License-Identifier: Apache-2.0
// The stored types: what a kernel reads and writes.
#ifndef CARDIAC4D_CUDA_STORAGE_H
#define CARDIAC4D_CUDA_STORAGE_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <string.h>

#include <type_traits>

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

// Two float32 numbers; the address is a multiple of 8.
__device__ inline void store_pair(float first, float second, float* to) {
  *reinterpret_cast<float2*>(to) = make_float2(first, second);
}

// Two neighbouring numbers as store_pair stored them. They are read first and looked at later, so that many can be on
// their way from memory at once.
template <class Storage>
struct Pair {
  using Words = std::conditional_t<sizeof(Storage) == 4, float2, uint32_t>;
  Words words = {};

  __device__ void read(const Storage* from) { words = *reinterpret_cast<const Words*>(from); }
  __device__ void numbers(float (&pair)[2]) const {
    Storage stored[2];
    memcpy(stored, &words, sizeof words);
    pair[0] = value(stored[0]), pair[1] = value(stored[1]);
  }
};

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
