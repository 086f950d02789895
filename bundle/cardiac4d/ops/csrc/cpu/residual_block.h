// SPDX-License-Identifier: Apache-2.0
// A whole residual block of the C interface: out = conv2(relu(norm2(y))) + x, y = conv1(relu(norm1(x))).
#ifndef CARDIAC4D_RESIDUAL_BLOCK_H
#define CARDIAC4D_RESIDUAL_BLOCK_H

#include "conv4d_cpu_fused.h"

#ifdef __cplusplus
extern "C" {
#endif

// Everything is float32; convolutions are 3x3x3x3 and padded by 1.
typedef struct {
  const float *norm_weight, *norm_bias;  // (C,)
  const float *weight, *bias;            // of the convolution: (C, C, 3, 3, 3, 3), and (C,) or NULL
} c4d_half_block;

typedef struct {
  int64_t batch, channels, groups, size[4];
  int32_t precision;  // C4D_FAST or C4D_EXACT
  double eps;
  c4d_half_block first, second;
} c4d_residual_block;

// The gradients of a half block, like its tensors.
typedef struct {
  float *norm_weight, *norm_bias, *weight, *bias;
} c4d_half_gradients;

// The sums (N, C, 2) of the tensors of a block.
typedef struct {
  double *x, *y, *out;
} c4d_block_sums;

// Also writes what the gradient needs, y and the sums of x and y, and for the next block those of out. x_sums_known:
// the sums of x are there already. out may be the memory of x.
int c4d_cpu_residual_block(const c4d_residual_block*, const float* x, int x_sums_known, float* out, float* y,
                           const c4d_block_sums*, c4d_parallel_for);
// work: memory like x. The gradient of the second bias, the sum of grad_out, is left to the caller. What need not be
// computed is NULL: the gradient of a weight; dx, with the gradients of the first norm; work, with all but the gradient
// of the second weight.
int c4d_cpu_residual_block_grad(const c4d_residual_block*, const float* grad_out, const float* x, const float* y,
                                const double* sums_x, const double* sums_y, float* work, float* dx,
                                const c4d_half_gradients* first, const c4d_half_gradients* second, c4d_parallel_for);

#ifdef __cplusplus
}
#endif

#endif  // CARDIAC4D_RESIDUAL_BLOCK_H
