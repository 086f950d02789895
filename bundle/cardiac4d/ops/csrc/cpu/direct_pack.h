// SPDX-License-Identifier: Apache-2.0
// Packing for the direct kernels: tiles of the input as direct_plan.h describes them, and weights by taps.
#ifndef CARDIAC4D_DIRECT_PACK_H
#define CARDIAC4D_DIRECT_PACK_H

#include "direct_recipe.h"
#include "half.h"

namespace c4d {
namespace C4D_ISA {

// The first grid position of a tile, H, W, D.
struct Corner {
  int64_t at[3];
};

// Neighbours along W follow each other.
C4D_INLINE Corner corner_of(const DirectPlan& plan, int64_t tile) {
  const int64_t d = tile % plan.tiles[2], w = tile / plan.tiles[2] % plan.tiles[1];
  return {{tile / plan.tiles[1] / plan.tiles[2] * plan.tile[0], w * plan.tile[1], d * plan.tile[2]}};
}

// Columns of one row in H, as floats: column w, from the first slice read, at first + (w - begin) * pitch.
struct Columns {
  const float* first;
  int64_t pitch, begin, end;
};

// Float storage is read where it lies, the others are converted first.
C4D_INLINE const float* as_floats(const float* from) { return from; }
template <class Storage>
C4D_INLINE const float* as_floats(const Storage*) {
  return nullptr;
}

// Floats of `stage`, which holds the converted columns of one row of a tile.
C4D_INLINE int64_t stage_pitch(const DirectPlan& plan) {
  return pitch_for((plan.tile[2] - 1) * plan.step[2] * plan.source[3] + (plan.reach[2] + 1) * plan.source[3]);
}
C4D_INLINE int64_t stage_floats(const DirectPlan& plan) {
  return ((plan.tile[1] - 1) * plan.step[1] + plan.reach[1] + 1) * stage_pitch(plan);
}

// row: the source's positions (W, D, T) at one h.
template <class Storage>
static Columns read_columns(const DirectPlan& plan, const Storage* row, const Corner& corner, float* stage) {
  const int64_t position = plan.source[2] * plan.source[3], low = corner.at[1] * plan.step[1] + plan.low[1];
  const int64_t begin = larger(0, low);
  const int64_t end = smaller(plan.source[1], low + (plan.tile[1] - 1) * plan.step[1] + plan.reach[1] + 1);
  const SliceSpan span = slice_span(plan, corner.at[2]);
  const Storage* from = row + begin * position + span.first * plan.source[3];
  // A window may read a whole vector, which a shorter span does not have.
  if (as_floats(from) != nullptr && span.floats >= kLanes) return {as_floats(from), position, begin, end};
  for (int64_t w = begin; w < end; ++w) {
    convert_row(from + (w - begin) * position, stage + (w - begin) * stage_pitch(plan), span.floats);
  }
  return {stage, stage_pitch(plan), begin, end};
}

// Fetches a part of a column in the next row in H, while this row is packed: columns are too short for the hardware to
// see them coming.
C4D_INLINE void prefetch_part(const float* column, int64_t floats, int64_t part, int64_t parts) {
  for (int64_t i = floats * part / parts; i < floats * (part + 1) / parts; i += 16) __builtin_prefetch(column + i);
}

// All copies of one row in H. row: the source's positions (W, D, T) at that h, or null outside the source. is_last: the
// row is the last of its tile or of the source.
template <class Storage>
static void pack_row(const DirectPlan& plan, const ColumnRecipe& recipe, const Storage* row, const Corner& corner,
                     bool is_last, float* stage, float* to) {
  if (row == nullptr) return clear(to, plan.in_pitch);
  const Columns columns = read_columns(plan, row, corner, stage);
  const int64_t first = corner.at[1] * plan.step[1] + plan.low[1], length = plan.slices * plan.grid[3];
  const int64_t next_row = plan.source[1] * columns.pitch, span = slice_span(plan, corner.at[2]).floats;
  const bool fetches = !is_last && columns.first != stage;
  float* const begin = to;
  // In ascending order: the last vector of a column runs into the next one, or into the slack of the row.
  for (int64_t copy = 0; copy < plan.frame_shifts; ++copy) {
    for (int64_t residue = 0; residue < plan.step[1] * plan.step[2]; ++residue) {
      const int64_t rw = residue / plan.step[2], rd = residue % plan.step[2];
      const int64_t at = recipe.at(plan, {corner.at[2] / plan.tile[2], copy, rd}), read = positions_read(plan, 1, rw);
      for (int64_t column = 0; column < plan.columns; ++column, to += length) {
        const int64_t w = first + column * plan.step[1] + rw;
        if (column < read && w >= columns.begin && w < columns.end) {
          const float* from = columns.first + (w - columns.begin) * columns.pitch;
          if (fetches && copy == 0) prefetch_part(from + next_row, span, rd, plan.step[2]);
          pack_column(recipe, at, from, to);
        } else {
          clear(to, length);
        }
      }
    }
  }
  clear(to, begin + plan.in_pitch - to);
}

// One channel of a tile: in_rows rows, in_pitch apart. stage: stage_floats(plan) to work in.
template <class Storage>
static void pack_tile(const DirectPlan& plan, const ColumnRecipe& recipe, const Storage* channel, const Corner& corner,
                      float* stage, float* to) {
  const int64_t first = corner.at[0] * plan.step[0] + plan.low[0];
  const int64_t row = plan.source[1] * plan.source[2] * plan.source[3];
  for (int64_t i = 0; i < plan.in_rows; ++i, to += plan.in_pitch) {
    const int64_t h = first + i;
    const Storage* from = h >= 0 && h < plan.source[0] ? channel + h * row : nullptr;
    pack_row(plan, recipe, from, corner, i + 1 == plan.in_rows || h + 1 >= plan.source[0], stage, to);
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
