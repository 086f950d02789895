// SPDX-License-Identifier: Apache-2.0
// The three operations and the algorithms that compute them. Each function returns a c4d_status.
#ifndef CARDIAC4D_ALGORITHMS_H
#define CARDIAC4D_ALGORITHMS_H

#include "conv4d_cpu.h"

namespace c4d {

enum Operation { kForward = 0, kGradInput = 1, kGradWeight = 2 };
enum class Algorithm { kGeneral, kDirect, kPointwise, kWinograd2, kWinograd4 };

// From the problem alone, so that equal problems give equal bits on every machine of one instruction set.
Algorithm choose_algorithm(const c4d_problem& p, Operation operation);

// The general path: every dtype, stride, padding, dilation, kernel size and number of groups.
int general_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                    c4d_parallel_for run);
int general_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, c4d_parallel_for run);
int general_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, c4d_parallel_for run);

}  // namespace c4d

#endif  // CARDIAC4D_ALGORITHMS_H
