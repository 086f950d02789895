// SPDX-License-Identifier: Apache-2.0
// The C interface of the single passes: a check, then the pass.
#include "fused.h"

#include "channel_sums.h"
#include "paths.h"
#include "pointwise_softmax.h"
#include "softmax_sums.h"
#include "upsampling.h"

namespace {

bool are_frames(const c4d_frames* f) {
  if (f == nullptr || f->batch < 0 || f->channels < 1) return false;
  for (const int64_t extent : f->size) {
    if (extent < 1) return false;
  }
  return f->dtype == C4D_FLOAT32 || f->dtype == C4D_BFLOAT16 || f->dtype == C4D_FLOAT16;
}

bool is_head(const c4d_cuda_head* head) {
  if (head == nullptr || !are_frames(&head->x) || head->classes < 1 || head->classes > C4D_CUDA_MAX_CLASSES) {
    return false;
  }
  if (head->w == nullptr) return head->bias == nullptr && head->x.channels == head->classes;
  return head->x.channels <= C4D_CUDA_MAX_HEAD && head->classes * ((head->x.channels + 7) / 8 * 8) <= C4D_CUDA_MAX_HEAD;
}

// The output of a convolution.
c4d_frames output_of(const c4d_problem& p) {
  return {p.batch, p.out_channels, {p.out[0], p.out[1], p.out[2], p.out[3]}, p.dtype};
}

bool has_sums(const c4d_problem* p) { return c4d_is_problem(p) && p->dtype != C4D_FLOAT64; }

// What the convolution needs of the workspace of a convolution with sums; the sums of pieces follow.
int64_t bytes_before_pieces(const c4d_problem& p) { return (c4d_cuda_workspace(&p, C4D_CUDA_FORWARD) + 15) / 16 * 16; }

}  // namespace

int c4d_cuda_conv4d_sums(const c4d_problem* p, const void* x, const void* w, const void* bias, void* y, double* sums,
                         void* workspace, void* stream) {
  if (!has_sums(p)) return C4D_CUDA_BAD_PROBLEM;
  const c4d_cuda::Path& path = c4d_cuda::path_of(*p, C4D_CUDA_FORWARD);
  void* pieces = static_cast<char*>(workspace) + bytes_before_pieces(*p);
  if (path.forward_sums != nullptr) return path.forward_sums(*p, x, w, bias, y, sums, workspace, pieces, stream);
  const int status = path.forward(*p, x, w, bias, y, workspace, stream);
  return status == 0 ? c4d_cuda::channel_sums(output_of(*p), y, sums, pieces, stream) : status;
}

int64_t c4d_cuda_conv4d_sums_workspace(const c4d_problem* p) {
  if (!has_sums(p)) return 0;
  const c4d_cuda::Path& path = c4d_cuda::path_of(*p, C4D_CUDA_FORWARD);
  const int64_t pieces = path.forward_sums != nullptr ? path.pieces_bytes(*p)
                                                      : c4d_cuda::channel_sums_workspace(output_of(*p));
  return bytes_before_pieces(*p) + pieces;
}

int c4d_cuda_channel_sums(const c4d_frames* f, const void* x, double* sums, void* workspace, void* stream) {
  return are_frames(f) ? c4d_cuda::channel_sums(*f, x, sums, workspace, stream) : C4D_CUDA_BAD_PROBLEM;
}

int c4d_cuda_upsample_add(const c4d_frames* f, const void* x, const void* skip, void* y, void* stream) {
  return are_frames(f) ? c4d_cuda::upsample_add(*f, x, skip, y, stream) : C4D_CUDA_BAD_PROBLEM;
}

int c4d_cuda_upsample_grad(const c4d_frames* f, const void* dy, void* dx, void* stream) {
  return are_frames(f) ? c4d_cuda::upsample_grad(*f, dy, dx, stream) : C4D_CUDA_BAD_PROBLEM;
}

int c4d_cuda_upsample_conv_add(const c4d_frames* f, int64_t in_channels, const void* x, const void* w,
                               const void* bias, const void* skip, void* y, double* sums, void* workspace,
                               void* stream) {
  if (!are_frames(f) || in_channels < 1) return C4D_CUDA_BAD_PROBLEM;
  return c4d_cuda::upsample_conv_add(*f, in_channels, x, w, bias, skip, y, sums, workspace, stream);
}

int c4d_cuda_pointwise_softmax(const c4d_frames* f, int64_t classes, const void* x, const void* w, const void* bias,
                               float* y, void* stream) {
  if (!are_frames(f) || classes < 1 || classes > C4D_CUDA_MAX_CLASSES) return C4D_CUDA_BAD_PROBLEM;
  return c4d_cuda::pointwise_softmax(*f, classes, x, w, bias, y, stream);
}

int c4d_cuda_softmax_sums(const c4d_cuda_head* head, const void* x, double* sums, void* workspace, void* stream) {
  return is_head(head) ? c4d_cuda::softmax_sums(*head, x, sums, workspace, stream) : C4D_CUDA_BAD_PROBLEM;
}

int c4d_cuda_softmax_sums_grad(const c4d_cuda_head* head, const void* x, const double* grad_sums, void* dx,
                               float* dhead, void* workspace, void* stream) {
  if (!is_head(head) || (head->w == nullptr && dhead != nullptr)) return C4D_CUDA_BAD_PROBLEM;
  return c4d_cuda::softmax_sums_grad(*head, x, grad_sums, dx, dhead, workspace, stream);
}

int64_t c4d_cuda_softmax_sums_workspace(const c4d_cuda_head* head) {
  return is_head(head) ? c4d_cuda::softmax_sums_workspace(*head) : 0;
}

int64_t c4d_cuda_fused_workspace(const c4d_frames* f) {
  if (!are_frames(f)) return 0;
  const int64_t sums = c4d_cuda::channel_sums_workspace(*f), upsampling = c4d_cuda::upsample_conv_add_workspace(*f);
  return sums > upsampling ? sums : upsampling;
}
