// SPDX-License-Identifier: Apache-2.0
// The C interface of the CUDA kernels: no torch header here nor in any file beside it but the binding's.
#ifndef CARDIAC4D_CONV4D_CUDA_H
#define CARDIAC4D_CONV4D_CUDA_H

#include "../conv4d_problem.h"

#ifdef __cplusplus
extern "C" {
#endif

// All pointers are to memory of the current device. x, y and their gradients are frames: dense, physically N,T,H,W,D,C.
// Weights and bias are dense: C_out, C_in/groups, KH,KW,KD,KT. Every call but queues its work on a cudaStream_t and
// returns: it allocates nothing and waits for nothing. The sums have one order, so the same call gives the same bits.
//
// They return 0, a cudaError_t, or this; c4d_cuda_error gives the text of each.
enum { C4D_CUDA_BAD_PROBLEM = -1 };

int c4d_cuda_forward(const c4d_problem*, const void* x, const void* w, const void* bias /* or NULL */, void* y,
                     void* stream);
int c4d_cuda_grad_input(const c4d_problem*, const void* dy, const void* w, void* dx, void* stream);
// workspace: of as many bytes as c4d_cuda_grad_weight_workspace tells, aligned to 16.
int c4d_cuda_grad_weight(const c4d_problem*, const void* x, const void* dy, void* dw, void* workspace, void* stream);
int64_t c4d_cuda_grad_weight_workspace(const c4d_problem*);
const char* c4d_cuda_error(int status);

#ifdef __cplusplus
}
#endif

#endif  // CARDIAC4D_CONV4D_CUDA_H
