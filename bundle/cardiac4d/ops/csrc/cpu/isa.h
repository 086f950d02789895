// SPDX-License-Identifier: Apache-2.0
// The fast kernels exist once per instruction set, compiled from the same templates; this table says what one has.
#ifndef CARDIAC4D_ISA_H
#define CARDIAC4D_ISA_H

#include "conv4d_cpu.h"
#include "conv4d_cpu_fused.h"
#include "norm.h"

namespace c4d {

// A stride-1 correlation with a 3x3x3x3 kernel in one group, out[o] = sum over k of w[k] in[o + k - lead]. Forward and
// input gradient are both of this kind: the latter with the kernel flipped and its two channel axes exchanged.
struct Correlation {
  int64_t batch, ins, outs;
  int64_t in[4], out[4], lead[4];  // lead[3] is 1 and in[3] == out[3]
  int32_t dtype;
  const void *input, *weight, *bias;  // bias may be null
  void* output;
  int64_t weight_out_stride, weight_in_stride;  // elements of `weight` from channel to channel
  bool flipped;
  Norm norm;  // with its ReLU of the input, before the zeros of the padding
  Epilogue epilogue;
};

// What the direct kernels have room for: taps in all and along T, classes of positions of the input gradient (the
// product of the strides).
enum { kMaxDirectTaps = 256, kMaxFrameShifts = 16, kMaxClasses = 16 };

// Each function returns a c4d_status.
struct IsaKernels {
  const char* name;
  // tile: m of Winograd F(m x m), 2 or 4.
  int (*winograd_correlate)(const Correlation& c, int tile, c4d_parallel_for run);
  // norm: with its ReLU of x.
  int (*winograd_grad_weight)(const c4d_problem& p, const void* x, const Norm& norm, const void* dy, void* dw,
                              int tile, c4d_parallel_for run);
  // The passes of conv4d_cpu_fused.h.
  int (*channel_sums)(const c4d_tensor& t, const void* x, double* sums, c4d_parallel_for run);
  int (*norm_input_grad)(const c4d_tensor& t, const void* g, const void* x, const float* abc, const void* add,
                         void* dx, c4d_parallel_for run);
  int (*upsample_conv_add)(const c4d_tensor& t, int64_t in_channels, const float* x, const float* w, const float* bias,
                           const float* skip, float* y, double* sums, c4d_parallel_for run);
  int (*pointwise_softmax)(const c4d_tensor& t, int64_t classes, const float* x, const float* w, const float* bias,
                           float* y, c4d_parallel_for run);
  int (*softmax_sums)(const c4d_head& head, const float* x, double* sums, c4d_parallel_for run);
  int (*softmax_sums_grad)(const c4d_head& head, const float* x, const double* grad_sums, float* dx, float* dhead,
                           c4d_parallel_for run);
  int (*upsample_add)(const c4d_tensor& t, const void* x, const void* skip, void* y, c4d_parallel_for run);
  int (*upsample_grad)(const c4d_tensor& t, const void* dy, void* dx, c4d_parallel_for run);
  // sums: (N, C, 2) of y, see Epilogue, or null.
  int (*direct_forward)(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, double* sums,
                        c4d_parallel_for run);
  int (*direct_grad_input)(const c4d_problem& p, const void* dy, const void* w, void* dx, c4d_parallel_for run);
  int (*direct_grad_weight)(const c4d_problem& p, const void* x, const void* dy, void* dw, c4d_parallel_for run);
  int (*pointwise_forward)(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                           c4d_parallel_for run);
  int (*pointwise_grad_input)(const c4d_problem& p, const void* dy, const void* w, void* dx, c4d_parallel_for run);
  int (*pointwise_grad_weight)(const c4d_problem& p, const void* x, const void* dy, void* dw, c4d_parallel_for run);
};

extern const IsaKernels kPortableKernels;
#if defined(__x86_64__)
extern const IsaKernels kAvx2Kernels;
extern const IsaKernels kAvx512Kernels;
#endif

// The best that this machine runs and CARDIAC4D_CPU_ISA allows; chosen at the first call.
const IsaKernels& isa_kernels();

}  // namespace c4d

#endif  // CARDIAC4D_ISA_H
