// SPDX-License-Identifier: Apache-2.0
// The plain path: the definition, for every problem and every dtype, on every architecture. Each returns a status.
#ifndef CARDIAC4D_CUDA_PLAIN_H
#define CARDIAC4D_CUDA_PLAIN_H

#include "conv4d_cuda.h"

namespace c4d_cuda {

int plain_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* stream);
int plain_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* stream);
int plain_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, void* workspace, void* stream);
int64_t plain_grad_weight_workspace(const c4d_problem& p);

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_PLAIN_H
