// SPDX-License-Identifier: Apache-2.0
// What a 4D convolution is for the kernels of every device: plain C, no torch header.
#ifndef CARDIAC4D_CONV4D_PROBLEM_H
#define CARDIAC4D_CONV4D_PROBLEM_H

#include <stdint.h>

enum { C4D_FLOAT64 = 0, C4D_FLOAT32 = 1, C4D_BFLOAT16 = 2, C4D_FLOAT16 = 3 };
enum { C4D_FAST = 0,    // Winograd F(4x4) where it applies
       C4D_EXACT = 1,   // Winograd F(2x2): no less accurate than a direct sum
       C4D_DIRECT = 2,  // no transform at all
       C4D_TF32 = 3 };  // C4D_FAST, and products of float32 may be rounded to TF32: on GPUs that have it

typedef struct {
  int64_t batch, in_channels, out_channels, groups;
  int64_t in[4], out[4], kernel[4], stride[4], padding[4], dilation[4];  // H, W, D, T; zeros are padded
  int32_t dtype;      // of all tensors
  int32_t precision;  // C4D_FAST ..
} c4d_problem;

static inline int c4d_is_axis(const c4d_problem* p, int axis) {
  if (p->in[axis] < 0 || p->out[axis] < 1 || p->kernel[axis] < 1) return 0;
  if (p->stride[axis] < 1 || p->dilation[axis] < 1 || p->padding[axis] < 0) return 0;
  const int64_t room = p->in[axis] + 2 * p->padding[axis] - p->dilation[axis] * (p->kernel[axis] - 1) - 1;
  return room >= 0 && room / p->stride[axis] + 1 == p->out[axis];
}

// Whether sizes and options describe a convolution.
static inline int c4d_is_problem(const c4d_problem* p) {
  if (!p || p->batch < 0 || p->groups < 1 || p->in_channels < 1 || p->out_channels < 1) return 0;
  if (p->in_channels % p->groups != 0 || p->out_channels % p->groups != 0) return 0;
  if (p->dtype < C4D_FLOAT64 || p->dtype > C4D_FLOAT16) return 0;
  if (p->precision < C4D_FAST || p->precision > C4D_TF32) return 0;
  for (int axis = 0; axis < 4; ++axis) {
    if (!c4d_is_axis(p, axis)) return 0;
  }
  return 1;
}

#endif  // CARDIAC4D_CONV4D_PROBLEM_H
