// SPDX-License-Identifier: Apache-2.0
// Forward and input gradient without transforms, for any stride, dilation, padding and kernel (see direct_plan.h).
#ifndef CARDIAC4D_DIRECT_CORRELATE_H
#define CARDIAC4D_DIRECT_CORRELATE_H

#include "direct_write.h"
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

template <int Channels>
C4D_INLINE void direct_vectors(const DirectPlan& plan, const TapClass& c, const float* x, int64_t ins, const float* w,
                               int64_t take, float* out) {
  const int64_t pitch = plan.in_rows * plan.in_pitch;
  const int64_t* offset = plan.offset + c.first_tap;
  if (kBlockVectors >= 3 && take == 3) {
    direct_block<3, Channels>(x, pitch, ins, offset, c.taps, w, out, plan.out_pitch);
  } else if (take == 2) {
    direct_block<2, Channels>(x, pitch, ins, offset, c.taps, w, out, plan.out_pitch);
  } else {
    direct_block<1, Channels>(x, pitch, ins, offset, c.taps, w, out, plan.out_pitch);
  }
}

// One row of the grid, for a block of 8 output channels of which `outs` or fewer exist.
static void direct_row(const DirectPlan& plan, const TapClass& c, const float* x, int64_t ins, const float* w,
                       int64_t outs, float* out) {
  for (int64_t v = 0, take; v < plan.vectors; v += take) {
    take = next_block(plan.vectors - v);
    if (outs == 1) {
      direct_vectors<1>(plan, c, x + v * kLanes, ins, w, take, out + v * kLanes);
      continue;
    }
    for (int i = 0; i < kChannels && i < outs; i += kBlockChannels) {
      float* to = out + i * plan.out_pitch + v * kLanes;
      direct_vectors<kBlockChannels>(plan, c, x + v * kLanes, ins, w + i, take, to);
    }
  }
}

template <class Storage>
struct DirectCorrelate {
  const DirectPlan& plan;
  int64_t groups, ins, outs;  // channels of one group
  const Storage *input, *bias;
  Storage* output;
  double* sums;  // (N, groups * outs, 2) of the results, or null; for the forward pass alone
  ColumnRecipe recipe;
  const float* weights;
  double* partial;  // [sample][tile][groups * outs][2], or null: what the tiles add to the sums

  bool streamed;

  int64_t blocks() const { return divide_up(outs, kChannels); }
  int64_t group_floats() const { return plan.taps * ins * blocks() * kChannels; }
  int64_t tile_floats() const { return ins * plan.in_rows * plan.in_pitch; }
  int64_t lanes_floats() const { return kChannels * plan.out_pitch * plan.spread[3]; }
  size_t job_bytes() const {
    const int64_t work = larger(stage_floats(plan), plan.out_pitch * plan.spread[3]);  // never at the same time
    return static_cast<size_t>(tile_floats() + lanes_floats() + work) * sizeof(float);
  }

  int64_t output_bytes() const {  // of one sample
    const int64_t volume = plan.target[0] * plan.target[1] * plan.target[2] * plan.target[3];
    return groups * outs * volume * static_cast<int64_t>(sizeof(Storage));
  }

  void tile(int64_t sample, int64_t group, int64_t index, float* memory) const {
    const Corner corner = corner_of(plan, index);
    const int64_t volume = plan.source[0] * plan.source[1] * plan.source[2] * plan.source[3];
    const Storage* first = input + (sample * groups + group) * ins * volume;
    float* work = memory + tile_floats() + lanes_floats();
    for (int64_t in = 0; in < ins; ++in) {
      pack_tile(plan, recipe, first + in * volume, corner, work, memory + in * plan.in_rows * plan.in_pitch);
    }
    // Classes that differ in T alone follow each other: their frames are written together.
    for (int which = 0; which < plan.classes; which += static_cast<int>(plan.spread[3])) {
      const int64_t rows = count_inside(plan, plan.tap_class[which], 0, corner.at[0], plan.tile[0]);
      for (int64_t block = 0; block < blocks(); ++block) {
        RowSums row_sums[kChannels];
        for (int64_t row = 0; row < rows; ++row) {
          multiply(group, which, block, memory + row * plan.step[0] * plan.in_pitch, memory + tile_floats());
          write(sample * groups + group, which, block, corner, row, memory + tile_floats(), row_sums);
        }
        if (partial != nullptr) store_sums((sample * plan_jobs(plan) + index) * groups + group, block, row_sums);
      }
    }
    end_streaming();
  }

  // A row of lanes for each class in T, [class][channel][lane].
  void multiply(int64_t group, int which, int64_t block, const float* packed, float* lanes) const {
    for (int t = which; t < which + plan.spread[3]; ++t, lanes += kChannels * plan.out_pitch) {
      const TapClass& c = plan.tap_class[t];
      const float* w = weights + group * group_floats() + class_offset(plan, t, ins, blocks());
      direct_row(plan, c, packed, ins, w + block * ins * c.taps * kChannels, outs - block * kChannels, lanes);
    }
  }

  void write(int64_t sample_group, int which, int64_t block, const Corner& corner, int64_t row, float* lanes,
             RowSums* row_sums) const {
    const TapClass& c = plan.tap_class[which];
    const int64_t position = plan.target[1] * plan.target[2] * plan.target[3];
    const int64_t h = c.start[0] + (corner.at[0] + row) * plan.spread[0];
    for (int64_t i = 0; i < smaller(kChannels, outs - block * kChannels); ++i) {
      const int64_t channel = sample_group * outs + block * kChannels + i;
      float offset = 0, *from = lanes + i * plan.out_pitch;
      if (bias != nullptr) convert(bias[channel % (groups * outs)], offset);
      if (plan.spread[3] > 1) {
        float* woven = lanes + lanes_floats();
        weave_lanes(from, kChannels * plan.out_pitch, plan.spread[3], plan.vectors * kLanes, woven);
        from = woven;
      }
      Storage* to = output + (channel * plan.target[0] + h) * position;
      if (sums == nullptr) {
        for_runs(plan, c, corner, [&](int64_t lane, int64_t place, int64_t count) {
          add_bias(offset, count, from + lane);
          store_row(from + lane, count, streamed, to + place);
        });
        continue;
      }
      ChannelEpilogue<Storage> epilogue({nullptr, nullptr, {}, sums}, channel, 0, streamed, nullptr);
      epilogue.sums = row_sums[i];
      for_runs(plan, c, corner, [&](int64_t lane, int64_t place, int64_t count) {
        add_bias(offset, count, from + lane);
        epilogue.finish(from + lane, place, count, to);
      });
      row_sums[i] = epilogue.sums;
    }
  }

  void store_sums(int64_t tile_group, int64_t block, const RowSums* row_sums) const {
    for (int64_t i = 0; i < smaller(kChannels, outs - block * kChannels); ++i) {
      row_sums[i].store(partial + (tile_group * outs + block * kChannels + i) * 2);
    }
  }
};

template <class Storage>
static int direct_correlate(DirectCorrelate<Storage> kernel, int64_t batch, const Storage* w,
                            const WeightStrides& strides, c4d_parallel_for run) {
  kernel.recipe = plan_recipe(kernel.plan);
  const int64_t before = recipe_floats(kernel.plan, kernel.recipe), tiles = plan_jobs(kernel.plan);
  const int64_t floats = before + kernel.groups * kernel.group_floats(), width = kernel.groups * kernel.outs * 2;
  const int64_t partial = kernel.sums != nullptr ? batch * tiles * width : 0;
  const size_t bytes = static_cast<size_t>(floats) * sizeof(float);
  Scratch packed(ScratchUse::kCall, bytes + static_cast<size_t>(partial) * sizeof(double));
  if (!packed) return C4D_NO_MEMORY;
  write_recipe(kernel.plan, packed.floats(), &kernel.recipe);
  parallel(run, kernel.groups * kernel.blocks() * kernel.ins, [&](int64_t job) {
    const int64_t in = job % kernel.ins, block = job / kernel.ins % kernel.blocks();
    const int64_t group = job / kernel.ins / kernel.blocks();
    pack_direct_weights(kernel.plan, w + group * strides.group, strides, kernel.ins, kernel.outs, block, in,
                        packed.floats() + before + group * kernel.group_floats());
  });
  kernel.weights = packed.floats() + before;
  kernel.partial = partial > 0 ? reinterpret_cast<double*>(packed.floats() + floats) : nullptr;
  kernel.streamed = is_streamed(batch * kernel.output_bytes());
  Failure failure;
  parallel(run, batch * kernel.groups * tiles, [&](int64_t job) {
    Scratch memory(ScratchUse::kJob, kernel.job_bytes());
    if (!memory) return failure.set();
    kernel.tile(job / tiles / kernel.groups, job / tiles % kernel.groups, job % tiles, memory.floats());
  });
  if (failure.any()) return C4D_NO_MEMORY;
  if (partial > 0) sum_in_order(kernel.partial, batch, tiles, width, kernel.sums);
  return C4D_OK;
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_DIRECT_CORRELATE_H
