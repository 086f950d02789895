// SPDX-License-Identifier: Apache-2.0
#include "scratch.h"

#include <cstdlib>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace c4d {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kHugePage = size_t(2) << 20;
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kKept = 0;  // every block of its own size, so that no access beyond it is overlooked
#else
constexpr size_t kKept = size_t(48) << 20;  // larger blocks go back to the system after use
#endif

void* allocate(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : kLine;
  if (bytes == 0) bytes = 1;
  const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* data = rounded >= bytes ? std::aligned_alloc(alignment, rounded) : nullptr;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (data != nullptr && alignment == kHugePage) madvise(data, rounded, MADV_HUGEPAGE);
#endif
  return data;
}

struct Pool {
  void* data[2] = {nullptr, nullptr};
  size_t capacity[2] = {0, 0};
  bool busy[2] = {false, false};

  ~Pool() {
    for (void* block : data) std::free(block);
  }
};

thread_local Pool pool;

}  // namespace

Scratch::Scratch(ScratchUse use, size_t bytes) noexcept : data_(nullptr), use_(use), pooled_(false) {
  const int slot = static_cast<int>(use);
  if (pool.busy[slot] || bytes > kKept) {
    data_ = allocate(bytes);
    return;
  }
  if (pool.capacity[slot] < bytes || pool.data[slot] == nullptr) {
    std::free(pool.data[slot]);
    pool.data[slot] = allocate(bytes);
    pool.capacity[slot] = pool.data[slot] != nullptr ? bytes : 0;
  }
  data_ = pool.data[slot];
  pooled_ = pool.busy[slot] = data_ != nullptr;
}

Scratch::~Scratch() {
  if (pooled_) {
    pool.busy[static_cast<int>(use_)] = false;
  } else {
    std::free(data_);
  }
}

}  // namespace c4d
