// SPDX-License-Identifier: Apache-2.0
// Packing for the direct kernels: tiles of the input as direct_plan.h describes them, and weights by taps.
#ifndef CARDIAC4D_DIRECT_PACK_H
#define CARDIAC4D_DIRECT_PACK_H

#include "direct_plan.h"
#include "half.h"

namespace c4d {
namespace C4D_ISA {

// The first grid position of a tile, H, W, D.
struct Corner {
  int64_t at[3];
};

// Neighbours along W follow each other.
C4D_INLINE Corner corner_of(const DirectPlan& plan, int64_t tile) {
  const int64_t w = tile % plan.tiles[1], d = tile / plan.tiles[1] % plan.tiles[2];
  return {{tile / plan.tiles[1] / plan.tiles[2] * plan.tile[0], w * plan.tile[1], d * plan.tile[2]}};
}

// A strip of frames of one slice: to[g] = from[g * step + shift] for g in [first, end), zeros elsewhere, g < count.
struct FrameStrip {
  int64_t step, shift, first, end, count;
};

C4D_INLINE FrameStrip strip_of(int64_t frames, int64_t step, int64_t shift, int64_t count) {
  const int64_t first = smaller(count, shift < 0 ? divide_up(-shift, step) : 0);
  const int64_t end = shift >= frames ? first : larger(first, smaller(count, (frames - 1 - shift) / step + 1));
  return {step, shift, first, end, count};
}

typedef float Four __attribute__((vector_size(16)));
typedef float Eight __attribute__((vector_size(32)));
typedef int32_t FourIndices __attribute__((vector_size(16)));
typedef int32_t EightIndices __attribute__((vector_size(32)));

// to[i] = from[2 * i]: from two loads that overlap by one and so end at the last element wanted.
C4D_INLINE void take_four_even(const float* from, float* to) {
  Four low, high;
  memcpy(&low, from, sizeof low);
  memcpy(&high, from + 3, sizeof high);
  const Four even = __builtin_shuffle(low, high, FourIndices{0, 2, 5, 7});
  memcpy(to, &even, sizeof even);
}

C4D_INLINE void take_eight_even(const float* from, float* to) {
  Eight low, high;
  memcpy(&low, from, sizeof low);
  memcpy(&high, from + 7, sizeof high);
  const Eight even = __builtin_shuffle(low, high, EightIndices{0, 2, 4, 6, 9, 11, 13, 15});
  memcpy(to, &even, sizeof even);
}

C4D_INLINE void copy_strided(const float* from, int64_t step, float* to, int64_t count) {
  int64_t g = 0;
  if (step == 2) {
    for (; g + 8 <= count; g += 8) take_eight_even(from + 2 * g, to + g);
    for (; g + 4 <= count; g += 4) take_four_even(from + 2 * g, to + g);
  }
  for (; g < count; ++g) to[g] = from[g * step];
}

template <class Storage>
C4D_INLINE void copy_strided(const Storage* from, int64_t step, float* to, int64_t count) {
  for (int64_t g = 0; g < count; ++g) convert(from[g * step], to[g]);
}

template <class Storage>
C4D_INLINE void pack_strip(const Storage* from, const FrameStrip& strip, float* to) {
  for (int64_t g = 0; g < strip.first; ++g) to[g] = 0;
  copy_strided(from + (strip.first * strip.step + strip.shift), strip.step, to + strip.first, strip.end - strip.first);
  for (int64_t g = strip.end; g < strip.count; ++g) to[g] = 0;
}

// Slices of step 1 with as many frames as the grid: one run of memory, shifted; then the frames that a shift has
// brought over from a neighbouring slice are cleared.
template <class Storage>
static void pack_run(const Storage* from, int64_t slices, int64_t frames, int64_t shift, float* to) {
  const int64_t total = slices * frames, lost = smaller(frames, shift < 0 ? -shift : shift);
  const int64_t head = shift < 0 ? smaller(total, -shift) : 0, tail = shift > 0 ? smaller(total, shift) : 0;
  convert_row(from + (shift + head), to + head, total - head - tail);
  float* edge = shift < 0 ? to : to + frames - lost;
  for (int64_t s = 0; lost > 0 && s < slices; ++s, edge += frames) clear(edge, lost);
}

// Positions of one residue that the taps of a tile read; the others are packed as zeros.
C4D_INLINE int64_t positions_read(const DirectPlan& plan, int axis, int64_t residue) {
  return residue > plan.reach[axis] ? 0 : plan.tile[axis] + (plan.reach[axis] - residue) / plan.step[axis];
}

// One column (fixed H and W) of one residue in D. from: the source's first slice, or null if nothing is to be read.
template <class Storage>
static void pack_column(const DirectPlan& plan, const Storage* from, int64_t first_slice, int64_t slices,
                        int64_t shift, float* to) {
  const int64_t frames = plan.grid[3], step = plan.step[2];
  if (from == nullptr) return clear(to, plan.slices * frames);
  const int64_t head = smaller(slices, first_slice < 0 ? divide_up(-first_slice, step) : 0);
  const int64_t last = plan.source[2] - 1 - first_slice;
  const int64_t end = last < 0 ? head : larger(head, smaller(slices, last / step + 1));
  clear(to, head * frames);
  clear(to + end * frames, (plan.slices - end) * frames);
  if (step == 1 && plan.step[3] == 1 && plan.source[3] == frames) {
    return pack_run(from + (first_slice + head) * frames, end - head, frames, shift, to + head * frames);
  }
  const FrameStrip strip = strip_of(plan.source[3], plan.step[3], shift, frames);
  for (int64_t s = head; s < end; ++s) {
    pack_strip(from + (first_slice + s * step) * plan.source[3], strip, to + s * frames);
  }
}

// All copies of one row in H. row: the source's positions (W, D, T) at that h, or null outside the source.
template <class Storage>
static void pack_row(const DirectPlan& plan, const Storage* row, const Corner& corner, float* to) {
  const int64_t first_w = corner.at[1] * plan.step[1] + plan.low[1];
  const int64_t first_d = corner.at[2] * plan.step[2] + plan.low[2];
  const int64_t position = plan.source[2] * plan.source[3];
  float* const begin = to;
  for (int copy = 0; copy < plan.frame_shifts; ++copy) {
    for (int64_t rw = 0; rw < plan.step[1]; ++rw) {
      for (int64_t rd = 0; rd < plan.step[2]; ++rd) {
        for (int64_t column = 0; column < plan.columns; ++column, to += plan.slices * plan.grid[3]) {
          const int64_t w = first_w + column * plan.step[1] + rw;
          const bool read = row != nullptr && w >= 0 && w < plan.source[1] && column < positions_read(plan, 1, rw);
          pack_column(plan, read ? row + w * position : nullptr, first_d + rd, positions_read(plan, 2, rd),
                      plan.frame_shift[copy], to);
        }
      }
    }
  }
  clear(to, begin + plan.in_pitch - to);
}

// One channel of a tile: in_rows rows, in_pitch apart.
template <class Storage>
static void pack_tile(const DirectPlan& plan, const Storage* channel, const Corner& corner, float* to) {
  const int64_t first = corner.at[0] * plan.step[0] + plan.low[0];
  const int64_t row = plan.source[1] * plan.source[2] * plan.source[3];
  for (int64_t i = 0; i < plan.in_rows; ++i, to += plan.in_pitch) {
    const int64_t h = first + i;
    pack_row(plan, h >= 0 && h < plan.source[0] ? channel + h * row : nullptr, corner, to);
  }
}

// Weights of one group as the kernels of this file see them: from `in` to `out`, in elements.
struct WeightStrides {
  int64_t out, in, group;
};

// Packed as [group][class][block of 8 outputs][input][tap of the class][8]; floats of the classes before this one.
C4D_INLINE int64_t class_offset(const DirectPlan& plan, int which, int64_t ins, int64_t blocks) {
  return plan.tap_class[which].first_tap * ins * blocks * kChannels;
}

template <class Storage>
static void pack_direct_weights(const DirectPlan& plan, const Storage* w, const WeightStrides& strides, int64_t ins,
                                int64_t outs, int64_t block, int64_t in, float* packed) {
  const int64_t blocks = divide_up(outs, kChannels), count = smaller(kChannels, outs - block * kChannels);
  for (int which = 0; which < plan.classes; ++which) {
    const TapClass& c = plan.tap_class[which];
    float* to = packed + class_offset(plan, which, ins, blocks) + (block * ins + in) * c.taps * kChannels;
    for (int tap = c.first_tap; tap < c.first_tap + c.taps; ++tap, to += kChannels) {
      const Storage* from = w + block * kChannels * strides.out + in * strides.in + plan.kernel_index[tap];
      clear(to, kChannels);
      for (int64_t lane = 0; lane < count; ++lane) convert(from[lane * strides.out], to[lane]);
    }
  }
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_DIRECT_PACK_H
