// SPDX-License-Identifier: Apache-2.0
// The passes over a tensor that a normalisation takes where no convolution takes them along, and the numbers per
// channel, which are few and are computed in double.
#include "group_norm.h"

#include <math.h>

#include "channel_work.h"
#include "frames.h"

namespace c4d_cuda {
namespace {

constexpr int kThreads = 128;

struct Moments {
  double mean, rstd;
};

__device__ Moments moments(const GroupNorm& norm, int64_t n, int64_t channel) {
  const int64_t channels = norm.channels / norm.groups, first = channel / channels * channels;
  const double* sums = norm.sums + (n * norm.channels + first) * 2;
  double sum = 0, square = 0;
  for (int64_t i = 0; i < channels; ++i) sum += sums[2 * i], square += sums[2 * i + 1];
  const double count = static_cast<double>(channels) * static_cast<double>(norm.volume);
  const double mean = sum / count, variance = square / count - mean * mean;
  // Rounding may leave a tiny negative number for a constant group. A NaN passes.
  return {mean, 1 / sqrt((variance < 0 ? 0 : variance) + norm.eps)};
}

struct ScaleShift {
  GroupNorm norm;
  float *scale, *shift;

  __host__ __device__ int64_t count() const { return norm.batch * norm.channels; }
  __device__ void compute(int64_t i) const {
    const int64_t channel = i % norm.channels;
    const Moments m = moments(norm, i / norm.channels, channel);
    scale[i] = static_cast<float>(m.rstd * norm.weight[channel]);
    shift[i] = static_cast<float>(norm.bias[channel] - m.mean * (m.rstd * norm.weight[channel]));
  }
};

struct Gradients {
  GroupNorm norm;
  const double* sums;  // of g and of g * x
  float *abc, *dweight, *dbias, *sum_dx;

  __host__ __device__ int64_t count() const { return norm.channels; }
  __device__ void compute(int64_t channel) const {
    const int64_t channels = norm.channels / norm.groups, first = channel / channels * channels;
    const int64_t all = norm.batch * norm.channels;
    const double volume = static_cast<double>(norm.volume), count = static_cast<double>(channels) * volume;
    double weight_sum = 0, bias_sum = 0, dx_sum = 0;
    for (int64_t n = 0; n < norm.batch; ++n) {
      const Moments m = moments(norm, n, channel);
      double p = 0, q = 0;
      for (int64_t k = first; k < first + channels; ++k) {
        const double* pair = sums + (n * norm.channels + k) * 2;
        p += norm.weight[k] * pair[0];
        q += norm.weight[k] * (pair[1] - m.mean * pair[0]);
      }
      p /= count;
      q *= m.rstd * m.rstd / count;
      const int64_t i = n * norm.channels + channel;
      const double g = sums[2 * i], gx = sums[2 * i + 1];
      const double a = m.rstd * norm.weight[channel], b = -m.rstd * q, c = m.rstd * (q * m.mean - p);
      abc[i] = static_cast<float>(a), abc[all + i] = static_cast<float>(b), abc[2 * all + i] = static_cast<float>(c);
      weight_sum += m.rstd * (gx - m.mean * g);
      bias_sum += g;
      dx_sum += a * g + b * norm.sums[2 * i] + c * volume;
    }
    dweight[channel] = static_cast<float>(weight_sum);
    dbias[channel] = static_cast<float>(bias_sum);
    if (sum_dx != nullptr) sum_dx[channel] = static_cast<float>(dx_sum);
  }
};

template <class Work>
__global__ void __launch_bounds__(kThreads) per_channel(const Work work) {
  const int64_t step = int64_t(gridDim.x) * kThreads;
  for (int64_t i = blockIdx.x * int64_t(kThreads) + threadIdx.x; i < work.count(); i += step) work.compute(i);
}

template <class Work>
int run_per_channel(const Work& work, void* stream) {
  return launch(per_channel<Work>, work, (work.count() + kThreads - 1) / kThreads, kThreads, 0, stream);
}

// The normalisation of an octet of a sample.
struct Norm {
  float scale[kOctet], shift[kOctet];

  __device__ Norm(const float* scales, const float* shifts, int64_t place, const Octet& octet) {
    load_numbers(scales + place, octet, scale);
    load_numbers(shifts + place, octet, shift);
  }
  __device__ float operator()(int i, float x) const { return x * scale[i] + shift[i]; }
};

template <class Storage>
struct NormRelu {
  struct State {
    int64_t first;
    Octet octet;
    Norm norm;
  };
  Cut cut;
  const Storage* x;
  const float *scale, *shift;
  Storage* z;

  __device__ State start(int64_t n, const Octet& octet) const {
    return {n * cut.items * cut.channels + octet.first, octet,
            Norm(scale, shift, n * cut.channels + octet.first, octet)};
  }
  __device__ void visit(const State& state, int64_t item, float (&)[2][kOctet]) const {
    const int64_t place = state.first + item * cut.channels;
    float numbers[kOctet];
    load_octet(x + place, state.octet, numbers);
#pragma unroll
    for (int i = 0; i < kOctet; ++i) {
      const float normal = state.norm(i, numbers[i]);
      numbers[i] = normal < 0 ? 0.0f : normal;  // a NaN passes
    }
    store_octet(numbers, state.octet, z + place);
  }
};

template <class Storage>
struct AddAndSum {
  struct State {
    int64_t first;
    Octet octet;
  };
  Cut cut;
  const Storage *from, *residual;
  Storage* y;
  double* pieces;

  __device__ State start(int64_t n, const Octet& octet) const {
    return {n * cut.items * cut.channels + octet.first, octet};
  }
  __device__ void visit(const State& state, int64_t item, float (&sums)[2][kOctet]) const {
    const int64_t place = state.first + item * cut.channels;
    float numbers[kOctet], more[kOctet];
    load_octet(from + place, state.octet, numbers);
    load_octet(residual + place, state.octet, more);
#pragma unroll
    for (int i = 0; i < kOctet; ++i) numbers[i] += more[i];
    store_octet(numbers, state.octet, y + place);
#pragma unroll
    for (int i = 0; i < kOctet; ++i) sums[0][i] += numbers[i], sums[1][i] += numbers[i] * numbers[i];
  }
};

// The gradient behind the ReLU: as torch has it, a NaN before the ReLU lets it pass.
__device__ inline float behind_relu(float dz, float normal) { return normal <= 0 ? 0.0f : dz; }

template <class Storage>
struct GradientSums {
  struct State {
    int64_t first;
    Octet octet;
    Norm norm;
  };
  Cut cut;
  const Storage *dz, *x;
  const float *scale, *shift;
  double* pieces;

  __device__ State start(int64_t n, const Octet& octet) const {
    return {n * cut.items * cut.channels + octet.first, octet,
            Norm(scale, shift, n * cut.channels + octet.first, octet)};
  }
  __device__ void visit(const State& state, int64_t item, float (&sums)[2][kOctet]) const {
    const int64_t place = state.first + item * cut.channels;
    StoredOctet<Storage> gradients, inputs;
    gradients.read(dz + place, state.octet);
    inputs.read(x + place, state.octet);
    float g[kOctet], numbers[kOctet];
    gradients.numbers(g);
    inputs.numbers(numbers);
#pragma unroll
    for (int i = 0; i < kOctet; ++i) {
      const float gradient = behind_relu(g[i], state.norm(i, numbers[i]));
      sums[0][i] += gradient, sums[1][i] += gradient * numbers[i];
    }
  }
};

template <class Storage>
struct NormReluGrad {
  struct State {
    int64_t first;
    Octet octet;
    Norm norm;
    float a[kOctet], b[kOctet], c[kOctet];
  };
  Cut cut;
  const Storage *dz, *x, *add;  // nothing to add: null
  const float *scale, *shift, *abc;
  Storage* dx;

  __device__ State start(int64_t n, const Octet& octet) const {
    const int64_t all = cut.batch * cut.channels, place = n * cut.channels + octet.first;
    State state{n * cut.items * cut.channels + octet.first, octet, Norm(scale, shift, place, octet), {}, {}, {}};
    load_numbers(abc + place, octet, state.a);
    load_numbers(abc + all + place, octet, state.b);
    load_numbers(abc + 2 * all + place, octet, state.c);
    return state;
  }
  __device__ void visit(const State& state, int64_t item, float (&)[2][kOctet]) const {
    const int64_t place = state.first + item * cut.channels;
    StoredOctet<Storage> gradients, inputs, others = {};
    gradients.read(dz + place, state.octet);
    inputs.read(x + place, state.octet);
    if (add != nullptr) others.read(add + place, state.octet);
    float g[kOctet], numbers[kOctet], more[kOctet];
    gradients.numbers(g);
    inputs.numbers(numbers);
    others.numbers(more);
#pragma unroll
    for (int i = 0; i < kOctet; ++i) {
      const float gradient = behind_relu(g[i], state.norm(i, numbers[i]));
      g[i] = (state.a[i] * gradient + state.b[i] * numbers[i]) + state.c[i] + more[i];
    }
    store_octet(g, state.octet, dx + place);
  }
};

Cut cut_of(const c4d_frames& f) { return cut_for(f.batch, f.channels, volume(f.size)); }

}  // namespace

int norm_scale_shift(const GroupNorm& norm, float* scale, float* shift, void* stream) {
  return run_per_channel(ScaleShift{norm, scale, shift}, stream);
}

int norm_gradients(const GroupNorm& norm, const double* gradient_sums, float* abc, float* dweight, float* dbias,
                   float* sum_dx, void* stream) {
  return run_per_channel(Gradients{norm, gradient_sums, abc, dweight, dbias, sum_dx}, stream);
}

int norm_relu(const c4d_frames& f, const void* x, const float* scale, const float* shift, void* z, void* stream) {
  return with_half_or_float(f.dtype, [&](auto type) {
    using S = decltype(type);
    return visit(NormRelu<S>{cut_of(f), static_cast<const S*>(x), scale, shift, static_cast<S*>(z)}, stream);
  });
}

int add_and_sum(const c4d_frames& f, const void* from, const void* residual, void* y, double* sums, void* workspace,
                void* stream) {
  return with_half_or_float(f.dtype, [&](auto type) {
    using S = decltype(type);
    const AddAndSum<S> work{cut_of(f), static_cast<const S*>(from), static_cast<const S*>(residual),
                            static_cast<S*>(y), nullptr};
    return sum_up(work, sums, workspace, stream);
  });
}

int norm_gradient_sums(const c4d_frames& f, const void* dz, const void* x, const float* scale, const float* shift,
                       double* sums, void* workspace, void* stream) {
  return with_half_or_float(f.dtype, [&](auto type) {
    using S = decltype(type);
    const GradientSums<S> work{cut_of(f), static_cast<const S*>(dz), static_cast<const S*>(x), scale, shift, nullptr};
    return sum_up(work, sums, workspace, stream);
  });
}

int norm_relu_grad(const c4d_frames& f, const void* dz, const void* x, const float* scale, const float* shift,
                   const float* abc, const void* add, void* dx, void* stream) {
  return with_half_or_float(f.dtype, [&](auto type) {
    using S = decltype(type);
    return visit(NormReluGrad<S>{cut_of(f), static_cast<const S*>(dz), static_cast<const S*>(x),
                                 static_cast<const S*>(add), scale, shift, abc, static_cast<S*>(dx)},
                 stream);
  });
}

}  // namespace c4d_cuda
