// SPDX-License-Identifier: Apache-2.0
// The gradients of the sums over a softmax: a thread computes the probabilities of a voxel and of its neighbours in
// time again. Of more than eight channels a block writes eight and sums up their weights.
#include "softmax_head.h"
#include "softmax_sums.h"

namespace c4d_cuda {
namespace {

template <class Storage, int kMost>
struct Gradient {
  static constexpr int kCount = kMost * (kOctet + 1);  // of each class eight weights; then the biases
  static constexpr int kBlocks = kMost <= 3 ? 2 : 1;    // on a multiprocessor: as many as the registers allow
  Head<Storage, kMost> head;
  Stretches cut;
  bool is_squared;
  const Storage* x;
  const uint8_t* label;
  const double* seeds;
  Storage* dx;     // or null
  double* pieces;  // or null

  __host__ __device__ int64_t octets() const { return octets_of(head.channels); }
  __device__ int64_t per_frame() const { return 2 * head.classes + 3; }

  // In shared memory, the gradients of the sums that a frame takes part in: of each class its overlap, its size; then
  // the changes from the frame before, and to the one behind. Whoever reads them waits for all threads.
  static constexpr int kSeeds = 2 * kMost + 2;

  __device__ void copy_seeds(const Stretch& at, float* to) const {
    const int i = threadIdx.x, row = i % kMost, classes = head.classes;
    if (i >= kSeeds) return;
    const double* from = seeds + at.n * cut.frames * per_frame();
    const int64_t before = (at.t + cut.frames - 1) % cut.frames;
    if (i >= 2 * kMost) {
      to[i] = static_cast<float>(2 * from[(i == 2 * kMost ? before : at.t) * per_frame() + 2 * classes]);
    } else {
      to[i] = row < classes ? static_cast<float>(from[at.t * per_frame() + i / kMost * classes + row]) : 0.0f;
    }
  }

  __device__ void visit(const Stretch& at, int64_t octet, const float* weights, const float* of,
                        float (&sums)[kCount]) const {
    const int64_t frames = cut.frames, frame = cut.voxels * head.channels, row = at.n * frames + at.t;
    const int64_t before = at.t == 0 ? (frames - 1) * frame : -frame;
    const int64_t after = at.t == frames - 1 ? -at.t * frame : frame;
    int64_t place = (row * cut.voxels + at.first) * head.channels;
    const uint8_t* y = label + row * cut.voxels + at.first;
#pragma unroll 1
    for (int left = static_cast<int>(at.end - at.first); left > 0; left -= kHeadThreads) {
      const Storage* const here = x + place;
      const Storage* const from[3] = {here + before, here, here + after};
      float p[3][kMost], by_logits[kMost];
      head.probabilities(from, weights, p);
      differentiate(of, p, *y, by_logits);
      write(octet, place, weights, by_logits, sums);
      place += kHeadThreads * head.channels, y += kHeadThreads;
    }
  }

  __device__ void differentiate(const float* of, const float (&p)[3][kMost], int y, float (&by_logits)[kMost]) const {
    float mean = 0;
#pragma unroll
    for (int i = 0; i < kMost; ++i) {
      const float here = p[1][i], overlap = y == i ? of[i] : 0.0f, by_size = of[kMost + i];
      const float size = y == C4D_CUDA_NOT_ANNOTATED ? 0.0f : is_squared ? 2 * here * by_size : by_size;
      const float change = of[2 * kMost] * (here - p[0][i]) - of[2 * kMost + 1] * (p[2][i] - here);
      by_logits[i] = overlap + size + change;
      mean += here * by_logits[i];
    }
#pragma unroll
    for (int i = 0; i < kMost; ++i) by_logits[i] = p[1][i] * (by_logits[i] - mean);
  }

  // place: of the voxel, in x and dx.
  __device__ void write(int64_t octet, int64_t place, const float* weights, const float (&by_logits)[kMost],
                        float (&sums)[kCount]) const {
    if (head.w == nullptr) {
#pragma unroll
      for (int i = 0; i < kMost; ++i) {
        if (i < head.classes) store(by_logits[i], dx + place + i);
      }
      return;
    }
    const Octet in = octet_at(octet, head.channels);
    float numbers[kOctet], by_x[kOctet] = {};
    load_octet(x + place + in.first, in, numbers);
#pragma unroll
    for (int i = 0; i < kMost; ++i) {
      if (i >= head.classes) continue;
      float row[kOctet];
      load_vectors(weights + i * head.pitch() + in.first, row);
#pragma unroll
      for (int k = 0; k < kOctet; ++k) {
        by_x[k] += by_logits[i] * row[k];
        sums[i * kOctet + k] += by_logits[i] * numbers[k];
      }
      sums[kMost * kOctet + i] += by_logits[i];
    }
    if (dx != nullptr) store_octet(by_x, in, dx + place + in.first);
  }

  // Where number i of an octet belongs among those of the head, (classes, C + 1); -1: nowhere.
  __device__ int64_t place_of(int i, int64_t octet) const {
    const bool is_bias = i >= kMost * kOctet;
    const int64_t row = is_bias ? i - kMost * kOctet : i / kOctet;
    const int64_t column = is_bias ? head.channels : octet * kOctet + i % kOctet;
    if (row >= head.classes || (is_bias ? octet != 0 : column >= head.channels)) return -1;
    return row * (head.channels + 1) + column;
  }
};

template <class Work>
__global__ void __launch_bounds__(kHeadThreads, Work::kBlocks) grad_softmax(const Work work) {
  float* weights = reinterpret_cast<float*>(c4d_shared);
  float *shared = weights + work.head.numbers(), *seeds = shared + kBlockSumBytes / sizeof(float);
  work.head.copy(weights);
  for (int64_t job = blockIdx.x; job < work.cut.jobs() * work.octets(); job += gridDim.x) {
    const int64_t octet = job % work.octets(), piece = job / work.octets();
    const Stretch at(work.cut, piece);
    __syncthreads();  // before these seeds overwrite those of the last job
    work.copy_seeds(at, seeds);
    __syncthreads();
    float sums[Work::kCount] = {};
    work.visit(at, octet, weights, seeds, sums);
    if (work.pieces == nullptr) continue;
    double* to = work.pieces + piece * work.head.classes * (work.head.channels + 1);
    sum_over_block(sums, shared, [&](int i, double sum) {
      const int64_t place = work.place_of(i, octet);
      if (place >= 0) to[place] = sum;
    });
  }
}

}  // namespace

int softmax_sums_grad(const c4d_cuda_head& head, const void* x, const double* grad_sums, void* dx, float* dhead,
                      void* workspace, void* stream) {
  return with_head(head, [&](auto kernel) {
    using S = typename decltype(kernel)::Stored;
    using Work = Gradient<S, decltype(kernel)::kRoom>;
    if (dx == nullptr && dhead == nullptr) return int(cudaSuccess);
    double* pieces = dhead == nullptr ? nullptr : static_cast<double*>(workspace);
    const Work work{kernel,    stretches_of(head),  head.is_squared != 0, static_cast<const S*>(x), head.label,
                    grad_sums, static_cast<S*>(dx), pieces};
    const size_t bytes = (work.head.numbers() + Work::kSeeds) * sizeof(float) + kBlockSumBytes;
    const int status =
        launch(grad_softmax<Work>, work, work.cut.jobs() * work.octets(), kHeadThreads, bytes, stream);
    if (status != cudaSuccess || dhead == nullptr) return status;
    const int64_t numbers = head.classes * (head.x.channels + 1);
    return launch_add_pieces(AddStretches<float>{work.cut.jobs(), numbers, pieces, dhead}, stream);
  });
}

}  // namespace c4d_cuda
