// SPDX-License-Identifier: Apache-2.0
// One-dimensional transforms of Winograd's minimal filtering F(m, 3), after Lavin and Gray (arXiv:1509.09308).
//   y = A^T ((G g) . (B^T d)):   d: m + 2 inputs, g: 3 taps, y: m outputs, . element by element.
// For the gradient of the taps:  dg = G^T ((B^T d) . (A dy)).
// F(2) interpolates at 0, 1, -1 and infinity, F(4) also at 2 and -2.
#ifndef CARDIAC4D_WINOGRAD_TRANSFORM_H
#define CARDIAC4D_WINOGRAD_TRANSFORM_H

#include "simd.h"

namespace c4d {
namespace C4D_ISA {

template <int M>
struct Transform;

template <>
struct Transform<2> {
  template <class V>
  C4D_INLINE void input(const V* d, V* u) {  // B^T d
    u[0] = d[0] - d[2];
    u[1] = d[1] + d[2];
    u[2] = d[2] - d[1];
    u[3] = d[1] - d[3];
  }
  template <class V>
  C4D_INLINE void output(const V* q, V* y) {  // A^T q
    y[0] = q[0] + q[1] + q[2];
    y[1] = q[1] - q[2] - q[3];
  }
  template <class V>
  C4D_INLINE void gradient(const V* y, V* q) {  // A y
    q[0] = y[0];
    q[1] = y[0] + y[1];
    q[2] = y[0] - y[1];
    q[3] = -y[1];
  }
  template <class V>
  C4D_INLINE void taps(const V* g, V* u) {  // G g
    const V outer = g[0] + g[2];
    u[0] = g[0];
    u[1] = (outer + g[1]) * 0.5;
    u[2] = (outer - g[1]) * 0.5;
    u[3] = g[2];
  }
  template <class V>
  C4D_INLINE void tap_gradient(const V* u, V* g) {  // G^T u
    const V sum = (u[1] + u[2]) * 0.5;
    g[0] = u[0] + sum;
    g[1] = (u[1] - u[2]) * 0.5;
    g[2] = sum + u[3];
  }
};

template <>
struct Transform<4> {
  template <class V>
  C4D_INLINE void input(const V* d, V* u) {
    const V a = d[4] - 4.0f * d[2], b = d[3] - 4.0f * d[1], c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);
    u[0] = 4.0f * d[0] + (d[4] - 5.0f * d[2]);
    u[1] = a + b;
    u[2] = a - b;
    u[3] = c + e;
    u[4] = c - e;
    u[5] = 4.0f * d[1] + (d[5] - 5.0f * d[3]);
  }
  template <class V>
  C4D_INLINE void output(const V* q, V* y) {
    const V p = q[1] + q[2], f = q[1] - q[2], r = q[3] + q[4], s = q[3] - q[4];
    y[0] = q[0] + p + r;
    y[1] = f + 2.0f * s;
    y[2] = p + 4.0f * r;
    y[3] = (f + q[5]) + 8.0f * s;
  }
  template <class V>
  C4D_INLINE void gradient(const V* y, V* q) {
    const V g = y[0] + y[2], h = y[1] + y[3], i = y[0] + 4.0f * y[2], j = 2.0f * y[1] + 8.0f * y[3];
    q[0] = y[0];
    q[1] = g + h;
    q[2] = g - h;
    q[3] = i + j;
    q[4] = i - j;
    q[5] = y[3];
  }
  template <class V>
  C4D_INLINE void taps(const V* g, V* u) {
    const V outer = (g[0] + g[2]) * (-1.0 / 6), inner = g[1] * (1.0 / 6);
    const V even = g[0] * (1.0 / 24) + g[2] * (1.0 / 6), odd = g[1] * (1.0 / 12);
    u[0] = g[0] * 0.25;
    u[1] = outer - inner;
    u[2] = outer + inner;
    u[3] = even + odd;
    u[4] = even - odd;
    u[5] = g[2];
  }
  template <class V>
  C4D_INLINE void tap_gradient(const V* u, V* g) {
    const V near = (u[1] + u[2]) * (1.0 / 6), far = u[3] + u[4];
    g[0] = u[0] * 0.25 - near + far * (1.0 / 24);
    g[1] = (u[2] - u[1]) * (1.0 / 6) + (u[3] - u[4]) * (1.0 / 12);
    g[2] = far * (1.0 / 6) - near + u[5];
  }
};

// Columns before rows. rows: In x In vectors `pitch` apart, at [h * In + w]; result: Out x Out at [w * Out + h].
template <int In, int Out, class Line>
C4D_INLINE void transform_square(const float* rows, int64_t pitch, const Line& line, float* result,
                                 int64_t result_pitch) {
  Vec half[In][Out];
  for (int h = 0; h < In; ++h) {
    Vec d[In];
    C4D_UNROLL
    for (int w = 0; w < In; ++w) d[w] = load(rows + (h * In + w) * pitch);
    line(d, half[h]);
  }
  for (int w = 0; w < Out; ++w) {
    Vec d[In], u[Out];
    C4D_UNROLL
    for (int h = 0; h < In; ++h) d[h] = half[h][w];
    line(d, u);
    C4D_UNROLL
    for (int h = 0; h < Out; ++h) store(result + (w * Out + h) * result_pitch, u[h]);
  }
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_WINOGRAD_TRANSFORM_H
