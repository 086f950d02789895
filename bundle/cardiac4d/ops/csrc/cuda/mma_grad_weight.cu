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
#include "frames.h"
#include "mma.h"
#include "ptx.h"
#include "storage.h"
#include "tensor_cores.h"

namespace c4d_cuda {
namespace {

constexpr int kVoxels = 16;                   // of the output, of a warp along D
constexpr int kTapsOfPlane = 27, kTaps = 81;  // kernel 3x3x3 at one tap along H, and whole
constexpr int64_t kWantedBlocks = 1024;       // several rounds on any GPU of today, so that the last one costs little
constexpr int64_t kFewestSteps = 6;           // of a piece: below it the end of a block dominates

// A tensor that lies as frames. Positions on one axis have 32 bits.
template <class Storage>
struct Frames {
  const Storage* first;
  int size[4], blocks;  // of channels
  int64_t stride[4];    // in numbers
};

// A plane in shared memory, of one block of channels. Of a row, voxels kApart from each other are neighbours, so that
// the rows of a block meet all banks whatever the stride.
template <int kSpanW_, int kSpanD_, int kSpanT_, int kApart_>
struct Plane {
  static constexpr int kSpanW = kSpanW_, kSpanD = kSpanD_, kSpanT = kSpanT_, kApart = kApart_;
  static constexpr int kVectors = kSpanW * kSpanD * kSpanT;
  __device__ static constexpr int place(int w, int d, int t) {
    return (t * kSpanW + w) * kSpanD + d % kApart * ((kSpanD + kApart - 1) / kApart) + d / kApart;
  }
};

// kOuts: output channels of a product, 8 or 16. Rows: of a warp, in so many rounds. Parts: warps for the same sums.
template <class Storage_, int kStride_, int kOuts_, int kRowsW_, int kRowsT_, int kRounds_, int kParts_>
struct MmaGradWeight {
  using Storage = Storage_;
  using Real = float;
  static constexpr int kStride = kStride_, kOuts = kOuts_, kHalves = kOuts / kBlock;
  static constexpr int kRowsW = kRowsW_, kRowsT = kRowsT_, kRounds = kRounds_, kParts = kParts_;
  static constexpr int kThreads = 32 * 3 * kParts, kBlocks = 384 / kThreads;  // that a multiprocessor holds
  static constexpr int kTileW = kRowsW * kRounds * kParts, kTileT = kRowsT;
  static constexpr int kReadsW = kStride * (kRowsW - 1) + 3, kReadsT = kStride * (kRowsT - 1) + 3;
  using In = Plane<kStride * (kTileW - 1) + 3, kStride * (kVoxels - 1) + 3, kStride * (kTileT - 1) + 3, kStride>;
  using Out = Plane<kTileW, kVoxels, kTileT, 1>;
  // Planes in shared memory: one step's of the input while the next one's arrive; of the output those that the three
  // taps want, and the next.
  static constexpr int kLag = 2 / kStride, kInSlots = 2 * kStride, kOutSlots = kLag + 2;
  static constexpr int kOutVectors = Out::kVectors * kHalves, kFirstOut = In::kVectors * kInSlots;
  static constexpr int kProducts = kOuts == 8 ? 14 : 27;  // sums of a warp
  static constexpr int64_t kSums = kTaps * kOuts * kBlock;
  static constexpr int64_t kPlaneBytes = int64_t(kFirstOut + kOutVectors * kOutSlots) * kVector;
  static constexpr int64_t kPartBytes = kParts > 1 ? 3 * kProducts * 32 * 16 : 0;
  static constexpr int64_t kSharedBytes = kPlaneBytes > kPartBytes ? kPlaneBytes : kPartBytes;

  Frames<Storage> x, dy;
  int padding[4], steps_of_tile;
  int64_t tiles[4], steps;         // of the output, all
  int64_t share, pieces;           // steps of a piece
  int64_t jobs_of_a_piece, jobs;   // pairs of blocks of channels, all
  float* sums;  // piece, block of output channels, of input channels; then as first_sum says
  Storage* dw;

  __host__ __device__ int64_t weights() const { return jobs_of_a_piece * kSums; }

  // Where the sums of a half of a product's rows begin, or -1: taps of torch's order; of each a matrix.
  __device__ static constexpr int first_sum(int product, int half) {
    if (kOuts == 16) return (product / 9 * 9 + product % 3 * 3 + product / 3 % 3) * 128 + half * 64;
    if (product < 9) return (product / 3 * 9 + half * 3 + product % 3) * 64;
    if (product < 12) return ((product - 9) * 9 + 6 + half) * 64;
    return product == 12 || half == 0 ? ((product - 12) * 18 + half * 9 + 8) * 64 : -1;
  }
  __device__ int64_t weight_at(int64_t i) const {
    const int64_t job = i / kSums, tap = i % kSums / (kOuts * kBlock);
    const int64_t row = i % (kOuts * kBlock) / kBlock, column = i % kBlock;
    const int64_t out = job / x.blocks * kOuts + (kOuts == 8 ? column : row);
    const int64_t in = job % x.blocks * kBlock + (kOuts == 8 ? row : column);
    return (out * x.blocks * kBlock + in) * kTaps + tap;
  }
};

// Where a block of threads is: the first voxel of its tile of the output, and a step along H.
struct Step {
  int n, at[4];
};

template <class Work>
__device__ Step step_at(const Work& work, int64_t index) {
  const Voxel tile = voxel_at(index / work.steps_of_tile, work.tiles);
  return {static_cast<int>(tile.n),
          {static_cast<int>(index % work.steps_of_tile), static_cast<int>(tile.at[kW] * Work::kTileW),
           static_cast<int>(tile.at[kD] * kVoxels), static_cast<int>(tile.at[kT] * Work::kTileT)}};
}

// The same for the next index.
template <class Work>
__device__ void advance(const Work& work, Step& step) {
  if (++step.at[kH] < work.steps_of_tile) return;
  step.at[kH] = 0;
  if ((step.at[kD] += kVoxels) < work.dy.size[kD]) return;
  step.at[kD] = 0;
  if ((step.at[kW] += Work::kTileW) < work.dy.size[kW]) return;
  step.at[kW] = 0;
  if ((step.at[kT] += Work::kTileT) < work.dy.size[kT]) return;
  step.at[kT] = 0;
  ++step.n;
}

__device__ inline bool is_on(int position, int size) { return position >= 0 && position < size; }

// Queues the copies of one plane of a block of channels, from voxel `first` on; zeros outside.
template <class Plane, int kThreads, class Storage>
__device__ void copy_plane(const Frames<Storage>& from, int n, const int (&first)[4], int block, uint32_t to) {
  int64_t begin = (int64_t(n) * from.size[kT] + first[kT]) * from.stride[kT] + block * kBlock;
  for (int axis = kH; axis < kT; ++axis) begin += first[axis] * from.stride[axis];
#pragma unroll 1
  for (int i = threadIdx.x; i < Plane::kVectors; i += kThreads) {
    const int d = i % Plane::kSpanD, w = i / Plane::kSpanD % Plane::kSpanW, t = i / (Plane::kSpanD * Plane::kSpanW);
    const bool is_inside = is_on(first[kW] + w, from.size[kW]) && is_on(first[kD] + d, from.size[kD]) &&
                           is_on(first[kT] + t, from.size[kT]);
    const int64_t position = begin + w * from.stride[kW] + d * from.stride[kD] + t * from.stride[kT];
    copy_async(to + Plane::place(w, d, t) * kVector, from.first + (is_inside ? position : 0), is_inside);
  }
}

// The channels and the slots of a block of threads.
template <class Work>
struct Copier {
  const Work& work;
  int in_block, out_block;  // the first
  uint32_t shared;

  // The output's gradient at h, if there is such a plane.
  __device__ void copy_out(const Step& step, int h, int slot) const {
    if (!is_on(h, work.dy.size[kH])) return;
    const int first[] = {h, step.at[kW], step.at[kD], step.at[kT]};
    const uint32_t to = shared + (Work::kFirstOut + slot * Work::kOutVectors) * kVector;
#pragma unroll 1
    for (int half = 0; half < Work::kHalves; ++half) {
      copy_plane<typename Work::Out, Work::kThreads>(work.dy, step.n, first, out_block + half,
                                                     to + half * Work::Out::kVectors * kVector);
    }
  }
  // What arrives at step number `count` of this block of threads.
  __device__ void copy_step(const Step& step, int count) const {
    int first[4];
    for (int axis = 0; axis < 4; ++axis) first[axis] = step.at[axis] * Work::kStride - work.padding[axis];
    uint32_t to = shared + count % 2 * Work::kStride * Work::In::kVectors * kVector;
#pragma unroll 1
    for (int plane = 0; plane < Work::kStride; ++plane, ++first[kH], to += Work::In::kVectors * kVector) {
      if (!is_on(first[kH], work.x.size[kH])) continue;
      copy_plane<typename Work::In, Work::kThreads>(work.x, step.n, first, in_block, to);
    }
    copy_out(step, step.at[kH], count % Work::kOutSlots);
  }
  // What had arrived before the first step, of the same tile.
  __device__ void copy_earlier(const Step& step) const {
#pragma unroll 1
    for (int back = 1; back <= Work::kLag; ++back) copy_out(step, step.at[kH] - back, Work::kOutSlots - back);
  }
};

// A warp's part of a tile, its tap along H.
struct Part {
  int index, tap, lane;
};

template <class Work>
__device__ Part part_of_warp() {
  int thread = threadIdx.x;
  asm volatile("" : "+r"(thread));
  const int warp = thread / 32, index = warp / 3;
  return {index, warp % 3, thread % 32};
}

// Blocks of one row of the input: 8 + 8 voxels as the taps along D read them.
struct Row {
  uint32_t two[4];    // voxels 0.. at the first tap and the second, voxels 8.. at both
  uint32_t third[2];  // voxels 0.., 8.. at the third
};

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

// The output's gradient of the warp's rows at w.
template <class Work>
__device__ void load_gradients(uint32_t out, int w, uint32_t (&grad)[Work::kRowsT][Work::kOuts / 4]) {
#pragma unroll
  for (int t = 0; t < Work::kRowsT; ++t) load_transposed(out + Work::Out::place(w, 0, t) * kVector, grad[t]);
}

// Adds the products of 27 taps; `in` and `out` are the first rows of the warp in shared memory.
template <class Work>
__device__ void add_plane(uint32_t in, uint32_t out, int lane, float (&sums)[Work::kProducts][4]) {
  constexpr int kStride = Work::kStride;
  const int eight = lane / 8 % 2, voxel = lane % 8 + lane / 16 * 8;  // a block, a row of it
  const int read = Work::kOuts == 8 ? voxel * kStride + eight : lane % 16 * kStride + lane / 16;
  const uint32_t two = in + Work::In::place(0, read, 0) * kVector;
  const uint32_t third = in + Work::In::place(0, lane % 16 * kStride + 2, 0) * kVector;
  out += (Work::kOuts == 8 ? lane % 16 : eight * Work::Out::kVectors + voxel) * kVector;
  uint32_t grad[Work::kRowsW][Work::kRowsT][Work::kOuts / 4];  // voxels 0.., 8..; of 16 channels two blocks each
  Row rows[2][Work::kReadsT] = {};
#pragma unroll
  for (int w = 0; w < Work::kReadsW; ++w) {
    if (w % kStride == 0 && w / kStride < Work::kRowsW) load_gradients<Work>(out, w / kStride, grad[w / kStride]);
#pragma unroll
    for (int t = 0; t < Work::kReadsT; ++t) {
      Row& row = rows[w % 2][t];
      load_transposed(two + Work::In::place(w, 0, t) * kVector, row.two);
      load_transposed(third + Work::In::place(w, 0, t) * kVector, row.third);
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
__device__ void add_step(const Work& work, int h, int count, uint32_t shared,
                         float (&sums)[Work::kProducts][4]) {
  const Part part = part_of_warp<Work>();
  const int lag = part.tap / Work::kStride, plane = part.tap % Work::kStride;
  if (!is_on(h - lag, work.dy.size[kH])) return;
  if (!is_on(h * Work::kStride + plane - work.padding[kH], work.x.size[kH])) return;
  const int in_slot = count % 2 * Work::kStride + plane, out_slot = (count + Work::kOutSlots - lag) % Work::kOutSlots;
  uint32_t in = shared + in_slot * Work::In::kVectors * kVector;
  uint32_t out = shared + (Work::kFirstOut + out_slot * Work::kOutVectors) * kVector;
#pragma unroll 1
  for (int round = part.index * Work::kRounds; round < (part.index + 1) * Work::kRounds; ++round) {
    const int w = round * Work::kRowsW;
    add_plane<Work>(in + Work::In::place(w * Work::kStride, 0, 0) * kVector, out + Work::Out::place(w, 0, 0) * kVector,
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
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  const uint32_t shared = shared_address(c4d_shared);
  for (int64_t job = blockIdx.x; job < work.jobs; job += gridDim.x) {
    const int64_t first = job / work.jobs_of_a_piece * work.share, rest = work.steps - first;
    const int64_t channels = job % work.jobs_of_a_piece;
    const int steps = static_cast<int>(rest < work.share ? rest : work.share);
    const Copier<Work> copier{work, static_cast<int>(channels % work.x.blocks),
                              static_cast<int>(channels / work.x.blocks * Work::kHalves), shared};
    float sums[Work::kProducts][4] = {};
    Step next = step_at(work, first);
    copier.copy_earlier(next);
    copier.copy_step(next, 0);
#pragma unroll 1
    for (int count = 0; count < steps; ++count) {
      wait_for_copies();
      __syncthreads();  // now the planes of this step are there, and nobody reads those that are overwritten next
      const int h = next.at[kH];
      advance(work, next);
      if (count + 1 < steps) copier.copy_step(next, count + 1);
      add_step(work, h, count, shared, sums);
    }
    const Part part = part_of_warp<Work>();
    add_parts<Work>(part, sums);
    if (part.index == 0) store_sums<Work>(part, sums, work.sums + job * Work::kSums);
    __syncthreads();  // before the next job overwrites the planes, or the sums of the parts
  }
#endif
}

template <class Storage>
Frames<Storage> frames(const void* first, const int64_t (&size)[4], int64_t channels) {
  Frames<Storage> result{static_cast<const Storage*>(first), {}, static_cast<int>(channels / kBlock), {}};
  int64_t stride = channels;
  for (const int axis : {kD, kW, kH, kT}) {
    result.size[axis] = static_cast<int>(size[axis]);
    result.stride[axis] = stride, stride *= size[axis];
  }
  return result;
}

// From the shape alone: enough blocks for any GPU, while pieces are long and their sums take little memory.
template <class Work>
void plan(const c4d_problem& p, const void* x, const void* dy, Work& work) {
  using Storage = typename Work::Storage;
  work.x = frames<Storage>(x, p.in, p.in_channels), work.dy = frames<Storage>(dy, p.out, p.out_channels);
  const int extents[] = {1, Work::kTileW, kVoxels, Work::kTileT};
  work.steps_of_tile = work.dy.size[kH] + Work::kLag;
  work.steps = p.batch * work.steps_of_tile;
  for (int axis = kH; axis <= kT; ++axis) {
    work.padding[axis] = static_cast<int>(p.padding[axis]);
    work.tiles[axis] = axis == kH ? 1 : (p.out[axis] + extents[axis] - 1) / extents[axis];
    work.steps *= work.tiles[axis];
  }
  work.jobs_of_a_piece = p.in_channels / kBlock * (p.out_channels / Work::kOuts);
  const int64_t by_memory = kMostBytes / (work.weights() * int64_t(sizeof(float)));
  const int64_t by_blocks = kWantedBlocks / work.jobs_of_a_piece;
  const int64_t bound = by_memory < by_blocks ? by_memory : by_blocks, most = bound > 1 ? bound : 1;
  const int64_t share = (work.steps + most - 1) / most;
  work.share = share > kFewestSteps ? share : kFewestSteps;
  work.pieces = (work.steps + work.share - 1) / work.share;
  work.jobs = work.pieces * work.jobs_of_a_piece;
}

// Calls call(Work) with the kernel's numbers for a problem.
template <class Storage, class Call>
auto with_tile(const c4d_problem& p, const Call& call) {
  const bool is_even = p.out_channels % 16 == 0;
  if (p.stride[0] == 1) {
    return is_even ? call(MmaGradWeight<Storage, 1, 16, 1, 4, 2, 2>()) : call(MmaGradWeight<Storage, 1, 8, 4, 4, 1, 2>());
  }
  return is_even ? call(MmaGradWeight<Storage, 2, 16, 2, 2, 1, 1>()) : call(MmaGradWeight<Storage, 2, 8, 2, 2, 1, 1>());
}

template <class Call>
auto with_work(const c4d_problem& p, const Call& call) {
  return p.dtype == C4D_BFLOAT16 ? with_tile<__nv_bfloat16>(p, call) : with_tile<__half>(p, call);
}

}  // namespace

bool mma_serves_grad_weight(const c4d_problem& p) {
  return (is_half_cube(p, 1) || is_half_cube(p, 2)) && with_work(p, [](auto work) {
           return runs_on_device(sum_on_tensor_cores<decltype(work)>, work.kSharedBytes);
         });
}

int64_t mma_grad_weight_workspace(const c4d_problem& p) {
  return with_work(p, [&](auto work) {
    plan(p, nullptr, nullptr, work);
    return work.pieces * work.weights() * int64_t(sizeof(float));
  });
}

int mma_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, void* workspace, void* stream) {
  return with_work(p, [&](auto work) {
    using Work = decltype(work);
    plan(p, x, dy, work);
    work.sums = static_cast<float*>(workspace), work.dw = static_cast<typename Work::Storage*>(dw);
    const int status = launch_with_memory(sum_on_tensor_cores<Work>, work, work.jobs, Work::kThreads,
                                          Work::kSharedBytes, stream);
    return status == cudaSuccess ? launch_add_pieces(work, stream) : status;
  });
}

}  // namespace c4d_cuda
