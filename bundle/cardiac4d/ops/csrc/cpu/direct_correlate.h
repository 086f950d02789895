// SPDX-License-Identifier: Apache-2.0
// Forward and input gradient without transforms, for any stride, dilation, padding and kernel (see direct_plan.h).
#ifndef CARDIAC4D_DIRECT_CORRELATE_H
#define CARDIAC4D_DIRECT_CORRELATE_H

#include "direct_pack.h"
#include "parallel.h"
#include "scratch.h"

namespace c4d {
namespace C4D_ISA {

// Vectors x Channels sums: out[c][lane] = sum over inputs and taps of x[lane + offset[tap]] * w[..][c].
template <int Vectors, int Channels>
C4D_INLINE void direct_block(const float* x, int64_t pitch, int64_t ins, const int64_t* offset, int taps,
                             const float* w, float* out, int64_t out_pitch) {
  Vec sums[Vectors][Channels] = {};
  for (int64_t in = 0; in < ins; ++in, x += pitch) {
    for (int tap = 0; tap < taps; ++tap, w += kChannels) {
      const float* from = x + offset[tap];
      Vec lanes[Vectors];
      C4D_UNROLL
      for (int v = 0; v < Vectors; ++v) lanes[v] = load(from + v * kLanes);
      C4D_UNROLL
      for (int c = 0; c < Channels; ++c) {
        const Vec factor = broadcast(w[c]);
        C4D_UNROLL
        for (int v = 0; v < Vectors; ++v) sums[v][c] += lanes[v] * factor;
      }
    }
  }
  C4D_UNROLL
  for (int c = 0; c < Channels; ++c) {
    C4D_UNROLL
    for (int v = 0; v < Vectors; ++v) store(out + c * out_pitch + v * kLanes, sums[v][c]);
  }
}

// One row of the grid, for a block of 8 output channels.
static void direct_row(const DirectPlan& plan, const TapClass& c, const float* x, int64_t ins, const float* w,
                       float* out) {
  const int64_t pitch = plan.in_rows * plan.in_pitch;
  const int64_t* offset = plan.offset + c.first_tap;
  for (int64_t v = 0, take; v < plan.vectors; v += take) {
    take = next_block(plan.vectors - v);
    for (int i = 0; i < kChannels; i += kBlockChannels) {
      const float* from = x + v * kLanes;
      float* to = out + i * plan.out_pitch + v * kLanes;
      if (kBlockVectors >= 3 && take == 3) {
        direct_block<3, kBlockChannels>(from, pitch, ins, offset, c.taps, w + i, to, plan.out_pitch);
      } else if (take == 2) {
        direct_block<2, kBlockChannels>(from, pitch, ins, offset, c.taps, w + i, to, plan.out_pitch);
      } else {
        direct_block<1, kBlockChannels>(from, pitch, ins, offset, c.taps, w + i, to, plan.out_pitch);
      }
    }
  }
}

// Positions of the class that lie in the target, counted from grid position `first`, `most` at most.
C4D_INLINE int64_t count_inside(const DirectPlan& plan, const TapClass& c, int axis, int64_t first, int64_t most) {
  const int64_t room = plan.target[axis] - c.start[axis] - first * plan.spread[axis];
  return room <= 0 ? 0 : smaller(most, divide_up(room, plan.spread[axis]));
}

// Writes one row of lanes to the target, whose positions (W, D, T) at the row's h start at `row`.
template <class Storage>
static void write_row(const DirectPlan& plan, const TapClass& c, const float* lanes, const Corner& corner, float bias,
                      Storage* row) {
  const int64_t frames = plan.grid[3], spread = plan.spread[3];
  const int64_t count = count_inside(plan, c, 3, 0, frames);
  for (int64_t w = 0; w < count_inside(plan, c, 1, corner.at[1], plan.tile[1]); ++w) {
    const int64_t column = c.start[1] + (corner.at[1] + w) * plan.spread[1];
    for (int64_t d = 0; d < count_inside(plan, c, 2, corner.at[2], plan.tile[2]); ++d) {
      const int64_t slice = c.start[2] + (corner.at[2] + d) * plan.spread[2];
      const float* from = lanes + (w * plan.slices + d) * frames;
      Storage* to = row + (column * plan.target[2] + slice) * plan.target[3] + c.start[3];
      for (int64_t g = 0; g < count; ++g) convert(from[g] + bias, to[g * spread]);
    }
  }
}

template <class Storage>
struct DirectCorrelate {
  const DirectPlan& plan;
  int64_t groups, ins, outs;  // channels of one group
  const Storage *input, *bias;
  Storage* output;
  const float* weights;

  int64_t blocks() const { return divide_up(outs, kChannels); }
  int64_t group_floats() const { return plan.taps * ins * blocks() * kChannels; }
  size_t job_bytes() const {
    return static_cast<size_t>(ins * plan.in_rows * plan.in_pitch + kChannels * plan.out_pitch) * sizeof(float);
  }

  void tile(int64_t sample, int64_t group, int64_t index, float* memory) const {
    const Corner corner = corner_of(plan, index);
    const int64_t volume = plan.source[0] * plan.source[1] * plan.source[2] * plan.source[3];
    const Storage* first = input + (sample * groups + group) * ins * volume;
    const int64_t channel = plan.in_rows * plan.in_pitch;
    for (int64_t in = 0; in < ins; ++in) pack_tile(plan, first + in * volume, corner, memory + in * channel);
    for (int which = 0; which < plan.classes; ++which) {
      const TapClass& c = plan.tap_class[which];
      const float* w = weights + group * group_floats() + class_offset(plan, which, ins, blocks());
      const int64_t rows = count_inside(plan, c, 0, corner.at[0], plan.tile[0]);
      for (int64_t block = 0; block < blocks(); ++block, w += ins * c.taps * kChannels) {
        for (int64_t row = 0; row < rows; ++row) {
          float* lanes = memory + ins * channel;
          direct_row(plan, c, memory + row * plan.step[0] * plan.in_pitch, ins, w, lanes);
          write(sample * groups + group, c, block, corner, row, lanes);
        }
      }
    }
  }

  void write(int64_t sample_group, const TapClass& c, int64_t block, const Corner& corner, int64_t row,
             const float* lanes) const {
    const int64_t position = plan.target[1] * plan.target[2] * plan.target[3];
    const int64_t h = c.start[0] + (corner.at[0] + row) * plan.spread[0];
    for (int64_t i = 0; i < smaller(kChannels, outs - block * kChannels); ++i) {
      const int64_t channel = sample_group * outs + block * kChannels + i;
      float offset = 0;
      if (bias != nullptr) convert(bias[channel % (groups * outs)], offset);
      Storage* to = output + (channel * plan.target[0] + h) * position;
      write_row(plan, c, lanes + i * plan.out_pitch, corner, offset, to);
    }
  }
};

template <class Storage>
static int direct_correlate(DirectCorrelate<Storage> kernel, int64_t batch, const Storage* w,
                            const WeightStrides& strides, c4d_parallel_for run) {
  Scratch packed(ScratchUse::kCall, static_cast<size_t>(kernel.groups * kernel.group_floats() + 1) * sizeof(float));
  if (!packed) return C4D_NO_MEMORY;
  parallel(run, kernel.groups * kernel.blocks() * kernel.ins, [&](int64_t job) {
    const int64_t in = job % kernel.ins, block = job / kernel.ins % kernel.blocks();
    const int64_t group = job / kernel.ins / kernel.blocks();
    pack_direct_weights(kernel.plan, w + group * strides.group, strides, kernel.ins, kernel.outs, block, in,
                        packed.floats() + group * kernel.group_floats());
  });
  kernel.weights = packed.floats();
  const int64_t tiles = plan_jobs(kernel.plan);
  Failure failure;
  parallel(run, batch * kernel.groups * tiles, [&](int64_t job) {
    Scratch memory(ScratchUse::kJob, kernel.job_bytes());
    if (!memory) return failure.set();
    kernel.tile(job / tiles / kernel.groups, job / tiles % kernel.groups, job % tiles, memory.floats());
  });
  return failure.any() ? C4D_NO_MEMORY : C4D_OK;
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_DIRECT_CORRELATE_H
