// SPDX-License-Identifier: Apache-2.0
// Convolutions on tensor cores with what they take along, see mma_fusion.h.
#include "mma_fused.h"

#include "mma_kernels.h"

namespace c4d_cuda {

int64_t mma_pieces_bytes(const c4d_problem& p) {
  // Whichever tile is chosen: this is the smallest.
  MmaCorrelate<__half, 4, 4, NotFused> smallest{};
  smallest.sizes = sizes_of<__half>(p, false);
  return smallest.jobs() * p.out_channels * 2 * int64_t(sizeof(double));
}

int mma_forward_sums(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, double* sums,
                     void* workspace, void* pieces, void* stream) {
  return with_half_or_float(p.dtype, [&](auto storage) {
    using S = decltype(storage);
    const ForwardSums fusion{static_cast<double*>(pieces)};
    return correlate<S>(p, false, x, w, bias, y, fusion, sums, workspace, stream);
  });
}

int mma_norm_relu_forward(const c4d_problem& p, const void* x, const float* scale, const float* shift, const void* w,
                          const void* bias, const void* residual, void* y, double* sums, void* workspace, void* pieces,
                          void* stream) {
  return with_half_or_float(p.dtype, [&](auto storage) {
    using S = decltype(storage);
    const NormReluForward<S> fusion{{static_cast<double*>(pieces)}, scale, shift, static_cast<const S*>(residual)};
    return correlate<S>(p, false, x, w, bias, y, fusion, sums, workspace, stream);
  });
}

int mma_norm_relu_grad_input(const c4d_problem& p, const void* dy, const void* w, const void* x, const float* scale,
                             const float* shift, void* dz, double* sums, void* workspace, void* pieces, void* stream) {
  return with_half_or_float(p.dtype, [&](auto storage) {
    using S = decltype(storage);
    const NormReluGradient<S> fusion{scale, shift, static_cast<const S*>(x), static_cast<double*>(pieces)};
    return correlate<S>(p, true, dy, w, nullptr, dz, fusion, sums, workspace, stream);
  });
}

}  // namespace c4d_cuda
