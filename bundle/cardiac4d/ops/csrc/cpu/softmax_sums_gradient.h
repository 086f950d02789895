// SPDX-License-Identifier: Apache-2.0
// The gradients of the sums of softmax_sums.h: probabilities are computed again.
#ifndef CARDIAC4D_SOFTMAX_SUMS_GRADIENT_H
#define CARDIAC4D_SOFTMAX_SUMS_GRADIENT_H

#include "softmax_sums.h"

namespace c4d {
namespace C4D_ISA {

// The gradients of the sums of a sample as rows of one value per frame: of each class its overlap, its size; twice that
// of the change from the frame before, and to the one behind.
static void seed_rows(const SoftmaxSums& work, const double* from, float* rows) {
  const int64_t frames = work.frames, classes = work.head.classes, numbers = work.numbers();
  for (int64_t t = 0; t < frames; ++t) {
    for (int64_t i = 0; i < 2 * classes; ++i) rows[i * frames + t] = static_cast<float>(from[t * numbers + i]);
    const int64_t before = (t + frames - 1) % frames;
    rows[2 * classes * frames + t] = static_cast<float>(2 * from[before * numbers + 2 * classes]);
    rows[(2 * classes + 1) * frames + t] = static_cast<float>(2 * from[t * numbers + 2 * classes]);
  }
}

// What a column of a class has to do with the sums. before, after: see seed_rows.
C4D_INLINE void differentiate_column(const float* __restrict p, const uint8_t* __restrict label, uint8_t k,
                                     bool squared, int64_t frames, const float* __restrict overlap,
                                     const float* __restrict size, const float* __restrict before,
                                     const float* __restrict after, float* __restrict by_p) {
  for (int64_t t = 0; t < frames; ++t) {
    const float power = squared ? 2 * p[t] * size[t] : size[t];
    by_p[t] = (label[t] == k ? overlap[t] : 0.0f) + (label[t] == kNotAnnotated ? 0.0f : power);
  }
  for (int64_t t = 1; t < frames; ++t) {
    const float change = p[t] - p[t - 1];
    by_p[t] += before[t] * change;
    by_p[t - 1] -= after[t - 1] * change;
  }
  const float change = p[0] - p[frames - 1];
  by_p[0] += before[0] * change;
  by_p[frames - 1] -= after[frames - 1] * change;
}

// by_p, class by class, to the gradients of the logits.
static void through_softmax(const float* p, int64_t pitch, int64_t classes, int64_t vectors, float* by_p) {
  for (int64_t i = 0; i < vectors * kLanes; i += kLanes) {
    Vec mean = {};
    for (int64_t k = 0; k < classes; ++k) mean += load(p + k * pitch + i) * load(by_p + k * pitch + i);
    for (int64_t k = 0; k < classes; ++k) {
      float* at = by_p + k * pitch + i;
      store(at, load(p + k * pitch + i) * (load(at) - mean));
    }
  }
}

static void differentiate_chunk(const SoftmaxSums& work, const Chunk& chunk, const float* p, const float* seeds,
                                float* by_logits) {
  const int64_t frames = work.frames, classes = work.head.classes;
  const uint8_t* label = work.labels(chunk.n) + chunk.first;
  const float *before = seeds + 2 * classes * frames, *after = before + frames;
  for (int64_t k = 0; k < classes; ++k) {
    float* row = by_logits + k * work.pitch;
    clear(row + chunk.count, work.pitch - chunk.count);
    for (int64_t i = 0; i < chunk.count; i += frames) {
      differentiate_column(p + k * work.pitch + i, label + i, static_cast<uint8_t>(k), work.head.is_squared, frames,
                           seeds + k * frames, seeds + (classes + k) * frames, before, after, row + i);
    }
  }
  through_softmax(p, work.pitch, classes, divide_up(chunk.count, kLanes), by_logits);
}

static void write_input_gradient(const SoftmaxSums& work, const Chunk& chunk, const float* by_logits, float* dx) {
  const c4d_head& head = work.head;
  for (int64_t c = 0; c < head.x.channels; ++c) {
    float* to = dx + (chunk.n * head.x.channels + c) * work.volume() + chunk.first;
    if (head.w == nullptr) {
      memcpy(to, by_logits + c * work.pitch, static_cast<size_t>(chunk.count) * sizeof(float));
      continue;
    }
    clear(to, chunk.count);
    for (int64_t k = 0; k < head.classes; ++k) {
      add_scaled(to, by_logits + k * work.pitch, head.w[k * head.x.channels + c], chunk.count);
    }
  }
}

// The sum of a[i] * b[i], or of a[i] without b.
static double dot(const float* a, const float* b, int64_t count) {
  Vec sums = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) sums += b == nullptr ? load(a + i) : load(a + i) * load(b + i);
  float lanes[kLanes];
  store(lanes, sums);
  double sum = 0;
  for (const float lane : lanes) sum += lane;
  for (; i < count; ++i) sum += b == nullptr ? a[i] : a[i] * b[i];
  return sum;
}

// to (classes, C + 1) of doubles: that of w, and that of the bias as the last column.
static void add_head_gradient(const SoftmaxSums& work, const Chunk& chunk, const float* by_logits, double* to) {
  const int64_t channels = work.head.x.channels;
  for (int64_t k = 0; k < work.head.classes; ++k) {
    const float* row = by_logits + k * work.pitch;
    double* sums = to + k * (channels + 1);
    for (int64_t c = 0; c < channels; ++c) sums[c] += dot(row, work.channel(chunk.n, c) + chunk.first, chunk.count);
    sums[channels] += dot(row, nullptr, chunk.count);
  }
}

// dx, dhead: or null.
static int softmax_sums_grad(const c4d_head& head, const float* x, const double* grad_sums, float* dx, float* dhead,
                             c4d_parallel_for run) {
  const SoftmaxSums work(head, x);
  const int64_t jobs = head.x.batch * work.jobs, room = head.classes * work.pitch;
  const int64_t seeds = (2 * head.classes + 2) * work.frames;
  const int64_t count = dhead == nullptr ? 0 : head.classes * (head.x.channels + 1);
  Scratch pieces(ScratchUse::kCall, static_cast<size_t>(jobs * count + 1) * sizeof(double));
  if (!pieces) return C4D_NO_MEMORY;
  Failure failure;
  parallel(run, jobs, [&](int64_t job) {
    Scratch memory(ScratchUse::kJob, static_cast<size_t>(2 * room + seeds) * sizeof(float));
    if (!memory) return failure.set();
    float *p = memory.floats(), *by_logits = p + room, *rows = by_logits + room;
    double* piece = pieces.doubles() + job * count;
    clear(piece, count);
    seed_rows(work, grad_sums + job / work.jobs * work.frames * work.numbers(), rows);
    for_chunks(work, job, [&](const Chunk& chunk) {
      chunk_probabilities(work, chunk, p);
      differentiate_chunk(work, chunk, p, rows, by_logits);
      if (dx != nullptr) write_input_gradient(work, chunk, by_logits, dx);
      if (count > 0) add_head_gradient(work, chunk, by_logits, piece);
    });
  });
  if (failure.any()) return C4D_NO_MEMORY;
  for (int64_t i = 0; i < count; ++i) {
    double sum = 0;
    for (int64_t job = 0; job < jobs; ++job) sum += pieces.doubles()[job * count + i];
    dhead[i] = static_cast<float>(sum);
  }
  return C4D_OK;
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_SOFTMAX_SUMS_GRADIENT_H
