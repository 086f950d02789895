// SPDX-License-Identifier: Apache-2.0
// Sum and sum of squares of every channel.
#ifndef CARDIAC4D_CHANNEL_SUMS_H
#define CARDIAC4D_CHANNEL_SUMS_H

#include "epilogue.h"
#include "isa.h"
#include "parallel.h"
#include "scratch.h"

namespace c4d {
namespace C4D_ISA {

constexpr int64_t kStretch = 1024;                // elements that a pass takes through buffers on the stack
constexpr int64_t kStretchesPerJob = 64;          // of one channel

// Calls body(place, count) for every stretch of the index-th job of a channel of `volume` elements.
template <class Body>
C4D_INLINE void for_stretches(int64_t volume, int64_t index, const Body& body) {
  const int64_t first = index * kStretchesPerJob * kStretch;
  const int64_t end = smaller(volume, first + kStretchesPerJob * kStretch);
  for (int64_t place = first; place < end; place += kStretch) body(place, smaller(kStretch, end - place));
}

C4D_INLINE int64_t jobs_per_channel(int64_t volume) { return divide_up(volume, kStretchesPerJob * kStretch); }

// sums: (N, C, 2).
template <class Storage>
static int channel_sums(const c4d_tensor& t, const void* x, double* sums, c4d_parallel_for run) {
  const int64_t volume = t.size[0] * t.size[1] * t.size[2] * t.size[3], channels = t.batch * t.channels;
  const int64_t jobs = jobs_per_channel(volume);
  Scratch partial(ScratchUse::kCall, static_cast<size_t>(channels * jobs) * 2 * sizeof(double));
  if (!partial) return C4D_NO_MEMORY;
  parallel(run, channels * jobs, [&](int64_t job) {
    const Storage* channel = static_cast<const Storage*>(x) + job / jobs * volume;
    RowSums row_sums;
    for_stretches(volume, job % jobs, [&](int64_t place, int64_t count) {
      float buffer[kStretch];
      const float* row = as_floats(channel + place, count, buffer);
      int64_t i = 0;
      for (; i + kLanes <= count; i += kLanes) row_sums.add(load(row + i), load(row + i));
      for (; i < count; ++i) row_sums.add(row[i], row[i]);
    });
    row_sums.store(partial.doubles() + job * 2);
  });
  sum_in_order(partial.doubles(), channels, jobs, 2, sums);
  return C4D_OK;
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_CHANNEL_SUMS_H
