// SPDX-License-Identifier: Apache-2.0
// A 1x1x1x1 convolution, up-sampling by two, the skip connection and the sums of the result, in one pass: what the
// convolution computes is never stored. A job takes one row (D, T) of the small tensor, all channels.
#ifndef CARDIAC4D_UPSAMPLE_CONV_H
#define CARDIAC4D_UPSAMPLE_CONV_H

#include "epilogue.h"
#include "pointwise.h"
#include "upsampling.h"

namespace c4d {
namespace C4D_ISA {

struct UpsampleConv {
  Upsampling u;  // of one channel of each sample
  int64_t ins, outs;
  const float *x, *skip;
  float* y;
  Pointwise<float> convolution;  // its packed weights
  double* partial;               // [sample, row][output][2]
  bool streamed;

  int64_t vectors() const { return divide_up(u.small_row(), kLanes); }
  int64_t pitch() const { return pitch_for(u.small_row()); }
  // Inputs, 8 outputs, a repeated row.
  int64_t job_floats() const { return (ins + kChannels) * pitch() + u.large_row(); }

  // The row of every input channel, in whole vectors. Where they lie, many channels may be a power of two apart and so
  // fall on the same lines of the cache.
  void gather(int64_t sample, int64_t row, float* to) const {
    const int64_t count = u.small_row(), volume = u.small[0] * u.small[1] * count;
    for (int64_t in = 0; in < ins; ++in, to += pitch()) {
      memcpy(to, x + (sample * ins + in) * volume + row * count, static_cast<size_t>(count) * sizeof(float));
      clear(to + count, pitch() - count);
    }
  }

  void job(int64_t index, float* memory) const {
    const int64_t rows = u.small[0] * u.small[1], sample = index / rows;
    const int64_t large_volume = u.large[0] * u.large[1] * u.large_row();
    float *products = memory + ins * pitch(), *repeated = products + kChannels * pitch();
    gather(sample, index % rows, memory);
    for (int64_t out = 0, count; out < outs; out += count) {
      count = outputs_at_once(smaller(outs - out, kChannels - out % kChannels));
      const float* w = convolution.weights + out / kChannels * (ins + 1) * kChannels + out % kChannels;
      pointwise_outputs(count, {memory, pitch()}, vectors(), ins, w + kChannels, w, products, pitch());
      for (int64_t i = 0; i < count; ++i) {
        repeat_row(products + i * pitch(), u, repeated);
        RowSums sums = add_skip(index % rows, repeated, (sample * outs + out + i) * large_volume);
        sums.store(partial + (index * outs + out + i) * 2);
      }
    }
    end_streaming();
  }

  // Adds the repeated row to the rows of the skip connection that it belongs to; first: of the channel.
  RowSums add_skip(int64_t row, float* repeated, int64_t first) const {
    ChannelEpilogue<float> epilogue({skip + first, nullptr, {}, partial}, 0, 0, streamed, nullptr);
    u.for_large_rows(row, [&](int64_t place) { epilogue.finish(repeated, place, u.large_row(), y + first); });
    return epilogue.sums;
  }
};

// t: the large tensor, that of skip and y.
static int upsample_conv_add(const c4d_tensor& t, int64_t in_channels, const float* x, const float* w,
                             const float* bias, const float* skip, float* y, double* sums, c4d_parallel_for run) {
  c4d_tensor one = t;
  one.channels = 1;
  const Upsampling u(one);
  const int64_t outs = t.channels, rows = u.small[0] * u.small[1];
  const Pointwise<float> convolution{t.batch, 1, in_channels, outs, 0, nullptr, bias, nullptr, nullptr};
  const bool streamed = is_streamed(t.batch * outs * u.large[0] * u.large[1] * u.large_row() * 4);
  UpsampleConv kernel{u, in_channels, outs, x, skip, y, convolution, nullptr, streamed};
  const int64_t partial = u.jobs() * outs * 2;
  const size_t partial_bytes = static_cast<size_t>(partial) * sizeof(double);
  Scratch call(ScratchUse::kCall, partial_bytes + static_cast<size_t>(convolution.group_floats()) * sizeof(float));
  if (!call) return C4D_NO_MEMORY;
  kernel.partial = call.doubles();
  float* packed = reinterpret_cast<float*>(call.doubles() + partial);
  convolution.pack_weights(w, in_channels, 1, packed);
  kernel.convolution.weights = packed;
  Failure failure;
  parallel(run, u.jobs(), [&](int64_t job) {
    Scratch memory(ScratchUse::kJob, static_cast<size_t>(kernel.job_floats()) * sizeof(float));
    if (!memory) return failure.set();
    kernel.job(job, memory.floats());
  });
  if (failure.any()) return C4D_NO_MEMORY;
  sum_in_order(kernel.partial, t.batch, rows, outs * 2, sums);
  return C4D_OK;
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_UPSAMPLE_CONV_H
