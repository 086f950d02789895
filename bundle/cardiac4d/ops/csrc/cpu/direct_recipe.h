// SPDX-License-Identifier: Apache-2.0
// How a column of the source (all D and T at one position of H and W) becomes a column of packed lanes, whatever the
// stride, dilation and padding in D and T: for every packed vector a few windows of the source column, a vector each,
// and which of their floats go to which lane. Worked out once per call, since it is the same for all channels, rows and
// columns; it replaces a loop over short strips, of 4 or 8 frames, that took longer than the products.
#ifndef CARDIAC4D_DIRECT_RECIPE_H
#define CARDIAC4D_DIRECT_RECIPE_H

#include "direct_plan.h"

namespace c4d {
namespace C4D_ISA {

// The slices that a tile reads and that exist, at least one, and their floats in one column.
struct SliceSpan {
  int64_t first, floats;
};

// first_position: the first grid position of the tile in D.
C4D_INLINE SliceSpan slice_span(const DirectPlan& plan, int64_t first_position) {
  const int64_t last = plan.source[2] - 1, low = first_position * plan.step[2] + plan.low[2];
  const int64_t begin = larger(0, smaller(low, last));
  const int64_t end = larger(0, smaller(low + (plan.tile[2] - 1) * plan.step[2] + plan.reach[2], last));
  return {begin, (end - begin + 1) * plan.source[3]};
}

// Positions of one residue that the taps of a tile read; the others are packed as zeros.
C4D_INLINE int64_t positions_read(const DirectPlan& plan, int axis, int64_t residue) {
  return residue > plan.reach[axis] ? 0 : plan.tile[axis] + (plan.reach[axis] - residue) / plan.step[axis];
}

// Which packed column: the tile in D, the copy shifted in T, the residue in D.
struct ColumnKind {
  int64_t tile, copy, residue;
};

// The float of the slice span that a lane of a packed column takes, or -1 for a zero. Grows from lane to lane.
C4D_INLINE int64_t source_of_lane(const DirectPlan& plan, const ColumnKind& kind, int64_t lane) {
  const int64_t position = lane / plan.grid[3];
  const int64_t frame = lane % plan.grid[3] * plan.step[3] + plan.frame_shift[kind.copy];
  const int64_t corner = kind.tile * plan.tile[2];
  const int64_t slice = (corner + position) * plan.step[2] + plan.low[2] + kind.residue;
  if (position >= positions_read(plan, 2, kind.residue) || slice < 0 || slice >= plan.source[2]) return -1;
  if (frame < 0 || frame >= plan.source[3]) return -1;
  return (slice - slice_span(plan, corner).first) * plan.source[3] + frame;
}

struct ColumnRecipe {
  int64_t align;             // of the windows in the slice span
  int64_t vectors, windows;  // packed vectors in a column, windows for each
  int32_t* lane;             // [kind][vector][window][lane]: float of the window, or -1
  int32_t* start;            // [kind][vector][window]: first float of the window in the slice span

  int64_t at(const DirectPlan& plan, const ColumnKind& kind) const {
    return ((kind.tile * plan.frame_shifts + kind.copy) * plan.step[2] + kind.residue) * vectors * windows;
  }
};

// Cuts the sources of one packed vector into windows that begin at multiples of `align`, and returns their number;
// writes them unless `lane` is null.
static int64_t cut_windows(const DirectPlan& plan, const ColumnKind& kind, int64_t vector, int64_t align,
                           int32_t* lane, int32_t* start) {
  const int64_t last = larger(0, slice_span(plan, kind.tile * plan.tile[2]).floats - kLanes);
  int64_t windows = 0, begin = 0;
  for (int64_t i = 0; i < kLanes; ++i) {
    const int64_t source = source_of_lane(plan, kind, vector * kLanes + i);
    if (source < 0) continue;
    if (windows == 0 || source >= begin + kLanes) {
      begin = smaller(source / align * align, last);  // never beyond the column
      if (start != nullptr) start[windows] = static_cast<int32_t>(begin);
      ++windows;
    }
    if (lane != nullptr) lane[(windows - 1) * kLanes + i] = static_cast<int32_t>(source - begin);
  }
  return windows;
}

// visit(kind, vector) for every packed vector.
template <class Visit>
C4D_INLINE void for_each_vector(const DirectPlan& plan, int64_t vectors, const Visit& visit) {
  for (int64_t tile = 0; tile < plan.tiles[2]; ++tile) {
    for (int64_t copy = 0; copy < plan.frame_shifts; ++copy) {
      for (int64_t residue = 0; residue < plan.step[2]; ++residue) {
        for (int64_t vector = 0; vector < vectors; ++vector) visit(ColumnKind{tile, copy, residue}, vector);
      }
    }
  }
}

// Floats (and integers as large) that a recipe of these windows takes, in whole cache lines.
C4D_INLINE int64_t recipe_floats(const DirectPlan& plan, const ColumnRecipe& recipe) {
  const int64_t kinds = plan.tiles[2] * plan.frame_shifts * plan.step[2];
  return divide_up(kinds * recipe.vectors * recipe.windows * (kLanes + 1), 16) * 16;
}

static ColumnRecipe measure_recipe(const DirectPlan& plan, int64_t align) {
  ColumnRecipe recipe{align, divide_up(plan.slices * plan.grid[3], kLanes), 1, nullptr, nullptr};
  for_each_vector(plan, recipe.vectors, [&](const ColumnKind& kind, int64_t vector) {
    recipe.windows = larger(recipe.windows, cut_windows(plan, kind, vector, align, nullptr, nullptr));
  });
  return recipe;
}

// The recipe without its tables, which write_recipe fills. Aligned windows touch one cache line each.
static ColumnRecipe plan_recipe(const DirectPlan& plan) {
  const ColumnRecipe aligned = measure_recipe(plan, kLanes), loose = measure_recipe(plan, 1);
  return aligned.windows <= loose.windows ? aligned : loose;
}

static void write_recipe(const DirectPlan& plan, float* memory, ColumnRecipe* recipe) {
  const int64_t kinds = plan.tiles[2] * plan.frame_shifts * plan.step[2];
  const int64_t windows = kinds * recipe->vectors * recipe->windows;
  recipe->lane = reinterpret_cast<int32_t*>(memory);
  recipe->start = recipe->lane + windows * kLanes;
  memset(recipe->lane, 0xFF, static_cast<size_t>(windows * kLanes) * sizeof(int32_t));
  memset(recipe->start, 0, static_cast<size_t>(windows) * sizeof(int32_t));
  for_each_vector(plan, recipe->vectors, [&](const ColumnKind& kind, int64_t vector) {
    const int64_t first = recipe->at(plan, kind) + vector * recipe->windows;
    cut_windows(plan, kind, vector, recipe->align, recipe->lane + first * kLanes, recipe->start + first);
  });
}

// The floats of a window that `lane` names; zeros in lanes of -1.
C4D_INLINE Vec pick_lanes(const float* window, const int32_t* lane) {
  IntVec index;
  memcpy(&index, lane, sizeof index);
#if defined(__AVX512F__)
  const __mmask16 keep = _mm512_cmpge_epi32_mask((__m512i)index, _mm512_setzero_si512());
  return _mm512_maskz_permutexvar_ps(keep, (__m512i)index, load(window));
#else
  return (Vec)((IntVec)__builtin_shuffle(load(window), index) & (index >= 0));
#endif
}

// Packs one column by windows of its slice span; writes whole vectors, the last with zeros behind the column.
C4D_INLINE void follow_recipe(const ColumnRecipe& recipe, int64_t at, int64_t windows, const float* span, float* to) {
  const int32_t *lane = recipe.lane + at * kLanes, *start = recipe.start + at;
  for (int64_t v = 0; v < recipe.vectors; ++v, to += kLanes) {
    IntVec packed = {};
    for (int64_t i = 0; i < windows; ++i, ++start, lane += kLanes) {
      packed |= (IntVec)pick_lanes(span + *start, lane);
    }
    store(to, (Vec)packed);
  }
}

static void pack_column(const ColumnRecipe& recipe, int64_t at, const float* span, float* to) {
  if (recipe.windows == 1) return follow_recipe(recipe, at, 1, span, to);
  if (recipe.windows == 2) return follow_recipe(recipe, at, 2, span, to);
  follow_recipe(recipe, at, recipe.windows, span, to);
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_DIRECT_RECIPE_H
