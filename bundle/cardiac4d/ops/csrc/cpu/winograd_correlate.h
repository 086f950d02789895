// SPDX-License-Identifier: Apache-2.0
// 3x3x3x3 correlation of stride 1 by Winograd F(m x m, 3x3) over (H, W), direct over D, T and channels.
//
// A unit of work packs its input rows, transforms them into `points` = (m + 2)^2 rows per channel, multiplies point by
// point (one point's weights stay in the first-level cache) and transforms the products of 8 channels back.
#ifndef CARDIAC4D_WINOGRAD_CORRELATE_H
#define CARDIAC4D_WINOGRAD_CORRELATE_H

#include "epilogue.h"
#include "scratch.h"
#include "winograd_tiles.h"
#include "winograd_weights.h"

namespace c4d {
namespace C4D_ISA {

// Input channels, with 9 taps each, that one chain of float32 additions takes; 0: all. Its rounding errors grow with
// its length. Beside those of the transforms of F(4x4) they hardly count, but they are nearly all of the error of
// F(2x2): there chains are short, and then added.
template <int M>
constexpr int64_t kChainInputs = M == 2 ? 4 : 0;

// Vectors x Channels products at one point: out[c] = sum over inputs, kd, kt of x[lane + kd * T + kt - 1] * w[..][c],
// added to what out holds if `adds`.
template <int Vectors, int Channels>
C4D_INLINE void multiply_block(const float* x, int64_t pitch, int64_t ins, int64_t frames, const float* w,
                               const Mask* before, const Mask* after, bool adds, float* out, int64_t out_pitch) {
  Vec sums[Vectors][Channels] = {};
  for (int64_t in = 0; in < ins; ++in, x += pitch) {
    for (int64_t kd = 0; kd < 3; ++kd) {
      const float* row = x + kd * frames;
      __builtin_prefetch(x + 2 * frames + (Vectors + kd) * kLanes);  // what the next block reads first
      C4D_UNROLL
      for (int kt = 0; kt < 3; ++kt, w += kChannels) {
        Vec lanes[Vectors];
        C4D_UNROLL
        for (int v = 0; v < Vectors; ++v) {
          const float* from = row + v * kLanes + kt - 1;
          lanes[v] = kt == 1 ? load(from) : load_masked(from, kt == 0 ? before[v] : after[v]);
        }
        C4D_UNROLL
        for (int c = 0; c < Channels; ++c) {
          const Vec tap = broadcast(w[c]);
          C4D_UNROLL
          for (int v = 0; v < Vectors; ++v) sums[v][c] += lanes[v] * tap;
        }
      }
    }
  }
  C4D_UNROLL
  for (int c = 0; c < Channels; ++c) {
    C4D_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      float* to = out + c * out_pitch + v * kLanes;
      store(to, adds ? load(to) + sums[v][c] : sums[v][c]);
    }
  }
}

// The same in chains, which are added in order.
template <int M, int Vectors, int Channels>
C4D_INLINE void multiply_chains(const float* x, int64_t pitch, int64_t ins, int64_t frames, const float* w,
                                const Mask* before, const Mask* after, float* out, int64_t out_pitch) {
  if constexpr (kChainInputs<M> == 0) {
    multiply_block<Vectors, Channels>(x, pitch, ins, frames, w, before, after, false, out, out_pitch);
  } else {
    for (int64_t in = 0; in < ins; in += kChainInputs<M>) {
      multiply_block<Vectors, Channels>(x + in * pitch, pitch, smaller(ins - in, kChainInputs<M>), frames,
                                        w + point_floats(in), before, after, in > 0, out, out_pitch);
    }
  }
}

// All lanes of one point, for a block of 8 output channels.
template <int M>
static void multiply_point(const float* x, const Tiling& t, int64_t ins, const float* w, const FrameMasks& masks,
                           float* out) {
  for (int64_t v = 0, take; v < t.vectors; v += take) {
    take = next_block(t.vectors - v);
    for (int c = 0; c < kChannels; c += kBlockChannels) {
      const float* from = x + v * kLanes;
      float* to = out + c * t.out_pitch + v * kLanes;
      const Mask *before = masks.before + v, *after = masks.after + v;
      if (kBlockVectors >= 3 && take == 3) {
        multiply_chains<M, 3, kBlockChannels>(from, t.in_pitch, ins, t.frames, w + c, before, after, to, t.out_pitch);
      } else if (take == 2) {
        multiply_chains<M, 2, kBlockChannels>(from, t.in_pitch, ins, t.frames, w + c, before, after, to, t.out_pitch);
      } else {
        multiply_chains<M, 1, kBlockChannels>(from, t.in_pitch, ins, t.frames, w + c, before, after, to, t.out_pitch);
      }
    }
  }
}

// Packed rows of one channel, at every position of a tile, to their transform.
template <int M>
static void transform_input(const float* rows, int64_t pitch, float* points, int64_t point_pitch) {
  for (int64_t i = 0; i < pitch; i += kLanes) {
    transform_square<M + 2, M + 2>(rows + i, pitch, [](const Vec* d, Vec* u) { Transform<M>::input(d, u); },
                                   points + i, point_pitch);
  }
}

// The products of one output channel back to m x m rows of outputs, with the bias.
template <int M>
static void transform_output(const float* products, int64_t point_pitch, const Tiling& t, float bias, float* rows) {
  constexpr int A = M + 2;
  const Vec offset = broadcast(bias);
  for (int64_t i = 0; i < t.vectors * kLanes; i += kLanes) {
    Vec half[A][M];
    for (int w = 0; w < A; ++w) {
      Vec q[A];
      C4D_UNROLL
      for (int h = 0; h < A; ++h) q[h] = load(products + i + (w * A + h) * point_pitch);
      Transform<M>::output(q, half[w]);
    }
    C4D_UNROLL
    for (int h = 0; h < M; ++h) {
      Vec q[A], y[M];
      C4D_UNROLL
      for (int w = 0; w < A; ++w) q[w] = half[w][h];
      Transform<M>::output(q, y);
      C4D_UNROLL
      for (int w = 0; w < M; ++w) store(rows + i + (h * M + w) * t.out_pitch, y[w] + offset);
    }
  }
}

// Calls body(row, place, count) for every row of outputs of a unit: where its floats begin among those of a channel,
// its place in the volume and its length.
template <int M, class Body>
C4D_INLINE void for_output_rows(const int64_t (&size)[4], const Tiling& t, const Unit& u, const Body& body) {
  for (int64_t j = 0; j < u.tiles; ++j) {
    const int64_t first_h = (u.first_tile + j) / t.tiles_w * M, first_w = (u.first_tile + j) % t.tiles_w * M;
    for (int64_t h = 0; h < smaller(M, size[0] - first_h); ++h) {
      for (int64_t w = 0; w < smaller(M, size[1] - first_w); ++w) {
        const int64_t position = ((first_h + h) * size[1] + first_w + w) * size[2] + u.first_slice;
        body((h * M + w) * t.out_pitch + j * t.tile_pitch, position * t.frames, u.slices * t.frames);
      }
    }
  }
}

template <int M, class Storage>
struct WinogradCorrelate {
  static constexpr int A = M + 2, kPoints = A * A;
  const Correlation& c;
  Tiling t;
  const float* weights;
  FrameMasks masks;
  double* partial;  // [sample, unit][output][2], or null: what the units add to the sums of the epilogue

  // Job memory: a vector of slack for the lane before the first, the transformed input, then the packed rows of one
  // channel or, later, the products and the output rows of a block, and a row for the epilogue.
  int64_t input_floats() const { return kPoints * c.ins * t.in_pitch; }
  int64_t product_floats() const { return kPoints * kChannels * t.out_pitch; }
  size_t job_bytes() const {
    const int64_t later = larger(kPoints * t.in_pitch, product_floats() + (M * M + 1) * t.out_pitch);
    return static_cast<size_t>(kLanes + input_floats() + later) * sizeof(float);
  }

  int64_t output_bytes() const {
    return c.batch * c.outs * c.out[0] * c.out[1] * c.out[2] * c.out[3] * static_cast<int64_t>(sizeof(Storage));
  }

  void unit(int64_t index, float* memory) const {
    const Unit u = unit_at(t, c.out, index);
    float *points = memory + kLanes, *shared = points + input_floats();
    clear(memory, kLanes);
    const int64_t in_volume = c.in[0] * c.in[1] * c.in[2] * c.in[3];
    const Storage* sample = static_cast<const Storage*>(c.input) + u.sample * c.ins * in_volume;
    for (int64_t in = 0; in < c.ins; ++in) {
      pack_channel(sample + in * in_volume, c.in, channel_norm(c.norm, u.sample * c.ins + in), t, u, M, A, c.lead, 2,
                   shared, t.in_pitch);
      transform_input<M>(shared, t.in_pitch, points + in * t.in_pitch, c.ins * t.in_pitch);
    }
    for (int64_t block = 0; block < divide_up(c.outs, kChannels); ++block) outputs(u, index, block, points, shared);
    end_streaming();
  }

  void outputs(const Unit& u, int64_t index, int64_t block, const float* points, float* products) const {
    for (int64_t point = 0; point < kPoints; ++point) {
      multiply_point<M>(points + point * c.ins * t.in_pitch, t, c.ins,
                        weights + (block * kPoints + point) * point_floats(c.ins), masks,
                        products + point * kChannels * t.out_pitch);
    }
    const int64_t out_volume = c.out[0] * c.out[1] * c.out[2] * c.out[3], first = block * kChannels;
    float* rows = products + product_floats();
    for (int64_t o = 0; o < smaller(kChannels, c.outs - first); ++o) {
      float bias = 0;
      if (c.bias != nullptr) convert(static_cast<const Storage*>(c.bias)[first + o], bias);
      const int64_t channel = u.sample * c.outs + first + o;
      Storage* output = static_cast<Storage*>(c.output) + channel * out_volume;
      ChannelEpilogue<Storage> epilogue(c.epilogue, channel, out_volume, is_streamed(output_bytes()),
                                        rows + M * M * t.out_pitch);
      if (epilogue.reads()) {
        for_output_rows<M>(c.out, t, u, [&](int64_t, int64_t place, int64_t n) { epilogue.prefetch(place, n); });
      }
      transform_output<M>(products + o * t.out_pitch, kChannels * t.out_pitch, t, bias, rows);
      for_output_rows<M>(c.out, t, u, [&](int64_t row, int64_t place, int64_t count) {
        epilogue.finish(rows + row, place, count, output);
      });
      if (partial != nullptr) epilogue.sums.store(partial + (index * c.outs + first + o) * 2);
    }
  }
};

template <int M, class Storage>
static int winograd_correlate(const Correlation& c, c4d_parallel_for run) {
  using Kernel = WinogradCorrelate<M, Storage>;
  const int64_t lane_bytes = Kernel::kPoints * (c.ins + kChannels) * static_cast<int64_t>(sizeof(float));
  const int64_t lanes = smaller(kMaxLanes, larger(64, kScratchBytes / lane_bytes));
  const int64_t min_units = divide_up(16, larger(c.batch, 1));
  Kernel kernel{c, make_tiling(c.out, c.lead[2], M, lanes, min_units), nullptr, {nullptr, nullptr}, nullptr};
  const int64_t weights = divide_up(c.outs, kChannels) * Kernel::kPoints * point_floats(c.ins);
  const int64_t sums = c.epilogue.sums == nullptr ? 0 : c.batch * kernel.t.units * c.outs * 2;
  const int64_t partial = divide_up(sums, 8) * 8;  // whole cache lines: masks must be aligned
  const size_t partial_bytes = static_cast<size_t>(partial) * sizeof(double);
  Scratch call(ScratchUse::kCall, partial_bytes + static_cast<size_t>(weights) * sizeof(float) + mask_bytes(kernel.t));
  if (!call) return C4D_NO_MEMORY;
  float* packed = reinterpret_cast<float*>(call.doubles() + partial);
  pack_weights<M, Storage>(c, packed, run);
  kernel.weights = packed;
  kernel.masks = make_masks(kernel.t, packed + weights);
  if (partial > 0) kernel.partial = call.doubles();
  Failure failure;
  parallel(run, c.batch * kernel.t.units, [&](int64_t index) {
    Scratch job(ScratchUse::kJob, kernel.job_bytes());
    if (!job) return failure.set();
    kernel.unit(index, job.floats());
  });
  if (failure.any()) return C4D_NO_MEMORY;
  if (partial > 0) sum_in_order(kernel.partial, c.batch, kernel.t.units, c.outs * 2, c.epilogue.sums);
  return C4D_OK;
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_WINOGRAD_CORRELATE_H
