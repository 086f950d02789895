// SPDX-License-Identifier: Apache-2.0
// A 1x1x1x1 convolution to a few classes and their softmax, see fused.h. Returns a status.
#ifndef CARDIAC4D_CUDA_POINTWISE_SOFTMAX_H
#define CARDIAC4D_CUDA_POINTWISE_SOFTMAX_H

#include "fused.h"

namespace c4d_cuda {

int pointwise_softmax(const c4d_frames& f, int64_t classes, const void* x, const void* w, const void* bias, float* y,
                      void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_POINTWISE_SOFTMAX_H
