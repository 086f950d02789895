// SPDX-License-Identifier: Apache-2.0
// The doors of the fused kernels: check, then run.
#include "conv4d_cpu_fused.h"

#include "algorithms.h"

namespace {

bool is_valid(const c4d_tensor* t) {
  if (t == nullptr || t->batch < 0 || t->channels < 1) return false;
  for (int64_t extent : t->size) {
    if (extent < 1) return false;
  }
  return t->dtype == C4D_FLOAT32 || t->dtype == C4D_BFLOAT16 || t->dtype == C4D_FLOAT16;
}

bool is_valid(const c4d_head* head) {
  if (head == nullptr || !is_valid(&head->x) || head->x.dtype != C4D_FLOAT32) return false;
  if (head->classes < 1 || head->classes > C4D_MAX_CLASSES) return false;
  return head->w != nullptr || (head->bias == nullptr && head->x.channels == head->classes);
}

int fused_tile(const c4d_problem* p, c4d::Operation operation) {
  return c4d_is_problem(p) ? c4d::choose_fused_tile(*p, operation) : 0;
}

}  // namespace

int c4d_cpu_channel_sums(const c4d_tensor* t, const void* x, double* sums, c4d_parallel_for run) {
  return is_valid(t) ? c4d::isa_kernels().channel_sums(*t, x, sums, run) : C4D_BAD_PROBLEM;
}

int c4d_cpu_forward_sums(const c4d_problem* p, const void* x, const void* w, const void* bias, void* y, double* sums,
                         c4d_parallel_for run) {
  if (!c4d_is_problem(p) || p->dtype == C4D_FLOAT64) return C4D_BAD_PROBLEM;
  const c4d::Algorithm algorithm = c4d::choose_algorithm(*p, c4d::kForward);
  if (algorithm == c4d::Algorithm::kDirect) {
    return c4d::isa_kernels().direct_forward(*p, x, w, bias, y, sums, run);
  }
  if (algorithm == c4d::Algorithm::kWinograd4 || algorithm == c4d::Algorithm::kWinograd2) {
    c4d::Correlation c = c4d::forward_correlation(*p, x, w, bias, y);
    c.epilogue.sums = sums;
    return c4d::isa_kernels().winograd_correlate(c, algorithm == c4d::Algorithm::kWinograd4 ? 4 : 2, run);
  }
  const int status = c4d_cpu_forward(p, x, w, bias, y, run);
  if (status != C4D_OK) return status;
  const c4d_tensor like{p->batch, p->out_channels, {p->out[0], p->out[1], p->out[2], p->out[3]}, p->dtype};
  return c4d_cpu_channel_sums(&like, y, sums, run);
}

int c4d_cpu_norm_relu_forward(const c4d_problem* p, const void* x, const float* scale, const float* shift,
                              const void* w, const void* bias, const void* residual, void* y, double* sums,
                              c4d_parallel_for run) {
  const int tile = fused_tile(p, c4d::kForward);
  if (tile == 0) return C4D_BAD_PROBLEM;
  c4d::Correlation c = c4d::forward_correlation(*p, x, w, bias, y);
  c.norm = {scale, shift};
  c.epilogue.residual = residual;
  c.epilogue.sums = sums;
  return c4d::isa_kernels().winograd_correlate(c, tile, run);
}

int c4d_cpu_norm_relu_grad_input(const c4d_problem* p, const void* dy, const void* w, const void* x,
                                 const float* scale, const float* shift, void* g, double* sums,
                                 c4d_parallel_for run) {
  const int tile = fused_tile(p, c4d::kGradInput);
  if (tile == 0) return C4D_BAD_PROBLEM;
  c4d::Correlation c = c4d::grad_input_correlation(*p, dy, w, g);
  c.epilogue = {nullptr, x, {scale, shift}, sums};
  return c4d::isa_kernels().winograd_correlate(c, tile, run);
}

int c4d_cpu_norm_relu_grad_weight(const c4d_problem* p, const void* x, const float* scale, const float* shift,
                                  const void* dy, void* dw, c4d_parallel_for run) {
  const int tile = fused_tile(p, c4d::kGradWeight);
  if (tile == 0) return C4D_BAD_PROBLEM;
  return c4d::isa_kernels().winograd_grad_weight(*p, x, {scale, shift}, dy, dw, tile, run);
}

int c4d_cpu_norm_input_grad(const c4d_tensor* t, const void* g, const void* x, const float* abc, const void* add,
                            void* dx, c4d_parallel_for run) {
  return is_valid(t) ? c4d::isa_kernels().norm_input_grad(*t, g, x, abc, add, dx, run) : C4D_BAD_PROBLEM;
}

int c4d_cpu_upsample_conv_add(const c4d_tensor* t, int64_t in_channels, const float* x, const float* w,
                              const float* bias, const float* skip, float* y, double* sums, c4d_parallel_for run) {
  if (!is_valid(t) || t->dtype != C4D_FLOAT32 || in_channels < 1) return C4D_BAD_PROBLEM;
  return c4d::isa_kernels().upsample_conv_add(*t, in_channels, x, w, bias, skip, y, sums, run);
}

int c4d_cpu_pointwise_softmax(const c4d_tensor* t, int64_t classes, const float* x, const float* w, const float* bias,
                              float* y, c4d_parallel_for run) {
  if (!is_valid(t) || t->dtype != C4D_FLOAT32 || classes < 1 || classes > C4D_MAX_CLASSES) return C4D_BAD_PROBLEM;
  return c4d::isa_kernels().pointwise_softmax(*t, classes, x, w, bias, y, run);
}

int c4d_cpu_softmax_sums(const c4d_head* head, const float* x, double* sums, c4d_parallel_for run) {
  return is_valid(head) ? c4d::isa_kernels().softmax_sums(*head, x, sums, run) : C4D_BAD_PROBLEM;
}

int c4d_cpu_softmax_sums_grad(const c4d_head* head, const float* x, const double* grad_sums, float* dx, float* dhead,
                              c4d_parallel_for run) {
  if (!is_valid(head) || (head->w == nullptr && dhead != nullptr)) return C4D_BAD_PROBLEM;
  return c4d::isa_kernels().softmax_sums_grad(*head, x, grad_sums, dx, dhead, run);
}

int c4d_cpu_upsample_add(const c4d_tensor* t, const void* x, const void* skip, void* y, c4d_parallel_for run) {
  return is_valid(t) ? c4d::isa_kernels().upsample_add(*t, x, skip, y, run) : C4D_BAD_PROBLEM;
}

int c4d_cpu_upsample_grad(const c4d_tensor* t, const void* dy, void* dx, c4d_parallel_for run) {
  return is_valid(t) ? c4d::isa_kernels().upsample_grad(*t, dy, dx, run) : C4D_BAD_PROBLEM;
}
