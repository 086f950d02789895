// SPDX-License-Identifier: Apache-2.0
// Group normalisation and its gradient from sums per channel, in double precision.
//
//   y = x * scale + shift,  scale = rstd * weight,  shift = bias - mean * scale;  mean, rstd: of a channel's group.
//   With g = dL/dy and the means over a group, p = mean(weight * g), q = mean(weight * g * (x - mean)) * rstd^2:
//   dL/dx = rstd * (weight * g - p - q * (x - mean)).
#include <cmath>

#include "conv4d_cpu_fused.h"

namespace {

struct Moments {
  double mean, rstd;
};

Moments moments(const c4d_group_norm& n, int64_t sample, int64_t group) {
  const int64_t channels = n.channels / n.groups;
  const double* sums = n.sums + (sample * n.channels + group * channels) * 2;
  double first = 0, second = 0;
  for (int64_t c = 0; c < channels; ++c) {
    first += sums[2 * c];
    second += sums[2 * c + 1];
  }
  const double count = static_cast<double>(channels) * static_cast<double>(n.volume);
  const double mean = first / count, variance = second / count - mean * mean;
  // Rounding may leave a tiny negative number for a constant group. A NaN passes.
  return {mean, 1 / std::sqrt((variance < 0 ? 0 : variance) + n.eps)};
}

}  // namespace

void c4d_cpu_norm_scale_shift(const c4d_group_norm* norm, float* scale, float* shift) {
  const c4d_group_norm& n = *norm;
  const int64_t channels = n.channels / n.groups;
  for (int64_t i = 0; i < n.batch * n.channels; ++i) {
    const int64_t channel = i % n.channels;
    const Moments m = moments(n, i / n.channels, channel / channels);
    scale[i] = static_cast<float>(m.rstd * n.weight[channel]);
    shift[i] = static_cast<float>(n.bias[channel] - m.mean * (m.rstd * n.weight[channel]));
  }
}

void c4d_cpu_norm_gradients(const c4d_group_norm* norm, const double* gradient_sums, float* abc, float* dweight,
                            float* dbias, float* sum_dx) {
  const c4d_group_norm& n = *norm;
  const int64_t channels = n.channels / n.groups;
  const double volume = static_cast<double>(n.volume), count = static_cast<double>(channels) * volume;
  for (int64_t c = 0; c < n.channels; ++c) {
    const int64_t group = c / channels;
    double weight_sum = 0, bias_sum = 0, dx_sum = 0;
    for (int64_t sample = 0; sample < n.batch; ++sample) {
      const Moments m = moments(n, sample, group);
      double p = 0, q = 0;
      for (int64_t k = group * channels; k < (group + 1) * channels; ++k) {
        const double* sums = gradient_sums + (sample * n.channels + k) * 2;
        p += n.weight[k] * sums[0];
        q += n.weight[k] * (sums[1] - m.mean * sums[0]);
      }
      p /= count;
      q *= m.rstd * m.rstd / count;
      const int64_t i = sample * n.channels + c;
      const double* sums = gradient_sums + i * 2;
      const double a = m.rstd * n.weight[c], b = -m.rstd * q, shift = m.rstd * (q * m.mean - p);
      abc[3 * i] = static_cast<float>(a);
      abc[3 * i + 1] = static_cast<float>(b);
      abc[3 * i + 2] = static_cast<float>(shift);
      weight_sum += m.rstd * (sums[1] - m.mean * sums[0]);
      bias_sum += sums[0];
      dx_sum += a * sums[0] + b * n.sums[2 * i] + shift * volume;
    }
    dweight[c] = static_cast<float>(weight_sum);
    dbias[c] = static_cast<float>(bias_sum);
    sum_dx[c] = static_cast<float>(dx_sum);
  }
}
