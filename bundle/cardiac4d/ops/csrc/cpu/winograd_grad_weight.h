// SPDX-License-Identifier: Apache-2.0
// Gradient of 3x3x3x3 weights, stride 1, by Winograd F(m x m, 3x3) over (H, W):
//   dU[point][out][in][kd][kt] = sum over lanes of (B^T x B)[lane + kd * T + kt - 1] * (A dy A^T)[lane].
//
// The units of work are cut into pieces, each with partial sums of its own, which are added in order at the end. Where
// a small volume gives few pieces, the columns of the points are shared out too, at the price of packing twice.
#ifndef CARDIAC4D_WINOGRAD_GRAD_WEIGHT_H
#define CARDIAC4D_WINOGRAD_GRAD_WEIGHT_H

#include "winograd_correlate.h"

namespace c4d {
namespace C4D_ISA {

// sums[kt][c] += sum over lanes of x[lane + kt - 1] * y[c][lane], for the three kt and Channels outputs.
template <int Channels>
C4D_INLINE void gradient_block(const float* x, const float* y, int64_t y_pitch, int64_t vectors,
                               const FrameMasks& masks, float* sums) {
  Vec kept[3][Channels] = {};
  for (int64_t v = 0; v < vectors; ++v, x += kLanes, y += kLanes) {
    const Vec lanes[3] = {load_masked(x - 1, masks.before[v]), load(x), load_masked(x + 1, masks.after[v])};
    C4D_UNROLL
    for (int c = 0; c < Channels; ++c) {
      const Vec dy = load(y + c * y_pitch);
      C4D_UNROLL
      for (int kt = 0; kt < 3; ++kt) kept[kt][c] += lanes[kt] * dy;
    }
  }
  C4D_UNROLL
  for (int kt = 0; kt < 3; ++kt) add_lane_sums(kept[kt], sums + kt * kChannels);
}

// How the work is shared among jobs; from the shape alone.
struct GradientPlan {
  int64_t columns;  // groups of columns of points
  int64_t pieces;   // of the units of work
};

constexpr int64_t kMaxPieces = 16, kMinJobs = 8;
constexpr int64_t kLanesPerPiece = 1024;
constexpr int64_t kPartialBytes = int64_t(64) << 20;

C4D_INLINE GradientPlan plan_gradient(const c4d_problem& p, int tile, int64_t weight_floats) {
  const int a = tile + 2;
  const int64_t tiles = divide_up(p.out[0], tile) * divide_up(p.out[1], tile);
  const int64_t lanes = p.batch * tiles * (p.out[2] + 1) * p.out[3];
  const int64_t affordable = larger(1, kPartialBytes / (weight_floats * static_cast<int64_t>(sizeof(float))));
  GradientPlan plan{1, larger(1, smaller(smaller(kMaxPieces, affordable), lanes / kLanesPerPiece))};
  while (plan.columns < a && plan.pieces * plan.columns < kMinJobs) {
    do ++plan.columns;
    while (a % plan.columns != 0);
  }
  return plan;
}

template <int M, class Storage>
struct WinogradGradWeight {
  static constexpr int A = M + 2, kPoints = A * A;
  const c4d_problem& p;
  const Storage *x, *dy;
  GradientPlan plan;
  Tiling t;
  FrameMasks masks;
  float* partial;  // [piece][block][point][in][kd][kt][8]

  int64_t outs() const { return divide_up(p.out_channels, kChannels) * kChannels; }
  int64_t piece_floats() const { return outs() / kChannels * kPoints * point_floats(p.in_channels); }
  int64_t columns() const { return A / plan.columns; }
  int64_t x_floats() const { return columns() * A * p.in_channels * t.in_pitch; }
  int64_t y_floats() const { return columns() * A * outs() * t.out_pitch; }
  size_t job_bytes() const {
    const int64_t packed = larger(kPoints * t.in_pitch, M * M * t.out_pitch);
    return static_cast<size_t>(kLanes + x_floats() + y_floats() + packed) * sizeof(float);
  }

  // Transforms the input rows and the gradient rows of a unit, at the columns of points from `column` on.
  void transform(const Unit& u, int column, float* points, float* gradients, float* packed) const {
    const int end = column + static_cast<int>(columns());
    const int64_t in_volume = p.in[0] * p.in[1] * p.in[2] * p.in[3];
    const int64_t out_volume = p.out[0] * p.out[1] * p.out[2] * p.out[3];
    for (int64_t in = 0; in < p.in_channels; ++in) {
      const Storage* channel = x + (u.sample * p.in_channels + in) * in_volume;
      pack_channel(channel, p.in, t, u, M, A, p.padding, 2, packed, t.in_pitch);
      transform_input<M>(packed, t.in_pitch, points + in * t.in_pitch, p.in_channels * t.in_pitch, column, end);
    }
    const int64_t no_lead[4] = {0, 0, 0, 0};
    for (int64_t o = 0; o < p.out_channels; ++o) {
      const Storage* channel = dy + (u.sample * p.out_channels + o) * out_volume;
      pack_channel(channel, p.out, t, u, M, M, no_lead, 0, packed, t.out_pitch);
      for (int64_t i = 0; i < t.vectors * kLanes; i += kLanes) {
        transform_square<M, A>(packed + i, t.out_pitch, [](const Vec* d, Vec* q) { Transform<M>::gradient(d, q); },
                               gradients + o * t.out_pitch + i, outs() * t.out_pitch, column, end);
      }
    }
  }

  void multiply(const float* points, const float* gradients, int64_t column, float* sums) const {
    for (int64_t block = 0; block < outs() / kChannels; ++block) {
      for (int64_t point = 0; point < columns() * A; ++point) {
        float* to = sums + (block * kPoints + column * A + point) * point_floats(p.in_channels);
        const float* y = gradients + (point * outs() + block * kChannels) * t.out_pitch;
        const float* row = points + point * p.in_channels * t.in_pitch;
        for (int64_t in = 0; in < p.in_channels; ++in, row += t.in_pitch) {
          for (int64_t kd = 0; kd < 3; ++kd, to += 3 * kChannels) {
            for (int c = 0; c < kChannels; c += kBlockChannels) {
              gradient_block<kBlockChannels>(row + kd * t.frames, y + c * t.out_pitch, t.out_pitch, t.vectors, masks,
                                             to + c);
            }
          }
        }
      }
    }
  }

  void piece(int64_t index, int64_t column_group, float* memory) const {
    const int64_t column = column_group * columns(), units = p.batch * t.units;
    float *points = memory + kLanes, *gradients = points + x_floats(), *packed = gradients + y_floats();
    float* sums = partial + index * piece_floats();
    clear(memory, kLanes);
    clear(gradients, y_floats());  // channels that do not exist stay zero
    for (int64_t block = 0; block < outs() / kChannels; ++block) {
      clear(sums + (block * kPoints + column * A) * point_floats(p.in_channels),
            columns() * A * point_floats(p.in_channels));
    }
    for (int64_t i = units * index / plan.pieces; i < units * (index + 1) / plan.pieces; ++i) {
      const Unit u = unit_at(t, p.out, i);
      transform(u, static_cast<int>(column), points, gradients, packed);
      multiply(points, gradients, column, sums);
    }
  }
};

template <int M, class Storage>
static int winograd_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw,
                                c4d_parallel_for run) {
  using Kernel = WinogradGradWeight<M, Storage>;
  Kernel kernel{p, static_cast<const Storage*>(x), static_cast<const Storage*>(dy), {1, 1}, {}, {}, nullptr};
  kernel.plan = plan_gradient(p, M, kernel.piece_floats());
  const int64_t lane_floats = kernel.columns() * Kernel::A * (p.in_channels + kernel.outs());
  const int64_t lanes = kScratchBytes / (lane_floats * static_cast<int64_t>(sizeof(float)));
  const int64_t min_units = divide_up(kernel.plan.pieces, larger(p.batch, 1));
  kernel.t = make_tiling(p.out, p.padding[2], M, smaller(kMaxLanes, larger(64, lanes)), min_units);
  kernel.plan.pieces = larger(1, smaller(kernel.plan.pieces, p.batch * kernel.t.units));
  const size_t sums = static_cast<size_t>(kernel.plan.pieces * kernel.piece_floats()) * sizeof(float);
  Scratch call(ScratchUse::kCall, sums + mask_bytes(kernel.t));
  if (!call) return C4D_NO_MEMORY;
  kernel.partial = call.floats();
  kernel.masks = make_masks(kernel.t, reinterpret_cast<char*>(call.floats()) + sums);
  Failure failure;
  parallel(run, kernel.plan.pieces * kernel.plan.columns, [&](int64_t job) {
    Scratch memory(ScratchUse::kJob, kernel.job_bytes());
    if (!memory) return failure.set();
    kernel.piece(job / kernel.plan.columns, job % kernel.plan.columns, memory.floats());
  });
  if (failure.any()) return C4D_NO_MEMORY;
  parallel(run, kernel.outs() / kChannels * p.in_channels, [&](int64_t job) {
    unpack_gradient<M>(kernel.partial, kernel.plan.pieces, kernel.piece_floats(), job / p.in_channels,
                       job % p.in_channels, p.in_channels, p.out_channels, static_cast<Storage*>(dw));
  });
  return C4D_OK;
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_WINOGRAD_GRAD_WEIGHT_H
