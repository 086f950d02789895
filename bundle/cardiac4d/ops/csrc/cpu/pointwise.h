// SPDX-License-Identifier: Apache-2.0
// The 1x1x1x1 convolution of stride 1 without padding: at every voxel a product with the same small matrix. Voxels lie
// contiguously in every channel, so lanes need no tile, no halo and, in float32, no packing: the work is reading and
// writing each tensor once. Input gradient: the same with the matrix transposed.
#ifndef CARDIAC4D_POINTWISE_H
#define CARDIAC4D_POINTWISE_H

#include "half.h"
#include "isa.h"
#include "parallel.h"
#include "scratch.h"
#include "simd.h"

namespace c4d {
namespace C4D_ISA {

constexpr int64_t kStripLanes = 512;           // voxels of a strip: its channels stay in the cache
constexpr int64_t kStripPitch = kStripLanes + kLanes;  // strips of neighbouring channels on different cache lines
constexpr int64_t kJobLanes = 4 * kStripLanes;

C4D_INLINE int64_t voxels_of(const c4d_problem& p) { return p.in[0] * p.in[1] * p.in[2] * p.in[3]; }

// Channels of a strip of voxels as lanes: channel c at first + c * pitch, whole vectors readable.
struct Strip {
  const float* first;
  int64_t pitch;
};

C4D_INLINE void fill_strip(const float* from, int64_t voxels, float* to) {
  memcpy(to, from, static_cast<size_t>(voxels) * sizeof(float));
}
template <class Storage>
C4D_INLINE void fill_strip(const Storage* from, int64_t voxels, float* to) {
  convert_row(from, to, voxels);
}

// Copies a strip, zeros behind its last voxel and in channels from `count` to `room`.
template <class Storage>
static Strip copy_strip(const Storage* from, int64_t volume, int64_t count, int64_t room, int64_t voxels,
                        float* memory) {
  const int64_t lanes = divide_up(voxels, kLanes) * kLanes;
  for (int64_t c = 0; c < room; ++c) {
    float* to = memory + c * kStripPitch;
    const int64_t filled = c < count ? voxels : 0;
    if (c < count) fill_strip(from + c * volume, voxels, to);
    clear(to + filled, lanes - filled);
  }
  return {memory, kStripPitch};
}

// Floats are read where they lie if the strip is whole vectors and the channels few: more of them, a power of two
// apart, fall on the same lines of the cache.
C4D_INLINE bool reads_in_place(const float*) { return true; }
template <class Storage>
C4D_INLINE bool reads_in_place(const Storage*) {
  return false;
}
C4D_INLINE Strip in_place(const float* from, int64_t volume) { return {from, volume}; }
template <class Storage>
C4D_INLINE Strip in_place(const Storage*, int64_t) {
  return {nullptr, 0};
}

constexpr int64_t kChannelsInPlace = 16;

template <class Storage>
C4D_INLINE Strip read_strip(const Storage* from, int64_t volume, int64_t count, int64_t room, int64_t voxels,
                            float* memory) {
  if (reads_in_place(from) && count == room && count <= kChannelsInPlace && voxels % kLanes == 0) {
    return in_place(from, volume);
  }
  return copy_strip(from, volume, count, room, voxels, memory);
}

// out[c][lane] = start[c] + sum over inputs of x[in][lane] * w[in][c].
template <int Vectors, int Channels>
C4D_INLINE void pointwise_block(const float* x, int64_t pitch, int64_t ins, const float* w, const float* start,
                                float* out, int64_t out_pitch) {
  Vec sums[Vectors][Channels];
  C4D_UNROLL
  for (int c = 0; c < Channels; ++c) {
    C4D_UNROLL
    for (int v = 0; v < Vectors; ++v) sums[v][c] = broadcast(start[c]);
  }
  for (int64_t in = 0; in < ins; ++in, x += pitch, w += kChannels) {
    Vec lanes[Vectors];
    C4D_UNROLL
    for (int v = 0; v < Vectors; ++v) lanes[v] = load(x + v * kLanes);
    C4D_UNROLL
    for (int c = 0; c < Channels; ++c) {
      const Vec factor = broadcast(w[c]);
      C4D_UNROLL
      for (int v = 0; v < Vectors; ++v) sums[v][c] += lanes[v] * factor;
    }
  }
  C4D_UNROLL
  for (int c = 0; c < Channels; ++c) {
    C4D_UNROLL
    for (int v = 0; v < Vectors; ++v) store(out + c * out_pitch + v * kLanes, sums[v][c]);
  }
}

// All vectors of a strip for Channels outputs.
template <int Channels>
static void pointwise_strip(const Strip& x, int64_t vectors, int64_t ins, const float* w, const float* start,
                            float* out, int64_t out_pitch) {
  int64_t v = 0;
  for (; v + 2 <= vectors; v += 2) {
    pointwise_block<2, Channels>(x.first + v * kLanes, x.pitch, ins, w, start, out + v * kLanes, out_pitch);
  }
  if (v < vectors) {
    pointwise_block<1, Channels>(x.first + v * kLanes, x.pitch, ins, w, start, out + v * kLanes, out_pitch);
  }
}

// The next number of outputs to compute at once when `left` remain.
C4D_INLINE int64_t outputs_at_once(int64_t left) {
  if (left >= kBlockChannels) return kBlockChannels;
  return smaller(left, 4);
}

static void pointwise_outputs(int64_t count, const Strip& x, int64_t vectors, int64_t ins, const float* w,
                              const float* start, float* out, int64_t out_pitch) {
  if (count == kBlockChannels) return pointwise_strip<kBlockChannels>(x, vectors, ins, w, start, out, out_pitch);
  if (count == 4) return pointwise_strip<4>(x, vectors, ins, w, start, out, out_pitch);
  if (count == 3) return pointwise_strip<3>(x, vectors, ins, w, start, out, out_pitch);
  if (count == 2) return pointwise_strip<2>(x, vectors, ins, w, start, out, out_pitch);
  pointwise_strip<1>(x, vectors, ins, w, start, out, out_pitch);
}

C4D_INLINE void store_strip(const float* from, int64_t voxels, float* to) {
  memcpy(to, from, static_cast<size_t>(voxels) * sizeof(float));
}
template <class Storage>
C4D_INLINE void store_strip(const float* from, int64_t voxels, Storage* to) {
  convert_row(from, to, voxels);
}
C4D_INLINE float* writes_in_place(float* to) { return to; }
template <class Storage>
C4D_INLINE float* writes_in_place(Storage*) {
  return nullptr;
}

template <class Storage>
struct Pointwise {
  int64_t batch, groups, ins, outs, volume;  // channels of one group
  const Storage *input, *bias;
  Storage* output;
  const float* weights;  // [group][block of 8 outputs][1 + ins][8]: the bias, then a row for each input

  int64_t blocks() const { return divide_up(outs, kChannels); }
  int64_t group_floats() const { return blocks() * (ins + 1) * kChannels; }
  size_t job_bytes() const { return static_cast<size_t>((ins + kChannels) * kStripPitch) * sizeof(float); }

  // Voxels begin .. end - 1 of a group of a sample.
  void job(int64_t sample_group, int64_t begin, int64_t end, float* memory) const {
    const Storage* from = input + sample_group * ins * volume;
    Storage* to = output + sample_group * outs * volume;
    for (int64_t i = begin; i < end; i += kStripLanes) {
      const int64_t voxels = smaller(kStripLanes, end - i);
      const Strip x = read_strip(from + i, volume, ins, ins, voxels, memory);
      strip(x, sample_group % groups, voxels, to + i, memory + ins * kStripPitch);
    }
  }

  void strip(const Strip& x, int64_t group, int64_t voxels, Storage* to, float* lanes) const {
    const int64_t vectors = divide_up(voxels, kLanes);
    const float* w = weights + group * group_floats();
    const bool direct = writes_in_place(to) != nullptr && voxels % kLanes == 0;
    for (int64_t block = 0; block < blocks(); ++block, w += (ins + 1) * kChannels) {
      const int64_t outputs = smaller(kChannels, outs - block * kChannels);
      for (int64_t c = 0, count; c < outputs; c += count) {
        count = outputs_at_once(outputs - c);
        Storage* target = to + (block * kChannels + c) * volume;
        float* out = direct ? writes_in_place(target) : lanes;
        pointwise_outputs(count, x, vectors, ins, w + kChannels + c, w + c, out, direct ? volume : kStripPitch);
        if (direct) continue;
        for (int64_t k = 0; k < count; ++k) store_strip(lanes + k * kStripPitch, voxels, target + k * volume);
      }
    }
  }

  // w[out * out_stride + in * in_stride] of every group, outs * ins apart.
  void pack_weights(const Storage* w, int64_t out_stride, int64_t in_stride, float* packed) const {
    clear(packed, groups * group_floats());
    for (int64_t out = 0; out < groups * outs; ++out) {
      const int64_t group = out / outs, o = out % outs;
      float* to = packed + group * group_floats() + o / kChannels * (ins + 1) * kChannels + o % kChannels;
      if (bias != nullptr) convert(bias[out], *to);
      for (int64_t in = 0; in < ins; ++in) {
        convert(w[group * outs * ins + o * out_stride + in * in_stride], to[(in + 1) * kChannels]);
      }
    }
  }
};

template <class Storage>
static int run_pointwise(Pointwise<Storage> kernel, const Storage* w, int64_t out_stride, int64_t in_stride,
                         c4d_parallel_for run) {
  Scratch packed(ScratchUse::kCall, static_cast<size_t>(kernel.groups * kernel.group_floats()) * sizeof(float));
  if (!packed) return C4D_NO_MEMORY;
  kernel.pack_weights(w, out_stride, in_stride, packed.floats());
  kernel.weights = packed.floats();
  const int64_t jobs = divide_up(kernel.volume, kJobLanes);
  Failure failure;
  parallel(run, kernel.batch * kernel.groups * jobs, [&](int64_t job) {
    Scratch memory(ScratchUse::kJob, kernel.job_bytes());
    if (!memory) return failure.set();
    const int64_t begin = job % jobs * kJobLanes;
    kernel.job(job / jobs, begin, smaller(begin + kJobLanes, kernel.volume), memory.floats());
  });
  return failure.any() ? C4D_NO_MEMORY : C4D_OK;
}

template <class Storage>
static int pointwise_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                             c4d_parallel_for run) {
  const int64_t ins = p.in_channels / p.groups, outs = p.out_channels / p.groups;
  const Pointwise<Storage> kernel{p.batch, p.groups, ins, outs, voxels_of(p), static_cast<const Storage*>(x),
                                  static_cast<const Storage*>(bias), static_cast<Storage*>(y), nullptr};
  return run_pointwise(kernel, static_cast<const Storage*>(w), ins, 1, run);
}

template <class Storage>
static int pointwise_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, c4d_parallel_for run) {
  const int64_t ins = p.out_channels / p.groups, outs = p.in_channels / p.groups;
  const Pointwise<Storage> kernel{p.batch, p.groups, ins, outs, voxels_of(p), static_cast<const Storage*>(dy), nullptr,
                                  static_cast<Storage*>(dx), nullptr};
  return run_pointwise(kernel, static_cast<const Storage*>(w), 1, outs, run);
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_POINTWISE_H
