// SPDX-License-Identifier: Apache-2.0
// Passes over one row of a channel: normalise, convert, sum up.
#ifndef CARDIAC4D_ROWS_H
#define CARDIAC4D_ROWS_H

#include "half.h"
#include "norm.h"
#include "simd.h"

namespace c4d {
namespace C4D_ISA {

// The norm of one channel.
struct ChannelNorm {
  bool given;
  float scale, shift;
};

C4D_INLINE ChannelNorm channel_norm(const Norm& norm, int64_t channel) {
  if (norm.scale == nullptr) return {false, 1, 0};
  return {true, norm.scale[channel], norm.shift[channel]};
}

// to = max(0, from * scale + shift), or from as it is. The order of the comparison keeps a NaN.
template <class Storage>
static void norm_relu_row(const Storage* __restrict from, const ChannelNorm& norm, int64_t count,
                          float* __restrict to) {
  if (!norm.given) return convert_row(from, to, count);
  const float scale = norm.scale, shift = norm.shift;
  for (int64_t i = 0; i < count; ++i) {
    float x;
    convert(from[i], x);
    const float v = x * scale + shift;
    to[i] = 0.0f > v ? 0.0f : v;
  }
}

// A row as floats: itself, or a copy in `buffer`.
C4D_INLINE const float* as_floats(const float* from, int64_t, float*) { return from; }
template <class Storage>
static const float* as_floats(const Storage* from, int64_t count, float* buffer) {
  convert_row(from, buffer, count);
  return buffer;
}

// Stores a row of results; streamed: past the caches, where the row is aligned.
C4D_INLINE void store_row(const float* from, int64_t count, bool streamed, float* to) {
  const bool past_cache = streamed && may_stream(to);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) past_cache ? stream(to + i, load(from + i)) : store(to + i, load(from + i));
  if (i < count) convert_row(from + i, to + i, count - i);
}
template <class Storage>
C4D_INLINE void store_row(const float* from, int64_t count, bool, Storage* to) {
  convert_row(from, to, count);
}

// Sums in double precision, for a variance is a small difference of two of them. The order of the additions depends on
// the lengths of the rows alone.
class RowSums {
 public:
  // Adds the lanes of a to the first sum, and their products with those of b to the second.
  C4D_INLINE_MEMBER void add(Vec a, Vec b) {
    Doubles wide[2], factor[2];
    widen(a, wide);
    widen(b, factor);
    C4D_UNROLL
    for (int half = 0; half < 2; ++half) {
      first_[half] += wide[half];
      second_[half] += wide[half] * factor[half];
    }
  }

  C4D_INLINE_MEMBER void add(float a, float b) {
    first_rest_ += a;
    second_rest_ += static_cast<double>(a) * b;
  }

  C4D_INLINE_MEMBER void store(double* sums) const {
    sums[0] = total(first_) + first_rest_;
    sums[1] = total(second_) + second_rest_;
  }

 private:
  C4D_INLINE double total(const Doubles (&sums)[2]) {
    const Doubles both = sums[0] + sums[1];
    double result = 0;
    for (int lane = 0; lane < kLanes / 2; ++lane) result += both[lane];
    return result;
  }

  Doubles first_[2] = {}, second_[2] = {};
  double first_rest_ = 0, second_rest_ = 0;
};

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_ROWS_H
