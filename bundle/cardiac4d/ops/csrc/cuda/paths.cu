// SPDX-License-Identifier: Apache-2.0
#include "paths.h"

#include "channel_mix.h"
#include "mma.h"
#include "mma_fused.h"
#include "mma_image.h"
#include "mma_strided.h"
#include "plain.h"
#include "tiled.h"
#include "tiled_image.h"
#include "tiled_strided.h"
#include "tiled_weights.h"

namespace c4d_cuda {
namespace {

bool channel_mix_serves_any(const c4d_problem& p, int operation) {
  if (operation == C4D_CUDA_GRAD_WEIGHT) return is_channel_mix(p);
  return channel_mix_serves(p, operation == C4D_CUDA_GRAD_INPUT);
}
int64_t channel_mix_workspace_of(const c4d_problem& p, int operation) {
  return operation == C4D_CUDA_GRAD_WEIGHT ? channel_mix_grad_weight_workspace(p) : 0;
}
int channel_mix_forward_of(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void*,
                           void* stream) {
  return channel_mix_forward(p, x, w, bias, y, stream);
}
int channel_mix_grad_input_of(const c4d_problem& p, const void* dy, const void* w, void* dx, void*, void* stream) {
  return channel_mix_grad_input(p, dy, w, dx, stream);
}

bool mma_serves_any(const c4d_problem& p, int operation) {
  if (operation == C4D_CUDA_GRAD_WEIGHT) return mma_serves_grad_weight(p);
  return mma_serves(p, operation == C4D_CUDA_GRAD_INPUT);
}
int64_t mma_workspace_of(const c4d_problem& p, int operation) {
  return operation == C4D_CUDA_GRAD_WEIGHT ? mma_grad_weight_workspace(p) : mma_workspace(p);
}

bool mma_strided_serves_any(const c4d_problem& p, int operation) {
  if (operation == C4D_CUDA_GRAD_WEIGHT) return false;
  return operation == C4D_CUDA_FORWARD ? mma_strided_serves(p) : mma_strided_serves_gradient(p);
}
int64_t mma_strided_workspace_of(const c4d_problem& p, int operation) {
  return operation == C4D_CUDA_FORWARD ? mma_strided_workspace(p) : mma_strided_gradient_workspace(p);
}

bool mma_image_serves_any(const c4d_problem& p, int operation) {
  return operation == C4D_CUDA_FORWARD && mma_image_serves(p);
}
int64_t mma_image_workspace_of(const c4d_problem& p, int) { return mma_image_workspace(p); }

bool tiled_image_serves_any(const c4d_problem& p, int operation) {
  return operation == C4D_CUDA_FORWARD && tiled_image_serves(p);
}
int tiled_image_forward_of(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void*,
                           void* stream) {
  return tiled_image_forward(p, x, w, bias, y, stream);
}
int tiled_image_forward_sums_of(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                                double* sums, void*, void* pieces, void* stream) {
  return tiled_image_forward_sums(p, x, w, bias, y, sums, pieces, stream);
}

bool tiled_serves_any(const c4d_problem& p, int operation) {
  return operation == C4D_CUDA_GRAD_WEIGHT ? tiled_serves_grad_weight(p) : tiled_serves(p);
}
int64_t tiled_workspace_of(const c4d_problem& p, int operation) {
  return operation == C4D_CUDA_GRAD_WEIGHT ? tiled_grad_weight_workspace(p) : tiled_workspace(p);
}

bool tiled_strided_serves_any(const c4d_problem& p, int operation) {
  if (operation == C4D_CUDA_GRAD_WEIGHT) return false;
  return operation == C4D_CUDA_FORWARD ? tiled_strided_serves(p) : tiled_strided_serves_gradient(p);
}
int64_t tiled_strided_workspace_of(const c4d_problem& p, int) { return pack_float32_bytes(p); }

bool plain_serves_any(const c4d_problem&, int) { return true; }
int64_t plain_workspace_of(const c4d_problem& p, int operation) {
  return operation == C4D_CUDA_GRAD_WEIGHT ? plain_grad_weight_workspace(p) : 0;
}
int plain_forward_of(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void*,
                     void* stream) {
  return plain_forward(p, x, w, bias, y, stream);
}
int plain_grad_input_of(const c4d_problem& p, const void* dy, const void* w, void* dx, void*, void* stream) {
  return plain_grad_input(p, dy, w, dx, stream);
}

const Path kPaths[] = {
    {"channel_mix", channel_mix_serves_any, channel_mix_workspace_of, channel_mix_forward_of, channel_mix_grad_input_of,
     channel_mix_grad_weight},
    {"mma", mma_serves_any, mma_workspace_of, mma_forward, mma_grad_input, mma_grad_weight, mma_pieces_bytes,
     mma_forward_sums},
    {"mma_strided", mma_strided_serves_any, mma_strided_workspace_of, mma_strided_forward, mma_strided_grad_input,
     nullptr, mma_strided_pieces_bytes, mma_strided_forward_sums},
    {"mma_image", mma_image_serves_any, mma_image_workspace_of, mma_image_forward, nullptr, nullptr,
     mma_image_pieces_bytes, mma_image_forward_sums},
    {"tiled_image", tiled_image_serves_any, nullptr, tiled_image_forward_of, nullptr, nullptr, tiled_image_pieces_bytes,
     tiled_image_forward_sums_of},
    {"tiled", tiled_serves_any, tiled_workspace_of, tiled_forward, tiled_grad_input, tiled_grad_weight},
    {"tiled_strided", tiled_strided_serves_any, tiled_strided_workspace_of, tiled_strided_forward,
     tiled_strided_grad_input, nullptr},
    {"plain", plain_serves_any, plain_workspace_of, plain_forward_of, plain_grad_input_of, plain_grad_weight},
};

}  // namespace

const Path& path_of(const c4d_problem& p, int operation) {
  const Path* path = kPaths;
  while (!path->serves(p, operation)) ++path;
  return *path;
}

}  // namespace c4d_cuda
