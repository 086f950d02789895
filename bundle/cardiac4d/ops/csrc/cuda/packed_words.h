// SPDX-License-Identifier: Apache-2.0
// Words of two half numbers, or of one in TF32: how lanes hold weights, and how they store results.
#ifndef CARDIAC4D_CUDA_PACKED_WORDS_H
#define CARDIAC4D_CUDA_PACKED_WORDS_H

#include "launch.h"
#include "ptx.h"
#include "storage.h"
#include "tensor_cores.h"

namespace c4d_cuda {

// Four numbers at once; the address is a multiple of 8.
__device__ inline void store_words(uint32_t first, uint32_t second, void* to) {
  *static_cast<uint64_t*>(to) = uint64_t(second) << 32 | first;
}

// Two words at once; the address is a multiple of 8.
__device__ inline void load_words(const uint32_t* from, uint32_t& first, uint32_t& second) {
  const uint64_t both = *reinterpret_cast<const uint64_t*>(from);
  first = static_cast<uint32_t>(both);
  second = static_cast<uint32_t>(both >> 32);
}

// Weights in an order of their own: each word holds two numbers, order.number(i, 0) and order.number(i, 1); or one,
// which is rounded to TF32.
template <class Order_>
struct PackWords {
  using Order = Order_;
  Order order;
  uint32_t* packed;
};

constexpr int kThreadsOfPacking = 128;

template <class Work>
__global__ void __launch_bounds__(kThreadsOfPacking) pack_words(const Work work) {
#ifdef C4D_HAS_TENSOR_CORES
  using Storage = typename Work::Order::Storage;
  const int64_t step = int64_t(gridDim.x) * kThreadsOfPacking;
  for (int64_t i = blockIdx.x * int64_t(kThreadsOfPacking) + threadIdx.x; i < work.order.count(); i += step) {
    if constexpr (sizeof(Storage) == 2) {
      work.packed[i] = pack_pair<Storage>(work.order.number(i, 0), work.order.number(i, 1));
    } else {
      const float number = work.order.number(i, 0);
      uint32_t word[1];
      memcpy(word, &number, sizeof number);
      round_to_tf32(word);
      work.packed[i] = word[0];
    }
  }
#endif
}

template <class Order>
int pack_weights(const Order& order, void* packed, void* stream) {
  const PackWords<Order> work{order, static_cast<uint32_t*>(packed)};
  const int64_t blocks = (order.count() + kThreadsOfPacking - 1) / kThreadsOfPacking;
  return launch(pack_words<PackWords<Order>>, work, blocks, kThreadsOfPacking, 0, stream);
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_PACKED_WORDS_H
