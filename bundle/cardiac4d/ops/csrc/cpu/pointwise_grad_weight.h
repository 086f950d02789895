// SPDX-License-Identifier: Apache-2.0
// Weight gradient of the 1x1x1x1 convolution: dw[out][in] = sum over voxels of dy[out] * x[in]. Pieces of the voxels
// have sums of their own, added in order at the end.
#ifndef CARDIAC4D_POINTWISE_GRAD_WEIGHT_H
#define CARDIAC4D_POINTWISE_GRAD_WEIGHT_H

#include "pointwise.h"

namespace c4d {
namespace C4D_ISA {

// sums[in][c] += sum over lanes of x[in][lane] * y[c][lane], for Ins inputs and Channels outputs.
template <int Ins, int Channels>
C4D_INLINE void pointwise_gradient_block(const Strip& x, const Strip& y, int64_t lanes, float* sums) {
  Vec kept[Ins][Channels] = {};
  for (int64_t i = 0; i < lanes; i += kLanes) {
    Vec values[Ins];
    C4D_UNROLL
    for (int in = 0; in < Ins; ++in) values[in] = load(x.first + in * x.pitch + i);
    C4D_UNROLL
    for (int c = 0; c < Channels; ++c) {
      const Vec dy = load(y.first + c * y.pitch + i);
      C4D_UNROLL
      for (int in = 0; in < Ins; ++in) kept[in][c] += values[in] * dy;
    }
  }
  C4D_UNROLL
  for (int in = 0; in < Ins; ++in) add_lane_sums(kept[in], sums + in * kChannels);
}

constexpr int64_t kPointwiseMaxPieces = 16, kPointwisePartialFloats = int64_t(16) << 20;

template <class Storage>
struct PointwiseGradWeight {
  int64_t batch, groups, ins, outs, volume;  // channels of one group
  const Storage *x, *dy;
  float* partial;  // [piece][group][block of outputs][in][8]

  // Outputs are computed kBlockChannels at a time; those that do not exist are zeros.
  int64_t blocks() const { return divide_up(outs, kBlockChannels); }
  int64_t group_floats() const { return blocks() * ins * kChannels; }
  int64_t strips() const { return divide_up(volume, kStripLanes); }
  int64_t pieces() const {
    const int64_t affordable = larger(1, kPointwisePartialFloats / (groups * group_floats()));
    return smaller(smaller(kPointwiseMaxPieces, affordable), batch * strips());
  }
  size_t job_bytes() const {
    return static_cast<size_t>((ins + blocks() * kBlockChannels) * kStripPitch) * sizeof(float);
  }

  void multiply(const Strip& packed_x, const Strip& packed_y, int64_t lanes, float* sums) const {
    for (int64_t block = 0; block < blocks(); ++block) {
      const Strip y{packed_y.first + block * kBlockChannels * packed_y.pitch, packed_y.pitch};
      Strip rest = packed_x;
      int64_t in = 0;
      for (; in + 2 <= ins; in += 2, sums += 2 * kChannels, rest.first += 2 * rest.pitch) {
        pointwise_gradient_block<2, kBlockChannels>(rest, y, lanes, sums);
      }
      if (in == ins) continue;
      pointwise_gradient_block<1, kBlockChannels>(rest, y, lanes, sums);
      sums += kChannels;
    }
  }

  void piece(int64_t index, int64_t group, float* memory) const {
    const int64_t units = batch * strips();
    float* sums = partial + (index * groups + group) * group_floats();
    clear(sums, group_floats());
    for (int64_t i = units * index / pieces(); i < units * (index + 1) / pieces(); ++i) {
      const int64_t sample_group = i / strips() * groups + group, first = i % strips() * kStripLanes;
      const int64_t voxels = smaller(kStripLanes, volume - first);
      const Strip inputs = read_strip(x + sample_group * ins * volume + first, volume, ins, ins, voxels, memory);
      const Strip gradients = read_strip(dy + sample_group * outs * volume + first, volume, outs,
                                         blocks() * kBlockChannels, voxels, memory + ins * kStripPitch);
      multiply(inputs, gradients, divide_up(voxels, kLanes) * kLanes, sums);
    }
  }

  void reduce(Storage* dw) const {
    for (int64_t out = 0; out < groups * outs; ++out) {
      const int64_t group = out / outs, o = out % outs;
      const float* from = partial + group * group_floats() + o / kBlockChannels * ins * kChannels + o % kBlockChannels;
      for (int64_t in = 0; in < ins; ++in) {
        double sum = 0;
        for (int64_t piece = 0; piece < pieces(); ++piece) {
          sum += from[piece * groups * group_floats() + in * kChannels];
        }
        convert(static_cast<float>(sum), dw[out * ins + in]);
      }
    }
  }
};

template <class Storage>
static int pointwise_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, c4d_parallel_for run) {
  PointwiseGradWeight<Storage> kernel{p.batch, p.groups, p.in_channels / p.groups, p.out_channels / p.groups,
                                      voxels_of(p), static_cast<const Storage*>(x), static_cast<const Storage*>(dy),
                                      nullptr};
  const int64_t floats = kernel.pieces() * kernel.groups * kernel.group_floats();
  Scratch sums(ScratchUse::kCall, static_cast<size_t>(floats) * sizeof(float));
  if (!sums) return C4D_NO_MEMORY;
  kernel.partial = sums.floats();
  Failure failure;
  parallel(run, kernel.pieces() * kernel.groups, [&](int64_t job) {
    Scratch memory(ScratchUse::kJob, kernel.job_bytes());
    if (!memory) return failure.set();
    kernel.piece(job / kernel.groups, job % kernel.groups, memory.floats());
  });
  if (failure.any()) return C4D_NO_MEMORY;
  kernel.reduce(static_cast<Storage*>(dw));
  return C4D_OK;
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_POINTWISE_GRAD_WEIGHT_H
