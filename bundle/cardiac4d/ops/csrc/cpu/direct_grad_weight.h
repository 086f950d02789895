// SPDX-License-Identifier: Apache-2.0
// Gradient of the weights without transforms: dw[tap] = sum over lanes of x[lane + offset(tap)] * dy[lane], with the
// packed input and the taps of the forward pass. Pieces of the tiles have sums of their own, added in order at the end.
#ifndef CARDIAC4D_DIRECT_GRAD_WEIGHT_H
#define CARDIAC4D_DIRECT_GRAD_WEIGHT_H

#include "direct_correlate.h"

namespace c4d {
namespace C4D_ISA {

// sums[tap][c] += sum over rows and lanes of x[lane + offset[tap]] * y[c][lane], for Taps taps and Channels outputs.
template <int Taps, int Channels>
C4D_INLINE void direct_gradient_block(const DirectPlan& plan, const float* x, const int64_t* offset, const float* y,
                                      float* sums) {
  Vec kept[Taps][Channels] = {};
  const int64_t y_channel = plan.tile[0] * plan.out_pitch;
  for (int64_t row = 0; row < plan.tile[0]; ++row) {
    const float* x_row = x + row * plan.step[0] * plan.in_pitch;
    const float* y_row = y + row * plan.out_pitch;
    for (int64_t i = 0; i < plan.vectors * kLanes; i += kLanes) {
      Vec lanes[Taps];
      C4D_UNROLL
      for (int tap = 0; tap < Taps; ++tap) lanes[tap] = load(x_row + offset[tap] + i);
      C4D_UNROLL
      for (int c = 0; c < Channels; ++c) {
        const Vec dy = load(y_row + c * y_channel + i);
        C4D_UNROLL
        for (int tap = 0; tap < Taps; ++tap) kept[tap][c] += lanes[tap] * dy;
      }
    }
  }
  C4D_UNROLL
  for (int tap = 0; tap < Taps; ++tap) add_lane_sums(kept[tap], sums + tap * kChannels);
}

template <class Storage>
struct DirectGradWeight {
  const DirectPlan& plan;
  int64_t batch, groups, ins, outs;  // channels of one group
  const Storage *x, *dy;
  ColumnRecipe recipe;
  int64_t pieces;
  float* partial;  // [piece][group][block][in][tap][8]

  int64_t blocks() const { return divide_up(outs, kChannels); }
  int64_t group_floats() const { return plan.taps * ins * blocks() * kChannels; }
  int64_t x_floats() const { return ins * plan.in_rows * plan.in_pitch; }
  int64_t y_floats() const { return blocks() * kChannels * plan.tile[0] * plan.out_pitch; }
  size_t job_bytes() const { return static_cast<size_t>(x_floats() + y_floats() + stage_floats(plan)) * sizeof(float); }

  // Rows of dy as lanes; zeros where a lane is no position of the output.
  void pack_gradient(const Storage* channel, const Corner& corner, float* to) const {
    const TapClass& c = plan.tap_class[0];
    const int64_t frames = plan.grid[3], columns = count_inside(plan, c, 1, corner.at[1], plan.tile[1]);
    const int64_t slices = count_inside(plan, c, 2, corner.at[2], plan.tile[2]);
    clear(to, plan.tile[0] * plan.out_pitch);
    for (int64_t row = 0; row < count_inside(plan, c, 0, corner.at[0], plan.tile[0]); ++row) {
      for (int64_t w = 0; w < columns; ++w) {
        const int64_t position = (corner.at[0] + row) * plan.grid[1] + corner.at[1] + w;
        convert_row(channel + (position * plan.grid[2] + corner.at[2]) * frames,
                    to + row * plan.out_pitch + w * plan.slices * frames, slices * frames);
      }
    }
  }

  void multiply(const float* packed_x, const float* packed_y, float* sums) const {
    for (int64_t block = 0; block < blocks(); ++block) {
      const float* y = packed_y + block * kChannels * plan.tile[0] * plan.out_pitch;
      for (int64_t in = 0; in < ins; ++in, sums += plan.taps * kChannels) {
        const float* row = packed_x + in * plan.in_rows * plan.in_pitch;
        for (int c = 0; c < kChannels; c += kBlockChannels) {
          const float* block_y = y + c * plan.tile[0] * plan.out_pitch;
          int tap = 0;
          for (; tap + 3 <= plan.taps; tap += 3) {
            direct_gradient_block<3, kBlockChannels>(plan, row, plan.offset + tap, block_y, sums + tap * kChannels + c);
          }
          for (; tap < plan.taps; ++tap) {
            direct_gradient_block<1, kBlockChannels>(plan, row, plan.offset + tap, block_y, sums + tap * kChannels + c);
          }
        }
      }
    }
  }

  void piece(int64_t index, int64_t group, float* memory) const {
    const int64_t tiles = plan_jobs(plan), units = batch * tiles;
    float *packed_y = memory + x_floats(), *sums = partial + (index * groups + group) * group_floats();
    clear(sums, group_floats());
    clear(packed_y, y_floats());  // channels that do not exist stay zero
    const int64_t in_volume = plan.source[0] * plan.source[1] * plan.source[2] * plan.source[3];
    const int64_t out_volume = plan.target[0] * plan.target[1] * plan.target[2] * plan.target[3];
    for (int64_t i = units * index / pieces; i < units * (index + 1) / pieces; ++i) {
      const Corner corner = corner_of(plan, i % tiles);
      const Storage* inputs = x + (i / tiles * groups + group) * ins * in_volume;
      const Storage* gradients = dy + (i / tiles * groups + group) * outs * out_volume;
      for (int64_t in = 0; in < ins; ++in) {
        float* packed_x = memory + in * plan.in_rows * plan.in_pitch;
        pack_tile(plan, recipe, inputs + in * in_volume, corner, packed_y + y_floats(), packed_x);
      }
      for (int64_t o = 0; o < outs; ++o) {
        pack_gradient(gradients + o * out_volume, corner, packed_y + o * plan.tile[0] * plan.out_pitch);
      }
      multiply(memory, packed_y, sums);
    }
  }

  // dw[group][out][in][tap], the pieces summed in order.
  void reduce(int64_t group, int64_t in, Storage* dw) const {
    for (int64_t o = 0; o < outs; ++o) {
      const float* from = partial + group * group_floats() +
                          ((o / kChannels * ins + in) * plan.taps) * kChannels + o % kChannels;
      Storage* to = dw + ((group * outs + o) * ins + in) * plan.taps;
      for (int64_t tap = 0; tap < plan.taps; ++tap) {
        double sum = 0;
        for (int64_t piece = 0; piece < pieces; ++piece) {
          sum += from[piece * groups * group_floats() + tap * kChannels];
        }
        convert(static_cast<float>(sum), to[tap]);
      }
    }
  }
};

constexpr int64_t kDirectMaxPieces = 16, kDirectPartialBytes = int64_t(64) << 20;

template <class Storage>
static int run_direct_gradient(DirectGradWeight<Storage> kernel, Storage* dw, c4d_parallel_for run) {
  const int64_t bytes = kernel.groups * kernel.group_floats() * static_cast<int64_t>(sizeof(float));
  const int64_t wanted = smaller(kDirectMaxPieces, kernel.batch * plan_jobs(kernel.plan));
  kernel.pieces = larger(1, smaller(wanted, kDirectPartialBytes / bytes));
  kernel.recipe = plan_recipe(kernel.plan);
  const int64_t before = recipe_floats(kernel.plan, kernel.recipe);
  const int64_t floats = before + kernel.pieces * kernel.groups * kernel.group_floats();
  Scratch memory(ScratchUse::kCall, static_cast<size_t>(floats) * sizeof(float));
  if (!memory) return C4D_NO_MEMORY;
  write_recipe(kernel.plan, memory.floats(), &kernel.recipe);
  kernel.partial = memory.floats() + before;
  Failure failure;
  parallel(run, kernel.pieces * kernel.groups, [&](int64_t job) {
    Scratch memory(ScratchUse::kJob, kernel.job_bytes());
    if (!memory) return failure.set();
    kernel.piece(job / kernel.groups, job % kernel.groups, memory.floats());
  });
  if (failure.any()) return C4D_NO_MEMORY;
  parallel(run, kernel.groups * kernel.ins,
           [&](int64_t job) { kernel.reduce(job / kernel.ins, job % kernel.ins, dw); });
  return C4D_OK;
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_DIRECT_GRAD_WEIGHT_H
