// SPDX-License-Identifier: Apache-2.0
// The epilogue of a correlation (see norm.h), row by row of one output channel.
#ifndef CARDIAC4D_EPILOGUE_H
#define CARDIAC4D_EPILOGUE_H

#include "rows.h"

namespace c4d {
namespace C4D_ISA {

// Where results are put together before they are stored: floats in place, half types in the row itself.
C4D_INLINE float* float_target(float* to, float*) { return to; }
template <class Storage>
C4D_INLINE float* float_target(Storage*, float* row) {
  return row;
}
C4D_INLINE void store_target(const float*, int64_t, float*) {}
template <class Storage>
C4D_INLINE void store_target(const float* row, int64_t count, Storage* to) {
  convert_row(row, to, count);
}

// All parts of the epilogue in one pass over a row.
template <bool HasResidual, bool HasGate, bool HasSums>
C4D_INLINE void finish_row(const float* row, const float* residual, const float* gate, const ChannelNorm& norm,
                           int64_t count, bool streamed, RowSums& channel_sums, float* to) {
  RowSums sums = channel_sums;  // a copy stays in registers, for nothing that is stored could be it
  const bool past_cache = streamed && may_stream(to);
  const Vec scale = broadcast(norm.scale), shift = broadcast(norm.shift);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Vec result = load(row + i);
    if (HasResidual) result += load(residual + i);
    Vec factor = result;
    if (HasGate) {
      factor = load(gate + i);
      result = factor * scale + shift <= Vec{} ? Vec{} : result;  // a gate that is NaN is open, as in torch
    }
    past_cache ? stream(to + i, result) : store(to + i, result);
    if (HasSums) sums.add(result, factor);
  }
  for (; i < count; ++i) {
    float result = row[i];
    if (HasResidual) result += residual[i];
    if (HasGate) result = gate[i] * norm.scale + norm.shift <= 0.0f ? 0.0f : result;
    to[i] = result;
    if (HasSums) sums.add(result, HasGate ? gate[i] : result);
  }
  if (HasSums) channel_sums = sums;
}

// Only floats are stored as they are put together, and can be streamed.
C4D_INLINE bool is_float(const float*) { return true; }
template <class Storage>
C4D_INLINE bool is_float(const Storage*) {
  return false;
}

template <class Storage>
struct ChannelEpilogue {
  const Storage *residual, *gate;  // of this channel
  ChannelNorm norm;
  bool sums_wanted, streamed;
  float* buffer;  // as long as a row
  RowSums sums;

  // channel: counted through the samples; volume: its elements; large: whether results are streamed.
  C4D_INLINE_MEMBER ChannelEpilogue(const Epilogue& all, int64_t channel, int64_t volume, bool large, float* row_buffer)
      : residual(nullptr), gate(nullptr), norm(channel_norm(all.norm, channel)), sums_wanted(all.sums != nullptr),
        streamed(large && is_float(residual)), buffer(row_buffer) {
    if (all.residual != nullptr) residual = static_cast<const Storage*>(all.residual) + channel * volume;
    if (all.gate != nullptr) gate = static_cast<const Storage*>(all.gate) + channel * volume;
  }

  C4D_INLINE_MEMBER bool reads() const { return residual != nullptr || gate != nullptr; }

  // Fetches what finish will read: its rows are too short for the hardware to see them coming.
  C4D_INLINE_MEMBER void prefetch(int64_t place, int64_t count) const {
    const Storage* from = (residual != nullptr ? residual : gate) + place;
    for (int64_t i = 0; i < count; i += 64 / static_cast<int64_t>(sizeof(Storage))) __builtin_prefetch(from + i);
  }

  // row: `count` results that belong at this place of the channel; stores them.
  C4D_INLINE_MEMBER void finish(float* row, int64_t place, int64_t count, Storage* channel) {
    float* to = float_target(channel + place, row);
    if (residual != nullptr) {
      finish_with_residual(row, as_floats(residual + place, count, buffer), count, to);
    } else if (gate != nullptr) {
      finish_row<false, true, true>(row, nullptr, as_floats(gate + place, count, buffer), norm, count, streamed, sums,
                                    to);
    } else if (sums_wanted) {
      finish_row<false, false, true>(row, nullptr, nullptr, norm, count, streamed, sums, to);
    } else {
      return store_row(row, count, streamed, channel + place);
    }
    store_target(to, count, channel + place);
  }

 private:
  C4D_INLINE_MEMBER void finish_with_residual(const float* row, const float* other, int64_t count, float* to) {
    if (sums_wanted) {
      finish_row<true, false, true>(row, other, nullptr, norm, count, streamed, sums, to);
    } else {
      finish_row<true, false, false>(row, other, nullptr, norm, count, streamed, sums, to);
    }
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
