// SPDX-License-Identifier: Apache-2.0
// Gradient of a group normalisation's input, once its sums are known: a linear combination per channel.
#ifndef CARDIAC4D_NORM_GRADIENT_H
#define CARDIAC4D_NORM_GRADIENT_H

#include "channel_sums.h"

namespace c4d {
namespace C4D_ISA {

// result = a * g + b * x + c (+ add), all restrict: the loop has no other memory.
C4D_INLINE void combine_row(const float* __restrict g, const float* __restrict x, const float* __restrict add,
                            const float* abc, int64_t count, float* __restrict result) {
  const float a = abc[0], b = abc[1], c = abc[2];
  if (add != nullptr) {
    for (int64_t i = 0; i < count; ++i) result[i] = a * g[i] + (b * x[i] + (c + add[i]));
  } else {
    for (int64_t i = 0; i < count; ++i) result[i] = a * g[i] + (b * x[i] + c);
  }
}

// abc: (N, C, 3). dx may be the memory of g.
template <class Storage>
static int norm_input_grad(const c4d_tensor& t, const void* g, const void* x, const float* abc, const void* add,
                           void* dx, c4d_parallel_for run) {
  const int64_t volume = t.size[0] * t.size[1] * t.size[2] * t.size[3];
  const int64_t jobs = jobs_per_channel(volume);
  parallel(run, t.batch * t.channels * jobs, [&](int64_t job) {
    const int64_t channel = job / jobs;
    for_stretches(volume, job % jobs, [&](int64_t place, int64_t count) {
      float buffers[3][kStretch], result[kStretch];
      const int64_t first = channel * volume + place;
      const float* extra = nullptr;
      if (add != nullptr) extra = as_floats(static_cast<const Storage*>(add) + first, count, buffers[2]);
      combine_row(as_floats(static_cast<const Storage*>(g) + first, count, buffers[0]),
                  as_floats(static_cast<const Storage*>(x) + first, count, buffers[1]), extra, abc + channel * 3, count,
                  result);
      convert_row(result, static_cast<Storage*>(dx) + first, count);
    });
  });
  return C4D_OK;
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_NORM_GRADIENT_H
