// SPDX-License-Identifier: Apache-2.0
// Weight gradient of the plain path. A tap's weight collects products over all voxels of the output. The voxels are cut
// into pieces; a block sums one piece for one tap and a tile of channel pairs, and a second kernel adds up the pieces.
// How the work is cut depends on the shape alone, and every sum has one order: the same bits on every GPU.
#include "add_pieces.h"
#include "frames.h"
#include "launch.h"
#include "plain.h"
#include "storage.h"

namespace c4d_cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kOuts = 8, kIns = 4, kPairs = kOuts * kIns;  // channels of a tile: a thread keeps a sum for each pair
constexpr int kRow = kPairs + 1;  // of shared memory per thread: an odd number of words meets every bank
constexpr int64_t kWantedBlocks = 2048;                    // enough for any GPU of today
constexpr int64_t kFewestVoxels = 16 * kThreads;           // of a piece: below it the end of a block dominates

template <class Storage_>
struct GradWeight {
  using Storage = Storage_;
  using Real = Compute<Storage>;
  c4d_problem p;
  int64_t pieces;
  const Storage *x, *dy;
  Real* sums;  // pieces, each as the weights lie
  Storage* dw;

  __host__ __device__ int64_t ins() const { return p.in_channels / p.groups; }
  __host__ __device__ int64_t outs() const { return p.out_channels / p.groups; }
  __host__ __device__ int64_t in_tiles() const { return (ins() + kIns - 1) / kIns; }
  __host__ __device__ int64_t out_tiles() const { return (outs() + kOuts - 1) / kOuts; }
  __host__ __device__ int64_t weights() const { return p.out_channels * ins() * taps_of(p); }
  __device__ int64_t weight_at(int64_t i) const { return i; }
  __host__ __device__ int64_t jobs_of_a_piece() const { return p.groups * out_tiles() * in_tiles() * taps_of(p); }
};

// What one block sums: a tap, the first channels of a tile, a range of voxels of the output.
struct Job {
  int64_t tap, group, first_out, first_in, piece, begin, end;
};

template <class Work>
__device__ Job job_at(const Work& work, int64_t index) {
  Job job;
  job.tap = index % taps_of(work.p), index /= taps_of(work.p);
  job.first_in = index % work.in_tiles() * kIns, index /= work.in_tiles();
  job.first_out = index % work.out_tiles() * kOuts, index /= work.out_tiles();
  job.group = index % work.p.groups, job.piece = index / work.p.groups;
  const int64_t voxels = work.p.batch * volume(work.p.out);
  const int64_t share = (voxels + work.pieces - 1) / work.pieces;
  job.begin = job.piece * share;
  job.end = job.begin + share < voxels ? job.begin + share : voxels;
  return job;
}

// The position in memory of the input voxel that output voxel v reads with a tap (H, W, D, T), or -1.
__device__ int64_t position_read_by(const c4d_problem& p, const Voxel& v, const int64_t (&tap)[4]) {
  const int axes[] = {kT, kH, kW, kD};
  int64_t position = v.n;
  for (const int axis : axes) {
    const int64_t i = read_by(p, axis, v.at[axis], tap[axis]);
    if (i < 0) return -1;
    position = position * p.in[axis] + i;
  }
  return position;
}

// Up to kCount channels as numbers, zeros behind the last.
template <int kCount, class Storage, class Real>
__device__ void load_channels(const Storage* from, int64_t count, Real (&numbers)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) numbers[i] = i < count ? value(from[i]) : Real(0);
}

// The products of this thread's voxels: every kThreads-th of the job's.
template <class Work>
__device__ void sum_voxels(const Work& work, const Job& job, typename Work::Real (&sums)[kPairs]) {
  using Real = typename Work::Real;
  const c4d_problem& p = work.p;
  int64_t tap[4], rest = job.tap;
  for (int axis = 3; axis >= 0; --axis) tap[axis] = rest % p.kernel[axis], rest /= p.kernel[axis];
  const int64_t outs = work.outs() - job.first_out, ins = work.ins() - job.first_in;
  const typename Work::Storage* dy = work.dy + job.group * work.outs() + job.first_out;
  const typename Work::Storage* x = work.x + job.group * work.ins() + job.first_in;
  for (int64_t position = job.begin + threadIdx.x; position < job.end; position += kThreads) {
    const int64_t read = position_read_by(p, voxel_at(position, p.out), tap);
    if (read < 0) continue;
    Real out[kOuts], in[kIns];
    load_channels(dy + position * p.out_channels, outs, out);
    load_channels(x + read * p.in_channels, ins, in);
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) sums[pair] += out[pair / kIns] * in[pair % kIns];
  }
}

template <class Work>
__global__ void __launch_bounds__(kThreads) sum_pieces(const Work work) {
  using Real = typename Work::Real;
  Real* shared = reinterpret_cast<Real*>(c4d_shared);
  for (int64_t index = blockIdx.x; index < work.pieces * work.jobs_of_a_piece(); index += gridDim.x) {
    const Job job = job_at(work, index);
    Real sums[kPairs] = {};
    sum_voxels(work, job, sums);
#pragma unroll
    for (int pair = 0; pair < kPairs; ++pair) shared[threadIdx.x * kRow + pair] = sums[pair];
    __syncthreads();
    const int pair = threadIdx.x;  // the first kPairs threads add up one pair each
    const int64_t out = job.first_out + pair / kIns, in = job.first_in + pair % kIns;
    if (pair < kPairs && out < work.outs() && in < work.ins()) {
      Real sum = 0;
      for (int thread = 0; thread < kThreads; ++thread) sum += shared[thread * kRow + pair];
      const int64_t weight = ((job.group * work.outs() + out) * work.ins() + in) * taps_of(work.p) + job.tap;
      work.sums[job.piece * work.weights() + weight] = sum;
    }
    __syncthreads();  // before the next job overwrites the sums
  }
}

// From the shape alone: enough blocks for any GPU, while pieces are long and their sums take little memory.
template <class Storage>
GradWeight<Storage> plan(const c4d_problem& p) {
  GradWeight<Storage> work{};
  work.p = p;
  const int64_t most[] = {(kWantedBlocks + work.jobs_of_a_piece() - 1) / work.jobs_of_a_piece(),
                          p.batch * volume(p.out) / kFewestVoxels,
                          kMostBytes / (work.weights() * int64_t(sizeof(Compute<Storage>)))};
  work.pieces = most[0];
  for (const int64_t bound : most) work.pieces = bound < work.pieces ? bound : work.pieces;
  work.pieces = work.pieces > 1 ? work.pieces : 1;
  return work;
}

}  // namespace

int64_t plain_grad_weight_workspace(const c4d_problem& p) {
  return with_storage(p.dtype, [&](auto type) {
    const auto work = plan<decltype(type)>(p);
    return work.pieces * work.weights() * int64_t(sizeof(Compute<decltype(type)>));
  });
}

int plain_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, void* workspace, void* stream) {
  return with_storage(p.dtype, [&](auto type) {
    using S = decltype(type);
    using Work = GradWeight<S>;
    Work work = plan<S>(p);
    work.x = static_cast<const S*>(x), work.dy = static_cast<const S*>(dy), work.dw = static_cast<S*>(dw);
    work.sums = static_cast<Compute<S>*>(workspace);
    const int64_t jobs = work.pieces * work.jobs_of_a_piece(), bytes = kThreads * kRow * sizeof(Compute<S>);
    const int status = launch(sum_pieces<Work>, work, jobs, kThreads, bytes, stream);
    if (status != cudaSuccess) return status;
    return launch_add_pieces(work, stream);
  });
}

}  // namespace c4d_cuda
