// SPDX-License-Identifier: Apache-2.0
// Group normalisation with ReLU and its gradient, from sums per channel. Each call returns a status.
//
//   y = x * scale + shift,  scale = rstd * weight,  shift = bias - mean * scale;  mean, rstd: of a channel's group.
//   With g = dL/dy and the means over a group, p = mean(weight * g), q = mean(weight * g * (x - mean)) * rstd^2:
//   dL/dx = rstd * (weight * g - p - q * (x - mean)) = a * g + b * x + c.
#ifndef CARDIAC4D_CUDA_GROUP_NORM_H
#define CARDIAC4D_CUDA_GROUP_NORM_H

#include "fused.h"

namespace c4d_cuda {

// (C,) weight and bias, and the sums (N, C, 2) of the input.
struct GroupNorm {
  int64_t batch, channels, groups, volume;  // volume: elements of one channel
  double eps;
  const float *weight, *bias;
  const double* sums;
};

// The normalisation of each channel as two numbers (N, C).
int norm_scale_shift(const GroupNorm& norm, float* scale, float* shift, void* stream);
// z = max(0, x * scale + shift).
int norm_relu(const c4d_frames& f, const void* x, const float* scale, const float* shift, void* z, void* stream);
// y = from + residual, and the sums of y; y may be the memory of either.
int add_and_sum(const c4d_frames& f, const void* from, const void* residual, void* y, double* sums, void* workspace,
                void* stream);
// From dz, with g = dz where x * scale + shift > 0, else 0: sums (N, C, 2) of g and of g * x.
int norm_gradient_sums(const c4d_frames& f, const void* dz, const void* x, const float* scale, const float* shift,
                       double* sums, void* workspace, void* stream);
// From these sums: abc (3, N, C), and the gradients of weight and bias (C,); sum_dx (C,), or null: the sum of dx.
int norm_gradients(const GroupNorm& norm, const double* gradient_sums, float* abc, float* dweight, float* dbias,
                   float* sum_dx, void* stream);
// dx = a * g + b * x + c + add (may be null). dx may be the memory of dz.
int norm_relu_grad(const c4d_frames& f, const void* dz, const void* x, const float* scale, const float* shift,
                   const float* abc, const void* add, void* dx, void* stream);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_GROUP_NORM_H
