// SPDX-License-Identifier: Apache-2.0
// Nearest-neighbour up-sampling by two on H, W, D and T, cropped at the far end, plus a skip connection; its gradient.
// A job takes one row (D, T) of the small tensor, which belongs to at most 2 x 2 rows of the large one.
#ifndef CARDIAC4D_UPSAMPLING_H
#define CARDIAC4D_UPSAMPLING_H

#include "isa.h"
#include "parallel.h"
#include "rows.h"
#include "scratch.h"

namespace c4d {
namespace C4D_ISA {

struct Upsampling {
  int64_t planes, large[4], small[4];

  explicit Upsampling(const c4d_tensor& t) : planes(t.batch * t.channels) {
    for (int axis = 0; axis < 4; ++axis) {
      large[axis] = t.size[axis];
      small[axis] = divide_up(t.size[axis], 2);
    }
  }
  int64_t jobs() const { return planes * small[0] * small[1]; }
  int64_t small_row() const { return small[2] * small[3]; }
  int64_t large_row() const { return large[2] * large[3]; }

  // Calls body(place) for the rows of the large tensor that belong to a job.
  template <class Body>
  C4D_INLINE_MEMBER void for_large_rows(int64_t job, const Body& body) const {
    const int64_t w = job % small[1] * 2, h = job / small[1] % small[0] * 2, plane = job / (small[1] * small[0]);
    for (int64_t i = h; i < smaller(h + 2, large[0]); ++i) {
      for (int64_t j = w; j < smaller(w + 2, large[1]); ++j) {
        body(((plane * large[0] + i) * large[1] + j) * large_row());
      }
    }
  }
};

// Every frame twice, up to `frames`; the last one but once where that is odd.
C4D_INLINE void repeat_frames(const float* __restrict from, int64_t frames, float* __restrict to) {
  const int64_t pairs = frames / 2;
  for (int64_t t = 0; t < pairs; ++t) to[2 * t] = to[2 * t + 1] = from[t];
  if (frames % 2 != 0) to[frames - 1] = from[pairs];
}

C4D_INLINE void add_row(const float* __restrict from, int64_t count, float* __restrict row) {
  for (int64_t i = 0; i < count; ++i) row[i] += from[i];
}

// A small row to a large one.
C4D_INLINE void repeat_row(const float* from, const Upsampling& u, float* to) {
  const int64_t frames = u.large[3];
  for (int64_t d = 0; d < u.large[2]; ++d, to += frames) {
    if (d % 2 == 0) {
      repeat_frames(from + d / 2 * u.small[3], frames, to);
    } else {
      memcpy(to, to - frames, static_cast<size_t>(frames) * sizeof(float));
    }
  }
}

// A large row to a small one: the sum over the copies that repeat_row made.
C4D_INLINE void gather_row(const float* from, const Upsampling& u, float* __restrict to) {
  const int64_t frames = u.large[3], pairs = frames / 2;
  for (int64_t d = 0; d < u.large[2]; d += 2, to += u.small[3]) {
    const float *first = from + d * frames, *second = d + 1 < u.large[2] ? first + frames : nullptr;
    if (second != nullptr) {
      for (int64_t t = 0; t < pairs; ++t) {
        to[t] = (first[2 * t] + second[2 * t]) + (first[2 * t + 1] + second[2 * t + 1]);
      }
      if (frames % 2 != 0) to[pairs] = first[frames - 1] + second[frames - 1];
    } else {
      for (int64_t t = 0; t < pairs; ++t) to[t] = first[2 * t] + first[2 * t + 1];
      if (frames % 2 != 0) to[pairs] = first[frames - 1];
    }
  }
}

// body(job, memory) for every job; memory holds one small and two large rows of floats.
template <class Body>
static int for_upsampling_jobs(const Upsampling& u, c4d_parallel_for run, const Body& body) {
  Failure failure;
  parallel(run, u.jobs(), [&](int64_t job) {
    Scratch memory(ScratchUse::kJob, static_cast<size_t>(u.small_row() + 2 * u.large_row()) * sizeof(float));
    if (!memory) return failure.set();
    body(job, memory.floats());
  });
  return failure.any() ? C4D_NO_MEMORY : C4D_OK;
}

// t: the large tensor, that of `skip` and `y`.
template <class Storage>
static int upsample_add(const c4d_tensor& t, const void* x, const void* skip, void* y, c4d_parallel_for run) {
  const Upsampling u(t);
  const int64_t small_row = u.small_row(), row = u.large_row();
  const bool streamed = is_streamed(u.planes * u.large[0] * u.large[1] * row * static_cast<int64_t>(sizeof(Storage)));
  return for_upsampling_jobs(u, run, [&](int64_t job, float* repeated) {
    float *sum = repeated + row, *buffer = sum + row;
    repeat_row(as_floats(static_cast<const Storage*>(x) + job * small_row, small_row, buffer), u, repeated);
    u.for_large_rows(job, [&](int64_t place) {
      convert_row(static_cast<const Storage*>(skip) + place, sum, row);
      add_row(repeated, row, sum);
      store_row(sum, row, streamed, static_cast<Storage*>(y) + place);
    });
    end_streaming();
  });
}

// dx of up-sampling; t: the large tensor, that of dy.
template <class Storage>
static int upsample_grad(const c4d_tensor& t, const void* dy, void* dx, c4d_parallel_for run) {
  const Upsampling u(t);
  const int64_t small_row = u.small_row(), row = u.large_row();
  return for_upsampling_jobs(u, run, [&](int64_t job, float* sum) {
    float *buffer = sum + row, *gathered = buffer + row;
    clear(sum, row);
    u.for_large_rows(job, [&](int64_t place) {
      add_row(as_floats(static_cast<const Storage*>(dy) + place, row, buffer), row, sum);
    });
    gather_row(sum, u, gathered);
    convert_row(gathered, static_cast<Storage*>(dx) + job * small_row, small_row);
  });
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_UPSAMPLING_H
