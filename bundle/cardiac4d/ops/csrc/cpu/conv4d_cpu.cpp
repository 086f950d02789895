// SPDX-License-Identifier: Apache-2.0
// The doors of the C interface: check the problem, choose an algorithm, run it.
#include "conv4d_cpu.h"

#include "algorithms.h"
#include "isa.h"

namespace {

int tile_of(c4d::Algorithm algorithm) { return algorithm == c4d::Algorithm::kWinograd4 ? 4 : 2; }

}  // namespace

int c4d_cpu_forward(const c4d_problem* p, const void* x, const void* w, const void* bias, void* y,
                    c4d_parallel_for run) {
  if (!c4d_is_problem(p)) return C4D_BAD_PROBLEM;
  const c4d::Algorithm algorithm = c4d::choose_algorithm(*p, c4d::kForward);
  switch (algorithm) {
    case c4d::Algorithm::kGeneral:
      return c4d::general_forward(*p, x, w, bias, y, run);
    case c4d::Algorithm::kDirect:
      return c4d::isa_kernels().direct_forward(*p, x, w, bias, y, nullptr, run);
    case c4d::Algorithm::kPointwise:
      return c4d::isa_kernels().pointwise_forward(*p, x, w, bias, y, run);
    default:
      return c4d::isa_kernels().winograd_correlate(c4d::forward_correlation(*p, x, w, bias, y), tile_of(algorithm),
                                                   run);
  }
}

int c4d_cpu_grad_input(const c4d_problem* p, const void* dy, const void* w, void* dx, c4d_parallel_for run) {
  if (!c4d_is_problem(p)) return C4D_BAD_PROBLEM;
  const c4d::Algorithm algorithm = c4d::choose_algorithm(*p, c4d::kGradInput);
  switch (algorithm) {
    case c4d::Algorithm::kGeneral:
      return c4d::general_grad_input(*p, dy, w, dx, run);
    case c4d::Algorithm::kDirect:
      return c4d::isa_kernels().direct_grad_input(*p, dy, w, dx, run);
    case c4d::Algorithm::kPointwise:
      return c4d::isa_kernels().pointwise_grad_input(*p, dy, w, dx, run);
    default:
      return c4d::isa_kernels().winograd_correlate(c4d::grad_input_correlation(*p, dy, w, dx), tile_of(algorithm),
                                                   run);
  }
}

int c4d_cpu_grad_weight(const c4d_problem* p, const void* x, const void* dy, void* dw, c4d_parallel_for run) {
  if (!c4d_is_problem(p)) return C4D_BAD_PROBLEM;
  const c4d::Algorithm algorithm = c4d::choose_algorithm(*p, c4d::kGradWeight);
  switch (algorithm) {
    case c4d::Algorithm::kGeneral:
      return c4d::general_grad_weight(*p, x, dy, dw, run);
    case c4d::Algorithm::kDirect:
      return c4d::isa_kernels().direct_grad_weight(*p, x, dy, dw, run);
    case c4d::Algorithm::kPointwise:
      return c4d::isa_kernels().pointwise_grad_weight(*p, x, dy, dw, run);
    default:
      return c4d::isa_kernels().winograd_grad_weight(*p, x, {nullptr, nullptr}, dy, dw, tile_of(algorithm), run);
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
  if (!c4d_is_problem(p) || op < c4d::kForward || op > c4d::kGradWeight) return "none";
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
