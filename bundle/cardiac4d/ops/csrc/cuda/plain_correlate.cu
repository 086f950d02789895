// SPDX-License-Identifier: Apache-2.0
// Forward and input gradient of the plain path. Both gather: a thread computes some channels of one voxel of the
// target, and reads for each tap the one voxel of the source that the tap joins with it. So no two threads write the
// same place.
#include "frames.h"
#include "launch.h"
#include "plain.h"
#include "storage.h"

namespace c4d_cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kChannels = 8;  // of the target per thread: each number read from the source is used so often

template <class Storage_, bool kTransposed>
struct Correlate {
  using Storage = Storage_;
  using Real = Compute<Storage>;
  c4d_problem p;
  const Storage *from, *w, *bias;  // no bias: null
  Storage* to;

  __host__ __device__ const int64_t (&source() const)[4] { return kTransposed ? p.out : p.in; }
  __host__ __device__ const int64_t (&target() const)[4] { return kTransposed ? p.in : p.out; }
  __host__ __device__ int64_t sources() const { return (kTransposed ? p.out_channels : p.in_channels) / p.groups; }
  __host__ __device__ int64_t targets() const { return (kTransposed ? p.in_channels : p.out_channels) / p.groups; }
  __host__ __device__ int64_t voxels() const { return p.batch * volume(target()); }
  __host__ __device__ int64_t parts() const { return (targets() + kChannels - 1) / kChannels; }
  // A job: kThreads voxels, one part of the channels of one group. Jobs on the same voxels follow each other.
  __host__ __device__ int64_t jobs() const { return (voxels() + kThreads - 1) / kThreads * p.groups * parts(); }

  __device__ int64_t joined(int axis, int64_t position, int64_t tap) const {
    return kTransposed ? reader_of(p, axis, position, tap) : read_by(p, axis, position, tap);
  }

  // Adds what one voxel of the source gives through one tap: `numbers` are its channels, `taps` the weights. Sums
  // beyond `count` take the first channel's weights, and are never stored.
  __device__ void add_tap(const Storage* numbers, const Storage* taps, int64_t count, Real (&sums)[kChannels]) const {
    const int64_t step = taps_of(p);
    const int64_t source_step = kTransposed ? targets() * step : step;
    const int64_t target_step = kTransposed ? step : sources() * step;
#pragma unroll 1
    for (int64_t s = 0; s < sources(); ++s, taps += source_step) {
      const Real number = value(numbers[s]);
#pragma unroll
      for (int t = 0; t < kChannels; ++t) {
        sums[t] += number * value(taps[(t < count ? t : 0) * target_step]);
      }
    }
  }

  // Adds all taps that reach voxel v. from_group: the first channel of the group in the first voxel of the sample.
  __device__ void add_taps(const Voxel& v, const Storage* from_group, const Storage* taps, int64_t count,
                           Real (&sums)[kChannels]) const {
    const int64_t channels = p.groups * sources();
#pragma unroll 1
    for (int64_t kt = 0; kt < p.kernel[kT]; ++kt) {
      const int64_t t = joined(kT, v.at[kT], kt);
      if (t < 0) continue;
#pragma unroll 1
      for (int64_t kh = 0; kh < p.kernel[kH]; ++kh) {
        const int64_t h = joined(kH, v.at[kH], kh);
        if (h < 0) continue;
#pragma unroll 1
        for (int64_t kw = 0; kw < p.kernel[kW]; ++kw) {
          const int64_t width = joined(kW, v.at[kW], kw);
          if (width < 0) continue;
          const int64_t row = ((t * source()[kH] + h) * source()[kW] + width) * source()[kD];
          const int64_t tap_row = (kh * p.kernel[kW] + kw) * p.kernel[kD];
#pragma unroll 1
          for (int64_t kd = 0; kd < p.kernel[kD]; ++kd) {
            const int64_t d = joined(kD, v.at[kD], kd);
            if (d < 0) continue;
            add_tap(from_group + (row + d) * channels, taps + (tap_row + kd) * p.kernel[kT] + kt, count, sums);
          }
        }
      }
    }
  }

  // Channels [first, first + count) of one group in the voxel at a position of the target.
  __device__ void compute(int64_t position, int64_t group, int64_t first, int64_t count) const {
    const Voxel v = voxel_at(position, target());
    const int64_t channel = group * targets() + first;
    Real sums[kChannels];
#pragma unroll
    for (int t = 0; t < kChannels; ++t) sums[t] = bias != nullptr && t < count ? value(bias[channel + t]) : Real(0);
    const Storage* from_group = from + v.n * volume(source()) * p.groups * sources() + group * sources();
    const Storage* taps = w + (group * targets() * sources() + first * (kTransposed ? 1 : sources())) * taps_of(p);
    add_taps(v, from_group, taps, count, sums);
    Storage* result = to + position * p.groups * targets() + channel;
#pragma unroll
    for (int t = 0; t < kChannels; ++t) {
      if (t < count) store(sums[t], result + t);
    }
  }
};

// Four blocks per multiprocessor: as many as leave registers enough to spill none.
template <class Work>
__global__ void __launch_bounds__(kThreads, 4) correlate(const Work work) {
  for (int64_t job = blockIdx.x; job < work.jobs(); job += gridDim.x) {
    const int64_t part = job % work.parts(), group = job / work.parts() % work.p.groups;
    const int64_t position = job / work.parts() / work.p.groups * kThreads + threadIdx.x;
    const int64_t first = part * kChannels, rest = work.targets() - first;
    if (position < work.voxels()) work.compute(position, group, first, rest < kChannels ? rest : kChannels);
  }
}

template <bool kTransposed>
int run(const c4d_problem& p, const void* from, const void* w, const void* bias, void* to, void* stream) {
  return with_storage(p.dtype, [&](auto type) {
    using S = decltype(type);
    using Work = Correlate<S, kTransposed>;
    const Work work{p, static_cast<const S*>(from), static_cast<const S*>(w), static_cast<const S*>(bias),
                    static_cast<S*>(to)};
    return launch(correlate<Work>, work, work.jobs(), kThreads, 0, stream);
  });
}

}  // namespace

int plain_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* stream) {
  return run<false>(p, x, w, bias, y, stream);
}

int plain_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* stream) {
  return run<true>(p, dy, w, nullptr, dx, stream);
}

}  // namespace c4d_cuda
