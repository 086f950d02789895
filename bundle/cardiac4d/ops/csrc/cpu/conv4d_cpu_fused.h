// SPDX-License-Identifier: Apache-2.0
// The C interface of what stands around the convolutions of a residual block: group normalisation, ReLU, the sum with a
// residual, up-sampling. Each is one pass over memory, or none: a convolution takes it along.
#ifndef CARDIAC4D_CONV4D_CPU_FUSED_H
#define CARDIAC4D_CONV4D_CPU_FUSED_H

#include "conv4d_cpu.h"

#ifdef __cplusplus
extern "C" {
#endif

// A dense, contiguous tensor N, C, H, W, D, T.
typedef struct {
  int64_t batch, channels, size[4];
  int32_t dtype;  // not C4D_FLOAT64
} c4d_tensor;

// Tensors are of the dtype of the problem; scale and shift are float (N, C), sums double (N, C, 2). All return a
// c4d_status; results are the same bits however the jobs are spread. A problem of norm_relu_* has a 3x3x3x3 kernel,
// stride and dilation 1, one group, padding 1 in T and at most 2 elsewhere, no dtype C4D_FLOAT64, no precision
// C4D_DIRECT; else it is C4D_BAD_PROBLEM.

// sums[n, c] = sum of x, sum of x * x.
int c4d_cpu_channel_sums(const c4d_tensor*, const void* x, double* sums, c4d_parallel_for);
// y = conv(x, w) + bias as c4d_cpu_forward computes it, and the sums of y; any problem without a C4D_FLOAT64.
int c4d_cpu_forward_sums(const c4d_problem*, const void* x, const void* w, const void* bias, void* y, double* sums,
                         c4d_parallel_for);
// y = conv(max(0, x * scale + shift), w) + bias + residual; sums (or NULL): those of y. bias, residual: or NULL.
int c4d_cpu_norm_relu_forward(const c4d_problem*, const void* x, const float* scale, const float* shift, const void* w,
                              const void* bias, const void* residual, void* y, double* sums, c4d_parallel_for);
// g = d/d(x * scale + shift) of sum(dy * y); sums[n, c] = sum of g, sum of g * x.
int c4d_cpu_norm_relu_grad_input(const c4d_problem*, const void* dy, const void* w, const void* x, const float* scale,
                                 const float* shift, void* g, double* sums, c4d_parallel_for);
// dw = d/dw of sum(dy * y).
int c4d_cpu_norm_relu_grad_weight(const c4d_problem*, const void* x, const float* scale, const float* shift,
                                  const void* dy, void* dw, c4d_parallel_for);
// dx = a * g + b * x + c + add, with abc (N, C, 3). add: or NULL. dx may be the memory of g.
int c4d_cpu_norm_input_grad(const c4d_tensor*, const void* g, const void* x, const float* abc, const void* add,
                            void* dx, c4d_parallel_for);
// y = skip + the 1x1x1x1 convolution of x, (N, in_channels, ...), repeated as by upsample_add, and the sums of y; all
// float32. bias: or NULL.
int c4d_cpu_upsample_conv_add(const c4d_tensor*, int64_t in_channels, const float* x, const float* w,
                              const float* bias, const float* skip, float* y, double* sums, c4d_parallel_for);
enum { C4D_MAX_CLASSES = 8 };
// y = the softmax over `classes`, C4D_MAX_CLASSES at most, of the 1x1x1x1 convolution of x; the tensor is that of x.
// All float32. bias: or NULL.
int c4d_cpu_pointwise_softmax(const c4d_tensor*, int64_t classes, const float* x, const float* w, const float* bias,
                              float* y, c4d_parallel_for);
// What the softmax p is taken of, and the label y beside it: the 1x1x1x1 convolution of x, or x itself. All float32.
typedef struct {
  c4d_tensor x;
  int64_t classes;        // C4D_MAX_CLASSES at most; the channels of x where those are the logits
  const float *w, *bias;  // (classes, C); NULL: x are the logits. No bias: NULL
  const uint8_t* label;   // (N, H, W, D, T): below `classes`, or 255, which is not annotated
  int32_t is_squared;
} c4d_head;
// sums (N, T, 2 * classes + 3) over the voxels of a frame: for each class that of p where y is the class, and that of
// p * p (or of p) where y is annotated plus the voxels of the class; then the squared change of all classes to the next
// frame, which the last one takes the first for; the annotated voxels, and those among them that have no such class.
int c4d_cpu_softmax_sums(const c4d_head*, const float* x, double* sums, c4d_parallel_for);
// From the gradients of the sums: dx, and that of w with that of the bias as its last column, (classes, C + 1); either
// may be NULL, and the second one is where x are the logits.
int c4d_cpu_softmax_sums_grad(const c4d_head*, const float* x, const double* grad_sums, float* dx, float* dhead,
                              c4d_parallel_for);
// y = skip + x repeated twice along H, W, D and T; the tensor is that of y, x has half its size, rounded up.
int c4d_cpu_upsample_add(const c4d_tensor*, const void* x, const void* skip, void* y, c4d_parallel_for);
// dx = the sums of dy over the copies of each element; the tensor is that of dy.
int c4d_cpu_upsample_grad(const c4d_tensor*, const void* dy, void* dx, c4d_parallel_for);

// A group normalisation: (C,) weight and bias in float, and `sums` of its input.
typedef struct {
  int64_t batch, channels, groups, volume;  // volume: elements of one channel
  double eps;
  const float *weight, *bias;
  const double* sums;
} c4d_group_norm;

// The normalisation of each channel as scale and shift (N, C).
void c4d_cpu_norm_scale_shift(const c4d_group_norm*, float* scale, float* shift);
// From gradient_sums (N, C, 2), sum of g and of g * x: abc (N, C, 3) of norm_input_grad; the gradients of weight and
// bias (C,); sum_dx (C,), the sum of dx over all but the channels.
void c4d_cpu_norm_gradients(const c4d_group_norm*, const double* gradient_sums, float* abc, float* dweight,
                            float* dbias, float* sum_dx);

#ifdef __cplusplus
}
#endif

#endif  // CARDIAC4D_CONV4D_CPU_FUSED_H
