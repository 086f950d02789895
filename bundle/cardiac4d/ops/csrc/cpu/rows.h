// SPDX-License-Identifier: Apache-2.0
// Passes over one row of a channel: normalise, gate, add, sum up.
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

// row = 0 where the ReLU of the norm of `gate` was closed; a gate that is NaN is open, as in torch.
C4D_INLINE void gate_row(const float* __restrict gate, const ChannelNorm& norm, int64_t count, float* __restrict row) {
  const float scale = norm.scale, shift = norm.shift;
  for (int64_t i = 0; i < count; ++i) row[i] = gate[i] * scale + shift <= 0.0f ? 0.0f : row[i];
}

C4D_INLINE void add_row(const float* __restrict from, int64_t count, float* __restrict row) {
  for (int64_t i = 0; i < count; ++i) row[i] += from[i];
}

// A row as floats: itself, or a copy in `buffer`.
C4D_INLINE const float* as_floats(const float* from, int64_t, float*) { return from; }
template <class Storage>
static const float* as_floats(const Storage* from, int64_t count, float* buffer) {
  convert_row(from, buffer, count);
  return buffer;
}

// Sums in double precision, for a variance is a small difference of two of them. The order of the additions depends on
// the lengths of the rows alone.
class RowSums {
 public:
  // Adds a[i] to the first sum and a[i] * b[i] to the second.
  C4D_INLINE_MEMBER void add(const float* a, const float* b, int64_t count) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
      C4D_UNROLL
      for (int half = 0; half < 2; ++half) {
        const Doubles wide = widen(a + i + half * kWide);
        first_[half] += wide;
        second_[half] += wide * widen(b + i + half * kWide);
      }
    }
    for (; i < count; ++i) {
      first_rest_ += a[i];
      second_rest_ += static_cast<double>(a[i]) * b[i];
    }
  }

  C4D_INLINE_MEMBER void store(double* sums) const {
    sums[0] = total(first_) + first_rest_;
    sums[1] = total(second_) + second_rest_;
  }

 private:
  static constexpr int kWide = kLanes / 2;
  typedef double Doubles __attribute__((vector_size(kLanes * 4)));
  typedef float HalfVec __attribute__((vector_size(kLanes * 2), aligned(4), may_alias));

  C4D_INLINE Doubles widen(const float* from) {
    return __builtin_convertvector(*reinterpret_cast<const HalfVec*>(from), Doubles);
  }
  C4D_INLINE double total(const Doubles (&sums)[2]) {
    const Doubles both = sums[0] + sums[1];
    double result = 0;
    for (int lane = 0; lane < kWide; ++lane) result += both[lane];
    return result;
  }

  Doubles first_[2] = {}, second_[2] = {};
  double first_rest_ = 0, second_rest_ = 0;
};

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_ROWS_H
