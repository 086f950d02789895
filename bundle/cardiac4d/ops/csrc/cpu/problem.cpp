// SPDX-License-Identifier: Apache-2.0
// What a problem of the C interface is for the Winograd kernels.
#include "algorithms.h"

namespace c4d {
namespace {

constexpr int64_t kTaps = 81;

}  // namespace

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
