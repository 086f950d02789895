// SPDX-License-Identifier: Apache-2.0
// The table of kernels of the including unit's instruction set (see simd.h for what the unit defines).
#ifndef CARDIAC4D_ISA_KERNELS_H
#define CARDIAC4D_ISA_KERNELS_H

#include "direct.h"
#include "isa.h"
#include "norm_gradient.h"
#include "pointwise_grad_weight.h"
#include "softmax_sums_gradient.h"
#include "upsample_conv.h"
#include "winograd_grad_weight.h"

namespace c4d {
namespace C4D_ISA {

// Calls call(Storage()) with the type that dtype names; doubles are the business of the general path.
template <class Call>
static int with_storage(int32_t dtype, const Call& call) {
  if (dtype == C4D_FLOAT32) return call(float());
  if (dtype == C4D_BFLOAT16) return call(BFloat16());
  if (dtype == C4D_FLOAT16) return call(Float16());
  return C4D_BAD_PROBLEM;
}

static int any_winograd_correlate(const Correlation& c, int tile, c4d_parallel_for run) {
  return with_storage(c.dtype, [&](auto type) {
    using S = decltype(type);
    return tile == 4 ? winograd_correlate<4, S>(c, run) : winograd_correlate<2, S>(c, run);
  });
}

static int any_winograd_grad_weight(const c4d_problem& p, const void* x, const Norm& norm, const void* dy, void* dw,
                                    int tile, c4d_parallel_for run) {
  return with_storage(p.dtype, [&](auto type) {
    using S = decltype(type);
    return tile == 4 ? winograd_grad_weight<4, S>(p, x, norm, dy, dw, run)
                     : winograd_grad_weight<2, S>(p, x, norm, dy, dw, run);
  });
}

static int any_channel_sums(const c4d_tensor& t, const void* x, double* sums, c4d_parallel_for run) {
  return with_storage(t.dtype, [&](auto type) { return channel_sums<decltype(type)>(t, x, sums, run); });
}

static int any_norm_input_grad(const c4d_tensor& t, const void* g, const void* x, const float* abc, const void* add,
                               void* dx, c4d_parallel_for run) {
  return with_storage(t.dtype, [&](auto type) { return norm_input_grad<decltype(type)>(t, g, x, abc, add, dx, run); });
}

static int any_upsample_add(const c4d_tensor& t, const void* x, const void* skip, void* y, c4d_parallel_for run) {
  return with_storage(t.dtype, [&](auto type) { return upsample_add<decltype(type)>(t, x, skip, y, run); });
}

static int any_upsample_grad(const c4d_tensor& t, const void* dy, void* dx, c4d_parallel_for run) {
  return with_storage(t.dtype, [&](auto type) { return upsample_grad<decltype(type)>(t, dy, dx, run); });
}

static int any_direct_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                              double* sums, c4d_parallel_for run) {
  return with_storage(p.dtype, [&](auto type) { return direct_forward<decltype(type)>(p, x, w, bias, y, sums, run); });
}

static int any_direct_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx,
                                 c4d_parallel_for run) {
  return with_storage(p.dtype, [&](auto type) { return direct_grad_input<decltype(type)>(p, dy, w, dx, run); });
}

static int any_direct_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw,
                                  c4d_parallel_for run) {
  return with_storage(p.dtype, [&](auto type) { return direct_grad_weight<decltype(type)>(p, x, dy, dw, run); });
}

static int any_pointwise_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                                 c4d_parallel_for run) {
  return with_storage(p.dtype, [&](auto type) { return pointwise_forward<decltype(type)>(p, x, w, bias, y, run); });
}

static int any_pointwise_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx,
                                    c4d_parallel_for run) {
  return with_storage(p.dtype, [&](auto type) { return pointwise_grad_input<decltype(type)>(p, dy, w, dx, run); });
}

static int any_pointwise_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw,
                                     c4d_parallel_for run) {
  return with_storage(p.dtype, [&](auto type) { return pointwise_grad_weight<decltype(type)>(p, x, dy, dw, run); });
}

}  // namespace C4D_ISA
}  // namespace c4d

#define C4D_KERNEL_TABLE(name)                                                              \
  {name,                                                                                    \
   c4d::C4D_ISA::any_winograd_correlate,                                                    \
   c4d::C4D_ISA::any_winograd_grad_weight,                                                  \
   c4d::C4D_ISA::any_channel_sums,                                                          \
   c4d::C4D_ISA::any_norm_input_grad,                                                       \
   c4d::C4D_ISA::upsample_conv_add,                                                         \
   c4d::C4D_ISA::pointwise_softmax,                                                         \
   c4d::C4D_ISA::softmax_sums,                                                              \
   c4d::C4D_ISA::softmax_sums_grad,                                                         \
   c4d::C4D_ISA::any_upsample_add,                                                          \
   c4d::C4D_ISA::any_upsample_grad,                                                         \
   c4d::C4D_ISA::any_direct_forward,                                                        \
   c4d::C4D_ISA::any_direct_grad_input,                                                     \
   c4d::C4D_ISA::any_direct_grad_weight,                                                    \
   c4d::C4D_ISA::any_pointwise_forward,                                                     \
   c4d::C4D_ISA::any_pointwise_grad_input,                                                  \
   c4d::C4D_ISA::any_pointwise_grad_weight}

#endif  // CARDIAC4D_ISA_KERNELS_H
