// SPDX-License-Identifier: Apache-2.0
// Nearest-neighbour up-sampling by two on H, W, D and T, cropped at the far end, plus a skip connection; its gradient.
//
// Forward a thread takes one large position along D, and one small position on the other axes: its up to 8 large voxels
// repeat one small voxel, whose convolution it computes. Its neighbour along D computes the same one again, which costs
// little; so a warp reads and writes the large tensors in one stretch.
#include "upsampling.h"

#include "channel_work.h"
#include "frames.h"
#include "pointwise.h"

namespace c4d_cuda {
namespace {

struct Extents {
  int64_t large[4], small[4];
};

Extents extents_of(const c4d_frames& frames) {
  Extents e{};
  for (int axis = 0; axis < 4; ++axis) e.large[axis] = frames.size[axis], e.small[axis] = (frames.size[axis] + 1) / 2;
  return e;
}

// Calls body(voxel) with the position in memory of the large voxels that repeat a small position (T, H, W; `d` is that
// of the large ones) within a sample.
template <class Body>
__device__ void for_repetitions(const Extents& e, const Voxel& v, const Body& body) {
#pragma unroll 1
  for (int64_t t = 2 * v.at[kT]; t < 2 * v.at[kT] + 2 && t < e.large[kT]; ++t) {
#pragma unroll 1
    for (int64_t h = 2 * v.at[kH]; h < 2 * v.at[kH] + 2 && h < e.large[kH]; ++h) {
      for (int64_t w = 2 * v.at[kW]; w < 2 * v.at[kW] + 2 && w < e.large[kW]; ++w) {
        body(((t * e.large[kH] + h) * e.large[kW] + w) * e.large[kD] + v.at[kD]);
      }
    }
  }
}

// Items: small positions with large ones along D.
template <class Storage, bool kConvolves>
struct UpsampleAdd {
  struct State {
    const Storage *x, *skip;
    Storage* y;
    Octet octet;
  };
  Cut cut;
  Extents extents;
  Pointwise<Storage> conv;  // where it convolves
  const Storage *x, *skip;
  Storage* y;
  double* pieces;

  __host__ __device__ int64_t in_channels() const { return kConvolves ? conv.in_channels : cut.channels; }
  __device__ State start(int64_t n, const Octet& octet) const {
    const int64_t first = n * volume(extents.large) * cut.channels + octet.first;
    const Storage* from = x + n * volume(extents.small) * in_channels() + (kConvolves ? 0 : octet.first);
    return {from, skip + first, y + first, octet};
  }
  __device__ void visit(const State& state, int64_t item, float (&sums)[2][kOctet]) const {
    const int64_t size[] = {extents.small[kH], extents.small[kW], extents.large[kD], extents.small[kT]};
    const Voxel v = voxel_at(item, size);
    const int64_t row = (v.at[kT] * extents.small[kH] + v.at[kH]) * extents.small[kW] + v.at[kW];
    const Storage* from = state.x + (row * extents.small[kD] + v.at[kD] / 2) * in_channels();
    float repeated[kOctet];
    if constexpr (kConvolves) {
      conv.compute(from, state.octet, repeated);
    } else {
      load_octet(from, state.octet, repeated);
    }
    for_repetitions(extents, v, [&](int64_t voxel) {
      float numbers[kOctet];
      load_octet(state.skip + voxel * cut.channels, state.octet, numbers);
#pragma unroll
      for (int i = 0; i < kOctet; ++i) numbers[i] += repeated[i];
      store_octet(numbers, state.octet, state.y + voxel * cut.channels);
      if constexpr (kConvolves) {
#pragma unroll
        for (int i = 0; i < kOctet; ++i) sums[0][i] += numbers[i], sums[1][i] += numbers[i] * numbers[i];
      }
    });
  }
};

// Items: small voxels. Sums in float over the copies of each, in the order in which they lie.
template <class Storage>
struct UpsampleGrad {
  struct State {
    const Storage* dy;
    Storage* dx;
    Octet octet;
  };
  Cut cut;
  Extents extents;
  const Storage* dy;
  Storage* dx;

  __device__ State start(int64_t n, const Octet& octet) const {
    return {dy + n * volume(extents.large) * cut.channels + octet.first,
            dx + n * volume(extents.small) * cut.channels + octet.first, octet};
  }
  __device__ void visit(const State& state, int64_t item, float (&)[2][kOctet]) const {
    Voxel v = voxel_at(item, extents.small);
    v.at[kD] *= 2;
    const int copies = v.at[kD] + 1 < extents.large[kD] ? 2 : 1;
    float sums[kOctet] = {};
    for_repetitions(extents, v, [&](int64_t voxel) {
      for (int copy = 0; copy < copies; ++copy) {
        float numbers[kOctet];
        load_octet(state.dy + (voxel + copy) * cut.channels, state.octet, numbers);
#pragma unroll
        for (int i = 0; i < kOctet; ++i) sums[i] += numbers[i];
      }
    });
    store_octet(sums, state.octet, state.dx + item * cut.channels);
  }
};

Cut forward_cut(const c4d_frames& large) {
  const Extents e = extents_of(large);
  return cut_for(large.batch, large.channels, e.small[kT] * e.small[kH] * e.small[kW] * e.large[kD]);
}

template <class Storage, bool kConvolves>
UpsampleAdd<Storage, kConvolves> forward_work(const c4d_frames& large, const void* x, const void* skip, void* y) {
  UpsampleAdd<Storage, kConvolves> work{};
  work.cut = forward_cut(large), work.extents = extents_of(large);
  work.x = static_cast<const Storage*>(x), work.skip = static_cast<const Storage*>(skip);
  work.y = static_cast<Storage*>(y);
  return work;
}

}  // namespace

int upsample_add(const c4d_frames& large, const void* x, const void* skip, void* y, void* stream) {
  return with_half_or_float(large.dtype, [&](auto type) {
    return visit(forward_work<decltype(type), false>(large, x, skip, y), stream);
  });
}

int upsample_conv_add(const c4d_frames& large, int64_t in_channels, const void* x, const void* w, const void* bias,
                      const void* skip, void* y, double* sums, void* workspace, void* stream) {
  return with_half_or_float(large.dtype, [&](auto type) {
    using S = decltype(type);
    auto work = forward_work<S, true>(large, x, skip, y);
    work.conv = {in_channels, static_cast<const S*>(w), static_cast<const S*>(bias)};
    return sum_up(work, sums, workspace, stream);
  });
}

int64_t upsample_conv_add_workspace(const c4d_frames& large) { return pieces_bytes(forward_cut(large)); }

int upsample_grad(const c4d_frames& large, const void* dy, void* dx, void* stream) {
  return with_half_or_float(large.dtype, [&](auto type) {
    using S = decltype(type);
    const Extents e = extents_of(large);
    const Cut cut = cut_for(large.batch, large.channels, volume(e.small));
    return visit(UpsampleGrad<S>{cut, e, static_cast<const S*>(dy), static_cast<S*>(dx)}, stream);
  });
}

}  // namespace c4d_cuda
