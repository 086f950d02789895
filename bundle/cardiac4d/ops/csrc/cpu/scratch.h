// SPDX-License-Identifier: Apache-2.0
// Working memory that is reused from call to call: fresh pages cost more than the arithmetic on small volumes.
#ifndef CARDIAC4D_SCRATCH_H
#define CARDIAC4D_SCRATCH_H

#include <stddef.h>

// Inlined without exception: units of different instruction sets must not share a compiled copy.
#define C4D_ALWAYS_INLINE inline __attribute__((always_inline))

namespace c4d {

// What the memory is for. A thread may hold one of each at a time without a new allocation.
enum class ScratchUse { kCall = 0, kJob = 1 };

// Uninitialised memory of the calling thread, aligned to a cache line, until the object dies.
class Scratch {
 public:
  Scratch(ScratchUse use, size_t bytes) noexcept;
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  C4D_ALWAYS_INLINE explicit operator bool() const { return data_ != nullptr; }  // false: no memory
  C4D_ALWAYS_INLINE float* floats() const { return static_cast<float*>(data_); }
  C4D_ALWAYS_INLINE double* doubles() const { return static_cast<double*>(data_); }

 private:
  void* data_;
  ScratchUse use_;
  bool pooled_;
};

// Set by any job that found no memory, read when all jobs are done.
class Failure {
 public:
  C4D_ALWAYS_INLINE void set() { __atomic_store_n(&failed_, 1, __ATOMIC_RELAXED); }
  C4D_ALWAYS_INLINE bool any() const { return __atomic_load_n(&failed_, __ATOMIC_RELAXED) != 0; }

 private:
  int failed_ = 0;
};

}  // namespace c4d

#endif  // CARDIAC4D_SCRATCH_H
