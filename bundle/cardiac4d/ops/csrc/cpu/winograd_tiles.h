// SPDX-License-Identifier: Apache-2.0
// How Winograd cuts a volume, and the rows of lanes that it works on.
//
// Lanes run along the flattened (D, T) rows. A unit of work takes `tiles_per_unit` tiles of m x m positions in (H, W)
// and a slab of D, all of T. For every position in (H, W) it holds one row of lanes:
//
//   | slice before | slab of tile 0 | slice after = slice before | slab of tile 1 | slice after | ...
//
// with T lanes to a slice. In this row tap (kd, kt) of the output lane l is lane l + kd * T + kt - 1; lanes whose
// frame t - 1 or t + 1 does not exist are masked. Output lanes that fall on a slice between two tiles are dropped.
// Tiles share a row only if the slab is all of D: then the slices between them are padding.
#ifndef CARDIAC4D_WINOGRAD_TILES_H
#define CARDIAC4D_WINOGRAD_TILES_H

#include "rows.h"

namespace c4d {
namespace C4D_ISA {

constexpr int64_t kScratchBytes = int64_t(768) << 10;  // of one unit: most of a second-level cache
constexpr int64_t kMinLanes = 48;
constexpr int64_t kMaxLanes = 1024;
constexpr int64_t kUnitCost = 16;  // what a row costs beside its lanes, in lanes

struct Tiling {
  int64_t tiles_w, tiles;    // in W, in H x W
  int64_t tiles_per_unit, tile_groups;
  int64_t slab, slabs;       // slices of D in a unit, units along D
  int64_t frames;            // T
  int64_t tile_pitch;        // lanes from tile to tile
  int64_t vectors;           // of output lanes
  int64_t in_pitch;          // floats from row to row of input lanes
  int64_t out_pitch;         // the same for output lanes
  int64_t units;             // in one sample
};

// One unit of work.
struct Unit {
  int64_t sample, first_tile, tiles, first_slice, slices;
};

// Vectors that so many tiles of `lanes` lanes fill.
C4D_INLINE int64_t vectors_of(int64_t tiles, int64_t tile_pitch, int64_t lanes) {
  return divide_up((tiles - 1) * tile_pitch + lanes, kLanes);
}

// The number of tiles, up to `most`, that wastes the fewest lanes.
C4D_INLINE int64_t best_tiles(int64_t most, int64_t tile_pitch, int64_t lanes) {
  int64_t best = 1;
  for (int64_t tiles = 2; tiles <= most; ++tiles) {
    const int64_t cost = vectors_of(tiles, tile_pitch, lanes) * kLanes + kUnitCost;
    if (cost * best < (vectors_of(best, tile_pitch, lanes) * kLanes + kUnitCost) * tiles) best = tiles;
  }
  return best;
}

// size: H, W, D, T of the output. lead: zeros before D. lanes: how many suit the cache. min_units: wanted for threads.
C4D_INLINE Tiling make_tiling(const int64_t (&size)[4], int64_t lead, int tile, int64_t lanes, int64_t min_units) {
  Tiling t;
  t.frames = size[3];
  t.tiles_w = divide_up(size[1], tile);
  t.tiles = divide_up(size[0], tile) * t.tiles_w;
  const int64_t between = lead == 1 ? 1 : 2;  // slices between tiles
  if ((size[2] + between) * t.frames <= lanes + lanes / 4) {  // a little too large is better than cut
    t.slab = size[2];
    t.tile_pitch = (size[2] + between) * t.frames;
    const int64_t useful = larger(divide_up(kMinLanes, t.tile_pitch), t.tiles / larger(min_units, 1));
    t.tiles_per_unit = best_tiles(smaller(larger(1, lanes / t.tile_pitch), useful), t.tile_pitch, t.slab * t.frames);
  } else {
    t.slab = divide_up(size[2], divide_up(size[2] * t.frames, lanes));
    t.tile_pitch = (t.slab + 2) * t.frames;
    t.tiles_per_unit = 1;
  }
  t.slabs = divide_up(size[2], t.slab);
  t.tile_groups = divide_up(t.tiles, t.tiles_per_unit);
  t.units = t.tile_groups * t.slabs;
  t.vectors = vectors_of(t.tiles_per_unit, t.tile_pitch, t.slab * t.frames);
  t.out_pitch = pitch_for(t.vectors * kLanes);
  // The last vector of the last tap ends 2 slices and one frame further on.
  t.in_pitch = pitch_for(t.vectors * kLanes + 2 * t.frames + 1);
  return t;
}

// The slabs of one tile follow each other: what is read and written there runs on in memory, as the hardware that
// fetches ahead expects it. Then the next tile along W, whose halo is still in the cache.
C4D_INLINE Unit unit_at(const Tiling& t, const int64_t (&size)[4], int64_t index) {
  Unit u;
  const int64_t slab = index % t.slabs, group = index / t.slabs % t.tile_groups;
  u.sample = index / t.units;
  u.first_tile = group * t.tiles_per_unit;
  u.tiles = smaller(t.tiles_per_unit, t.tiles - u.first_tile);
  u.first_slice = slab * t.slab;
  u.slices = smaller(t.slab, size[2] - u.first_slice);
  return u;
}

// Lanes that may read frame t - 1 (before) and frame t + 1 (after).
struct FrameMasks {
  const Mask *before, *after;
};

C4D_INLINE size_t mask_bytes(const Tiling& t) { return 2 * static_cast<size_t>(t.vectors) * sizeof(Mask); }

C4D_INLINE FrameMasks make_masks(const Tiling& t, void* memory) {
  Mask* before = static_cast<Mask*>(memory);
  Mask* after = before + t.vectors;
  memset(memory, 0, mask_bytes(t));
  for (int64_t i = 0; i < t.vectors * kLanes; ++i) {
    if (i % t.frames > 0) keep_lane(before[i / kLanes], static_cast<int>(i % kLanes));
    if (i % t.frames < t.frames - 1) keep_lane(after[i / kLanes], static_cast<int>(i % kLanes));
  }
  return {before, after};
}

// The box of one channel that pack_window reads; parts outside the volume are zeros.
struct Window {
  int64_t h, w, d;  // first position, may be negative
  int64_t extent;   // in H and in W
  int64_t slices;
};

// Row (h, w) of the window, behind norm and ReLU if there is one, goes to rows[(h * extent + w) * pitch], followed by
// zeros up to `lanes` in all.
template <class Storage>
static void pack_window(const Storage* channel, const int64_t (&size)[4], const ChannelNorm& norm,
                        const Window& window, float* rows, int64_t pitch, int64_t lanes) {
  const int64_t frames = size[3], row = size[2] * frames;
  const int64_t first = larger(window.d, 0), end = larger(first, smaller(window.d + window.slices, size[2]));
  const int64_t head = smaller(first - window.d, window.slices) * frames, count = (end - first) * frames;
  for (int64_t a = 0; a < window.extent; ++a) {
    for (int64_t e = 0; e < window.extent; ++e, rows += pitch) {
      const int64_t h = window.h + a, w = window.w + e;
      if (h < 0 || h >= size[0] || w < 0 || w >= size[1]) {
        clear(rows, lanes);
        continue;
      }
      clear(rows, head);
      norm_relu_row(channel + (h * size[1] + w) * row + first * frames, norm, count, rows + head);
      clear(rows + head + count, lanes - head - count);
    }
  }
}

// Packs one channel of a unit: all rows of all tiles. `extent` rows in H and W from (-lead) on; halo: slices beside the
// slab. Fills the whole pitch.
template <class Storage>
static void pack_channel(const Storage* channel, const int64_t (&size)[4], const ChannelNorm& norm, const Tiling& t,
                         const Unit& u, int tile, int64_t extent, const int64_t (&lead)[4], int64_t halo, float* rows,
                         int64_t pitch) {
  for (int64_t j = 0; j < u.tiles; ++j) {
    const int64_t h = (u.first_tile + j) / t.tiles_w * tile, w = (u.first_tile + j) % t.tiles_w * tile;
    const int64_t slices = u.slices + halo, room = j + 1 < u.tiles ? t.tile_pitch : pitch - j * t.tile_pitch;
    const Window window{h - lead[0], w - lead[1], u.first_slice - lead[2], extent, slices};
    pack_window(channel, size, norm, window, rows + j * t.tile_pitch, pitch, larger(room, slices * t.frames));
  }
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_WINOGRAD_TILES_H
