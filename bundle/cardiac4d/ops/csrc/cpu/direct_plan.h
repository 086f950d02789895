// SPDX-License-Identifier: Apache-2.0
// Direct convolution without transforms: which taps exist, and where each finds its lanes in the packed input.
//
// Forward and input gradient are the same computation on a grid of positions g (per axis):
//   target[start + g * spread] = sum over taps of w[tap] * source[g * step + shift(tap)].
// Forward has step = stride, spread = 1 and one class of positions. The input gradient has step = 1, spread = stride,
// and one class per residue of the position modulo the stride, each with the taps that meet it.
//
// Packed input. Lanes run along the flattened (W, D, T) of a tile of the grid. For every source row in H there is one
// copy per distinct shift in T, and in each copy the positions in W and in D are sorted by their residue modulo the
// step. So every tap of every lane is at a constant distance: no masks, no strides, no edges.
#ifndef CARDIAC4D_DIRECT_PLAN_H
#define CARDIAC4D_DIRECT_PLAN_H

#include "isa.h"
#include "simd.h"

namespace c4d {
namespace C4D_ISA {

constexpr int64_t kDirectScratchBytes = int64_t(768) << 10;
constexpr int64_t kDirectMinJobs = 16;

struct TapClass {
  int64_t start[4];
  int first_tap, taps;
};

struct DirectPlan {
  int64_t source[4], target[4], grid[4];
  int64_t step[4], spread[4];
  int64_t low[4], reach[4];  // the smallest shift, and how far the largest is from it
  int frame_shifts, classes, taps;
  int64_t frame_shift[kMaxFrameShifts];
  TapClass tap_class[kMaxClasses];
  int64_t shift[kMaxDirectTaps + 1][4];  // one more: where a tap is tried that its class may not have
  int64_t offset[kMaxDirectTaps];  // floats from a grid position's lane to its tap's, in the packed input
  int kernel_index[kMaxDirectTaps + 1];
  // The tile of the grid that one job takes, and the packed rows.
  int64_t tile[3], tiles[3];  // H, W, D
  int64_t columns, slices;    // positions in W and D of one residue, with the halo
  int64_t vectors;            // of lanes that hold a grid position
  int64_t in_rows, in_pitch, out_pitch;
};

// Shift of a tap in the source, or false if positions of this class do not meet it.
C4D_INLINE bool tap_shift(const c4d_problem& p, bool transposed, int axis, int64_t start, int64_t tap,
                          int64_t* shift) {
  const int64_t reach = tap * p.dilation[axis] - p.padding[axis];
  if (!transposed) {
    *shift = reach;
    return true;
  }
  *shift = (start - reach) / p.stride[axis];
  return (start - reach) % p.stride[axis] == 0;
}

// Appends the taps of one class.
static void add_class(const c4d_problem& p, bool transposed, const int64_t (&start)[4], DirectPlan* plan) {
  TapClass& added = plan->tap_class[plan->classes++];
  memcpy(added.start, start, sizeof added.start);
  added.first_tap = plan->taps;
  const int64_t count = p.kernel[0] * p.kernel[1] * p.kernel[2] * p.kernel[3];
  for (int64_t index = 0; index < count; ++index) {
    int64_t rest = index;
    bool meets = true;
    for (int axis = 3; axis >= 0; --axis, rest /= p.kernel[axis + 1]) {
      int64_t* shift = &plan->shift[plan->taps][axis];
      meets = tap_shift(p, transposed, axis, start[axis], rest % p.kernel[axis], shift) && meets;
    }
    plan->kernel_index[plan->taps] = static_cast<int>(index);
    if (meets) ++plan->taps;
  }
  added.taps = plan->taps - added.first_tap;
}

static void find_reach(DirectPlan* plan) {
  for (int axis = 0; axis < 4; ++axis) {
    int64_t low = plan->taps > 0 ? plan->shift[0][axis] : 0, high = low;
    for (int tap = 1; tap < plan->taps; ++tap) {
      low = smaller(low, plan->shift[tap][axis]);
      high = larger(high, plan->shift[tap][axis]);
    }
    plan->low[axis] = low;
    plan->reach[axis] = high - low;
  }
}

// Index of the copy of the packed rows with this shift in T, a new one if need be.
static int frame_copy(DirectPlan* plan, int64_t shift) {
  for (int i = 0; i < plan->frame_shifts; ++i) {
    if (plan->frame_shift[i] == shift) return i;
  }
  plan->frame_shift[plan->frame_shifts] = shift;
  return plan->frame_shifts++;
}

// Number of jobs in one group of one sample.
C4D_INLINE int64_t plan_jobs(const DirectPlan& plan) { return plan.tiles[0] * plan.tiles[1] * plan.tiles[2]; }

C4D_INLINE void set_tile(DirectPlan* plan, int axis, int64_t extent) {
  plan->tiles[axis] = divide_up(plan->grid[axis], larger(1, extent));
  plan->tile[axis] = divide_up(plan->grid[axis], plan->tiles[axis]);  // evenly
}

// Lanes that fit the cache with tiles of this height.
C4D_INLINE int64_t affordable_lanes(const DirectPlan& plan, int64_t ins, int64_t height) {
  const int64_t rows = (height - 1) * plan.step[0] + plan.reach[0] + 1;
  const int64_t floats = ins * rows * plan.frame_shifts * plan.step[1] * plan.step[2];
  return kDirectScratchBytes / (floats * static_cast<int64_t>(sizeof(float)));
}

// A tile of this height, and of as many columns and slices as fit.
static void fit_tile(DirectPlan* plan, int64_t ins, int64_t height) {
  const int64_t lanes = smaller(1024, larger(32, affordable_lanes(*plan, ins, height)));
  set_tile(plan, 0, height);
  set_tile(plan, 2, lanes / plan->grid[3]);
  set_tile(plan, 1, lanes / ((plan->tile[2] + plan->reach[2] / plan->step[2]) * plan->grid[3]));
}

// Packed positions of the source per position of the grid: halos cost time.
C4D_INLINE double halo_factor(const DirectPlan& plan) {
  double factor = 1;
  for (int axis = 0; axis < 3; ++axis) {
    const int64_t read = (plan.tile[axis] - 1) * plan.step[axis] + plan.reach[axis] + 1;
    factor *= static_cast<double>(read) / static_cast<double>(plan.tile[axis]);
  }
  return factor;
}

static void choose_tile(DirectPlan* plan, int64_t ins, int64_t jobs_elsewhere) {
  int64_t best = 1;
  double least = 0;
  for (int64_t height = 1; height <= smaller(4, plan->grid[0]); height *= 2) {
    fit_tile(plan, ins, height);
    const double factor = halo_factor(*plan);
    if (height > 1 && factor > least) continue;
    best = height;
    least = factor;
  }
  fit_tile(plan, ins, best);
  const int64_t column = (plan->tile[2] + plan->reach[2] / plan->step[2]) * plan->grid[3];
  while (plan_jobs(*plan) * jobs_elsewhere < kDirectMinJobs && plan->tile[1] > 1 && plan->tile[1] * column > 96) {
    set_tile(plan, 1, plan->tile[1] / 2);
  }
  while (plan_jobs(*plan) * jobs_elsewhere < kDirectMinJobs && plan->tile[0] > 1) {
    set_tile(plan, 0, plan->tile[0] / 2);
  }
}

// Floats from one sub-row (one copy in T, one residue in W and D) to the next.
C4D_INLINE int64_t sub_row(const DirectPlan& plan) { return plan.columns * plan.slices * plan.grid[3]; }

static void place_taps(DirectPlan* plan) {
  const int64_t frames = plan->grid[3];
  plan->columns = plan->tile[1] + plan->reach[1] / plan->step[1];
  plan->slices = plan->tile[2] + plan->reach[2] / plan->step[2];
  plan->vectors = divide_up(((plan->tile[1] - 1) * plan->slices + plan->tile[2]) * frames, kLanes);
  plan->in_rows = (plan->tile[0] - 1) * plan->step[0] + plan->reach[0] + 1;
  const int64_t copies = plan->frame_shifts * plan->step[1] * plan->step[2];
  plan->in_pitch = pitch_for(copies * sub_row(*plan) + kLanes);
  plan->out_pitch = pitch_for(plan->vectors * kLanes);
  for (int tap = 0; tap < plan->taps; ++tap) {
    const int64_t h = plan->shift[tap][0] - plan->low[0], w = plan->shift[tap][1] - plan->low[1];
    const int64_t d = plan->shift[tap][2] - plan->low[2];
    const int64_t copy = (frame_copy(plan, plan->shift[tap][3]) * plan->step[1] + w % plan->step[1]) * plan->step[2] +
                         d % plan->step[2];
    plan->offset[tap] = h * plan->in_pitch + copy * sub_row(*plan) +
                        (w / plan->step[1] * plan->slices + d / plan->step[2]) * frames;
  }
}

// transposed: the plan of the input gradient. ins: channels of the source in a group.
static void make_plan(const c4d_problem& p, bool transposed, int64_t ins, DirectPlan* plan) {
  memset(plan, 0, sizeof *plan);
  int64_t residues[4];
  for (int axis = 0; axis < 4; ++axis) {
    residues[axis] = transposed ? p.stride[axis] : 1;
    plan->source[axis] = transposed ? p.out[axis] : p.in[axis];
    plan->target[axis] = transposed ? p.in[axis] : p.out[axis];
    plan->step[axis] = transposed ? 1 : p.stride[axis];
    plan->spread[axis] = residues[axis];
    plan->grid[axis] = divide_up(plan->target[axis], residues[axis]);
  }
  for (int64_t i = 0; i < residues[0] * residues[1] * residues[2] * residues[3]; ++i) {
    const int64_t d = i / residues[3], w = d / residues[2], h = w / residues[1];
    const int64_t start[4] = {h, w % residues[1], d % residues[2], i % residues[3]};
    add_class(p, transposed, start, plan);
  }
  find_reach(plan);
  for (int tap = 0; tap < plan->taps; ++tap) frame_copy(plan, plan->shift[tap][3]);
  choose_tile(plan, ins, p.batch * p.groups);
  place_taps(plan);
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_DIRECT_PLAN_H
