// SPDX-License-Identifier: Apache-2.0
// Gradient of 3x3x3x3 weights, stride 1, by Winograd F(m x m, 3x3) over (H, W):
//   dU[point][out][in][kd][kt] = sum over lanes of (B^T x B)[lane + kd * T + kt - 1] * (A dy A^T)[lane].
//
// Two plans. Large volumes: the units of work are cut into pieces; a job transforms and multiplies the units of a piece
// one by one into partial sums of its own, and these are added in order at the end. Small volumes: all units are
// transformed first; then a job takes one point of one block of output channels, through all units, and there is only
// one set of sums.
#ifndef CARDIAC4D_WINOGRAD_GRAD_WEIGHT_H
#define CARDIAC4D_WINOGRAD_GRAD_WEIGHT_H

#include "winograd_correlate.h"

namespace c4d {
namespace C4D_ISA {

// Rows of several units, `step` floats from unit to unit.
struct Rows {
  const float* at;
  int64_t step;
};

// sums[kt][c] += sum over units and lanes of x[lane + kt - 1] * y[c][lane], for the three kt and Channels outputs.
template <int Channels, class Sum>
C4D_INLINE void gradient_block(Rows x, Rows y, int64_t units, int64_t y_pitch, int64_t vectors,
                               const FrameMasks& masks, Sum* sums) {
  Vec kept[3][Channels] = {};
  for (int64_t unit = 0; unit < units; ++unit) {
    const float *x_row = x.at + unit * x.step, *y_row = y.at + unit * y.step;
    for (int64_t v = 0; v < vectors; ++v, x_row += kLanes, y_row += kLanes) {
      const Vec lanes[3] = {load_masked(x_row - 1, masks.before[v]), load(x_row),
                            load_masked(x_row + 1, masks.after[v])};
      C4D_UNROLL
      for (int c = 0; c < Channels; ++c) {
        const Vec dy = load(y_row + c * y_pitch);
        C4D_UNROLL
        for (int kt = 0; kt < 3; ++kt) kept[kt][c] += lanes[kt] * dy;
      }
    }
  }
  C4D_UNROLL
  for (int kt = 0; kt < 3; ++kt) add_lane_sums(kept[kt], sums + kt * kChannels);
}

// How the products of a weight gradient are summed up, over all voxels. As with kChainInputs, rounding counts for
// F(2x2) alone: there a chain of float32 additions ends after so many vectors of lanes (0: after all that a call
// brings), and chains are added in double precision.
template <int M>
struct GradientSums {
  typedef float Sum;
  static constexpr int64_t kChainVectors = 0;
};
template <>
struct GradientSums<2> {
  typedef double Sum;
  static constexpr int64_t kChainVectors = 4;
};

constexpr int64_t kMaxPieces = 16;
constexpr int64_t kLanesPerPiece = 1024;                 // fewer do not pay for sums of their own
constexpr int64_t kPartialBytes = int64_t(64) << 20;     // of all pieces
constexpr int64_t kTransformedBytes = int64_t(8) << 20;  // of all units of a small volume

template <int M, class Storage>
struct WinogradGradWeight {
  static constexpr int A = M + 2, kPoints = A * A;
  static constexpr int64_t kChainVectors = GradientSums<M>::kChainVectors;
  typedef typename GradientSums<M>::Sum Sum;
  const c4d_problem& p;
  const Storage *x, *dy;
  Norm norm;  // with its ReLU of x
  Tiling t;
  FrameMasks masks;
  int64_t pieces;
  Sum* partial;  // [piece][block][point][in][kd][kt][8]

  int64_t units() const { return p.batch * t.units; }
  int64_t outs() const { return divide_up(p.out_channels, kChannels) * kChannels; }
  int64_t piece_sums() const { return outs() / kChannels * kPoints * point_floats(p.in_channels); }
  // A transformed unit: a vector of slack for the lane before the first, inputs, gradients.
  int64_t x_floats() const { return kPoints * p.in_channels * t.in_pitch; }
  int64_t y_floats() const { return kPoints * outs() * t.out_pitch; }
  int64_t unit_floats() const { return kLanes + x_floats() + y_floats(); }
  int64_t packed_floats() const { return larger(kPoints * t.in_pitch, M * M * t.out_pitch); }
  bool is_small() const {
    const int64_t bytes = units() * unit_floats() * static_cast<int64_t>(sizeof(float));
    return bytes <= kTransformedBytes;
  }

  void transform_x(const Unit& u, int64_t in, float* unit, float* packed) const {
    const int64_t volume = p.in[0] * p.in[1] * p.in[2] * p.in[3];
    const int64_t channel = u.sample * p.in_channels + in;
    pack_channel(x + channel * volume, p.in, channel_norm(norm, channel), t, u, M, A, p.padding, 2, packed,
                 t.in_pitch);
    if (in == 0) clear(unit, kLanes);
    transform_input<M>(packed, t.in_pitch, unit + kLanes + in * t.in_pitch, p.in_channels * t.in_pitch);
  }

  // Outputs that do not exist, which fill the last block, become zeros.
  void transform_dy(const Unit& u, int64_t o, float* unit, float* packed) const {
    float* to = unit + kLanes + x_floats() + o * t.out_pitch;
    const int64_t point_pitch = outs() * t.out_pitch, no_lead[4] = {0, 0, 0, 0};
    if (o >= p.out_channels) {
      for (int point = 0; point < kPoints; ++point) clear(to + point * point_pitch, t.out_pitch);
      return;
    }
    const int64_t volume = p.out[0] * p.out[1] * p.out[2] * p.out[3];
    pack_channel(dy + (u.sample * p.out_channels + o) * volume, p.out, channel_norm({}, 0), t, u, M, M, no_lead, 0,
                 packed, t.out_pitch);
    for (int64_t i = 0; i < t.vectors * kLanes; i += kLanes) {
      transform_square<M, A>(packed + i, t.out_pitch, [](const Vec* d, Vec* q) { Transform<M>::gradient(d, q); },
                             to + i, point_pitch);
    }
  }

  // Adds one point's products of `count` transformed units to the sums of that point and block.
  void multiply(const float* first_unit, int64_t count, int64_t block, int64_t point, Sum* sums) const {
    sums += (block * kPoints + point) * point_floats(p.in_channels);
    const float* y = first_unit + kLanes + x_floats() + (point * outs() + block * kChannels) * t.out_pitch;
    const float* row = first_unit + kLanes + point * p.in_channels * t.in_pitch;
    for (int64_t in = 0; in < p.in_channels; ++in, row += t.in_pitch) {
      for (int64_t kd = 0; kd < 3; ++kd, sums += 3 * kChannels) {
        for (int c = 0; c < kChannels; c += kBlockChannels) {
          const Rows x_rows{row + kd * t.frames, unit_floats()}, y_rows{y + c * t.out_pitch, unit_floats()};
          if constexpr (kChainVectors == 0) {
            gradient_block<kBlockChannels>(x_rows, y_rows, count, t.out_pitch, t.vectors, masks, sums + c);
          } else {
            multiply_chains(x_rows, y_rows, count, sums + c);
          }
        }
      }
    }
  }

  // Chains of several small units, or of a part of a large one.
  C4D_INLINE_MEMBER void multiply_chains(Rows x, Rows y, int64_t count, Sum* sums) const {
    const int64_t units = larger(1, kChainVectors / t.vectors), vectors = smaller(kChainVectors, t.vectors);
    for (int64_t unit = 0, some; unit < count; unit += some) {
      some = smaller(units, count - unit);
      for (int64_t v = 0, take; v < t.vectors; v += take) {
        take = smaller(vectors, t.vectors - v);
        const int64_t at = unit * x.step + v * kLanes;
        gradient_block<kBlockChannels>({x.at + at, x.step}, {y.at + at, y.step}, some, t.out_pitch, take,
                                       {masks.before + v, masks.after + v}, sums);
      }
    }
  }

  void piece(int64_t index, float* memory) const {
    float* packed = memory + unit_floats();
    Sum* sums = partial + index * piece_sums();
    clear(sums, piece_sums());
    for (int64_t i = units() * index / pieces; i < units() * (index + 1) / pieces; ++i) {
      const Unit u = unit_at(t, p.out, i);
      for (int64_t in = 0; in < p.in_channels; ++in) transform_x(u, in, memory, packed);
      for (int64_t o = 0; o < outs(); ++o) transform_dy(u, o, memory, packed);
      for (int64_t block = 0; block < outs() / kChannels; ++block) {
        for (int64_t point = 0; point < kPoints; ++point) multiply(memory, 1, block, point, sums);
      }
    }
  }

  bool sum_pieces(c4d_parallel_for run) const {
    Failure failure;
    parallel(run, pieces, [&](int64_t job) {
      Scratch memory(ScratchUse::kJob, static_cast<size_t>(unit_floats() + packed_floats()) * sizeof(float));
      if (!memory) return failure.set();
      piece(job, memory.floats());
    });
    return !failure.any();
  }

  // The plan for small volumes; `transformed` holds all units.
  bool sum_points(float* transformed, c4d_parallel_for run) const {
    const int64_t channels = p.in_channels + outs();
    Failure failure;
    parallel(run, units() * channels, [&](int64_t job) {
      Scratch packed(ScratchUse::kJob, static_cast<size_t>(packed_floats()) * sizeof(float));
      if (!packed) return failure.set();
      const Unit u = unit_at(t, p.out, job / channels);
      float* unit = transformed + job / channels * unit_floats();
      const int64_t channel = job % channels;
      if (channel < p.in_channels) return transform_x(u, channel, unit, packed.floats());
      transform_dy(u, channel - p.in_channels, unit, packed.floats());
    });
    if (failure.any()) return false;
    parallel(run, outs() / kChannels * kPoints, [&](int64_t job) {
      clear(partial + job * point_floats(p.in_channels), point_floats(p.in_channels));
      multiply(transformed, units(), job / kPoints, job % kPoints, partial);
    });
    return true;
  }
};

template <int M, class Storage>
static int winograd_grad_weight(const c4d_problem& p, const void* x, const Norm& norm, const void* dy, void* dw,
                                c4d_parallel_for run) {
  WinogradGradWeight<M, Storage> kernel{p,    static_cast<const Storage*>(x), static_cast<const Storage*>(dy),
                                        norm, {}, {}, 1, nullptr};
  constexpr int64_t kFloat = sizeof(float), kSum = sizeof(typename WinogradGradWeight<M, Storage>::Sum);
  const int64_t lanes = kScratchBytes / (kernel.kPoints * (p.in_channels + kernel.outs()) * kFloat);
  const int64_t min_units = divide_up(kMaxPieces, larger(p.batch, 1));
  kernel.t = make_tiling(p.out, p.padding[2], M, smaller(kMaxLanes, larger(64, lanes)), min_units);
  const bool small = kernel.is_small();
  if (!small) {
    const int64_t worth = kernel.units() * kernel.t.vectors * kLanes / kLanesPerPiece;
    const int64_t affordable = larger(4, kPartialBytes / (kernel.piece_sums() * kSum));
    kernel.pieces = larger(1, smaller(smaller(kMaxPieces, kernel.units()), smaller(worth, affordable)));
  }
  const int64_t sums = kernel.pieces * kernel.piece_sums() * kSum / kFloat;  // in floats
  const int64_t transformed = small ? kernel.units() * kernel.unit_floats() : 0;
  Scratch call(ScratchUse::kCall, static_cast<size_t>((sums + transformed) * kFloat) + mask_bytes(kernel.t));
  if (!call) return C4D_NO_MEMORY;
  kernel.partial = reinterpret_cast<typename decltype(kernel)::Sum*>(call.floats());
  kernel.masks = make_masks(kernel.t, call.floats() + sums + transformed);
  const bool done = small ? kernel.sum_points(call.floats() + sums, run) : kernel.sum_pieces(run);
  if (!done) return C4D_NO_MEMORY;
  parallel(run, kernel.outs() / kChannels * p.in_channels, [&](int64_t job) {
    unpack_gradient<M>(kernel.partial, kernel.pieces, kernel.piece_sums(), job / p.in_channels,
                       job % p.in_channels, p.in_channels, p.out_channels, static_cast<Storage*>(dw));
  });
  return C4D_OK;
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_WINOGRAD_GRAD_WEIGHT_H
