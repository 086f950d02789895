// SPDX-License-Identifier: Apache-2.0
// Weight gradient of 1x1x1x1, for every dtype and any channels: one small matrix, summed over all voxels. Memory is
// what limits it for the few channels of a last layer, so both tensors are read once.
//
// A tile is eight input channels times eight output channels, or four of these; a thread keeps its sums in registers
// and goes from voxel to voxel. Tiles lie side by side in a block of threads: neighbouring threads read neighbouring
// channels of a voxel, and what two of them read comes from memory once. More than 16 tiles are shared by blocks, which
// read the voxels again. The voxels are cut into pieces; a block sums one piece, and a second kernel adds up the
// pieces. How the work is cut depends on the shape alone.
#include "add_pieces.h"
#include "channel_mix.h"
#include "frames.h"
#include "vectors.h"

namespace c4d_cuda {
namespace {

constexpr int kThreads = 128, kResident = 3;
constexpr int kIns = 8;                 // input channels of a tile
constexpr int kMostColumns = 16;        // tiles of a block
constexpr int64_t kWantedPieces = 512;  // enough for any GPU of today
constexpr int64_t kFewestVoxels = 8;    // of a thread: below it the end of a block dominates
constexpr int64_t kMostVoxels = 512;    // of a thread, unless the pieces take too much memory

template <class Storage_, int kOuts_>
struct MixGradWeight {
  using Storage = Storage_;
  using Real = Compute<Storage>;
  static constexpr int kOuts = kOuts_, kPairs = kOuts * kIns;
  static constexpr int kAtOnce = 8 / sizeof(Storage);  // voxels that a thread asks for before it waits
  static constexpr int kRow = kPairs + 1;  // of shared memory per thread: an odd number of words meets every bank
  int64_t ins, outs;                       // channels
  int64_t voxels, share, pieces;           // share: voxels of a piece
  const Storage *x, *dy;
  Real* sums;  // pieces, each as the weights lie
  Storage* dw;

  __host__ __device__ int64_t in_tiles() const { return (ins + kIns - 1) / kIns; }
  __host__ __device__ int64_t tiles() const { return in_tiles() * ((outs + kOuts - 1) / kOuts); }
  __host__ __device__ int columns() const { return static_cast<int>(tiles() < kMostColumns ? tiles() : kMostColumns); }
  __host__ __device__ int rows() const { return kThreads / columns(); }  // threads for the same tile
  __host__ __device__ int64_t parts() const { return (tiles() + columns() - 1) / columns(); }
  __host__ __device__ int64_t weights() const { return outs * ins; }
  __device__ int64_t weight_at(int64_t i) const { return i; }
};

// Up to kCount channels, zeros behind the last.
template <int kCount, class Storage>
__device__ void load_channels(const Storage* from, int64_t count, bool is_aligned, Storage (&numbers)[kCount]) {
  if constexpr (kCount * sizeof(Storage) % kVector == 0) {
    if (is_aligned && count >= kCount) {
      load_vectors(from, numbers);
      return;
    }
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    store(Compute<Storage>(0), numbers + i);
    if (i < count) numbers[i] = from[i];
  }
}

// The channels of a tile: where they begin in a voxel, and how many there are from there on.
template <class Work>
struct Channels {
  int64_t first_in, first_out, ins, outs;
  bool is_in_aligned, is_out_aligned;  // voxels, to 16 bytes

  __device__ Channels(const Work& work, int64_t tile) {
    constexpr int64_t kSize = sizeof(typename Work::Storage);
    first_in = tile % work.in_tiles() * kIns, first_out = tile / work.in_tiles() * Work::kOuts;
    ins = work.ins - first_in, outs = work.outs - first_out;
    is_in_aligned = work.ins * kSize % kVector == 0, is_out_aligned = work.outs * kSize % kVector == 0;
  }
};

// Adds the products of kCount voxels, `step` from each other.
template <int kCount, class Work>
__device__ void add_voxels(const Work& work, const Channels<Work>& channels, int64_t voxel, int step,
                           typename Work::Real (&sums)[Work::kPairs]) {
  typename Work::Storage in[kCount][kIns], out[kCount][Work::kOuts];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const int64_t at = voxel + int64_t(i) * step;
    load_channels(work.x + at * work.ins + channels.first_in, channels.ins, channels.is_in_aligned, in[i]);
    load_channels(work.dy + at * work.outs + channels.first_out, channels.outs, channels.is_out_aligned, out[i]);
  }
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
#pragma unroll
    for (int pair = 0; pair < Work::kPairs; ++pair) {
      sums[pair] += value(out[i][pair / kIns]) * value(in[i][pair % kIns]);
    }
  }
}

// Adds up the sums of a block's threads, in one order, and stores them as those of a piece. All must have passed a
// barrier since they read shared memory, and must pass one before they write there again.
template <class Work>
__device__ void store_piece(const Work& work, int64_t piece, int64_t first_tile,
                            const typename Work::Real (&sums)[Work::kPairs]) {
  typename Work::Real* shared = reinterpret_cast<typename Work::Real*>(c4d_shared);
#pragma unroll
  for (int pair = 0; pair < Work::kPairs; ++pair) shared[threadIdx.x * Work::kRow + pair] = sums[pair];
  __syncthreads();  // now the sums are there
  const int columns = work.columns(), rows = work.rows();
  for (int i = threadIdx.x; i < columns * Work::kPairs; i += kThreads) {
    const int column = i / Work::kPairs, pair = i % Work::kPairs;
    const int64_t tile = first_tile + column;
    const int64_t in = tile % work.in_tiles() * kIns + pair % kIns;
    const int64_t out = tile / work.in_tiles() * Work::kOuts + pair / kIns;
    if (in >= work.ins || out >= work.outs) continue;
    double sum = 0;
    for (int row = 0; row < rows; ++row) sum += shared[(row * columns + column) * Work::kRow + pair];
    work.sums[piece * work.weights() + out * work.ins + in] = static_cast<typename Work::Real>(sum);
  }
}

template <class Work>
__global__ void __launch_bounds__(kThreads, kResident) sum_channel_pairs(const Work work) {
  const int columns = work.columns(), rows = work.rows(), row = threadIdx.x / columns;
  for (int64_t job = blockIdx.x; job < work.pieces * work.parts(); job += gridDim.x) {
    const int64_t piece = job / work.parts(), first_tile = job % work.parts() * columns;
    const Channels<Work> channels(work, first_tile + threadIdx.x % columns);
    const int64_t rest = work.voxels - piece * work.share;
    // Threads beyond the last row, or the last tile, have nothing to do.
    int64_t count = rest < work.share ? rest : work.share;
    if (row >= rows || channels.outs <= 0) count = 0;
    const int64_t first = piece * work.share;
    typename Work::Real sums[Work::kPairs] = {};
    int64_t i = row;
#pragma unroll 1
    for (; i + (Work::kAtOnce - 1) * rows < count; i += Work::kAtOnce * rows) {
      add_voxels<Work::kAtOnce>(work, channels, first + i, rows, sums);
    }
#pragma unroll 1
    for (; i < count; i += rows) add_voxels<1>(work, channels, first + i, rows, sums);
    store_piece(work, piece, first_tile, sums);
    __syncthreads();  // before the next job overwrites the sums
  }
}

// From the shape alone: enough blocks for any GPU, while pieces are long and their sums take little memory.
template <class Work>
Work plan(const c4d_problem& p) {
  Work work{};
  work.ins = p.in_channels, work.outs = p.out_channels, work.voxels = p.batch * volume(p.in);
  const int64_t long_enough = work.voxels / (work.rows() * kFewestVoxels);
  const int64_t short_enough = work.voxels / (work.rows() * kMostVoxels);
  const int64_t fitting = kMostBytes / (work.weights() * int64_t(sizeof(typename Work::Real)));
  work.pieces = long_enough < kWantedPieces ? long_enough : kWantedPieces;
  work.pieces = work.pieces > short_enough ? work.pieces : short_enough;
  work.pieces = work.pieces < fitting ? work.pieces : fitting;
  work.pieces = work.pieces > 1 ? work.pieces : 1;
  work.share = (work.voxels + work.pieces - 1) / work.pieces;
  return work;
}

// Calls call(work) with the plan of a problem.
template <class Call>
auto with_plan(const c4d_problem& p, const Call& call) {
  return with_storage(p.dtype, [&](auto type) {
    using S = decltype(type);
    if constexpr (sizeof(S) < sizeof(double)) {  // a register has half a double
      if (p.out_channels > 4) return call(plan<MixGradWeight<S, 8>>(p));
    }
    return call(plan<MixGradWeight<S, 4>>(p));
  });
}

}  // namespace

int64_t channel_mix_grad_weight_workspace(const c4d_problem& p) {
  return with_plan(p, [](const auto& work) { return work.pieces * work.weights() * int64_t(sizeof(*work.sums)); });
}

int channel_mix_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, void* workspace,
                            void* stream) {
  return with_plan(p, [&](auto work) {
    using Work = decltype(work);
    using S = typename Work::Storage;
    work.x = static_cast<const S*>(x), work.dy = static_cast<const S*>(dy), work.dw = static_cast<S*>(dw);
    work.sums = static_cast<typename Work::Real*>(workspace);
    constexpr int64_t kBytes = kThreads * Work::kRow * sizeof(typename Work::Real);
    const int status = launch(sum_channel_pairs<Work>, work, work.pieces * work.parts(), kThreads, kBytes, stream);
    return status == cudaSuccess ? launch_add_pieces(work, stream) : status;
  });
}

}  // namespace c4d_cuda
