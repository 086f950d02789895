// SPDX-License-Identifier: Apache-2.0
// The paths: each computes some of the problems, and together they compute all of them.
#ifndef CARDIAC4D_CUDA_PATHS_H
#define CARDIAC4D_CUDA_PATHS_H

#include "conv4d_cuda.h"

namespace c4d_cuda {

// Pointers as in conv4d_cuda.h; a call returns a status. What a path does not serve is null.
struct Path {
  const char* name;
  bool (*serves)(const c4d_problem& p, int operation);  // on the current device
  int64_t (*workspace)(const c4d_problem& p, int operation);  // bytes; null: none
  int (*forward)(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* workspace,
                 void* stream);
  int (*grad_input)(const c4d_problem& p, const void* dy, const void* w, void* dx, void* workspace, void* stream);
  int (*grad_weight)(const c4d_problem& p, const void* x, const void* dy, void* dw, void* workspace, void* stream);
  // The forward pass and the sums of y, see fused.h; `pieces` has so many bytes. Null: y has to be read again.
  int64_t (*pieces_bytes)(const c4d_problem& p) = nullptr;
  int (*forward_sums)(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, double* sums,
                      void* workspace, void* pieces, void* stream) = nullptr;
};

// The first one that serves an operation of a problem.
const Path& path_of(const c4d_problem& p, int operation);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_PATHS_H
