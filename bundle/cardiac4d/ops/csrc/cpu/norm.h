// SPDX-License-Identifier: Apache-2.0
// A normalisation that is known, as one factor and one offset per channel, and the ReLU behind it.
#ifndef CARDIAC4D_NORM_H
#define CARDIAC4D_NORM_H

#include <stdint.h>

namespace c4d {

// v = x * scale[n, c] + shift[n, c]; null pointers stand for no normalisation.
struct Norm {
  const float *scale, *shift;  // (N, C) each
};

// What happens to the results of a correlation before they are stored: + residual, or zero where the ReLU of the gate
// was closed; then sums. Each part may be missing (null); residual and gate do not come together.
struct Epilogue {
  const void* residual;  // like the results
  const void* gate;      // like the results: what norm and ReLU were applied to
  Norm norm;             // of the gate
  double* sums;          // (N, C, 2): of the results, and of the results times the gate (without one: times themselves)
};

}  // namespace c4d

#endif  // CARDIAC4D_NORM_H
