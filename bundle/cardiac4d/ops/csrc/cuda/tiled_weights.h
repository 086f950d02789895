// SPDX-License-Identifier: Apache-2.0
// Weights of float32 in the order in which tiles without tensor cores read them.
#ifndef CARDIAC4D_CUDA_TILED_WEIGHTS_H
#define CARDIAC4D_CUDA_TILED_WEIGHTS_H

#include "conv4d_cuda.h"

namespace c4d_cuda {

constexpr int kInOfTiled = 4;  // input channels that lie side by side

// Packs the weights of a 3x3x3x3 convolution, of which this memory takes as many bytes, as floats: block of eight
// output channels, block of kInOfTiled input channels, taps H, W, T, D, input channel, output channel. For an input
// gradient the channels are exchanged and the taps flipped. Returns a status.
int64_t pack_float32_bytes(const c4d_problem& p);
int pack_float32(const c4d_problem& p, bool is_gradient, const void* w, void* packed, void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_TILED_WEIGHTS_H
