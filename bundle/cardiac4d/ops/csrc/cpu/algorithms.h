// SPDX-License-Identifier: Apache-2.0
// The three operations and the algorithms that compute them. Each function returns a c4d_status.
#ifndef CARDIAC4D_ALGORITHMS_H
#define CARDIAC4D_ALGORITHMS_H

#include "isa.h"

namespace c4d {

enum Operation { kForward = 0, kGradInput = 1, kGradWeight = 2 };
enum class Algorithm { kGeneral, kDirect, kPointwise, kWinograd2, kWinograd4 };

// From the problem alone, so that equal problems give equal bits on every machine of one instruction set.
Algorithm choose_algorithm(const c4d_problem& p, Operation operation);

// m of the Winograd kernel F(m x m) that takes norm and ReLU along, 0 if none does. However small the volume: what the
// transforms cost there, the passes over memory that are saved make up for.
int choose_fused_tile(const c4d_problem& p, Operation operation);

// The general path: every dtype, stride, padding, dilation, kernel size and number of groups.
int general_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                    c4d_parallel_for run);
int general_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, c4d_parallel_for run);
int general_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, c4d_parallel_for run);

// c4d_problem to correlation: forward, and input gradient.
Correlation forward_correlation(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y);
Correlation grad_input_correlation(const c4d_problem& p, const void* dy, const void* w, void* dx);

}  // namespace c4d

#endif  // CARDIAC4D_ALGORITHMS_H
