// SPDX-License-Identifier: Apache-2.0
// The layer that reads an image, on tensor cores: one input channel, 3x3x3x3, stride 1, half types, see mma_image.cu.
#ifndef CARDIAC4D_CUDA_MMA_IMAGE_H
#define CARDIAC4D_CUDA_MMA_IMAGE_H

#include "conv4d_cuda.h"

namespace c4d_cuda {

bool mma_image_serves(const c4d_problem& p);  // in the forward pass
// workspace: for the weights in the order in which lanes read them. Returns a status.
int64_t mma_image_workspace(const c4d_problem& p);
int mma_image_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                      void* stream);
// The same, and the sums of y as it is stored, (N, C, 2): of each channel its sum, and its sum of squares. `pieces` has
// mma_image_pieces_bytes.
int64_t mma_image_pieces_bytes(const c4d_problem& p);
int mma_image_forward_sums(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, double* sums,
                           void* workspace, void* pieces, void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_IMAGE_H
