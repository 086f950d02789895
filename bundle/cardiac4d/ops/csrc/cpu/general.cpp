// SPDX-License-Identifier: Apache-2.0
// Convolution as its definition says, for every problem: the path that is right where no fast one applies.
//
// Work is cut by output rows (one row = all of D and T at one position in H and W), so that no two jobs write the same
// element and every sum has one order. Half types are summed in float32, rounded once at the end.
#include <algorithm>

#include "algorithms.h"
#include "half.h"
#include "parallel.h"
#include "scratch.h"

namespace c4d {
namespace {

enum Axis { kH = 0, kW = 1, kD = 2, kT = 3 };

// Output positions o in [begin, end) of one axis whose tap reads the input, at o * stride + shift.
struct Hits {
  int64_t begin, end, stride, shift;
  int64_t source(int64_t o) const { return o * stride + shift; }
};

Hits hits(const c4d_problem& p, int axis, int64_t tap) {
  const int64_t stride = p.stride[axis], shift = tap * p.dilation[axis] - p.padding[axis];
  const int64_t last = p.in[axis] - 1 - shift;  // o * stride <= last
  const int64_t begin = shift < 0 ? (-shift + stride - 1) / stride : 0;
  const int64_t end = last < 0 ? 0 : std::min(p.out[axis], last / stride + 1);
  return {begin, std::max(begin, end), stride, shift};
}

int64_t row_size(const int64_t (&size)[4]) { return size[kD] * size[kT]; }

// visit(output offset, input offset, count) for every run along T that tap (kd, kt) joins; input steps by stride[T].
template <class Visit>
void for_each_run(const c4d_problem& p, const Hits& d, const Hits& t, const Visit& visit) {
  const int64_t count = t.end - t.begin;
  if (count <= 0) return;
  for (int64_t od = d.begin; od < d.end; ++od) {
    visit(od * p.out[kT] + t.begin, d.source(od) * p.in[kT] + t.source(t.begin), count);
  }
}

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

template <class Real>
Real dot(const Real* in, int64_t step, const Real* out, int64_t count) {
  Real sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += in[i * step] * out[i];
  return sum;
}

// A row as numbers to compute with: itself, or converted into `buffer`.
const double* computable(const double* row, double*, int64_t) { return row; }
const float* computable(const float* row, float*, int64_t) { return row; }
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
int64_t tap_plane(const c4d_problem& p, int64_t o, int64_t c, int64_t kh, int64_t kw) {
  const int64_t channels = p.in_channels / p.groups;
  return (((o * channels + c) * p.kernel[kH] + kh) * p.kernel[kW] + kw) * p.kernel[kD] * p.kernel[kT];
}

template <class Storage>
struct Forward {
  using Real = Compute<Storage>;
  const c4d_problem& p;
  const Storage *x, *w, *bias;
  Storage* y;

  // One row of every output channel of group g of sample n. sums: channels x row; buffer: one input row.
  void row(int64_t n, int64_t g, int64_t oh, int64_t ow, Real* sums, Real* buffer) const {
    const int64_t ins = p.in_channels / p.groups, outs = p.out_channels / p.groups, size = row_size(p.out);
    for (int64_t o = 0; o < outs; ++o) {
      std::fill_n(sums + o * size, size, bias != nullptr ? value(bias[g * outs + o]) : Real(0));
    }
    for (int64_t c = 0; c < ins; ++c) {
      for (int64_t kh = 0; kh < p.kernel[kH]; ++kh) {
        const int64_t ih = oh * p.stride[kH] - p.padding[kH] + kh * p.dilation[kH];
        if (ih < 0 || ih >= p.in[kH]) continue;
        for (int64_t kw = 0; kw < p.kernel[kW]; ++kw) {
          const int64_t iw = ow * p.stride[kW] - p.padding[kW] + kw * p.dilation[kW];
          if (iw < 0 || iw >= p.in[kW]) continue;
          const int64_t plane = (n * p.in_channels + g * ins + c) * p.in[kH] + ih;
          const Storage* stored = x + (plane * p.in[kW] + iw) * row_size(p.in);
          const Real* in = computable(stored, buffer, row_size(p.in));
          for (int64_t o = 0; o < outs; ++o) {
            add_taps(in, w + tap_plane(p, g * outs + o, c, kh, kw), sums + o * size);
          }
        }
      }
    }
    for (int64_t o = 0; o < outs; ++o) {
      const int64_t plane = (n * p.out_channels + g * outs + o) * p.out[kH] + oh;
      convert_row(sums + o * size, y + (plane * p.out[kW] + ow) * size, size);
    }
  }

  void add_taps(const Real* in, const Storage* taps, Real* out) const {
    for (int64_t kd = 0; kd < p.kernel[kD]; ++kd) {
      const Hits d = hits(p, kD, kd);
      for (int64_t kt = 0; kt < p.kernel[kT]; ++kt) {
        const Real tap = value(taps[kd * p.kernel[kT] + kt]);
        for_each_run(p, d, hits(p, kT, kt), [&](int64_t o, int64_t i, int64_t count) {
          gather(in + i, p.stride[kT], tap, out + o, count);
        });
      }
    }
  }
};

// The output position that reads input position i with this tap, or -1.
int64_t reader(const c4d_problem& p, int axis, int64_t i, int64_t tap) {
  const int64_t reach = i + p.padding[axis] - tap * p.dilation[axis];
  if (reach < 0 || reach % p.stride[axis] != 0) return -1;
  const int64_t o = reach / p.stride[axis];
  return o < p.out[axis] ? o : -1;
}

template <class Storage>
struct GradInput {
  using Real = Compute<Storage>;
  const c4d_problem& p;
  const Storage *dy, *w;
  Storage* dx;

  // One row of every input channel of group g of sample n. sums: channels x row; buffer: one output row.
  void row(int64_t n, int64_t g, int64_t ih, int64_t iw, Real* sums, Real* buffer) const {
    const int64_t ins = p.in_channels / p.groups, outs = p.out_channels / p.groups, size = row_size(p.in);
    std::fill_n(sums, ins * size, Real(0));
    for (int64_t o = 0; o < outs; ++o) {
      for (int64_t kh = 0; kh < p.kernel[kH]; ++kh) {
        const int64_t oh = reader(p, kH, ih, kh);
        if (oh < 0) continue;
        for (int64_t kw = 0; kw < p.kernel[kW]; ++kw) {
          const int64_t ow = reader(p, kW, iw, kw);
          if (ow < 0) continue;
          const int64_t plane = (n * p.out_channels + g * outs + o) * p.out[kH] + oh;
          const Storage* stored = dy + (plane * p.out[kW] + ow) * row_size(p.out);
          const Real* out = computable(stored, buffer, row_size(p.out));
          for (int64_t c = 0; c < ins; ++c) {
            add_taps(out, w + tap_plane(p, g * outs + o, c, kh, kw), sums + c * size);
          }
        }
      }
    }
    for (int64_t c = 0; c < ins; ++c) {
      const int64_t plane = (n * p.in_channels + g * ins + c) * p.in[kH] + ih;
      convert_row(sums + c * size, dx + (plane * p.in[kW] + iw) * size, size);
    }
  }

  void add_taps(const Real* out, const Storage* taps, Real* in) const {
    for (int64_t kd = 0; kd < p.kernel[kD]; ++kd) {
      const Hits d = hits(p, kD, kd);
      for (int64_t kt = 0; kt < p.kernel[kT]; ++kt) {
        const Real tap = value(taps[kd * p.kernel[kT] + kt]);
        for_each_run(p, d, hits(p, kT, kt), [&](int64_t o, int64_t i, int64_t count) {
          scatter(out + o, p.stride[kT], tap, in + i, count);
        });
      }
    }
  }
};

template <class Storage>
struct GradWeight {
  using Real = Compute<Storage>;
  const c4d_problem& p;
  const Storage *x, *dy;

  // Adds to sums[kw][kd][kt] what the output rows [begin, end), counted over (n, oh), give for taps kh of (o, c).
  // Rows are summed in Real, their sums in double. buffer: one input and one output row.
  void taps(int64_t o, int64_t c, int64_t kh, int64_t begin, int64_t end, double* sums, Real* buffer) const {
    const int64_t first = o / (p.out_channels / p.groups) * (p.in_channels / p.groups);
    for (int64_t position = begin; position < end; ++position) {
      const int64_t n = position / p.out[kH], oh = position % p.out[kH];
      const int64_t ih = oh * p.stride[kH] - p.padding[kH] + kh * p.dilation[kH];
      if (ih < 0 || ih >= p.in[kH]) continue;
      const Storage* in = x + ((n * p.in_channels + first + c) * p.in[kH] + ih) * p.in[kW] * row_size(p.in);
      const Storage* out = dy + ((n * p.out_channels + o) * p.out[kH] + oh) * p.out[kW] * row_size(p.out);
      for (int64_t ow = 0; ow < p.out[kW]; ++ow) {
        const Real* out_row = computable(out + ow * row_size(p.out), buffer, row_size(p.out));
        for (int64_t kw = 0; kw < p.kernel[kW]; ++kw) {
          const int64_t iw = ow * p.stride[kW] - p.padding[kW] + kw * p.dilation[kW];
          if (iw < 0 || iw >= p.in[kW]) continue;
          const Storage* stored = in + iw * row_size(p.in);
          const Real* in_row = computable(stored, buffer + row_size(p.out), row_size(p.in));
          add_row(in_row, out_row, sums + kw * p.kernel[kD] * p.kernel[kT]);
        }
      }
    }
  }

  void add_row(const Real* in, const Real* out, double* sums) const {
    for (int64_t kd = 0; kd < p.kernel[kD]; ++kd) {
      const Hits d = hits(p, kD, kd);
      for (int64_t kt = 0; kt < p.kernel[kT]; ++kt) {
        Real sum = 0;
        for_each_run(p, d, hits(p, kT, kt), [&](int64_t o, int64_t i, int64_t count) {
          sum += dot(in + i, p.stride[kT], out + o, count);
        });
        sums[kd * p.kernel[kT] + kt] += sum;
      }
    }
  }
};

// Runs Kernel::row over every position of a tensor of this size, in all groups of all samples.
template <class Real, class Kernel>
int for_each_row(const c4d_problem& p, const Kernel& kernel, const int64_t (&size)[4], int64_t channels,
                 int64_t buffer, c4d_parallel_for run) {
  const int64_t sums = channels / p.groups * row_size(size);
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

template <class Storage>
int grad_weight(const c4d_problem& p, const Storage* x, const Storage* dy, Storage* dw, c4d_parallel_for run) {
  using Real = Compute<Storage>;
  constexpr int64_t kPieces = 8;  // of the output rows: threads for kernels of few taps
  const int64_t ins = p.in_channels / p.groups, rows = p.batch * p.out[kH];
  const int64_t pieces = std::min(kPieces, std::max<int64_t>(rows, 1));
  const int64_t strips = p.out_channels * ins * p.kernel[kH];  // one strip: taps (kw, kd, kt)
  const int64_t strip = p.kernel[kW] * p.kernel[kD] * p.kernel[kT];
  Scratch partial(ScratchUse::kCall, static_cast<size_t>(pieces * strips * strip) * sizeof(double));
  if (!partial) return C4D_NO_MEMORY;
  const GradWeight<Storage> kernel{p, x, dy};
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

// Calls call(Storage{}) with the type that the problem's dtype names.
template <class Call>
int with_storage(const c4d_problem& p, const Call& call) {
  switch (p.dtype) {
    case C4D_FLOAT64:
      return call(double());
    case C4D_FLOAT32:
      return call(float());
    case C4D_BFLOAT16:
      return call(BFloat16());
    case C4D_FLOAT16:
      return call(Float16());
    default:
      return C4D_BAD_PROBLEM;
  }
}

}  // namespace

int general_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                    c4d_parallel_for run) {
  return with_storage(p, [&](auto type) {
    using S = decltype(type);
    const Forward<S> kernel{p, static_cast<const S*>(x), static_cast<const S*>(w), static_cast<const S*>(bias),
                            static_cast<S*>(y)};
    return for_each_row<Compute<S>>(p, kernel, p.out, p.out_channels, row_size(p.in), run);
  });
}

int general_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, c4d_parallel_for run) {
  return with_storage(p, [&](auto type) {
    using S = decltype(type);
    const GradInput<S> kernel{p, static_cast<const S*>(dy), static_cast<const S*>(w), static_cast<S*>(dx)};
    return for_each_row<Compute<S>>(p, kernel, p.in, p.in_channels, row_size(p.out), run);
  });
}

int general_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, c4d_parallel_for run) {
  return with_storage(p, [&](auto type) {
    using S = decltype(type);
    return grad_weight(p, static_cast<const S*>(x), static_cast<const S*>(dy), static_cast<S*>(dw), run);
  });
}

}  // namespace c4d
