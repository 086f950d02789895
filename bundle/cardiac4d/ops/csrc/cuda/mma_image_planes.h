// SPDX-License-Identifier: Apache-2.0
// Planes of an image in shared memory, for mma_image.cu. They pass through registers, since voxel pairs that begin in
// the padding lie at no multiple of four bytes in memory.
#ifndef CARDIAC4D_CUDA_MMA_IMAGE_PLANES_H
#define CARDIAC4D_CUDA_MMA_IMAGE_PLANES_H

#include "walk.h"

namespace c4d_cuda {
namespace {

constexpr int kTileW = 8, kTileT = 4, kTileD = 32;  // a warp per frame
constexpr int kThreads = 32 * kTileT;
constexpr int kSpanW = kTileW + 2, kSpanT = kTileT + 2;
constexpr int kRowWords = kTileD / 2 + 1;  // a word: two voxels
constexpr int kPlaneWords = kSpanW * kSpanT * kRowWords;
constexpr int kWordsOfThread = (kPlaneWords + kThreads - 1) / kThreads;
// Two rows that a warp reads at once lie in different banks: frames follow each other at 170 words, planes at 1024.
constexpr int kSlots = 4, kSlotWords = 1024;
constexpr int kSharedBytes = kSlots * kSlotWords * 4;
static_assert(kWordsOfThread * kThreads <= kSlotWords, "every thread copies as many words; nobody reads the last few");

// The words of a plane that a thread copies, the same in every plane.
struct Words {
  int first[kWordsOfThread];  // from the first voxel of the plane at the tile's first frame
  unsigned is_inside;         // two bits per word
};

template <class Work>
__device__ Words words_of_thread(const Work& work, const TileOfGrid& tile) {
  const int(&from)[4] = work.from;
  Words words{};
#pragma unroll
  for (int i = 0; i < kWordsOfThread; ++i) {
    const int word = threadIdx.x + i * kThreads, row = word / kRowWords;
    const int d = tile.d - work.lead[kD] + word % kRowWords * 2;
    const int w = tile.w - work.lead[kW] + row % kSpanW, t = tile.t - work.lead[kT] + row / kSpanW;
    const bool is_row = w >= 0 && w < from[kW] && t >= 0 && t < from[kT];
    words.first[i] = (row / kSpanW * from[kH] * from[kW] + w) * from[kD] + d;
    words.is_inside |= (is_row && d >= 0 && d < from[kD] ? 1u : 0u) << 2 * i;
    words.is_inside |= (is_row && d + 1 >= 0 && d + 1 < from[kD] ? 2u : 0u) << 2 * i;
  }
  return words;
}

// The voxels of these words, on their way.
using Fetched = uint16_t[kWordsOfThread][2];

// Reads a thread's words of one plane, zeros outside.
template <class Work>
__device__ void fetch_plane(const Work& work, const TileOfGrid& tile, const Words& words, int plane, Fetched& fetched) {
  const int h = tile.h - work.lead[kH] + plane;
  const unsigned is_inside = h >= 0 && h < work.from[kH] ? words.is_inside : 0;
  const int64_t frame = int64_t(tile.n) * work.from[kT] + tile.t - work.lead[kT];
  const uint16_t* first = reinterpret_cast<const uint16_t*>(work.x) +
                          (frame * work.from[kH] + h) * (int64_t(work.from[kW]) * work.from[kD]);
#pragma unroll
  for (int i = 0; i < kWordsOfThread; ++i) {
    fetched[i][0] = is_inside >> 2 * i & 1 ? first[words.first[i]] : 0;
    fetched[i][1] = is_inside >> 2 * i & 2 ? first[words.first[i] + 1] : 0;
  }
}

[[maybe_unused]] __device__ void keep_plane(uint32_t* shared, int plane, const Fetched& fetched) {
#pragma unroll
  for (int i = 0; i < kWordsOfThread; ++i) {
    const int word = threadIdx.x + i * kThreads;
    shared[plane % kSlots * kSlotWords + word] = uint32_t(fetched[i][1]) << 16 | fetched[i][0];
  }
}

}  // namespace
}  // namespace c4d_cuda

#endif  // CARDIAC4D_CUDA_MMA_IMAGE_PLANES_H
