// SPDX-License-Identifier: Apache-2.0
// Forward with stride 2 on tensor cores, and the sums of what it stores; see mma_strided_kernels.h.
#include "mma_strided.h"
#include "mma_strided_kernels.h"

namespace c4d_cuda {

int64_t mma_strided_pieces_bytes(const c4d_problem& p) {
  return with_half_or_float(p.dtype, [&](auto storage) {
    using S = decltype(storage);
    return with_blocks<S, true>(p.in_channels / Order<S>::kOfBlock, [&](auto kind) {
      const Grid grid = work_of<decltype(kind)>(p).grid;
      return grid.jobs() / grid.groups * p.out_channels * 2 * int64_t(sizeof(double));
    });
  });
}

int mma_strided_forward_sums(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                             double* sums, void* workspace, void* pieces, void* stream) {
  return with_half_or_float(p.dtype, [&](auto storage) {
    return correlate<decltype(storage), true>(p, x, w, bias, y, sums, workspace, pieces, stream);
  });
}

}  // namespace c4d_cuda
