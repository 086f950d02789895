// SPDX-License-Identifier: Apache-2.0
// A small matrix times the channels of every voxel, for every dtype. Memory is what limits it: channels in eights are
// read and written in vectors of 16 bytes; results of other numbers of channels are gathered in shared memory and leave
// it as one piece.
//
// A thread computes two voxels, up to eight channels of each at a time. The matrix lies in shared memory, as numbers to
// compute with; the lanes of a warp read the same ones.
#include "channel_mix.h"
#include "frames.h"
#include "launch.h"
#include "storage.h"
#include "vectors.h"

namespace c4d_cuda {
namespace {

constexpr int kThreads = 128, kVoxels = 2;  // of a thread
constexpr int kVoxelsOfJob = kThreads * kVoxels;
constexpr int kOctet = 8;                   // channels of the source that are read at once
constexpr int64_t kSharedBytes = 48 << 10;  // that every launch gets

template <class Storage_, int kTargets_>
struct ChannelMix {
  using Storage = Storage_;
  using Real = Compute<Storage>;
  static constexpr int kTargets = kTargets_;  // channels of the result that are computed at once
  int64_t voxels;
  int sources, targets;
  int64_t source_step, target_step;  // in the matrix as torch has it
  const Storage *from, *w, *bias;    // no bias: null
  Storage* to;

  __host__ __device__ int64_t jobs() const { return (voxels + kVoxelsOfJob - 1) / kVoxelsOfJob; }
  __host__ __device__ int parts() const { return (targets + kTargets - 1) / kTargets; }
  __host__ __device__ bool writes_vectors() const { return targets % kOctet == 0; }
  // The matrix: part, source, target; then, unless they are written at once, the results.
  __host__ __device__ int matrix_size() const { return parts() * sources * kTargets; }
  __host__ __device__ int64_t shared_bytes() const {
    const int64_t results = writes_vectors() ? 0 : int64_t(kVoxelsOfJob) * targets * sizeof(Storage);
    return matrix_size() * int64_t(sizeof(Real)) + results;
  }
};

template <class Work>
__device__ void load_matrix(const Work& work, typename Work::Real* matrix) {
  for (int i = threadIdx.x; i < work.matrix_size(); i += kThreads) {
    const int target = i / Work::kTargets / work.sources * Work::kTargets + i % Work::kTargets;
    const int source = i / Work::kTargets % work.sources;
    const int64_t place = target * work.target_step + source * work.source_step;
    matrix[i] = target < work.targets ? value(work.w[place]) : typename Work::Real(0);
  }
}

// Up to eight channels of a voxel.
template <class Storage>
__device__ void load_octet(const Storage* from, int count, bool is_aligned, Storage (&octet)[kOctet]) {
  if (is_aligned) {
    load_vectors(from, octet);
  } else {
#pragma unroll
    for (int i = 0; i < kOctet; ++i) {
      if (i < count) octet[i] = from[i];
    }
  }
}

template <class Work>
using Sums = typename Work::Real[kVoxels][Work::kTargets];

// Adds what eight channels of the source, or the last few, give to one part of the channels of the result.
template <class Work>
__device__ void add_octet(const Work& work, const typename Work::Storage* const (&voxels)[kVoxels], int first,
                          const typename Work::Real* matrix, Sums<Work>& sums) {
  const int rest = work.sources - first, count = rest < kOctet ? rest : kOctet;
  typename Work::Storage octets[kVoxels][kOctet];
#pragma unroll
  for (int v = 0; v < kVoxels; ++v) load_octet(voxels[v] + first, count, work.sources % kOctet == 0, octets[v]);
#pragma unroll
  for (int i = 0; i < kOctet; ++i) {
    if (i >= count) continue;
    typename Work::Real row[Work::kTargets];
    load_vectors(matrix + (first + i) * Work::kTargets, row);
#pragma unroll
    for (int v = 0; v < kVoxels; ++v) {
      const typename Work::Real number = value(octets[v][i]);
#pragma unroll
      for (int t = 0; t < Work::kTargets; ++t) sums[v][t] += number * row[t];
    }
  }
}

// Stores one part of the channels of a voxel: where they belong, or among the results of the job.
template <class Work>
__device__ void store_part(const Work& work, const typename Work::Real (&sums)[Work::kTargets], int64_t voxel,
                           int voxel_of_job, int first, typename Work::Storage* results) {
  typename Work::Storage stored[Work::kTargets];
#pragma unroll
  for (int t = 0; t < Work::kTargets; ++t) store(sums[t], stored + t);
  if constexpr (Work::kTargets == kOctet) {
    if (work.writes_vectors()) {
      if (voxel < work.voxels) store_vectors(stored, work.to + voxel * work.targets + first);
      return;
    }
  }
#pragma unroll
  for (int t = 0; t < Work::kTargets; ++t) {
    if (first + t < work.targets) results[voxel_of_job * work.targets + first + t] = stored[t];
  }
}

template <class Work>
__device__ void compute(const Work& work, int64_t job, const typename Work::Real* matrix,
                        typename Work::Storage* results) {
  const typename Work::Storage* voxels[kVoxels];
#pragma unroll
  for (int v = 0; v < kVoxels; ++v) {
    const int64_t voxel = job * kVoxelsOfJob + v * kThreads + threadIdx.x;
    voxels[v] = work.from + (voxel < work.voxels ? voxel : work.voxels - 1) * work.sources;
  }
#pragma unroll 1
  for (int part = 0; part < work.parts(); ++part) {
    const int first = part * Work::kTargets;
    Sums<Work> sums;
#pragma unroll
    for (int t = 0; t < Work::kTargets; ++t) {
      const bool has_bias = work.bias != nullptr && first + t < work.targets;
      sums[0][t] = has_bias ? value(work.bias[first + t]) : typename Work::Real(0);
#pragma unroll
      for (int v = 1; v < kVoxels; ++v) sums[v][t] = sums[0][t];
    }
#pragma unroll 1
    for (int source = 0; source < work.sources; source += kOctet) {
      add_octet(work, voxels, source, matrix + part * work.sources * Work::kTargets, sums);
    }
#pragma unroll
    for (int v = 0; v < kVoxels; ++v) {
      const int voxel = v * kThreads + threadIdx.x;
      store_part(work, sums[v], job * kVoxelsOfJob + voxel, voxel, first, results);
    }
  }
}

// Writes the results of a job from shared memory: they are one piece of the target.
template <class Work>
__device__ void write_results(const Work& work, int64_t job, const typename Work::Storage* results) {
  constexpr int kNumbers = kVector / sizeof(typename Work::Storage);
  const int64_t rest = work.voxels - job * kVoxelsOfJob;
  const int count = static_cast<int>(rest < kVoxelsOfJob ? rest : kVoxelsOfJob) * work.targets;
  typename Work::Storage* to = work.to + job * kVoxelsOfJob * work.targets;
  for (int i = threadIdx.x; i < count / kNumbers; i += kThreads) {
    reinterpret_cast<ulonglong2*>(to)[i] = reinterpret_cast<const ulonglong2*>(results)[i];
  }
  for (int i = count / kNumbers * kNumbers + threadIdx.x; i < count; i += kThreads) to[i] = results[i];
}

template <class Work>
__global__ void __launch_bounds__(kThreads) mix_channels(const Work work) {
  typename Work::Real* matrix = reinterpret_cast<typename Work::Real*>(c4d_shared);
  typename Work::Storage* results = reinterpret_cast<typename Work::Storage*>(matrix + work.matrix_size());
  load_matrix(work, matrix);
  __syncthreads();  // now the matrix is there
  for (int64_t job = blockIdx.x; job < work.jobs(); job += gridDim.x) {
    compute(work, job, matrix, results);
    if (work.writes_vectors()) continue;
    __syncthreads();  // now the results are there
    write_results(work, job, results);
    __syncthreads();  // before the next job overwrites them
  }
}

// Calls call(Work) with the sizes of a problem filled in.
template <class Storage, class Call>
auto with_work(const c4d_problem& p, bool is_gradient, const Call& call) {
  const auto fill = [&](auto work) {
    work.voxels = p.batch * volume(p.in);
    work.sources = static_cast<int>(is_gradient ? p.out_channels : p.in_channels);
    work.targets = static_cast<int>(is_gradient ? p.in_channels : p.out_channels);
    work.source_step = is_gradient ? p.in_channels : 1;
    work.target_step = is_gradient ? 1 : p.in_channels;
    return call(work);
  };
  const int64_t targets = is_gradient ? p.in_channels : p.out_channels;
  return targets <= 4 ? fill(ChannelMix<Storage, 4>()) : fill(ChannelMix<Storage, 8>());
}

int mix(const c4d_problem& p, bool is_gradient, const void* from, const void* w, const void* bias, void* to,
        void* stream) {
  return with_storage(p.dtype, [&](auto type) {
    using Storage = decltype(type);
    return with_work<Storage>(p, is_gradient, [&](auto work) {
      work.from = static_cast<const Storage*>(from), work.w = static_cast<const Storage*>(w);
      work.bias = static_cast<const Storage*>(bias), work.to = static_cast<Storage*>(to);
      return launch(mix_channels<decltype(work)>, work, work.jobs(), kThreads, work.shared_bytes(), stream);
    });
  });
}

}  // namespace

bool channel_mix_serves(const c4d_problem& p, bool is_gradient) {
  if (!is_channel_mix(p) || p.in_channels * p.out_channels > kSharedBytes) return false;
  return with_storage(p.dtype, [&](auto type) {
    return with_work<decltype(type)>(p, is_gradient, [](auto work) { return work.shared_bytes() <= kSharedBytes; });
  });
}

int channel_mix_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y, void* stream) {
  return mix(p, false, x, w, bias, y, stream);
}

int channel_mix_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, void* stream) {
  return mix(p, true, dy, w, nullptr, dx, stream);
}

}  // namespace c4d_cuda
