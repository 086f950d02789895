// SPDX-License-Identifier: Apache-2.0
// Eight channels of a voxel at once: what a thread of a fused kernel reads, computes in float, and writes.
#ifndef CARDIAC4D_CUDA_OCTETS_H
#define CARDIAC4D_CUDA_OCTETS_H

#include <cuda_runtime.h>
#include <string.h>

#include "storage.h"
#include "vectors.h"

namespace c4d_cuda {

constexpr int kOctet = 8;

// Where an octet begins among the channels of a voxel. The last one may have fewer channels, and then no octet of the
// tensor is known to be aligned.
struct Octet {
  int64_t first;
  int count;        // of its channels, up to kOctet
  bool is_aligned;  // to 16 bytes, in every voxel
};

inline __host__ __device__ int64_t octets_of(int64_t channels) { return (channels + kOctet - 1) / kOctet; }

inline __device__ Octet octet_at(int64_t index, int64_t channels) {
  const int64_t rest = channels - index * kOctet;
  return {index * kOctet, static_cast<int>(rest < kOctet ? rest : kOctet), channels % kOctet == 0};
}

// An octet as it is stored. It is read first and looked at later, so that several can be on their way from memory at
// once: a number that is converted is waited for.
template <class Storage>
struct StoredOctet {
  Storage stored[kOctet];

  // from: the first channel of the octet. Channels that it does not have are read as zeros.
  __device__ void read(const Storage* from, const Octet& octet) {
    if (octet.is_aligned) {
      load_vectors(from, stored);
    } else {
      memset(stored, 0, sizeof stored);
#pragma unroll
      for (int i = 0; i < kOctet; ++i) {
        if (i < octet.count) stored[i] = from[i];
      }
    }
  }
  __device__ void numbers(float (&numbers)[kOctet]) const {
#pragma unroll
    for (int i = 0; i < kOctet; ++i) numbers[i] = value(stored[i]);
  }
};

template <class Storage>
__device__ inline void load_octet(const Storage* from, const Octet& octet, float (&numbers)[kOctet]) {
  StoredOctet<Storage> stored;
  stored.read(from, octet);
  stored.numbers(numbers);
}

// Stores the numbers from the first channel of the octet on, and leaves in them what was stored.
template <class Storage>
__device__ inline void store_octet(float (&numbers)[kOctet], const Octet& octet, Storage* to) {
  Storage stored[kOctet];
#pragma unroll
  for (int i = 0; i < kOctet; ++i) store(numbers[i], stored + i);
  if (octet.is_aligned) {
    store_vectors(stored, to);
  } else {
#pragma unroll
    for (int i = 0; i < kOctet; ++i) {
      if (i < octet.count) to[i] = stored[i];
    }
  }
#pragma unroll
  for (int i = 0; i < kOctet; ++i) numbers[i] = value(stored[i]);
}

// One number per channel of a sample, such as a factor (N, C).
__device__ inline void load_numbers(const float* from, const Octet& octet, float (&numbers)[kOctet]) {
#pragma unroll
  for (int i = 0; i < kOctet; ++i) numbers[i] = i < octet.count ? from[i] : 0.0f;
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_OCTETS_H
