// SPDX-License-Identifier: Apache-2.0
// Which elements of input and output a tap joins, and rows as numbers to compute with: for the general path.
#ifndef CARDIAC4D_GENERAL_RUNS_H
#define CARDIAC4D_GENERAL_RUNS_H

#include <algorithm>

#include "conv4d_cpu.h"
#include "half.h"

namespace c4d {

enum Axis { kH = 0, kW = 1, kD = 2, kT = 3 };

// Output positions o in [begin, end) of one axis whose tap reads the input, at o * stride + shift.
struct Hits {
  int64_t begin, end, stride, shift;
  int64_t source(int64_t o) const { return o * stride + shift; }
};

inline Hits hits(const c4d_problem& p, int axis, int64_t tap) {
  const int64_t stride = p.stride[axis], shift = tap * p.dilation[axis] - p.padding[axis];
  const int64_t last = p.in[axis] - 1 - shift;  // o * stride <= last
  const int64_t begin = shift < 0 ? (-shift + stride - 1) / stride : 0;
  const int64_t end = last < 0 ? 0 : std::min(p.out[axis], last / stride + 1);
  return {begin, std::max(begin, end), stride, shift};
}

inline int64_t row_size(const int64_t (&size)[4]) { return size[kD] * size[kT]; }

// visit(output offset, input offset, count) for every run along T that tap (kd, kt) joins; input steps by stride[T].
template <class Visit>
void for_each_run(const c4d_problem& p, const Hits& d, const Hits& t, const Visit& visit) {
  const int64_t count = t.end - t.begin;
  if (count <= 0) return;
  for (int64_t od = d.begin; od < d.end; ++od) {
    visit(od * p.out[kT] + t.begin, d.source(od) * p.in[kT] + t.source(t.begin), count);
  }
}

// visit(tap of D and T, output offset, input offset, count) for every run of every tap (kd, kt) of a pair of rows.
template <class Visit>
void for_each_tap(const c4d_problem& p, const Visit& visit) {
  for (int64_t kd = 0; kd < p.kernel[kD]; ++kd) {
    const Hits d = hits(p, kD, kd);
    for (int64_t kt = 0; kt < p.kernel[kT]; ++kt) {
      for_each_run(p, d, hits(p, kT, kt), [&](int64_t o, int64_t i, int64_t count) {
        visit(kd * p.kernel[kT] + kt, o, i, count);
      });
    }
  }
}

// The input position that an output position reads with a tap, or -1.
inline int64_t read_by(const c4d_problem& p, int axis, int64_t o, int64_t tap) {
  const int64_t i = o * p.stride[axis] - p.padding[axis] + tap * p.dilation[axis];
  return i >= 0 && i < p.in[axis] ? i : -1;
}

// The output position that reads an input position with a tap, or -1.
inline int64_t reader_of(const c4d_problem& p, int axis, int64_t i, int64_t tap) {
  const int64_t reach = i + p.padding[axis] - tap * p.dilation[axis];
  if (reach < 0 || reach % p.stride[axis] != 0) return -1;
  const int64_t o = reach / p.stride[axis];
  return o < p.out[axis] ? o : -1;
}

// A row as numbers to compute with: itself, or converted into `buffer`.
inline const double* computable(const double* row, double*, int64_t) { return row; }
inline const float* computable(const float* row, float*, int64_t) { return row; }
template <class Storage>
const float* computable(const Storage* row, float* buffer, int64_t count) {
  convert_row(row, buffer, count);
  return buffer;
}

template <class Storage>
Compute<Storage> value(Storage stored) {
  Compute<Storage> result;
  convert(stored, result);
  return result;
}

// Offset of the taps (kh, kw, 0, 0) that join output channel o and input channel c (within its group).
inline int64_t tap_plane(const c4d_problem& p, int64_t o, int64_t c, int64_t kh, int64_t kw) {
  const int64_t channels = p.in_channels / p.groups;
  return (((o * channels + c) * p.kernel[kH] + kh) * p.kernel[kW] + kw) * p.kernel[kD] * p.kernel[kT];
}

}  // namespace c4d

#endif  // CARDIAC4D_GENERAL_RUNS_H
