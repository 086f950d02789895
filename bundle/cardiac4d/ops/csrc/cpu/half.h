// SPDX-License-Identifier: Apache-2.0
// bfloat16 and IEEE float16 as storage: conversions without branches, so that the compiler can vectorise the loops.
#ifndef CARDIAC4D_HALF_H
#define CARDIAC4D_HALF_H

#include <stdint.h>
#include <string.h>

#include "../compute.h"

namespace c4d {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

namespace {

inline float float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

inline uint32_t bits_of_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline void convert(double from, double& to) { to = from; }
inline void convert(float from, float& to) { to = from; }
inline void convert(double from, float& to) { to = static_cast<float>(from); }

inline void convert(BFloat16 from, float& to) { to = float_of_bits(uint32_t(from.bits) << 16); }

// To the nearest, ties to even; NaN stays NaN.
inline void convert(float from, BFloat16& to) {
  const uint32_t bits = bits_of_float(from);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t quiet = (bits >> 16) | 0x40u;
  to.bits = static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? quiet : rounded);
}

// Normal numbers: move exponent and mantissa into place and multiply by 2^-112, the difference of the exponent biases.
// Subnormal numbers: mantissa as the low bits of 0.5, then subtract 0.5.
inline void convert(Float16 from, float& to) {
  const uint32_t sign = (uint32_t(from.bits) & 0x8000u) << 16;
  const uint32_t rest = uint32_t(from.bits) & 0x7FFFu;
  const uint32_t normal = bits_of_float(float_of_bits((rest << 13) + (uint32_t(0xE0) << 23)) * 0x1.0p-112f);
  const uint32_t subnormal = bits_of_float(float_of_bits(rest | (uint32_t(126) << 23)) - 0.5f);
  // 0.5 has a unit in the last place of 2^-24, which is the smallest subnormal.
  to = float_of_bits(sign | (rest < 0x0400u ? subnormal : normal));
}

// To the nearest, ties to even, by adding a power of two at which one unit in the last place is that of the result.
inline void convert(float from, Float16& to) {
  const uint32_t bits = bits_of_float(from);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  // Beyond the largest finite number this becomes infinity.
  const float scaled = (float_of_bits(magnitude) * 0x1.0p+112f) * 0x1.0p-110f;
  const uint32_t exponent = magnitude & 0x7F800000u;
  const uint32_t bias = (exponent < 0x38800000u ? 0x38800000u : exponent) + 0x07800000u;
  const uint32_t sum = bits_of_float(float_of_bits(bias) + scaled);
  const uint32_t rounded = ((sum >> 13) & 0x7C00u) + (sum & 0x0FFFu);
  to.bits = static_cast<uint16_t>(sign | (magnitude > 0x7F800000u ? 0x7E00u : rounded));
}

template <class From, class To>
inline void convert_row(const From* __restrict from, To* __restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) convert(from[i], to[i]);
}

}  // namespace
}  // namespace c4d

#endif  // CARDIAC4D_HALF_H
