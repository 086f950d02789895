// SPDX-License-Identifier: Apache-2.0
// Forward and input gradient of the general path: one row of a target (all of D and T at one position in H and W) is
// the sum over the rows of a source that a tap joins with it. Forward gathers, the gradient scatters.
#ifndef CARDIAC4D_GENERAL_ROWS_H
#define CARDIAC4D_GENERAL_ROWS_H

#include "general_runs.h"
#include "parallel.h"
#include "scratch.h"

namespace c4d {

template <class Real>
void gather(const Real* in, int64_t step, Real factor, Real* out, int64_t count) {
  if (step == 1) {
    for (int64_t i = 0; i < count; ++i) out[i] += factor * in[i];
  } else {
    for (int64_t i = 0; i < count; ++i) out[i] += factor * in[i * step];
  }
}

template <class Real>
void scatter(const Real* out, int64_t step, Real factor, Real* in, int64_t count) {
  if (step == 1) {
    for (int64_t i = 0; i < count; ++i) in[i] += factor * out[i];
  } else {
    for (int64_t i = 0; i < count; ++i) in[i * step] += factor * out[i];
  }
}

template <class Storage, bool Transposed>
struct GeneralRows {
  using Real = Compute<Storage>;
  const c4d_problem& p;
  const Storage *from, *w, *bias;  // no bias: null
  Storage* to;

  const int64_t (&source() const)[4] { return Transposed ? p.out : p.in; }
  const int64_t (&target() const)[4] { return Transposed ? p.in : p.out; }
  int64_t sources() const { return (Transposed ? p.out_channels : p.in_channels) / p.groups; }
  int64_t targets() const { return (Transposed ? p.in_channels : p.out_channels) / p.groups; }
  int64_t joined(int axis, int64_t position, int64_t tap) const {
    return Transposed ? reader_of(p, axis, position, tap) : read_by(p, axis, position, tap);
  }

  // One row of every target channel of group g of sample n. sums: channels x row; buffer: one source row.
  void row(int64_t n, int64_t g, int64_t h, int64_t width, Real* sums, Real* buffer) const {
    const int64_t size = row_size(target());
    for (int64_t t = 0; t < targets(); ++t) {
      std::fill_n(sums + t * size, size, bias != nullptr ? value(bias[g * targets() + t]) : Real(0));
    }
    for (int64_t s = 0; s < sources(); ++s) {
      for (int64_t kh = 0; kh < p.kernel[kH]; ++kh) {
        const int64_t sh = joined(kH, h, kh);
        if (sh < 0) continue;
        for (int64_t kw = 0; kw < p.kernel[kW]; ++kw) {
          const int64_t sw = joined(kW, width, kw);
          if (sw < 0) continue;
          const int64_t plane = ((n * p.groups + g) * sources() + s) * source()[kH] + sh;
          const Storage* stored = from + (plane * source()[kW] + sw) * row_size(source());
          const Real* numbers = computable(stored, buffer, row_size(source()));
          for (int64_t t = 0; t < targets(); ++t) add_taps(numbers, taps(g, s, t, kh, kw), sums + t * size);
        }
      }
    }
    for (int64_t t = 0; t < targets(); ++t) {
      const int64_t plane = ((n * p.groups + g) * targets() + t) * target()[kH] + h;
      convert_row(sums + t * size, to + (plane * target()[kW] + width) * size, size);
    }
  }

  const Storage* taps(int64_t g, int64_t s, int64_t t, int64_t kh, int64_t kw) const {
    const int64_t out = Transposed ? g * sources() + s : g * targets() + t;
    return w + tap_plane(p, out, Transposed ? t : s, kh, kw);
  }

  void add_taps(const Real* numbers, const Storage* weights, Real* sums) const {
    for_each_tap(p, [&](int64_t tap, int64_t o, int64_t i, int64_t count) {
      const Real factor = value(weights[tap]);
      if (Transposed) {
        scatter(numbers + o, p.stride[kT], factor, sums + i, count);
      } else {
        gather(numbers + i, p.stride[kT], factor, sums + o, count);
      }
    });
  }
};

// All rows of the target.
template <class Storage, bool Transposed>
int general_rows(const GeneralRows<Storage, Transposed>& kernel, c4d_parallel_for run) {
  using Real = Compute<Storage>;
  const c4d_problem& p = kernel.p;
  const int64_t(&size)[4] = kernel.target();
  const int64_t sums = kernel.targets() * row_size(size), buffer = row_size(kernel.source());
  Failure failure;
  parallel(run, p.batch * p.groups * size[kH], [&](int64_t job) {
    const int64_t h = job % size[kH], g = job / size[kH] % p.groups, n = job / size[kH] / p.groups;
    Scratch scratch(ScratchUse::kJob, static_cast<size_t>(sums + buffer + 1) * sizeof(Real));
    if (!scratch) return failure.set();
    Real* memory = reinterpret_cast<Real*>(scratch.floats());
    for (int64_t w = 0; w < size[kW]; ++w) kernel.row(n, g, h, w, memory, memory + sums);
  });
  return failure.any() ? C4D_NO_MEMORY : C4D_OK;
}

}  // namespace c4d

#endif  // CARDIAC4D_GENERAL_ROWS_H
