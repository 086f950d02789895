// SPDX-License-Identifier: Apache-2.0
// Which algorithm computes a problem.
#include "algorithms.h"
#include "isa.h"

namespace c4d {
namespace {

// There is no TF32 on a CPU.
bool is_fast(const c4d_problem& p) { return p.precision == C4D_FAST || p.precision == C4D_TF32; }

constexpr int64_t kWinogradMinChannels = 4;  // with fewer the transforms cost more than they save

bool is_empty(const c4d_problem& p) {
  return p.batch == 0 || p.in[0] == 0 || p.in[1] == 0 || p.in[2] == 0 || p.in[3] == 0;
}

bool fits_direct(const c4d_problem& p, Operation operation) {
  int64_t taps = 1, classes = 1;
  for (int axis = 0; axis < 4; ++axis) {
    if (p.kernel[axis] > kMaxDirectTaps || p.stride[axis] > kMaxClasses) return false;
    taps *= p.kernel[axis];
    classes *= p.stride[axis];
  }
  if (taps > kMaxDirectTaps || p.kernel[3] > kMaxFrameShifts) return false;
  return operation != kGradInput || classes <= kMaxClasses;
}

bool is_pointwise(const c4d_problem& p) {
  for (int axis = 0; axis < 4; ++axis) {
    if (p.kernel[axis] != 1 || p.stride[axis] != 1 || p.padding[axis] != 0) return false;
  }
  return true;
}

bool fits_winograd(const c4d_problem& p) {
  if (p.precision == C4D_DIRECT || p.groups != 1) return false;
  if (p.in_channels < kWinogradMinChannels || p.out_channels < kWinogradMinChannels) return false;
  for (int axis = 0; axis < 4; ++axis) {
    if (p.kernel[axis] != 3 || p.stride[axis] != 1 || p.dilation[axis] != 1 || p.padding[axis] > 2) return false;
  }
  return p.padding[3] == 1;  // frames keep their place in the rows of lanes
}

// Multiplications per channel pair and (D, T) tap of F(m x m, 3x3), outputs outside the volume included.
int64_t products(const int64_t (&size)[4], int64_t m) {
  return ((size[0] + m - 1) / m) * ((size[1] + m - 1) / m) * (m + 2) * (m + 2);
}

}  // namespace

Algorithm choose_algorithm(const c4d_problem& p, Operation operation) {
  if (p.dtype == C4D_FLOAT64 || is_empty(p) || !fits_direct(p, operation)) return Algorithm::kGeneral;
  if (is_pointwise(p)) return Algorithm::kPointwise;
  if (!fits_winograd(p)) return Algorithm::kDirect;
  const int64_t(&size)[4] = operation == kGradInput ? p.in : p.out;
  const int64_t direct = 9 * size[0] * size[1], two = products(size, 2), four = products(size, 4);
  if (is_fast(p) && four <= two && four < direct) return Algorithm::kWinograd4;
  return two < direct ? Algorithm::kWinograd2 : Algorithm::kDirect;
}

int choose_fused_tile(const c4d_problem& p, Operation operation) {
  if (p.dtype == C4D_FLOAT64 || is_empty(p) || !fits_winograd(p)) return 0;
  const int64_t(&size)[4] = operation == kGradInput ? p.in : p.out;
  return is_fast(p) && products(size, 4) <= products(size, 2) ? 4 : 2;
}

}  // namespace c4d
