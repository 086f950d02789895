// SPDX-License-Identifier: Apache-2.0
// Weights of Winograd: transformed in double, packed as [block of 8 outputs][point][input][kd][kt][8], and back.
#ifndef CARDIAC4D_WINOGRAD_WEIGHTS_H
#define CARDIAC4D_WINOGRAD_WEIGHTS_H

#include "half.h"
#include "isa.h"
#include "parallel.h"
#include "winograd_transform.h"

namespace c4d {
namespace C4D_ISA {

typedef double Wide __attribute__((vector_size(kChannels * 8)));

constexpr int kTaps = 81, kRowTaps = 9;  // of the kernel, of a pair (kd, kt)

// Floats of the packed weights of one point and block.
C4D_INLINE int64_t point_floats(int64_t ins) { return ins * kRowTaps * kChannels; }

// The 8 x 81 taps from input channel `in` to the outputs of a block, lanes being outputs; missing outputs are zeros.
template <class Storage>
static void gather_taps(const Correlation& c, int64_t block, int64_t in, Wide (&taps)[kTaps]) {
  memset(taps, 0, sizeof taps);
  const int64_t first = block * kChannels, count = smaller(kChannels, c.outs - first);
  for (int64_t lane = 0; lane < count; ++lane) {
    const Storage* from = static_cast<const Storage*>(c.weight) + (first + lane) * c.weight_out_stride +
                          in * c.weight_in_stride;
    for (int k = 0; k < kTaps; ++k) {
      float tap;
      convert(from[c.flipped ? kTaps - 1 - k : k], tap);
      taps[k][lane] = tap;
    }
  }
}

template <int M>
static void pack_block(const Wide (&taps)[kTaps], int64_t in, int64_t ins, float* packed) {
  constexpr int A = M + 2;
  for (int k = 0; k < kRowTaps; ++k) {
    Wide half[3][A];
    for (int h = 0; h < 3; ++h) {
      const Wide g[3] = {taps[(h * 3 + 0) * kRowTaps + k], taps[(h * 3 + 1) * kRowTaps + k],
                         taps[(h * 3 + 2) * kRowTaps + k]};
      Transform<M>::taps(g, half[h]);
    }
    for (int w = 0; w < A; ++w) {
      const Wide g[3] = {half[0][w], half[1][w], half[2][w]};
      Wide u[A];
      Transform<M>::taps(g, u);
      for (int h = 0; h < A; ++h) {
        float* to = packed + (w * A + h) * point_floats(ins) + (in * kRowTaps + k) * kChannels;
        for (int lane = 0; lane < kChannels; ++lane) to[lane] = static_cast<float>(u[h][lane]);
      }
    }
  }
}

template <int M, class Storage>
static void pack_weights(const Correlation& c, float* packed, c4d_parallel_for run) {
  constexpr int kPoints = (M + 2) * (M + 2);
  parallel(run, divide_up(c.outs, kChannels) * c.ins, [&](int64_t job) {
    const int64_t block = job / c.ins, in = job % c.ins;
    Wide taps[kTaps];
    gather_taps<Storage>(c, block, in, taps);
    pack_block<M>(taps, in, c.ins, packed + block * kPoints * point_floats(c.ins));
  });
}

// The sum over pieces, in order, of the gradients of the packed weights, transformed back for one block and input.
// dw: (outs, ins, 81).
template <int M, class Sum, class Storage>
static void unpack_gradient(const Sum* partial, int64_t pieces, int64_t piece_floats, int64_t block, int64_t in,
                            int64_t ins, int64_t outs, Storage* dw) {
  constexpr int A = M + 2;
  const int64_t count = smaller(kChannels, outs - block * kChannels);
  partial += block * A * A * point_floats(ins) + in * kRowTaps * kChannels;
  for (int k = 0; k < kRowTaps; ++k) {
    Wide half[A][3];
    for (int w = 0; w < A; ++w) {
      Wide u[A] = {};
      for (int h = 0; h < A; ++h) {
        const Sum* from = partial + (w * A + h) * point_floats(ins) + k * kChannels;
        for (int64_t piece = 0; piece < pieces; ++piece, from += piece_floats) {
          for (int lane = 0; lane < kChannels; ++lane) u[h][lane] += from[lane];
        }
      }
      Transform<M>::tap_gradient(u, half[w]);
    }
    for (int h = 0; h < 3; ++h) {
      Wide u[A], g[3];
      for (int w = 0; w < A; ++w) u[w] = half[w][h];
      Transform<M>::tap_gradient(u, g);
      for (int64_t lane = 0; lane < count; ++lane) {
        Storage* to = dw + ((block * kChannels + lane) * ins + in) * kTaps;
        for (int w = 0; w < 3; ++w) convert(static_cast<float>(g[w][lane]), to[(h * 3 + w) * kRowTaps + k]);
      }
    }
  }
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_WINOGRAD_WEIGHTS_H
