// SPDX-License-Identifier: Apache-2.0
// Sums per channel. Each call returns a status.
#ifndef CARDIAC4D_CUDA_CHANNEL_SUMS_H
#define CARDIAC4D_CUDA_CHANNEL_SUMS_H

#include "fused.h"

namespace c4d_cuda {

int channel_sums(const c4d_frames& f, const void* x, double* sums, void* workspace, void* stream);
// Bytes for this, and for every other sum over the voxels of such a tensor.
int64_t channel_sums_workspace(const c4d_frames& f);

// Adds up sums of pieces, (N, pieces, C, 2), to those of the samples, (N, C, 2).
int add_pieces_of_samples(int64_t batch, int64_t pieces, int64_t channels, const double* from, double* sums,
                          void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_CHANNEL_SUMS_H
