// SPDX-License-Identifier: Apache-2.0
// The sums over a softmax that losses are made of, and their gradients: neither logits nor probabilities are stored. A
// job takes columns, voxels with all their frames, a chunk of them at a time: its channels stay in the cache.
#ifndef CARDIAC4D_SOFTMAX_SUMS_H
#define CARDIAC4D_SOFTMAX_SUMS_H

#include "pointwise_softmax.h"

namespace c4d {
namespace C4D_ISA {

constexpr int64_t kChunkLanes = 2048;    // frames of all columns of a chunk, but for longer columns
constexpr int64_t kChunkColumns = 256;   // float sums are no longer than this
constexpr int64_t kJobsPerSample = 128;
constexpr uint8_t kNotAnnotated = 255;

// A head and its tensors, and how its columns are cut.
struct SoftmaxSums {
  c4d_head head;
  const float* x;
  int64_t frames, voxels;          // voxels: columns of a sample
  int64_t columns, share, jobs;    // columns of a chunk, columns of a job, jobs of a sample
  int64_t pitch;                   // of rows of a chunk

  SoftmaxSums(const c4d_head& head_, const float* x_) : head(head_), x(x_) {
    const int64_t* size = head.x.size;
    frames = size[3], voxels = size[0] * size[1] * size[2];
    columns = smaller(voxels, smaller(kChunkColumns, larger(1, kChunkLanes / frames)));
    const int64_t chunks = divide_up(voxels, columns);
    share = columns * divide_up(chunks, kJobsPerSample);
    jobs = divide_up(voxels, share);
    pitch = pitch_for(columns * frames);
  }

  int64_t volume() const { return voxels * frames; }
  int64_t numbers() const { return 2 * head.classes + 3; }  // of a frame
  const float* channel(int64_t n, int64_t c) const { return x + (n * head.x.channels + c) * volume(); }
  const uint8_t* labels(int64_t n) const { return head.label + n * volume(); }
};

// Columns that lie together: their first frame and the frames of all, in a channel of their sample.
struct Chunk {
  int64_t n, first, count;
};

template <class Body>
C4D_INLINE void for_chunks(const SoftmaxSums& work, int64_t job, const Body& body) {
  const int64_t n = job / work.jobs, begin = job % work.jobs * work.share;
  const int64_t end = smaller(begin + work.share, work.voxels);
  for (int64_t column = begin; column < end; column += work.columns) {
    body(Chunk{n, column * work.frames, smaller(work.columns, end - column) * work.frames});
  }
}

// to[i] += factor * from[i]
C4D_INLINE void add_scaled(float* __restrict to, const float* __restrict from, float factor, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] += factor * from[i];
}

// The probabilities of a chunk, class by class; zeros behind them.
static void chunk_probabilities(const SoftmaxSums& work, const Chunk& chunk, float* p) {
  const c4d_head& head = work.head;
  for (int64_t k = 0; k < head.classes; ++k) {
    float* row = p + k * work.pitch;
    clear(row, work.pitch);
    if (head.w == nullptr) {
      memcpy(row, work.channel(chunk.n, k) + chunk.first, static_cast<size_t>(chunk.count) * sizeof(float));
      continue;
    }
    const float bias = head.bias == nullptr ? 0.0f : head.bias[k];
    for (int64_t i = 0; i < chunk.count; ++i) row[i] = bias;
    for (int64_t c = 0; c < head.x.channels; ++c) {
      add_scaled(row, work.channel(chunk.n, c) + chunk.first, head.w[k * head.x.channels + c], chunk.count);
    }
  }
  softmax_strip(p, work.pitch, head.classes, divide_up(chunk.count, kLanes));
}

// One column of a class: adds to the sums of every frame.
C4D_INLINE void add_class(const float* __restrict p, const uint8_t* __restrict label, uint8_t k, bool squared,
                          int64_t frames, float* __restrict overlap, float* __restrict size) {
  for (int64_t t = 0; t < frames; ++t) {
    const float one = label[t] == k ? 1.0f : 0.0f, power = squared ? p[t] * p[t] : p[t];
    overlap[t] += label[t] == k ? p[t] : 0.0f;
    size[t] += label[t] == kNotAnnotated ? 0.0f : power + one;
  }
}

C4D_INLINE void add_change(const float* __restrict p, int64_t frames, float* __restrict change) {
  for (int64_t t = 0; t + 1 < frames; ++t) change[t] += (p[t + 1] - p[t]) * (p[t + 1] - p[t]);
  const float last = p[0] - p[frames - 1];
  change[frames - 1] += last * last;
}

C4D_INLINE void count_voxels(const uint8_t* __restrict label, int64_t classes, int64_t frames,
                             float* __restrict annotated, float* __restrict wrong) {
  for (int64_t t = 0; t < frames; ++t) {
    annotated[t] += label[t] != kNotAnnotated ? 1.0f : 0.0f;
    wrong[t] += label[t] != kNotAnnotated && label[t] >= classes ? 1.0f : 0.0f;
  }
}

// rows: of each number one value per frame.
static void sum_chunk(const SoftmaxSums& work, const Chunk& chunk, const float* p, float* rows) {
  const int64_t frames = work.frames, classes = work.head.classes;
  const uint8_t* label = work.labels(chunk.n) + chunk.first;
  clear(rows, work.numbers() * frames);
  for (int64_t i = 0; i < chunk.count; i += frames) {
    for (int64_t k = 0; k < classes; ++k) {
      const float* column = p + k * work.pitch + i;
      add_class(column, label + i, static_cast<uint8_t>(k), work.head.is_squared, frames, rows + k * frames,
                rows + (classes + k) * frames);
      add_change(column, frames, rows + 2 * classes * frames);
    }
    count_voxels(label + i, classes, frames, rows + (2 * classes + 1) * frames, rows + (2 * classes + 2) * frames);
  }
}

// sums (N, T, numbers), from `jobs` pieces of each sample, in their order.
static void add_jobs(const SoftmaxSums& work, const double* pieces, double* sums) {
  const int64_t count = work.frames * work.numbers();
  clear(sums, work.head.x.batch * count);
  for (int64_t job = 0; job < work.head.x.batch * work.jobs; ++job) {
    double* to = sums + job / work.jobs * count;
    for (int64_t i = 0; i < count; ++i) to[i] += pieces[job * count + i];
  }
}

static int softmax_sums(const c4d_head& head, const float* x, double* sums, c4d_parallel_for run) {
  const SoftmaxSums work(head, x);
  const int64_t jobs = head.x.batch * work.jobs, numbers = work.numbers(), count = work.frames * numbers;
  Scratch pieces(ScratchUse::kCall, static_cast<size_t>(jobs * count) * sizeof(double));
  if (!pieces) return C4D_NO_MEMORY;
  Failure failure;
  parallel(run, jobs, [&](int64_t job) {
    Scratch memory(ScratchUse::kJob, static_cast<size_t>(head.classes * work.pitch + count) * sizeof(float));
    if (!memory) return failure.set();
    float *p = memory.floats(), *rows = p + head.classes * work.pitch;
    double* piece = pieces.doubles() + job * count;
    clear(piece, count);
    for_chunks(work, job, [&](const Chunk& chunk) {
      chunk_probabilities(work, chunk, p);
      sum_chunk(work, chunk, p, rows);
      for (int64_t t = 0; t < work.frames; ++t) {
        for (int64_t i = 0; i < numbers; ++i) piece[t * numbers + i] += rows[i * work.frames + t];
      }
    });
  });
  if (failure.any()) return C4D_NO_MEMORY;
  add_jobs(work, pieces.doubles(), sums);
  return C4D_OK;
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_SOFTMAX_SUMS_H
