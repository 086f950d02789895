// SPDX-License-Identifier: Apache-2.0
// Where the lanes of the direct kernels (see direct_plan.h) belong in the target.
#ifndef CARDIAC4D_DIRECT_WRITE_H
#define CARDIAC4D_DIRECT_WRITE_H

#include "direct_pack.h"
#include "epilogue.h"

namespace c4d {
namespace C4D_ISA {

// Positions of the class that lie in the target, counted from grid position `first`, `most` at most.
C4D_INLINE int64_t count_inside(const DirectPlan& plan, const TapClass& c, int axis, int64_t first, int64_t most) {
  const int64_t room = plan.target[axis] - c.start[axis] - first * plan.spread[axis];
  return room <= 0 ? 0 : smaller(most, divide_up(room, plan.spread[axis]));
}

// to[i * count + which] = from[which][i]: the frames of the classes that differ in their residue in T alone.
C4D_INLINE void weave_lanes(const float* from, int64_t pitch, int64_t count, int64_t lanes, float* to) {
  if (count == 2) {
    for (int64_t i = 0; i < lanes; i += kLanes) {
      for (int64_t k = 0; k < kLanes; ++k) {
        to[2 * (i + k)] = from[i + k];
        to[2 * (i + k) + 1] = from[pitch + i + k];
      }
    }
    return;
  }
  for (int64_t which = 0; which < count; ++which) {
    for (int64_t i = 0; i < lanes; ++i) to[i * count + which] = from[which * pitch + i];
  }
}

// Calls body(lane, position, count) for every run of one row of lanes, its classes in T woven: its first lane, its
// place among the target's positions (W, D, T) at one h, its length.
template <class Body>
C4D_INLINE void for_runs(const DirectPlan& plan, const TapClass& c, const Corner& corner, const Body& body) {
  const int64_t frames = plan.target[3], pitch = plan.grid[3] * plan.spread[3];
  const int64_t slices = count_inside(plan, c, 2, corner.at[2], plan.tile[2]);
  const bool whole = plan.spread[2] == 1 && pitch == frames;  // all slices of a column in one run
  for (int64_t w = 0; w < count_inside(plan, c, 1, corner.at[1], plan.tile[1]); ++w) {
    const int64_t column = c.start[1] + (corner.at[1] + w) * plan.spread[1], lane = w * plan.slices * pitch;
    const int64_t position = (column * plan.target[2] + c.start[2] + corner.at[2] * plan.spread[2]) * frames;
    if (whole) {
      body(lane, position, slices * frames);
      continue;
    }
    for (int64_t d = 0; d < slices; ++d) body(lane + d * pitch, position + d * plan.spread[2] * frames, frames);
  }
}

C4D_INLINE void add_bias(float bias, int64_t count, float* row) {
  if (bias == 0) return;
  for (int64_t i = 0; i < count; ++i) row[i] += bias;
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_DIRECT_WRITE_H
