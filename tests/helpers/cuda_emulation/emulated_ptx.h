// SPDX-License-Identifier: Apache-2.0
// The instructions of ptx.h on the CPU. Those of a warp are carried out when all its lanes have arrived.
//
// A copy is made as late as it may be, when its thread waits for it, or with `c4d_emulation_eager` at once: the one
// finds what is read too early, the other what is overwritten too early.
#ifndef C4D_EMULATION_PTX_H
#define C4D_EMULATION_PTX_H

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "conversion.h"

namespace emulation {

// What the lanes of a warp hand in and get back: up to 12 and 4 words.
struct Exchange {
  uint32_t in[32][12], out[32][4];
};

// Waits for the other lanes; then `instruction` is carried out once for all.
const uint32_t* run_in_warp(const uint32_t* words, int count, void (*instruction)(Exchange&));

void copy(uint32_t to, const void* from, bool is_inside, int bytes);
void wait_for_copies();
uint32_t shared_address(const void* pointer);
void load_4_blocks(Exchange& lanes);
void load_2_blocks(Exchange& lanes);
void load_4_transposed(Exchange& lanes);
void load_2_transposed(Exchange& lanes);

// The number at a place of an operand's word: one of two half numbers, or one in TF32, whose last 13 bits do not count.
template <class Half>
float operand(Half, uint32_t word, int place) {
  return converted<float>(Half{static_cast<uint16_t>(word >> 16 * place)});
}
inline float operand(float, uint32_t word, int) { return c4d::float_of_bits(word & 0xFFFFE000u); }

// sums (16 x 8) += a (16 x 8 blocks) * b (8 blocks x 8), as the PTX manual lays out the operands of mma.m16n8k16 and
// k8. In TF32 k is half of that: a block has 4 columns.
template <class Storage, int kBlocks>
void multiply(Exchange& lanes) {
  constexpr int kPlaces = sizeof(uint32_t) / sizeof(Storage), kColumns = 4 * kPlaces;
  float a[16][kColumns * kBlocks], b[kColumns * kBlocks][8];
  for (int lane = 0; lane < 32; ++lane) {
    const uint32_t* words = lanes.in[lane] + 4;
    for (int place = 0; place < kPlaces; ++place) {
      const int k = lane % 4 * kPlaces + place;
      for (int i = 0; i < 2 * kBlocks; ++i) {
        a[lane / 4 + i % 2 * 8][k + i / 2 * kColumns] = operand(Storage(), words[i], place);
      }
      for (int i = 0; i < kBlocks; ++i) {
        b[k + i * kColumns][lane / 4] = operand(Storage(), words[2 * kBlocks + i], place);
      }
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      float sum;
      memcpy(&sum, &lanes.in[lane][i], sizeof sum);
      for (int k = 0; k < kColumns * kBlocks; ++k) sum += a[lane / 4 + i / 2 * 8][k] * b[k][lane % 4 * 2 + i % 2];
      memcpy(&lanes.out[lane][i], &sum, sizeof sum);
    }
  }
}

// A lane's own word, and whose it wants.
inline void shuffle(Exchange& lanes) {
  for (int lane = 0; lane < 32; ++lane) lanes.out[lane][0] = lanes.in[lane ^ lanes.in[lane][1]][0];
}

}  // namespace emulation

inline uint32_t __shfl_xor_sync(unsigned lanes, uint32_t word, int other_lane) {
  emulation::expect(lanes == 0xFFFFFFFFu);
  const uint32_t words[2] = {word, static_cast<uint32_t>(other_lane)};
  return *emulation::run_in_warp(words, 2, emulation::shuffle);
}

namespace c4d_cuda {

inline uint32_t shared_address(const void* pointer) { return emulation::shared_address(pointer); }
inline void copy_async(uint32_t to, const void* from, bool is_inside) { emulation::copy(to, from, is_inside, 16); }
inline void copy_number_async(uint32_t to, const void* from, bool is_inside) {
  emulation::copy(to, from, is_inside, 4);
}
inline void wait_for_copies() { emulation::wait_for_copies(); }

inline void load_blocks(uint32_t address, uint32_t (&blocks)[4]) {
  memcpy(blocks, emulation::run_in_warp(&address, 1, emulation::load_4_blocks), sizeof blocks);
}
inline void load_blocks(uint32_t address, uint32_t (&blocks)[2]) {
  memcpy(blocks, emulation::run_in_warp(&address, 1, emulation::load_2_blocks), sizeof blocks);
}

inline void load_transposed(uint32_t address, uint32_t (&blocks)[4]) {
  memcpy(blocks, emulation::run_in_warp(&address, 1, emulation::load_4_transposed), sizeof blocks);
}
inline void load_transposed(uint32_t address, uint32_t (&blocks)[2]) {
  memcpy(blocks, emulation::run_in_warp(&address, 1, emulation::load_2_transposed), sizeof blocks);
}

// To the nearest, ties away from zero. NaN stays NaN.
template <int kCount>
void round_to_tf32(uint32_t (&words)[kCount]) {
  for (uint32_t& word : words) {
    const bool is_nan = (word & 0x7FFFFFFFu) > 0x7F800000u;
    word = is_nan ? 0x7FFFFFFFu : (word + 0x1000u) & 0xFFFFE000u;
  }
}

template <class Half>
void multiply(Half, float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  uint32_t words[10] = {0, 0, 0, 0, a[0], a[1], a[2], a[3], b0, b1};
  memcpy(words, sums, sizeof sums);
  memcpy(sums, emulation::run_in_warp(words, 10, emulation::multiply<Half, 2>), sizeof sums);
}
template <class Half>
void multiply(Half, float (&sums)[4], const uint32_t (&a)[2], uint32_t b) {
  uint32_t words[7] = {0, 0, 0, 0, a[0], a[1], b};
  memcpy(words, sums, sizeof sums);
  memcpy(sums, emulation::run_in_warp(words, 7, emulation::multiply<Half, 1>), sizeof sums);
}

}  // namespace c4d_cuda

#endif  // C4D_EMULATION_PTX_H
