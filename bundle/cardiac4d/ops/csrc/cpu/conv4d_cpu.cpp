// SPDX-License-Identifier: Apache-2.0
// The doors of the C interface: check the problem, choose an algorithm, run it.
#include "conv4d_cpu.h"

#include "algorithms.h"
#include "isa.h"

namespace {

bool is_axis_valid(const c4d_problem& p, int axis) {
  if (p.in[axis] < 0 || p.out[axis] < 1 || p.kernel[axis] < 1) return false;
  if (p.stride[axis] < 1 || p.dilation[axis] < 1 || p.padding[axis] < 0) return false;
  const int64_t room = p.in[axis] + 2 * p.padding[axis] - p.dilation[axis] * (p.kernel[axis] - 1) - 1;
  return room >= 0 && room / p.stride[axis] + 1 == p.out[axis];
}

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

int tile_of(c4d::Algorithm algorithm) { return algorithm == c4d::Algorithm::kWinograd4 ? 4 : 2; }

constexpr int64_t kTaps = 81;

c4d::Correlation forward_correlation(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y) {
  c4d::Correlation c{p.batch, p.in_channels, p.out_channels, {}, {}, {}, p.dtype, x, w, bias, y, p.in_channels * kTaps,
                     kTaps, false};
  for (int axis = 0; axis < 4; ++axis) {
    c.in[axis] = p.in[axis];
    c.out[axis] = p.out[axis];
    c.lead[axis] = p.padding[axis];
  }
  return c;
}

// dx = dy correlated with the flipped kernel, its channel axes exchanged.
c4d::Correlation grad_input_correlation(const c4d_problem& p, const void* dy, const void* w, void* dx) {
  c4d::Correlation c{p.batch, p.out_channels, p.in_channels, {}, {}, {}, p.dtype, dy, w, nullptr, dx, kTaps,
                     p.in_channels * kTaps, true};
  for (int axis = 0; axis < 4; ++axis) {
    c.in[axis] = p.out[axis];
    c.out[axis] = p.in[axis];
    c.lead[axis] = 2 - p.padding[axis];
  }
  return c;
}

}  // namespace

int c4d_cpu_forward(const c4d_problem* p, const void* x, const void* w, const void* bias, void* y,
                    c4d_parallel_for run) {
  if (!is_valid(p)) return C4D_BAD_PROBLEM;
  const c4d::Algorithm algorithm = c4d::choose_algorithm(*p, c4d::kForward);
  switch (algorithm) {
    case c4d::Algorithm::kGeneral:
      return c4d::general_forward(*p, x, w, bias, y, run);
    case c4d::Algorithm::kDirect:
      return c4d::isa_kernels().direct_forward(*p, x, w, bias, y, run);
    case c4d::Algorithm::kPointwise:
      return c4d::isa_kernels().pointwise_forward(*p, x, w, bias, y, run);
    default:
      return c4d::isa_kernels().winograd_correlate(forward_correlation(*p, x, w, bias, y), tile_of(algorithm), run);
  }
}

int c4d_cpu_grad_input(const c4d_problem* p, const void* dy, const void* w, void* dx, c4d_parallel_for run) {
  if (!is_valid(p)) return C4D_BAD_PROBLEM;
  const c4d::Algorithm algorithm = c4d::choose_algorithm(*p, c4d::kGradInput);
  switch (algorithm) {
    case c4d::Algorithm::kGeneral:
      return c4d::general_grad_input(*p, dy, w, dx, run);
    case c4d::Algorithm::kDirect:
      return c4d::isa_kernels().direct_grad_input(*p, dy, w, dx, run);
    case c4d::Algorithm::kPointwise:
      return c4d::isa_kernels().pointwise_grad_input(*p, dy, w, dx, run);
    default:
      return c4d::isa_kernels().winograd_correlate(grad_input_correlation(*p, dy, w, dx), tile_of(algorithm), run);
  }
}

int c4d_cpu_grad_weight(const c4d_problem* p, const void* x, const void* dy, void* dw, c4d_parallel_for run) {
  if (!is_valid(p)) return C4D_BAD_PROBLEM;
  const c4d::Algorithm algorithm = c4d::choose_algorithm(*p, c4d::kGradWeight);
  switch (algorithm) {
    case c4d::Algorithm::kGeneral:
      return c4d::general_grad_weight(*p, x, dy, dw, run);
    case c4d::Algorithm::kDirect:
      return c4d::isa_kernels().direct_grad_weight(*p, x, dy, dw, run);
    case c4d::Algorithm::kPointwise:
      return c4d::isa_kernels().pointwise_grad_weight(*p, x, dy, dw, run);
    default:
      return c4d::isa_kernels().winograd_grad_weight(*p, x, dy, dw, tile_of(algorithm), run);
  }
}

const char* c4d_cpu_error(int status) {
  switch (status) {
    case C4D_OK:
      return "no error";
    case C4D_BAD_PROBLEM:
      return "sizes, channels, dtype or options do not describe a convolution";
    case C4D_NO_MEMORY:
      return "not enough memory for the working buffers";
    default:
      return "unknown status";
  }
}

const char* c4d_cpu_isa(void) { return c4d::isa_kernels().name; }

const char* c4d_cpu_algorithm(const c4d_problem* p, int op) {
  if (!is_valid(p) || op < c4d::kForward || op > c4d::kGradWeight) return "none";
  switch (c4d::choose_algorithm(*p, static_cast<c4d::Operation>(op))) {
    case c4d::Algorithm::kGeneral:
      return "general";
    case c4d::Algorithm::kDirect:
      return "direct";
    case c4d::Algorithm::kPointwise:
      return "pointwise";
    case c4d::Algorithm::kWinograd2:
      return "winograd2";
    default:
      return "winograd4";
  }
}
