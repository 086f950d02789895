// SPDX-License-Identifier: Apache-2.0
// A 1x1x1x1 convolution to a few classes and their softmax, in one pass: logits are never stored.
#ifndef CARDIAC4D_POINTWISE_SOFTMAX_H
#define CARDIAC4D_POINTWISE_SOFTMAX_H

#include "pointwise.h"
#include "rows.h"

namespace c4d {
namespace C4D_ISA {

// e^x for x <= 0, within 2 units in the last place; a NaN stays one. With n = x / ln 2 rounded: 2^n e^(x - n ln 2),
// where the last factor is a Taylor polynomial of degree 7 on [-ln 2 / 2, ln 2 / 2].
C4D_INLINE Vec exp_negative(Vec x) {
  x = x < -87.0f ? broadcast(-87.0f) : x;  // e^-87 is the smallest that is a normal number
  const Vec magic = broadcast(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer, in the low bits
  const Vec shifted = x * 1.44269504f + magic;
  const Vec n = shifted - magic;
  const Vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts
  Vec p = broadcast(1.0f / 5040);
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return p * (Vec)(((IntVec)shifted << 23) + (IntVec)broadcast(1.0f));
}

// Logits of `classes` channels, `pitch` apart, to probabilities.
static void softmax_strip(float* logits, int64_t pitch, int64_t classes, int64_t vectors) {
  for (int64_t i = 0; i < vectors * kLanes; i += kLanes) {
    Vec highest = load(logits + i), sum = {};
    for (int64_t c = 1; c < classes; ++c) {
      const Vec other = load(logits + c * pitch + i);
      highest = other > highest ? other : highest;
    }
    for (int64_t c = 0; c < classes; ++c) {
      const Vec power = exp_negative(load(logits + c * pitch + i) - highest);
      store(logits + c * pitch + i, power);
      sum += power;
    }
    const Vec factor = 1.0f / sum;
    for (int64_t c = 0; c < classes; ++c) store(logits + c * pitch + i, load(logits + c * pitch + i) * factor);
  }
}

// Voxels begin .. end - 1 of a sample.
static void softmax_job(const Pointwise<float>& kernel, int64_t sample, int64_t begin, int64_t end, bool streamed,
                        float* memory) {
  const float* from = kernel.input + sample * kernel.ins * kernel.volume;
  float* logits = memory + kernel.ins * kStripPitch;
  for (int64_t i = begin; i < end; i += kStripLanes) {
    const int64_t voxels = smaller(kStripLanes, end - i), vectors = divide_up(voxels, kLanes);
    const Strip x = read_strip(from + i, kernel.volume, kernel.ins, kernel.ins, voxels, memory);
    for (int64_t c = 0, count; c < kernel.outs; c += count) {
      count = outputs_at_once(kernel.outs - c);
      pointwise_outputs(count, x, vectors, kernel.ins, kernel.weights + kChannels + c, kernel.weights + c,
                        logits + c * kStripPitch, kStripPitch);
    }
    softmax_strip(logits, kStripPitch, kernel.outs, vectors);
    for (int64_t c = 0; c < kernel.outs; ++c) {
      float* to = kernel.output + (sample * kernel.outs + c) * kernel.volume + i;
      store_row(logits + c * kStripPitch, voxels, streamed, to);
    }
  }
  end_streaming();
}

// classes: 8 at most. w: (classes, ins), bias: (classes) or null.
static int pointwise_softmax(const c4d_tensor& t, int64_t classes, const float* x, const float* w, const float* bias,
                             float* y, c4d_parallel_for run) {
  const int64_t volume = t.size[0] * t.size[1] * t.size[2] * t.size[3];
  Pointwise<float> kernel{t.batch, 1, t.channels, classes, volume, x, bias, y, nullptr};
  Scratch packed(ScratchUse::kCall, static_cast<size_t>(kernel.group_floats()) * sizeof(float));
  if (!packed) return C4D_NO_MEMORY;
  kernel.pack_weights(w, t.channels, 1, packed.floats());
  kernel.weights = packed.floats();
  const int64_t jobs = divide_up(volume, kJobLanes);
  const bool streamed = is_streamed(t.batch * classes * volume * 4);
  Failure failure;
  parallel(run, t.batch * jobs, [&](int64_t job) {
    Scratch memory(ScratchUse::kJob, kernel.job_bytes());
    if (!memory) return failure.set();
    const int64_t begin = job % jobs * kJobLanes;
    softmax_job(kernel, job / jobs, begin, smaller(begin + kJobLanes, volume), streamed, memory.floats());
  });
  return failure.any() ? C4D_NO_MEMORY : C4D_OK;
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_POINTWISE_SOFTMAX_H
