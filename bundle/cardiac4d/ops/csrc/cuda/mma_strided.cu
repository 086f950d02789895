// SPDX-License-Identifier: Apache-2.0
// Forward with stride 2 on tensor cores, see mma_strided_kernels.h.
#include "mma_strided.h"

#include "mma_strided_kernels.h"

namespace c4d_cuda {

bool mma_strided_serves(const c4d_problem& p) {
  return is_strided_cube(p) && with_half_or_float(p.dtype, [&](auto storage) {
    using S = decltype(storage);
    return with_blocks<S, false>(p.in_channels / Order<S>::kOfBlock, [](auto kind) { return fits(kind); });
  });
}

int64_t mma_strided_workspace(const c4d_problem& p) {
  return with_half_or_float(p.dtype, [&](auto storage) {
    return order_of<decltype(storage)>(p, nullptr).count() * int64_t(sizeof(uint32_t));
  });
}

int mma_strided_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                        void* stream) {
  return with_half_or_float(p.dtype, [&](auto storage) {
    return correlate<decltype(storage), false>(p, x, w, bias, y, nullptr, workspace, nullptr, stream);
  });
}

}  // namespace c4d_cuda
