// SPDX-License-Identifier: Apache-2.0
// Neighbouring half numbers as words: how lanes hold weights, and how they store results.
#ifndef CARDIAC4D_CUDA_HALF_WORDS_H
#define CARDIAC4D_CUDA_HALF_WORDS_H

#include "launch.h"
#include "storage.h"

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

// Weights in an order of their own: each word holds two numbers, order.number(i, 0) and order.number(i, 1).
template <class Order_>
struct PackWords {
  using Order = Order_;
  Order order;
  uint32_t* packed;
};

constexpr int kThreadsOfPacking = 128;

template <class Work>
__global__ void __launch_bounds__(kThreadsOfPacking) pack_words(const Work work) {
  const int64_t step = int64_t(gridDim.x) * kThreadsOfPacking;
  for (int64_t i = blockIdx.x * int64_t(kThreadsOfPacking) + threadIdx.x; i < work.order.count(); i += step) {
    work.packed[i] = pack_pair<typename Work::Order::Storage>(work.order.number(i, 0), work.order.number(i, 1));
  }
}

template <class Order>
int pack_weights(const Order& order, void* packed, void* stream) {
  const PackWords<Order> work{order, static_cast<uint32_t*>(packed)};
  const int64_t blocks = (order.count() + kThreadsOfPacking - 1) / kThreadsOfPacking;
  return launch(pack_words<PackWords<Order>>, work, blocks, kThreadsOfPacking, 0, stream);
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_HALF_WORDS_H
