// SPDX-License-Identifier: Apache-2.0
// Tiles of a tensor, and how far a block of threads walks along H.
#ifndef CARDIAC4D_CUDA_WALK_H
#define CARDIAC4D_CUDA_WALK_H

#include "frames.h"
#include "launch.h"

namespace c4d_cuda {

// Positions on one axis have 32 bits, positions in memory 64.
struct Grid {
  int batch, extents[4];  // what there is to compute
  int tile[4];            // of a block of threads; on H: the steps that it walks
  int groups;             // of channels

  __host__ __device__ int64_t tiles(int axis) const { return (int64_t(extents[axis]) + tile[axis] - 1) / tile[axis]; }
  __host__ __device__ int64_t tiles_of_a_sample() const { return tiles(kH) * tiles(kW) * tiles(kD) * tiles(kT); }
  __host__ __device__ int64_t jobs() const { return batch * tiles_of_a_sample() * groups; }
};

// A job: the first voxel of a tile, and a group of channels. Jobs on the same voxels follow each other.
struct TileOfGrid {
  int n, h, w, d, t, group;
};

inline __device__ TileOfGrid tile_at(const Grid& grid, int64_t job) {
  const int64_t tiles[] = {grid.tiles(kH), grid.tiles(kW), grid.tiles(kD), grid.tiles(kT)};
  const Voxel v = voxel_at(job / grid.groups, tiles);
  return {static_cast<int>(v.n),
          static_cast<int>(v.at[kH] * grid.tile[kH]),
          static_cast<int>(v.at[kW] * grid.tile[kW]),
          static_cast<int>(v.at[kD] * grid.tile[kD]),
          static_cast<int>(v.at[kT] * grid.tile[kT]),
          static_cast<int>(job % grid.groups)};
}

inline __device__ int steps_of(const Grid& grid, const TileOfGrid& tile) {
  const int rest = grid.extents[kH] - tile.h;
  return rest < grid.tile[kH] ? rest : grid.tile[kH];
}

constexpr int kLongestWalk = 16;
constexpr int64_t kMultiprocessors = kMaxBlocks < 132 ? kMaxBlocks : 132;  // of an H200

// How many steps along H a block should walk, where a multiprocessor holds `resident` blocks at once. Long walks read
// few planes twice, short ones keep all multiprocessors busy to the end. A step costs `step`, to begin costs `begin`.
// It depends on the shape alone, and no convolution's sum depends on it.
inline int best_walk(Grid grid, int resident, int step, int begin) {
  const int64_t at_once = resident * kMultiprocessors;
  int best = 1;
  int64_t least = -1;
  for (int steps = 1; steps <= kLongestWalk; ++steps) {
    grid.tile[kH] = steps;
    const int64_t waves = (grid.jobs() + at_once - 1) / at_once, cost = waves * (steps * step + begin);
    if (least < 0 || cost < least) best = steps, least = cost;
  }
  return best;
}

}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_WALK_H
