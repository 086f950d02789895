// SPDX-License-Identifier: Apache-2.0
// Instructions of sm_80 and newer that CUDA's C++ does not have: asynchronous copies, loads of 8 x 8 blocks, products.
#ifndef CARDIAC4D_CUDA_PTX_H
#define CARDIAC4D_CUDA_PTX_H

#ifndef __CUDACC__
#include "emulated_ptx.h"
#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

namespace c4d_cuda {

__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// Queues a copy of 16 bytes into shared memory, or of as many zeros; both addresses are multiples of 16.
__device__ inline void copy_async(uint32_t to, const void* from, bool is_inside) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(is_inside ? 16 : 0));
}

// The same of 4 bytes, at multiples of 4.
__device__ inline void copy_number_async(uint32_t to, const void* from, bool is_inside) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(is_inside ? 4 : 0));
}

// Waits for this thread's copies; those of the others are there behind the next barrier.
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

// A block is 8 rows of 16 bytes: 8 half numbers, or 4 of float32. Lane l gives the address of row l % 8 of block l / 8,
// and gets of each block word l % 4 of row l / 4: two neighbours, or one number.
__device__ inline void load_blocks(uint32_t address, uint32_t (&blocks)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(blocks[0]), "=r"(blocks[1]), "=r"(blocks[2]), "=r"(blocks[3])
               : "r"(address)
               : "memory");
}
__device__ inline void load_blocks(uint32_t address, uint32_t (&blocks)[2]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(blocks[0]), "=r"(blocks[1])
               : "r"(address)
               : "memory");
}

// The same of blocks that lie transposed: a lane gets of each two numbers of column l / 4, those of rows 2 * (l % 4)
// and the next.
__device__ inline void load_transposed(uint32_t address, uint32_t (&blocks)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(blocks[0]), "=r"(blocks[1]), "=r"(blocks[2]), "=r"(blocks[3])
               : "r"(address)
               : "memory");
}
__device__ inline void load_transposed(uint32_t address, uint32_t (&blocks)[2]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(blocks[0]), "=r"(blocks[1])
               : "r"(address)
               : "memory");
}

// sums (16 x 8) += a (16 x 16, blocks in the order top left, bottom left, top right, bottom right) * b (16 x 8).
// Lane l has of the sums two neighbours at 2 * (l % 4) of rows l / 4 and l / 4 + 8; of b those of column l / 4.
// Volatile, or the compiler may move a product behind the condition under which its sums are stored: not all lanes of a
// warp need to fulfil that, but all must take part in the product.
#define C4D_MULTIPLY(storage, name)                                                                            \
  __device__ inline void multiply(storage, float(&sums)[4], const uint32_t(&a)[4], uint32_t b0, uint32_t b1) { \
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." name "." name                                        \
                 ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                                  \
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])                                  \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                              \
  }                                                                                                            \
  /* The same with a of 16 x 8 and b of 8 x 8. */                                                              \
  __device__ inline void multiply(storage, float(&sums)[4], const uint32_t(&a)[2], uint32_t b) {               \
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32." name "." name                                         \
                 ".f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"                                           \
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])                                  \
                 : "r"(a[0]), "r"(a[1]), "r"(b));                                                              \
  }
C4D_MULTIPLY(__nv_bfloat16, "bf16")
C4D_MULTIPLY(__half, "f16")
#undef C4D_MULTIPLY

// The same in TF32, with half as many columns of a and rows of b: words hold one number each.
__device__ inline void multiply(float, float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ inline void multiply(float, float (&sums)[4], const uint32_t (&a)[2], uint32_t b) {
  asm volatile("mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
               : "r"(a[0]), "r"(a[1]), "r"(b));
}

// Rounds float32 numbers to TF32, to the nearest; a product would cut them off.
template <int kCount>
__device__ inline void round_to_tf32(uint32_t (&words)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(words[i]) : "f"(__uint_as_float(words[i])));
}

}  // namespace c4d_cuda

#endif  // __CUDACC__
#endif  // CARDIAC4D_CUDA_PTX_H
