// SPDX-License-Identifier: Apache-2.0
// The C interface of the CPU kernels: no torch header here nor in any file beside it.
#ifndef CARDIAC4D_CONV4D_CPU_H
#define CARDIAC4D_CONV4D_CPU_H

#include "../conv4d_problem.h"

#ifdef __cplusplus
extern "C" {
#endif

// Plain C. All tensors are dense and contiguous, N,C,H,W,D,T (weights C_out, C_in/groups, KH,KW,KD,KT).
enum { C4D_OK = 0, C4D_BAD_PROBLEM = 1, C4D_NO_MEMORY = 2 };  // c4d_status

// Runs job(context, i) for i = 0 .. count-1, each once, on any threads in any order, and returns when all are done.
typedef void (*c4d_job)(void* context, int64_t index);
typedef void (*c4d_parallel_for)(int64_t count, c4d_job job, void* context);

// 0, or a c4d_status whose text c4d_cpu_error gives. The results are the same bits however the jobs are spread.
int c4d_cpu_forward(const c4d_problem*, const void* x, const void* w, const void* bias /* or NULL */, void* y,
                    c4d_parallel_for);
int c4d_cpu_grad_input(const c4d_problem*, const void* dy, const void* w, void* dx, c4d_parallel_for);
int c4d_cpu_grad_weight(const c4d_problem*, const void* x, const void* dy, void* dw, c4d_parallel_for);
const char* c4d_cpu_error(int status);
// "avx512", "avx2", "portable": what dispatch chose (CARDIAC4D_CPU_ISA lowers it).
const char* c4d_cpu_isa(void);
// "winograd4", "winograd2", "direct", "general", ...
const char* c4d_cpu_algorithm(const c4d_problem*, int op /*0 forward, 1 grad input, 2 grad weight*/);

#ifdef __cplusplus
}
#endif

#endif  // CARDIAC4D_CONV4D_CPU_H
