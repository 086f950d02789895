// SPDX-License-Identifier: Apache-2.0
// Numbers that are read and written 16 bytes at a time; the address in memory is a multiple of that.
#ifndef CARDIAC4D_CUDA_VECTORS_H
#define CARDIAC4D_CUDA_VECTORS_H

#include <cuda_runtime.h>
#include <string.h>

namespace c4d_cuda {

constexpr int kVector = 16;  // bytes

template <class Number, int kCount>
__device__ inline void load_vectors(const void* from, Number (&numbers)[kCount]) {
  ulonglong2 vectors[kCount * sizeof(Number) / kVector];
#pragma unroll
  for (int i = 0; i < static_cast<int>(kCount * sizeof(Number) / kVector); ++i) {
    vectors[i] = static_cast<const ulonglong2*>(from)[i];
  }
  memcpy(numbers, vectors, sizeof numbers);
}

template <class Number, int kCount>
__device__ inline void store_vectors(const Number (&numbers)[kCount], void* to) {
  ulonglong2 vectors[kCount * sizeof(Number) / kVector];
  memcpy(vectors, numbers, sizeof vectors);
#pragma unroll
  for (int i = 0; i < static_cast<int>(kCount * sizeof(Number) / kVector); ++i) {
    static_cast<ulonglong2*>(to)[i] = vectors[i];
  }
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_VECTORS_H
