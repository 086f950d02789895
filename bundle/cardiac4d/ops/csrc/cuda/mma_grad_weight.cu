// SPDX-License-Identifier: Apache-2.0
// Weight gradient on tensor cores. What a tap collects is a matrix product: channels of the output's gradient, times
// voxels, times channels of the input. Sixteen voxels along D are the inner axis of one product.
//
// A warp sums the 27 taps of one position along H for 8 input channels and 8 or 16 output channels. It keeps the
// output's gradient of its rows (W x T) in registers, and reads each row of the input around them once, shifted along D
// for three taps: the taps along W and T reuse the registers. Products have 16 rows: 16 output channels, or the 8 input
// channels of two taps. So about one block comes from shared memory per product, which takes no longer than the
// product: with 8 channels on both sides tensor cores are what limits, then memory.
//
// A block of threads walks along H, each of its warps with one tap along H. While it is at one plane, the next one of
// the input and of the output's gradient arrives; of the latter it keeps those that the other taps along H still want.
// All steps of all tiles make one sequence; a block sums a piece of it, and a second kernel adds up the pieces.
#include "add_pieces.h"
#include "mma.h"
#include "mma_fused.h"
#include "mma_grad_weight.h"
#include "mma_grad_weight_copies.h"
#include "mma_grad_weight_loads.h"
#include "ptx.h"
#include "storage.h"

namespace c4d_cuda {
namespace {

using namespace grad_weight;

// A warp's part of a tile, and its tap along H.
struct Part {
  int index, tap, lane;
};

// The compiler must not know that it is the same at every step: it would keep what it computes from it in registers.
template <class Work>
__device__ Part part_of_warp() {
  int thread = threadIdx.x;
  asm volatile("" : "+r"(thread));
  return {thread / 96, thread / 32 % 3, thread % 32};
}

// Adds the products of one row of the input with one of the output's gradient, which the taps kw and kt join. With 8
// output channels two taps make a product: the first two along D; of the third along D the first two along T, for which
// `before_t` is the row before along T; what is left of it, the first two along W.
template <class Work>
__device__ void multiply_rows(int kw, int kt, const Row& row, const Row& before_t, const Row& before_w,
                              const uint32_t (&grad)[Work::kOuts / 4], float (&sums)[Work::kProducts][4]) {
  const typename Work::Storage type{};
  const int tap = kw * 3 + kt;
  if constexpr (Work::kOuts == 16) {
    multiply(type, sums[tap * 3], grad, row.two[0], row.two[1]);
    multiply(type, sums[tap * 3 + 1], grad, row.two[2], row.two[3]);
    multiply(type, sums[tap * 3 + 2], grad, row.third[0], row.third[1]);
  } else {
    multiply(type, sums[tap], row.two, grad[0], grad[1]);
    const uint32_t by_t[] = {before_t.third[0], row.third[0], before_t.third[1], row.third[1]};
    const uint32_t by_w[] = {before_w.third[0], row.third[0], before_w.third[1], row.third[1]};
    const uint32_t alone[] = {row.third[0], 0, row.third[1], 0};
    if (kt == 1) multiply(type, sums[9 + kw], by_t, grad[0], grad[1]);
    if (kt == 2 && kw == 1) multiply(type, sums[12], by_w, grad[0], grad[1]);
    if (kt == 2 && kw == 2) multiply(type, sums[13], alone, grad[0], grad[1]);
  }
}

// Adds the products of 27 taps; `in` and `out` are the first vectors of the warp's rows in shared memory.
template <class Work>
__device__ void add_plane(int in, int out, int lane, float (&sums)[Work::kProducts][4]) {
  constexpr int kStride = Work::kStride;
  const Loader<Work> loader = loader_of<Work>(in, out, lane);
  uint32_t grad[Work::kRowsW][Work::kRowsT][Work::kOuts / 4];
  Row rows[2][Work::kReadsT] = {};
#pragma unroll
  for (int w = 0; w < Work::kReadsW; ++w) {
    if (w % kStride == 0 && w / kStride < Work::kRowsW) {
#pragma unroll
      for (int t = 0; t < Work::kRowsT; ++t) loader.load_gradient(w / kStride, t, grad[w / kStride][t]);
    }
#pragma unroll
    for (int t = 0; t < Work::kReadsT; ++t) {
      Row& row = rows[w % 2][t];
      loader.load_row(w, t, row);
#pragma unroll
      for (int tap = 0; tap < 9; ++tap) {
        const int kw = tap / 3, kt = tap % 3, to_w = (w - kw) / kStride, to_t = (t - kt) / kStride;
        if (w < kw || t < kt || to_w * kStride != w - kw || to_t * kStride != t - kt) continue;
        if (to_w >= Work::kRowsW || to_t >= Work::kRowsT) continue;
        multiply_rows<Work>(kw, kt, row, rows[w % 2][t > 0 ? t - 1 : 0], rows[(w + 1) % 2][t], grad[to_w][to_t], sums);
      }
    }
  }
}

// A warp's share of step number `count`, which is at h.
template <class Work>
__device__ void add_step(const Work& work, int h, int count, float (&sums)[Work::kProducts][4]) {
  const Part part = part_of_warp<Work>();
  const int lag = part.tap / Work::kStride, plane = part.tap % Work::kStride;
  if (!is_on(h - lag, work.dy.size[kH])) return;
  if (!is_on(h * Work::kStride + plane - work.padding[kH], work.x.size[kH])) return;
  const int in_slot = count % 2 * Work::kStride + plane, out_slot = (count + Work::kOutSlots - lag) % Work::kOutSlots;
  const int in = in_slot * Work::In::kVectors, out = Work::kFirstOut + out_slot * Work::kOutVectors;
#pragma unroll 1
  for (int i = 0; i < Work::kRounds * Work::kWide; ++i) {
    const int w = (part.index * Work::kRounds + i / Work::kWide) * Work::kRowsW, d = i % Work::kWide * Work::kDepth;
    add_plane<Work>(in + Work::In::place(w * Work::kStride, d * Work::kStride, 0), out + Work::Out::place(w, d, 0),
                    part.lane, sums);
  }
}

// Adds the sums of the other parts to those of the first, one part after the other.
template <class Work>
__device__ void add_parts(const Part& part, float (&sums)[Work::kProducts][4]) {
  float* shared = reinterpret_cast<float*>(c4d_shared) + part.tap * Work::kProducts * 4 * 32 + part.lane;
  for (int other = 1; other < Work::kParts; ++other) {
    __syncthreads();  // before the planes, or the sums of the part before, are overwritten
#pragma unroll
    for (int i = 0; i < Work::kProducts * 4; ++i) {
      if (part.index == other) shared[i * 32] = sums[i / 4][i % 4];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < Work::kProducts * 4; ++i) {
      if (part.index == 0) sums[i / 4][i % 4] += shared[i * 32];
    }
  }
}

// A lane has two neighbours of row lane / 4 of each half of a product.
template <class Work>
__device__ void store_sums(const Part& part, const float (&sums)[Work::kProducts][4], float* to) {
  to += part.tap * kTapsOfPlane * Work::kOuts * kBlock + part.lane * 2;
#pragma unroll
  for (int i = 0; i < Work::kProducts * 2; ++i) {
    const int first = Work::first_sum(i / 2, i % 2);
    if (first >= 0) store_pair(sums[i / 2][i % 2 * 2], sums[i / 2][i % 2 * 2 + 1], to + first);
  }
}

template <class Work>
__global__ void __launch_bounds__(Work::kThreads, Work::kBlocks) sum_on_tensor_cores(const Work work) {
#ifdef C4D_HAS_TENSOR_CORES
  for (int64_t job = blockIdx.x; job < work.jobs; job += gridDim.x) {
    const int64_t first = job / work.jobs_of_a_piece * work.share, rest = work.steps - first;
    const int64_t channels = job % work.jobs_of_a_piece;  // neighbours read the same voxels
    const int steps = static_cast<int>(rest < work.share ? rest : work.share);
    const Copier<Work> copier{work, static_cast<int>(channels % work.x.blocks),
                              static_cast<int>(channels / work.x.blocks * Work::kHalves)};
    float sums[Work::kProducts][4] = {};
    Step next = step_at(work, first);
    copier.copy_earlier(next);
    copier.copy_step(next, 0);
#pragma unroll 1
    for (int count = 0; count < steps; ++count) {
      wait_for_copies();
      copier.prepare_step(next, count);
      __syncthreads();  // now the planes of this step are there, and nobody reads those that are overwritten next
      const int h = next.at[kH];
      advance(work, next);
      if (count + 1 < steps) copier.copy_step(next, count + 1);
      add_step(work, h, count, sums);
    }
    const Part part = part_of_warp<Work>();
    add_parts<Work>(part, sums);
    if (part.index == 0) store_sums<Work>(part, sums, work.sums + job * Work::kSums);
    __syncthreads();  // before the next job overwrites the planes, or the sums of the parts
  }
#endif
}

// Calls call(Work) with the kernel's numbers for a problem.
template <class Storage, class Call>
auto with_halves(const c4d_problem& p, const Call& call) {
  const bool in_sixteens = p.out_channels % 16 == 0;
  if (p.in_channels == 1) return call(MmaGradWeight<Storage, 1, 1, 8, 4, 4, 1, 2>());
  if (p.stride[kH] == 2) {
    return in_sixteens ? call(MmaGradWeight<Storage, 2, 8, 16, 2, 2, 1, 1>())
                       : call(MmaGradWeight<Storage, 2, 8, 8, 2, 2, 1, 1>());
  }
  return in_sixteens ? call(MmaGradWeight<Storage, 1, 8, 16, 1, 4, 2, 2>())
                     : call(MmaGradWeight<Storage, 1, 8, 8, 4, 4, 1, 2>());
}

template <class Call>
auto with_work(const c4d_problem& p, const Call& call) {
  if (p.dtype == C4D_BFLOAT16) return with_halves<__nv_bfloat16>(p, call);
  if (p.dtype == C4D_FLOAT16) return with_halves<__half>(p, call);
  if (p.in_channels == 1) return call(MmaGradWeight<float, 1, 1, 8, 4, 4, 1, 1>());
  return p.stride[kH] == 2 ? call(MmaGradWeight<float, 2, 8, 8, 2, 2, 1, 1>())
                           : call(MmaGradWeight<float, 1, 8, 8, 4, 4, 1, 1>());
}

// The same for a problem of stride 1 whose input has channels in eights, and is normalised.
template <class Call>
auto with_normalised(const c4d_problem& p, const Call& call) {
  using Fusion = NormReluInput;
  return with_half_or_float(p.dtype, [&](auto type) {
    using Storage = decltype(type);
    if constexpr (sizeof(Storage) == 4) {
      return call(MmaGradWeight<Storage, 1, 8, 8, 4, 4, 1, 1, Fusion>());
    } else {
      return p.out_channels % 16 == 0 ? call(MmaGradWeight<Storage, 1, 8, 16, 1, 4, 2, 2, Fusion>())
                                      : call(MmaGradWeight<Storage, 1, 8, 8, 4, 4, 1, 2, Fusion>());
    }
  });
}

}  // namespace

bool mma_serves_grad_weight(const c4d_problem& p) {
  if (p.dtype == C4D_FLOAT64 || (p.dtype == C4D_FLOAT32 && p.precision != C4D_TF32)) return false;
  if (!has_grad_weight_shape(p)) return false;
  return with_work(p, [](auto work) {
    return runs_on_device(sum_on_tensor_cores<decltype(work)>, work.kSharedBytes);
  });
}

int64_t mma_grad_weight_workspace(const c4d_problem& p) {
  return with_work(p, [&](auto work) { return workspace_of(p, work); });
}

int mma_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, void* workspace, void* stream) {
  return with_work(p, [&](auto work) {
    plan(p, x, dy, dw, workspace, work);
    return launch_both(sum_on_tensor_cores<decltype(work)>, work, stream);
  });
}

int mma_norm_relu_grad_weight(const c4d_problem& p, const void* x, const float* scale, const float* shift,
                              const void* dy, void* dw, void* workspace, void* stream) {
  return with_normalised(p, [&](auto work) {
    plan(p, x, dy, dw, workspace, work);
    work.fusion = {scale, shift};
    return launch_both(sum_on_tensor_cores<decltype(work)>, work, stream);
  });
}

}  // namespace c4d_cuda
