// SPDX-License-Identifier: Apache-2.0
// Forward with one input channel in float32, by fused multiply-adds: nothing is rounded to TF32, be that allowed or
// not. They are 648 for the eight channels of a voxel, an eighth of what a layer 8 -> 8 takes: not much beside the time
// that memory takes, which tensor cores could not shorten.
//
// A lane computes four channels of 16 voxels of a row; its neighbour the other four, so that both together store 32
// bytes of a voxel at once. The 18 voxels that it reads of a row serve three taps along D: 192 products for eight loads
// of 16 bytes. A block of threads walks along H with four planes in shared memory: three are read, while the next one
// is written.
#include "tiled_image.h"

#include <math.h>

#include "channel_sums.h"
#include "frames.h"
#include "image_sums.h"
#include "tensor_cores.h"
#include "vectors.h"
#include "walk.h"

namespace c4d_cuda {
namespace {

constexpr int kTileW = 16, kTileT = 4, kTileD = 16;  // a warp per frame, two lanes per row
constexpr int kThreads = 32 * kTileT;
constexpr int kResident = 3;  // blocks that a multiprocessor's registers hold
constexpr int kSpanW = kTileW + 2, kSpanT = kTileT + 2, kSpanD = kTileD + 2;
constexpr int kRow = 20;  // numbers of a row in shared memory: vectors of eight neighbouring rows meet all banks
constexpr int kSlots = 4, kRows = kSpanW * kSpanT, kPlane = kRows * kRow;
constexpr int kTapsOfBlock = kTaps * kBlock;
constexpr int64_t kSharedBytes = (kSlots * kPlane + kTapsOfBlock) * sizeof(float);
static_assert(kSharedBytes <= 48 << 10 && kSharedBytes >= totals_bytes(kThreads), "what every launch gets");
// How threads copy a plane: so many rows at a time, a thread always the same voxel of a row.
constexpr int kRowsAtOnce = kThreads / kSpanD;

// With or without the sums that the next norm needs.
template <bool kHasSums_>
struct TiledImage {
  [[maybe_unused]] static constexpr bool kHasSums = kHasSums_;
  Grid grid;                           // groups: blocks of output channels
  int from[4], lead[4], out_channels;  // lead: zeros before the first voxel
  const float *x, *w, *bias;           // no bias: null
  float* y;
  double* pieces;  // sums of each job, (8, 2); together (N, tiles, C, 2)
};

// Copies a plane, zeros outside. The other blocks of a multiprocessor compute while a thread waits for its numbers.
template <class Work>
__device__ void copy_plane(const Work& work, const TileOfGrid& tile, int plane, float* planes) {
  const int first = threadIdx.x / kSpanD, place = threadIdx.x % kSpanD;
  if (first >= kRowsAtOnce) return;
  const int(&from)[4] = work.from;
  const int h = tile.h - work.lead[kH] + plane, d = tile.d - work.lead[kD] + place, t = tile.t - work.lead[kT];
  const int64_t frame = int64_t(from[kH]) * from[kW] * from[kD], line = int64_t(h) * from[kW];
  const float* x = work.x + (int64_t(tile.n) * from[kT] + t) * frame + d;
  float* to = planes + plane % kSlots * kPlane + place;
#pragma unroll 1
  for (int i = first; i < kSpanW; i += kRowsAtOnce) {
    const int w = tile.w - work.lead[kW] + i;
    const bool is_inside = is_on(h, from[kH]) && is_on(w, from[kW]) && is_on(d, from[kD]);
    const float* row = x + (line + w) * from[kD];
#pragma unroll
    for (int j = 0; j < kSpanT; ++j) {
      to[(j * kSpanW + i) * kRow] = is_inside && is_on(t + j, from[kT]) ? row[j * frame] : 0.0f;
    }
  }
}

// Copies the weights of a block of output channels: tap H, tap T, tap W, tap D, channel.
template <class Work>
__device__ void load_weights(const Work& work, int group, float* weights) {
  for (int i = threadIdx.x; i < kTapsOfBlock; i += kThreads) {
    const int kd = i / kBlock % 3, kw = i / kBlock / 3 % 3, kt = i / kBlock / 9 % 3, kh = i / kBlock / 27;
    const int64_t out = int64_t(group) * kBlock + i % kBlock;
    weights[i] = work.w[out * kTaps + ((kh * 3 + kw) * 3 + kd) * 3 + kt];
  }
}

using Sums = float[kTileD][kQuad];

// Adds the products of the three taps along D of one row.
[[maybe_unused]] __device__ void add_row(const float* row, const float* taps, Sums& sums) {
  float voxels[kRow];  // the last two are none
  load_vectors(row, voxels);
#pragma unroll
  for (int tap = 0; tap < 3; ++tap) {
    float weights[kQuad];
    load_vectors(taps + tap * kBlock, weights);
#pragma unroll
    for (int i = 0; i < kTileD * kQuad; ++i) {
      float& sum = sums[i / kQuad][i % kQuad];
      sum = fmaf(voxels[i / kQuad + tap], weights[i % kQuad], sum);
    }
  }
}

// One step along H: the lane's voxels of the output at h, whose first plane is in slot `step % kSlots`.
template <class Work>
__device__ void compute_step(const Work& work, const TileOfGrid& tile, const float* planes, int step, Totals& totals) {
  const int(&size)[4] = work.grid.extents;
  const int frame = threadIdx.x / 32, row = threadIdx.x % 32 / 2, quad = threadIdx.x % 2 * kQuad;
  const int t = tile.t + frame, w = tile.w + row, channel = tile.group * kBlock + quad;
  if (t >= size[kT] || w >= size[kW]) return;
  const float* taps = planes + kSlots * kPlane + quad;
  Sums sums;
#pragma unroll
  for (int i = 0; i < kTileD * kQuad; ++i) {
    sums[i / kQuad][i % kQuad] = work.bias == nullptr ? 0.0f : work.bias[channel + i % kQuad];
  }
#pragma unroll 1
  for (int i = 0; i < kTaps / 3; ++i) {  // taps along H, T, W
    const int slot = (step + i / 9) % kSlots, first = (frame + i / 3 % 3) * kSpanW + row + i % 3;
    add_row(planes + slot * kPlane + first * kRow, taps + i * 3 * kBlock, sums);
  }
  const int64_t frames = int64_t(tile.n) * size[kT] + t;
  const int64_t voxel = ((frames * size[kH] + tile.h + step) * size[kW] + w) * size[kD] + tile.d;
  float* to = work.y + voxel * work.out_channels + channel;
#pragma unroll
  for (int i = 0; i < kTileD; ++i, to += work.out_channels) {
    if (tile.d + i >= size[kD]) continue;
    store_vectors(sums[i], to);
    if constexpr (Work::kHasSums) add_quad<float>(sums[i], totals);
  }
}

template <class Work>
__device__ void walk(const Work& work, const TileOfGrid& tile, Totals& totals) {
  float* planes = reinterpret_cast<float*>(c4d_shared);
  const int steps = steps_of(work.grid, tile);
  load_weights(work, tile.group, planes + kSlots * kPlane);
#pragma unroll 1
  for (int plane = 0; plane < 3; ++plane) copy_plane(work, tile, plane, planes);
#pragma unroll 1
  for (int step = 0; step < steps; ++step) {
    __syncthreads();  // now the planes of this step are there, and nobody reads the one that is overwritten next
    if (step + 1 < steps) copy_plane(work, tile, step + 3, planes);
    compute_step(work, tile, planes, step, totals);
  }
}

template <class Work>
__global__ void __launch_bounds__(kThreads, kResident) correlate_image_in_float32(const Work work) {
  for (int64_t job = blockIdx.x; job < work.grid.jobs(); job += gridDim.x) {
    Totals totals = {};
    walk(work, tile_at(work.grid, job), totals);
    __syncthreads();  // before the next job overwrites the planes
    if constexpr (Work::kHasSums) {
      store_totals<kThreads>(totals, work.pieces + job * kSumsOfBlock);
      __syncthreads();  // before the next job overwrites the sums
    }
  }
}

Grid grid_of(const c4d_problem& p) {
  Grid grid{};
  grid.batch = static_cast<int>(p.batch);
  grid.groups = static_cast<int>(p.out_channels / kBlock);
  for (int axis = 0; axis < 4; ++axis) grid.extents[axis] = static_cast<int>(p.out[axis]);
  grid.tile[kW] = kTileW, grid.tile[kD] = kTileD, grid.tile[kT] = kTileT;
  grid.tile[kH] = best_walk(grid, kResident, 4, 1);
  return grid;
}

template <bool kHasSums>
int forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, double* pieces,
            void* stream) {
  TiledImage<kHasSums> work{};
  work.grid = grid_of(p);
  for (int axis = 0; axis < 4; ++axis) {
    work.from[axis] = static_cast<int>(p.in[axis]);
    work.lead[axis] = static_cast<int>(p.padding[axis]);
  }
  work.out_channels = static_cast<int>(p.out_channels);
  work.x = static_cast<const float*>(x), work.w = static_cast<const float*>(w);
  work.bias = static_cast<const float*>(bias), work.y = static_cast<float*>(y), work.pieces = pieces;
  return launch(correlate_image_in_float32<TiledImage<kHasSums>>, work, work.grid.jobs(), kThreads, kSharedBytes,
                stream);
}

}  // namespace

bool tiled_image_serves(const c4d_problem& p) {
  return p.dtype == C4D_FLOAT32 && p.in_channels == 1 && p.out_channels % kBlock == 0 && is_cube(p, 1);
}

int tiled_image_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* stream) {
  return forward<false>(p, x, w, bias, y, nullptr, stream);
}

int64_t tiled_image_pieces_bytes(const c4d_problem& p) {
  return grid_of(p).jobs() * kSumsOfBlock * int64_t(sizeof(double));
}

int tiled_image_forward_sums(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                             double* sums, void* pieces, void* stream) {
  double* of_jobs = static_cast<double*>(pieces);
  const int status = forward<true>(p, x, w, bias, y, of_jobs, stream);
  if (status != cudaSuccess) return status;
  return add_pieces_of_samples(p.batch, grid_of(p).tiles_of_a_sample(), p.out_channels, of_jobs, sums, stream);
}

}  // namespace c4d_cuda
