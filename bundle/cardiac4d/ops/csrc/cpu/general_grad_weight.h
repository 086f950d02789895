// SPDX-License-Identifier: Apache-2.0
// Weight gradient of the general path.
#ifndef CARDIAC4D_GENERAL_GRAD_WEIGHT_H
#define CARDIAC4D_GENERAL_GRAD_WEIGHT_H

#include "general_runs.h"
#include "parallel.h"
#include "scratch.h"

namespace c4d {

template <class Real>
Real dot(const Real* in, int64_t step, const Real* out, int64_t count) {
  Real sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += in[i * step] * out[i];
  return sum;
}

template <class Storage>
struct GeneralGradWeight {
  using Real = Compute<Storage>;
  const c4d_problem& p;
  const Storage *x, *dy;

  // Adds to sums[kw][kd][kt] what the output rows [begin, end), counted over (n, oh), give for taps kh of (o, c).
  // Runs of frames are summed in Real, their sums in double. buffer: one input and one output row.
  void taps(int64_t o, int64_t c, int64_t kh, int64_t begin, int64_t end, double* sums, Real* buffer) const {
    const int64_t first = o / (p.out_channels / p.groups) * (p.in_channels / p.groups);
    for (int64_t position = begin; position < end; ++position) {
      const int64_t n = position / p.out[kH], oh = position % p.out[kH];
      const int64_t ih = read_by(p, kH, oh, kh);
      if (ih < 0) continue;
      const Storage* in = x + ((n * p.in_channels + first + c) * p.in[kH] + ih) * p.in[kW] * row_size(p.in);
      const Storage* out = dy + ((n * p.out_channels + o) * p.out[kH] + oh) * p.out[kW] * row_size(p.out);
      for (int64_t ow = 0; ow < p.out[kW]; ++ow) {
        const Real* out_row = computable(out + ow * row_size(p.out), buffer, row_size(p.out));
        for (int64_t kw = 0; kw < p.kernel[kW]; ++kw) {
          const int64_t iw = read_by(p, kW, ow, kw);
          if (iw < 0) continue;
          const Storage* stored = in + iw * row_size(p.in);
          const Real* in_row = computable(stored, buffer + row_size(p.out), row_size(p.in));
          add_row(in_row, out_row, sums + kw * p.kernel[kD] * p.kernel[kT]);
        }
      }
    }
  }

  void add_row(const Real* in, const Real* out, double* sums) const {
    for_each_tap(p, [&](int64_t tap, int64_t o, int64_t i, int64_t count) {
      sums[tap] += dot(in + i, p.stride[kT], out + o, count);
    });
  }
};

template <class Storage>
int general_weights(const c4d_problem& p, const Storage* x, const Storage* dy, Storage* dw, c4d_parallel_for run) {
  using Real = Compute<Storage>;
  constexpr int64_t kPieces = 8;  // of the output rows: threads for kernels of few taps
  const int64_t ins = p.in_channels / p.groups, rows = p.batch * p.out[kH];
  const int64_t pieces = std::min(kPieces, std::max<int64_t>(rows, 1));
  const int64_t strips = p.out_channels * ins * p.kernel[kH];  // one strip: taps (kw, kd, kt)
  const int64_t strip = p.kernel[kW] * p.kernel[kD] * p.kernel[kT];
  Scratch partial(ScratchUse::kCall, static_cast<size_t>(pieces * strips * strip) * sizeof(double));
  if (!partial) return C4D_NO_MEMORY;
  const GeneralGradWeight<Storage> kernel{p, x, dy};
  Failure failure;
  parallel(run, pieces * strips, [&](int64_t job) {
    const int64_t piece = job % pieces, kh = job / pieces % p.kernel[kH], pair = job / pieces / p.kernel[kH];
    Scratch buffer(ScratchUse::kJob, static_cast<size_t>(row_size(p.in) + row_size(p.out) + 1) * sizeof(Real));
    if (!buffer) return failure.set();
    double* sums = partial.doubles() + job * strip;
    std::fill_n(sums, strip, 0.0);
    kernel.taps(pair / ins, pair % ins, kh, rows * piece / pieces, rows * (piece + 1) / pieces, sums,
                reinterpret_cast<Real*>(buffer.floats()));
  });
  if (failure.any()) return C4D_NO_MEMORY;
  parallel(run, p.out_channels, [&](int64_t o) {
    const int64_t count = ins * p.kernel[kH];
    for (int64_t s = o * count; s < (o + 1) * count; ++s) {
      for (int64_t i = 0; i < strip; ++i) {
        double sum = 0;
        for (int64_t piece = 0; piece < pieces; ++piece) sum += partial.doubles()[(s * pieces + piece) * strip + i];
        convert(static_cast<Real>(sum), dw[s * strip + i]);
      }
    }
  });
  return C4D_OK;
}

}  // namespace c4d

#endif  // CARDIAC4D_GENERAL_GRAD_WEIGHT_H
