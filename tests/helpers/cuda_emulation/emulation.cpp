// SPDX-License-Identifier: Apache-2.0
// Blocks one after the other, their threads as fibers; see cuda_runtime.h.
#include <cuda_runtime.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace {

constexpr size_t kSharedBytes = 48 << 10;  // what a launch may ask for without a wish of its own
constexpr size_t kGuardBytes = 4 << 10;
constexpr size_t kStackBytes = 64 << 10;
constexpr int kMaxThreads = 1024;
constexpr unsigned char kPoison = 0xFF, kGuard = 0xA5;  // 0xFF.. is NaN in every floating type

enum class State { kReady, kWaiting, kDone };

struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  State state;
};

std::vector<Fiber> fibers;
Fiber* current = nullptr;
ucontext_t scheduler;
const std::function<void()>* body = nullptr;
bool reverse = false;

void leave(State state) {
  current->state = state;
  swapcontext(&current->context, &scheduler);
}

void start_of_fiber() {
  (*body)();
  leave(State::kDone);
}

void prepare(Fiber& fiber) {
  fiber.state = State::kReady;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, start_of_fiber, 0);
}

void resume(unsigned thread) {
  current = &fibers[thread];
  threadIdx = dim3(thread, 0, 0);
  swapcontext(&scheduler, &current->context);
}

// Lets every thread run to its next barrier or its end; false if only some of them wait.
bool run_to_barrier(unsigned threads, bool& waiting) {
  unsigned count = 0;
  for (unsigned i = 0; i < threads; ++i) {
    const unsigned thread = reverse ? threads - 1 - i : i;
    resume(thread);
    count += fibers[thread].state == State::kWaiting;
  }
  waiting = count > 0;
  return count == 0 || count == threads;
}

bool run_block(const cudaLaunchConfig_t& config);

}  // namespace

dim3 threadIdx, blockIdx, gridDim;
ulonglong2 c4d_shared[(kSharedBytes + kGuardBytes) / sizeof(ulonglong2)];

namespace {

bool run_block(const cudaLaunchConfig_t& config) {
  unsigned char* shared = reinterpret_cast<unsigned char*>(c4d_shared);
  memset(shared, kPoison, config.dynamicSmemBytes);
  memset(shared + config.dynamicSmemBytes, kGuard, sizeof(c4d_shared) - config.dynamicSmemBytes);
  for (unsigned thread = 0; thread < config.blockDim.x; ++thread) prepare(fibers[thread]);
  for (bool waiting = true; waiting;) {
    if (!run_to_barrier(config.blockDim.x, waiting)) return false;
  }
  return std::all_of(shared + config.dynamicSmemBytes, shared + sizeof(c4d_shared),
                     [](unsigned char byte) { return byte == kGuard; });
}

}  // namespace

namespace emulation {

void wait_for_block() { leave(State::kWaiting); }

cudaError_t run(const cudaLaunchConfig_t& config, const std::function<void()>& thread) {
  if (config.gridDim.x == 0 || config.blockDim.x == 0 || config.blockDim.x > kMaxThreads ||
      config.dynamicSmemBytes > kSharedBytes) {
    return cudaErrorInvalidConfiguration;
  }
  body = &thread;
  gridDim = config.gridDim;
  if (fibers.size() < config.blockDim.x) fibers.resize(config.blockDim.x);
  for (unsigned i = 0; i < config.gridDim.x; ++i) {
    blockIdx = dim3(reverse ? config.gridDim.x - 1 - i : i, 0, 0);
    if (!run_block(config)) return cudaErrorLaunchFailure;
  }
  return cudaSuccess;
}

}  // namespace emulation

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorLaunchFailure:
      return "threads missed a barrier, or wrote beyond their shared memory";
    default:
      return "no error";
  }
}

extern "C" void c4d_emulation_reverse(int is_reverse) { reverse = is_reverse != 0; }
