// SPDX-License-Identifier: Apache-2.0
// Forward and input gradient on tensor cores, see mma_kernels.h.
#include "mma.h"
#include "mma_kernels.h"

namespace c4d_cuda {
namespace {

int correlate(const c4d_problem& p, bool is_gradient, const void* from, const void* w, const void* bias, void* to,
              void* workspace, void* stream) {
  return with_half_or_float(p.dtype, [&](auto storage) {
    using S = decltype(storage);
    return correlate<S>(p, is_gradient, from, w, bias, to, NotFused(), nullptr, workspace, stream);
  });
}

}  // namespace

bool mma_serves(const c4d_problem& p, bool is_gradient) {
  if (p.dtype == C4D_FLOAT64 || (p.dtype == C4D_FLOAT32 && p.precision != C4D_TF32)) return false;
  return is_cube_of_octets(p) && with_half_or_float(p.dtype, [&](auto storage) {
    const Sizes sizes = sizes_of<decltype(storage)>(p, is_gradient);
    return with_work<decltype(storage), NotFused>(sizes, [&](auto work) { return fits(work, sizes.in_blocks); });
  });
}

int64_t mma_workspace(const c4d_problem& p) {
  return p.in_channels * p.out_channels * kTaps * (p.dtype == C4D_FLOAT32 ? 4 : 2);
}

int mma_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                void* stream) {
  return correlate(p, false, x, w, bias, y, workspace, stream);
}

int mma_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace, void* stream) {
  return correlate(p, true, dy, w, nullptr, dx, workspace, stream);
}

}  // namespace c4d_cuda
