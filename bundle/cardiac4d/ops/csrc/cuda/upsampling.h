// SPDX-License-Identifier: Apache-2.0
// Up-sampling by two plus a skip connection, and its gradient, see fused.h. Each call returns a status.
#ifndef CARDIAC4D_CUDA_UPSAMPLING_H
#define CARDIAC4D_CUDA_UPSAMPLING_H

#include "fused.h"

namespace c4d_cuda {

int upsample_add(const c4d_frames& large, const void* x, const void* skip, void* y, void* stream);
int upsample_conv_add(const c4d_frames& large, int64_t in_channels, const void* x, const void* w, const void* bias,
                      const void* skip, void* y, double* sums, void* workspace, void* stream);
int64_t upsample_conv_add_workspace(const c4d_frames& large);
int upsample_grad(const c4d_frames& large, const void* dy, void* dx, void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_UPSAMPLING_H
