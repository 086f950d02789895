// SPDX-License-Identifier: Apache-2.0
// A 1x1x1x1 convolution at one voxel, for the kernels that take it along.
#ifndef CARDIAC4D_CUDA_POINTWISE_H
#define CARDIAC4D_CUDA_POINTWISE_H

#include "octets.h"

namespace c4d_cuda {

template <class Storage>
struct Pointwise {
  int64_t in_channels;
  const Storage *weight, *bias;  // (C_out, C_in); no bias: null

  // Output channels of an octet from the voxel at `from`; in channels that the octet does not have: zeros. Eight
  // channels of the input at a time: the weights of a row lie as they do.
  __device__ void compute(const Storage* from, const Octet& to, float (&sums)[kOctet]) const {
#pragma unroll
    for (int i = 0; i < kOctet; ++i) sums[i] = bias != nullptr && i < to.count ? value(bias[to.first + i]) : 0.0f;
    for (int64_t block = 0; block < octets_of(in_channels); ++block) {
      const Octet in = octet_at(block, in_channels);
      float numbers[kOctet];
      load_octet(from + in.first, in, numbers);
#pragma unroll
      for (int i = 0; i < kOctet; ++i) {
        if (i >= to.count) continue;
        float row[kOctet];
        load_octet(weight + (to.first + i) * in_channels + in.first, in, row);
#pragma unroll
        for (int k = 0; k < kOctet; ++k) sums[i] += numbers[k] * row[k];
      }
    }
  }
};

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_POINTWISE_H
