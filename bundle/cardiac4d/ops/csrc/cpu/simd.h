// SPDX-License-Identifier: Apache-2.0
// Vectors of floats as the compiler knows them. The unit that includes this defines, before:
//   C4D_ISA             a namespace of its own: no two units may share a compiled function
//   C4D_LANES           floats in a vector
//   C4D_BLOCK_VECTORS   vectors x channels of sums that the multiplications keep in registers
//   C4D_BLOCK_CHANNELS  4 or 8
// No header of the C++ library may be included by such a unit: its inline functions would be compiled for this
// instruction set and could be called on machines without it.
#ifndef CARDIAC4D_SIMD_H
#define CARDIAC4D_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define C4D_INLINE static inline __attribute__((always_inline))
#define C4D_INLINE_MEMBER inline __attribute__((always_inline))
#define C4D_UNROLL _Pragma("GCC unroll 16")

namespace c4d {
namespace C4D_ISA {

constexpr int kLanes = C4D_LANES;
constexpr int kBlockVectors = C4D_BLOCK_VECTORS;
constexpr int kBlockChannels = C4D_BLOCK_CHANNELS;
constexpr int kChannels = 8;  // output channels whose weights are packed side by side

typedef float Vec __attribute__((vector_size(C4D_LANES * 4)));
typedef float LooseVec __attribute__((vector_size(C4D_LANES * 4), aligned(4), may_alias));
typedef int32_t IntVec __attribute__((vector_size(C4D_LANES * 4)));

C4D_INLINE Vec load(const float* from) { return *reinterpret_cast<const LooseVec*>(from); }
C4D_INLINE void store(float* to, Vec value) { *reinterpret_cast<LooseVec*>(to) = value; }
C4D_INLINE Vec broadcast(float value) { return value - Vec{}; }

// Past the caches: a result larger than they are would be read into them line by line before it is overwritten, and
// push out what is needed. `to` is aligned to a vector. A job calls end_streaming before it ends.
C4D_INLINE void stream(float* to, Vec value) {
#if C4D_LANES == 16
  _mm512_stream_ps(to, value);
#elif C4D_LANES == 8
  _mm256_stream_ps(to, value);
#else
  store(to, value);
#endif
}
C4D_INLINE void end_streaming() {
#if C4D_LANES >= 8
  _mm_sfence();
#endif
}
constexpr int64_t kStreamedBytes = int64_t(16) << 20;  // results as large as this are streamed
C4D_INLINE bool is_streamed(int64_t bytes) { return bytes >= kStreamedBytes; }
C4D_INLINE bool may_stream(const void* to) { return reinterpret_cast<uintptr_t>(to) % (kLanes * sizeof(float)) == 0; }

// The two halves of a vector in double precision.
typedef double Doubles __attribute__((vector_size(C4D_LANES * 4)));
typedef float HalfVec __attribute__((vector_size(C4D_LANES * 2)));
C4D_INLINE void widen(Vec value, Doubles (&halves)[2]) {
#if defined(__AVX512F__)
  // Without a mask GCC 12 warns of uninitialised values in its own header; a full mask costs nothing.
  halves[0] = _mm512_maskz_cvtps_pd(0xFF, _mm512_maskz_extractf32x8_ps(0xFF, value, 0));
  halves[1] = _mm512_maskz_cvtps_pd(0xFF, _mm512_maskz_extractf32x8_ps(0xFF, value, 1));
#else
  HalfVec parts[2];
  memcpy(parts, &value, sizeof value);
  halves[0] = __builtin_convertvector(parts[0], Doubles);
  halves[1] = __builtin_convertvector(parts[1], Doubles);
#endif
}

// A mask keeps some lanes and sets the others to zero, whatever they held.
#if defined(__AVX512F__)
typedef __mmask16 Mask;
C4D_INLINE Vec load_masked(const float* from, Mask keep) { return _mm512_maskz_loadu_ps(keep, from); }
C4D_INLINE void keep_lane(Mask& mask, int lane) { mask = static_cast<Mask>(mask | (1u << lane)); }
#else
typedef IntVec Mask;
C4D_INLINE Vec load_masked(const float* from, Mask keep) { return (Vec)((IntVec)load(from) & keep); }
C4D_INLINE void keep_lane(Mask& mask, int lane) { mask[lane] = -1; }
#endif

// Sums of neighbouring lanes: those of a in the first half, those of b in the second.
C4D_INLINE Vec add_neighbours(Vec a, Vec b) {
#if C4D_LANES == 16
  const IntVec even = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30};
#elif C4D_LANES == 8
  const IntVec even = {0, 2, 4, 6, 8, 10, 12, 14};
#else
  const IntVec even = {0, 2, 4, 6};
#endif
  return __builtin_shuffle(a, b, even) + __builtin_shuffle(a, b, even + 1);
}

// Folds Count vectors, whose sums are spread over Spread lanes each, until sum i is lane i.
template <int Count, int Spread>
C4D_INLINE void fold_lanes(Vec* v) {
  if constexpr (Spread > 1) {
    if constexpr (Count > 1) {
      C4D_UNROLL
      for (int i = 0; i < Count / 2; ++i) v[i] = add_neighbours(v[2 * i], v[2 * i + 1]);
      fold_lanes<Count / 2, Spread / 2>(v);
    } else {
      v[0] = add_neighbours(v[0], v[0]);
      fold_lanes<1, Spread / 2>(v);
    }
  }
}

// sums[i] += all lanes of v[i], in a fixed order; destroys v. Count is 4 or 8, Sum float or double.
template <int Count, class Sum>
C4D_INLINE void add_lane_sums(Vec (&v)[Count], Sum* sums) {
  fold_lanes<Count, kLanes>(v);
  float folded[Count > kLanes ? Count : kLanes];
  constexpr int kFilled = Count > kLanes ? Count / kLanes : 1;
  C4D_UNROLL
  for (int i = 0; i < kFilled; ++i) store(folded + i * kLanes, v[i]);
  C4D_UNROLL
  for (int i = 0; i < Count; ++i) sums[i] += folded[i];
}

C4D_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
C4D_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
C4D_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The next row pitch that holds this many floats: whole vectors, an odd number of them, so that rows of one column
// do not fall on the same cache lines.
C4D_INLINE int64_t pitch_for(int64_t floats) { return (divide_up(floats, kLanes) | 1) * kLanes; }

template <class Number>
C4D_INLINE void clear(Number* to, int64_t count) {
  if (count > 0) memset(to, 0, static_cast<size_t>(count) * sizeof(Number));
}

// Vectors to multiply at once when `left` remain: full blocks, but rather 2 + 2 than 3 + 1.
C4D_INLINE int64_t next_block(int64_t left) {
  if (left == kBlockVectors + 1 && kBlockVectors > 2) return kBlockVectors - 1;
  return smaller(left, kBlockVectors);
}

}  // namespace C4D_ISA
}  // namespace c4d

#endif  // CARDIAC4D_SIMD_H
