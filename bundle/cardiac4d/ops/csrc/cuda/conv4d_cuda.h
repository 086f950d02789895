// SPDX-License-Identifier: Apache-2.0
// The C interface of the CUDA kernels: no torch header here nor in any file beside it but the binding's.
#ifndef CARDIAC4D_CONV4D_CUDA_H
#define CARDIAC4D_CONV4D_CUDA_H

#include "../conv4d_problem.h"

#ifdef __cplusplus
extern "C" {
#endif

// All pointers are to memory of the current device; x, y, their gradients and workspace are aligned to 16 bytes. x, y
// and their gradients are frames: dense, physically N,T,H,W,D,C. Weights and bias are dense: C_out, C_in/groups, KH,
// KW, KD, KT. A call only queues its work on a cudaStream_t: it allocates nothing and waits for nothing. The sums have
// one order, so the same call gives the same bits.
//
// They return 0, a cudaError_t, or this; c4d_cuda_error gives the text of each.
enum { C4D_CUDA_BAD_PROBLEM = -1 };

int c4d_cuda_forward(const c4d_problem*, const void* x, const void* w, const void* bias /* or NULL */, void* y,
                     void* workspace, void* stream);
int c4d_cuda_grad_input(const c4d_problem*, const void* dy, const void* w, void* dx, void* workspace, void* stream);
int c4d_cuda_grad_weight(const c4d_problem*, const void* x, const void* dy, void* dw, void* workspace, void* stream);

enum { C4D_CUDA_FORWARD = 0, C4D_CUDA_GRAD_INPUT = 1, C4D_CUDA_GRAD_WEIGHT = 2 };
int64_t c4d_cuda_workspace(const c4d_problem*, int operation);  // bytes that a call needs on the current device
const char* c4d_cuda_algorithm(const c4d_problem*, int operation);  // what computes there: "plain" or a fast path
const char* c4d_cuda_error(int status);

#ifdef __cplusplus
}
#endif

#endif  // CARDIAC4D_CONV4D_CUDA_H
