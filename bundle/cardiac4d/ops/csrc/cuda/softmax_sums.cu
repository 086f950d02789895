// SPDX-License-Identifier: Apache-2.0
// The sums over a softmax, in one pass: a thread computes the probabilities of a voxel and of its successor in time,
// and stores neither.
#include "softmax_sums.h"

#include "softmax_head.h"

namespace c4d_cuda {
namespace {

template <class Storage, int kMost>
struct Sums {
  static constexpr int kCount = 2 * kMost + 3;  // of each class its overlap, its size; change, annotated, wrong
  Head<Storage, kMost> head;
  Stretches cut;
  bool is_squared;
  const Storage* x;
  const uint8_t* label;
  double* pieces;

  __host__ __device__ int64_t per_frame() const { return 2 * head.classes + 3; }

  __device__ void visit(const Stretch& at, const float* weights, float (&sums)[kCount]) const {
    const int64_t frame = at.n * cut.frames + at.t, next = at.n * cut.frames + (at.t + 1) % cut.frames;
    const Storage *here = x + frame * cut.voxels * head.channels, *there = x + next * cut.voxels * head.channels;
    for (int64_t v = at.first; v < at.end; v += kHeadThreads) {
      const Storage* const from[2] = {here + v * head.channels, there + v * head.channels};
      float p[2][kMost];
      head.probabilities(from, weights, p);
      add(p, label[frame * cut.voxels + v], sums);
    }
  }

  __device__ void add(const float (&p)[2][kMost], int y, float (&sums)[kCount]) const {
    const bool is_annotated = y != C4D_CUDA_NOT_ANNOTATED;
#pragma unroll
    for (int i = 0; i < kMost; ++i) {
      const float change = p[1][i] - p[0][i], one = y == i ? 1.0f : 0.0f;
      if (y == i) sums[i] += p[0][i];
      if (is_annotated) sums[kMost + i] += (is_squared ? p[0][i] * p[0][i] : p[0][i]) + one;
      sums[2 * kMost] += change * change;
    }
    if (is_annotated) sums[2 * kMost + 1] += 1;
    if (is_annotated && y >= head.classes) sums[2 * kMost + 2] += 1;
  }

  // Where number i belongs among those of a frame; -1: nowhere.
  __device__ int64_t place_of(int i) const {
    if (i >= 2 * kMost) return 2 * head.classes + i - 2 * kMost;
    return i % kMost < head.classes ? i / kMost * head.classes + i % kMost : -1;
  }
};

template <class Work>
__global__ void __launch_bounds__(kHeadThreads, 2) sum_softmax(const Work work) {
  float* weights = reinterpret_cast<float*>(c4d_shared);
  float* shared = weights + work.head.numbers();
  work.head.copy(weights);
  __syncthreads();
  for (int64_t job = blockIdx.x; job < work.cut.jobs(); job += gridDim.x) {
    const Stretch at(work.cut, job);
    float sums[Work::kCount] = {};
    work.visit(at, weights, sums);
    double* to = work.pieces + ((at.index * work.cut.batch + at.n) * work.cut.frames + at.t) * work.per_frame();
    sum_over_block(sums, shared, [&](int i, double sum) {
      const int64_t place = work.place_of(i);
      if (place >= 0) to[place] = sum;
    });
  }
}

}  // namespace

int softmax_sums(const c4d_cuda_head& head, const void* x, double* sums, void* workspace, void* stream) {
  return with_head(head, [&](auto kernel) {
    using S = typename decltype(kernel)::Stored;
    using Work = Sums<S, decltype(kernel)::kRoom>;
    const Stretches cut = stretches_of(head);
    const Work work{kernel, cut, head.is_squared != 0, static_cast<const S*>(x), head.label,
                    static_cast<double*>(workspace)};
    const size_t bytes = work.head.numbers() * sizeof(float) + kBlockSumBytes;
    const int status = launch(sum_softmax<Work>, work, cut.jobs(), kHeadThreads, bytes, stream);
    if (status != cudaSuccess) return status;
    const int64_t numbers = cut.batch * cut.frames * work.per_frame();
    return launch_add_pieces(AddStretches<double>{cut.count, numbers, work.pieces, sums}, stream);
  });
}

int64_t softmax_sums_workspace(const c4d_cuda_head& head) {
  return stretches_of(head).jobs() * bytes_of_stretch(head);
}

}  // namespace c4d_cuda
