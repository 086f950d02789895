// SPDX-License-Identifier: Apache-2.0
// The layer that reads an image, in float32: one input channel, 3x3x3x3, stride 1, see tiled_image.cu.
#ifndef CARDIAC4D_CUDA_TILED_IMAGE_H
#define CARDIAC4D_CUDA_TILED_IMAGE_H

#include "conv4d_cuda.h"

namespace c4d_cuda {

bool tiled_image_serves(const c4d_problem& p);  // in the forward pass
// Returns a status.
int tiled_image_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* stream);
// The same, and the sums of y, (N, C, 2): of each channel its sum, and its sum of squares. `pieces` has
// tiled_image_pieces_bytes.
int64_t tiled_image_pieces_bytes(const c4d_problem& p);
int tiled_image_forward_sums(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                             double* sums, void* pieces, void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_TILED_IMAGE_H
