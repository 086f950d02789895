// SPDX-License-Identifier: Apache-2.0
// The direct kernels for one dtype.
#ifndef CARDIAC4D_DIRECT_H
#define CARDIAC4D_DIRECT_H

#include "direct_grad_weight.h"

namespace c4d {
namespace C4D_ISA {

C4D_INLINE int64_t kernel_taps(const c4d_problem& p) {
  return p.kernel[0] * p.kernel[1] * p.kernel[2] * p.kernel[3];
}

template <class Storage>
static int direct_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                          double* sums, c4d_parallel_for run) {
  const int64_t ins = p.in_channels / p.groups, outs = p.out_channels / p.groups, taps = kernel_taps(p);
  DirectPlan plan;
  make_plan(p, false, ins, &plan);
  const DirectCorrelate<Storage> kernel{plan, p.groups, ins, outs, static_cast<const Storage*>(x),
                                        static_cast<const Storage*>(bias), static_cast<Storage*>(y), sums, {}, nullptr,
                                        nullptr, false};
  return direct_correlate(kernel, p.batch, static_cast<const Storage*>(w), {ins * taps, taps, outs * ins * taps}, run);
}

template <class Storage>
static int direct_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, c4d_parallel_for run) {
  const int64_t ins = p.out_channels / p.groups, outs = p.in_channels / p.groups, taps = kernel_taps(p);
  DirectPlan plan;
  make_plan(p, true, ins, &plan);
  const DirectCorrelate<Storage> kernel{plan, p.groups, ins, outs, static_cast<const Storage*>(dy), nullptr,
                                        static_cast<Storage*>(dx), nullptr, {}, nullptr, nullptr,
                                        false};
  return direct_correlate(kernel, p.batch, static_cast<const Storage*>(w), {taps, outs * taps, outs * ins * taps}, run);
}

template <class Storage>
static int direct_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, c4d_parallel_for run) {
  DirectPlan plan;
  const int64_t ins = p.in_channels / p.groups, outs = p.out_channels / p.groups;
  make_plan(p, false, ins, &plan);
  const DirectGradWeight<Storage> kernel{plan, p.batch, p.groups, ins, outs, static_cast<const Storage*>(x),
                                         static_cast<const Storage*>(dy), {}, 1, nullptr};
  return run_direct_gradient(kernel, static_cast<Storage*>(dw), run);
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_DIRECT_H
