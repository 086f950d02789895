// SPDX-License-Identifier: Apache-2.0
// A problem of the C interface: whether it is one, and what it is for the Winograd kernels.
#include "algorithms.h"

namespace c4d {
namespace {

bool is_axis_valid(const c4d_problem& p, int axis) {
  if (p.in[axis] < 0 || p.out[axis] < 1 || p.kernel[axis] < 1) return false;
  if (p.stride[axis] < 1 || p.dilation[axis] < 1 || p.padding[axis] < 0) return false;
  const int64_t room = p.in[axis] + 2 * p.padding[axis] - p.dilation[axis] * (p.kernel[axis] - 1) - 1;
  return room >= 0 && room / p.stride[axis] + 1 == p.out[axis];
}

constexpr int64_t kTaps = 81;

}  // namespace

bool is_valid(const c4d_problem* p) {
  if (p == nullptr || p->batch < 0 || p->groups < 1 || p->in_channels < 1 || p->out_channels < 1) return false;
  if (p->in_channels % p->groups != 0 || p->out_channels % p->groups != 0) return false;
  if (p->dtype < C4D_FLOAT64 || p->dtype > C4D_FLOAT16) return false;
  if (p->precision < C4D_FAST || p->precision > C4D_DIRECT) return false;
  for (int axis = 0; axis < 4; ++axis) {
    if (!is_axis_valid(*p, axis)) return false;
  }
  return true;
}

Correlation forward_correlation(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y) {
  Correlation c{};
  c.batch = p.batch, c.ins = p.in_channels, c.outs = p.out_channels, c.dtype = p.dtype;
  c.input = x, c.weight = w, c.bias = bias, c.output = y;
  c.weight_out_stride = p.in_channels * kTaps, c.weight_in_stride = kTaps, c.flipped = false;
  for (int axis = 0; axis < 4; ++axis) {
    c.in[axis] = p.in[axis];
    c.out[axis] = p.out[axis];
    c.lead[axis] = p.padding[axis];
  }
  return c;
}

// dx = dy correlated with the flipped kernel, its channel axes exchanged.
Correlation grad_input_correlation(const c4d_problem& p, const void* dy, const void* w, void* dx) {
  Correlation c{};
  c.batch = p.batch, c.ins = p.out_channels, c.outs = p.in_channels, c.dtype = p.dtype;
  c.input = dy, c.weight = w, c.output = dx;
  c.weight_out_stride = kTaps, c.weight_in_stride = p.in_channels * kTaps, c.flipped = true;
  for (int axis = 0; axis < 4; ++axis) {
    c.in[axis] = p.out[axis];
    c.out[axis] = p.in[axis];
    c.lead[axis] = 2 - p.padding[axis];
  }
  return c;
}

}  // namespace c4d
