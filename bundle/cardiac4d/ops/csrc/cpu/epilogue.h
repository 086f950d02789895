// SPDX-License-Identifier: Apache-2.0
// The epilogue of a correlation (see norm.h), row by row of one output channel.
#ifndef CARDIAC4D_EPILOGUE_H
#define CARDIAC4D_EPILOGUE_H

#include "rows.h"

namespace c4d {
namespace C4D_ISA {

template <class Storage>
struct ChannelEpilogue {
  const Storage *residual, *gate;  // of this channel
  ChannelNorm norm;
  bool sums_wanted;
  float* buffer;  // as long as a row
  RowSums sums;

  // channel: counted through the samples; volume: its elements.
  C4D_INLINE_MEMBER ChannelEpilogue(const Epilogue& all, int64_t channel, int64_t volume, float* row_buffer)
      : residual(nullptr), gate(nullptr), norm(channel_norm(all.norm, channel)), sums_wanted(all.sums != nullptr),
        buffer(row_buffer) {
    if (all.residual != nullptr) residual = static_cast<const Storage*>(all.residual) + channel * volume;
    if (all.gate != nullptr) gate = static_cast<const Storage*>(all.gate) + channel * volume;
  }

  // row: `count` results that belong at this place of the channel.
  C4D_INLINE_MEMBER void finish(float* row, int64_t place, int64_t count) {
    if (residual != nullptr) add_row(as_floats(residual + place, count, buffer), count, row);
    const float* factor = row;
    if (gate != nullptr) {
      factor = as_floats(gate + place, count, buffer);
      gate_row(factor, norm, count, row);
    }
    if (sums_wanted) sums.add(row, factor, count);
  }
};

// sums[batch][width] = the sums of partial[batch][count][width] over `count`, first to last.
C4D_INLINE void sum_in_order(const double* partial, int64_t batch, int64_t count, int64_t width, double* sums) {
  for (int64_t sample = 0; sample < batch; ++sample, sums += width) {
    for (int64_t i = 0; i < width; ++i) sums[i] = 0;
    for (int64_t part = 0; part < count; ++part, partial += width) {
      for (int64_t i = 0; i < width; ++i) sums[i] += partial[i];
    }
  }
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_EPILOGUE_H
