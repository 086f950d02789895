// SPDX-License-Identifier: Apache-2.0
// Blocks one after the other, their threads as fibers; see cuda_runtime.h and emulated_ptx.h.
#include <setjmp.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "emulated_ptx.h"

namespace {

constexpr size_t kSharedBytes = 227 << 10;        // of a block on sm_90, where a kernel was allowed them
constexpr size_t kSharedBytesOf86 = 99 << 10;     // on sm_86
constexpr size_t kSharedBytesUnasked = 48 << 10;  // without
constexpr size_t kGuardBytes = 4 << 10;
constexpr size_t kStackBytes = 64 << 10;
constexpr unsigned kMaxThreads = 1024, kLanes = 32;
constexpr unsigned char kPoison = 0xFF, kGuard = 0xA5;  // 0xFF.. is NaN in every floating type

}  // namespace

dim3 threadIdx, blockIdx, gridDim;
ulonglong2 c4d_shared[(kSharedBytes + kGuardBytes) / sizeof(ulonglong2)];

namespace {

enum class State { kReady, kWaitingForWarp, kWaitingForBlock, kDone };

struct Copy {
  uint32_t to;
  const void* from;
  bool is_inside;
  int bytes;
};

struct Fiber {
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  ucontext_t start;
  jmp_buf place;  // where it goes on; jumps cost no system call
  bool has_started;
  State state;
  std::vector<Copy> copies;
};

struct Warp {
  emulation::Exchange lanes;
  void (*instruction)(emulation::Exchange&);
  bool is_divergent;
};

std::vector<Fiber> fibers;
std::vector<Warp> warps;
std::map<std::pair<const void*, int>, size_t> allowed_bytes;  // of a kernel on a device
int architecture = 90;  // and number of the current device
int64_t questions = 0;
bool fails_questions = false;
unsigned current = 0;  // thread
jmp_buf scheduler;
ucontext_t unused;
const std::function<void()>* body = nullptr;
bool reverse = false, eager = false, is_faulty = false;

void leave(State state) {
  Fiber& fiber = fibers[current];
  fiber.state = state;
  if (_setjmp(fiber.place) == 0) _longjmp(scheduler, 1);
}

void start_of_fiber() {
  (*body)();
  leave(State::kDone);
}

void prepare(Fiber& fiber) {
  fiber.state = State::kReady;
  fiber.has_started = false;
  fiber.copies.clear();
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = fiber.stack.get();
  fiber.start.uc_stack.ss_size = kStackBytes;
  fiber.start.uc_link = nullptr;
  makecontext(&fiber.start, start_of_fiber, 0);
}

void resume(unsigned thread) {
  current = thread;
  threadIdx = dim3(thread, 0, 0);
  Fiber& fiber = fibers[thread];
  if (_setjmp(scheduler) != 0) return;
  if (fiber.has_started) _longjmp(fiber.place, 1);
  fiber.has_started = true;
  swapcontext(&unused, &fiber.start);
}

unsigned in_order(unsigned i, unsigned count) { return reverse ? count - 1 - i : i; }

// How many threads of [begin, end) are in a state.
unsigned count_in(State state, unsigned begin, unsigned end) {
  return static_cast<unsigned>(std::count_if(fibers.begin() + begin, fibers.begin() + end,
                                             [state](const Fiber& fiber) { return fiber.state == state; }));
}

// Lets the lanes of a warp run to the next barrier of the block or to their end; false if they part.
bool run_warp(unsigned begin, unsigned end) {
  Warp& warp = warps[begin / kLanes];
  for (;;) {
    warp.instruction = nullptr, warp.is_divergent = false;
    for (unsigned i = 0; i < end - begin; ++i) resume(begin + in_order(i, end - begin));
    const unsigned waiting = count_in(State::kWaitingForWarp, begin, end);
    if (waiting == 0) return true;
    if (waiting != kLanes || warp.is_divergent) return false;
    warp.instruction(warp.lanes);
  }
}

bool run_block(const cudaLaunchConfig_t& config) {
  unsigned char* shared = reinterpret_cast<unsigned char*>(c4d_shared);
  memset(shared, kPoison, config.dynamicSmemBytes);
  memset(shared + config.dynamicSmemBytes, kGuard, kSharedBytes + kGuardBytes - config.dynamicSmemBytes);
  const unsigned threads = config.blockDim.x, count = (threads + kLanes - 1) / kLanes;
  for (unsigned thread = 0; thread < threads; ++thread) prepare(fibers[thread]);
  for (;;) {
    for (unsigned i = 0; i < count; ++i) {
      const unsigned begin = in_order(i, count) * kLanes;
      if (!run_warp(begin, std::min(begin + kLanes, threads))) return false;
    }
    const unsigned waiting = count_in(State::kWaitingForBlock, 0, threads);
    if (waiting != 0 && waiting != threads) return false;
    if (waiting == 0) break;
  }
  return std::all_of(shared + config.dynamicSmemBytes, shared + kSharedBytes + kGuardBytes,
                     [](unsigned char byte) { return byte == kGuard; });
}

void carry_out(const Copy& copy) {
  unsigned char* to = reinterpret_cast<unsigned char*>(c4d_shared) + copy.to;
  copy.is_inside ? memcpy(to, copy.from, copy.bytes) : memset(to, 0, copy.bytes);
}

// Two neighbours of row `lane / 4` of each block, whose rows' addresses the lanes handed in.
void load_blocks(emulation::Exchange& lanes, int count) {
  const unsigned char* shared = reinterpret_cast<const unsigned char*>(c4d_shared);
  for (int lane = 0; lane < 32; ++lane) {
    for (int block = 0; block < count; ++block) {
      const uint32_t row = lanes.in[block * 8 + lane / 4][0];
      emulation::expect(row % 16 == 0);
      memcpy(&lanes.out[lane][block], shared + row / 16 * 16 + lane % 4 * 4, 4);
    }
  }
}

// Of each block the numbers of column `lane / 4` in two neighbouring rows.
void load_transposed(emulation::Exchange& lanes, int count) {
  const unsigned char* shared = reinterpret_cast<const unsigned char*>(c4d_shared);
  for (int lane = 0; lane < 32; ++lane) {
    for (int block = 0; block < count; ++block) {
      unsigned char* to = reinterpret_cast<unsigned char*>(&lanes.out[lane][block]);
      for (int place = 0; place < 2; ++place) {
        const uint32_t row = lanes.in[block * 8 + lane % 4 * 2 + place][0];
        emulation::expect(row % 16 == 0);
        memcpy(to + 2 * place, shared + row / 16 * 16 + lane / 4 * 2, 2);
      }
    }
  }
}

// As an H200, and as a card with less.
size_t most_shared_bytes(int device) { return device == 86 ? kSharedBytesOf86 : kSharedBytes; }

cudaError_t answer() {
  ++questions;
  return fails_questions ? cudaErrorUnknown : cudaSuccess;
}

}  // namespace

namespace emulation {

void wait_for_block() { leave(State::kWaitingForBlock); }

void expect(bool is_right) { is_faulty |= !is_right; }

const uint32_t* run_in_warp(const uint32_t* words, int count, void (*instruction)(Exchange&)) {
  const unsigned thread = current;
  Warp& warp = warps[thread / kLanes];
  memcpy(warp.lanes.in[thread % kLanes], words, count * sizeof *words);
  warp.is_divergent |= warp.instruction != nullptr && warp.instruction != instruction;
  warp.instruction = instruction;
  leave(State::kWaitingForWarp);
  return warp.lanes.out[thread % kLanes];
}

void copy(uint32_t to, const void* from, bool is_inside, int bytes) {
  expect(to % bytes == 0 && reinterpret_cast<uintptr_t>(from) % bytes == 0);
  const Copy wanted{to, from, is_inside, bytes};
  eager ? carry_out(wanted) : fibers[current].copies.push_back(wanted);
}

void wait_for_copies() {
  for (const Copy& wanted : fibers[current].copies) carry_out(wanted);
  fibers[current].copies.clear();
}

uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(static_cast<const char*>(pointer) - reinterpret_cast<const char*>(c4d_shared));
}

void load_4_blocks(Exchange& lanes) { load_blocks(lanes, 4); }
void load_2_blocks(Exchange& lanes) { load_blocks(lanes, 2); }
void load_4_transposed(Exchange& lanes) { load_transposed(lanes, 4); }
void load_2_transposed(Exchange& lanes) { load_transposed(lanes, 2); }

cudaError_t run(const void* kernel, const cudaLaunchConfig_t& config, const std::function<void()>& thread) {
  const size_t allowed = std::max(kSharedBytesUnasked, allowed_bytes[{kernel, architecture}]);
  if (config.gridDim.x == 0 || config.blockDim.x == 0 || config.blockDim.x > kMaxThreads ||
      config.dynamicSmemBytes > allowed) {
    return cudaErrorInvalidConfiguration;
  }
  body = &thread, is_faulty = false;
  gridDim = config.gridDim;
  if (fibers.size() < config.blockDim.x) fibers.resize(config.blockDim.x), warps.resize(kMaxThreads / kLanes);
  for (unsigned i = 0; i < config.gridDim.x; ++i) {
    blockIdx = dim3(in_order(i, config.gridDim.x), 0, 0);
    if (!run_block(config)) return cudaErrorLaunchFailure;
  }
  if (is_faulty) return cudaErrorMisalignedAddress;
  return cudaSuccess;
}

}  // namespace emulation

cudaError_t cudaGetDevice(int* device) {
  *device = architecture;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int device) {
  *value = static_cast<int>(most_shared_bytes(device));
  return answer();
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  attributes->ptxVersion = architecture;
  return answer();
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
  if (static_cast<size_t>(value) > most_shared_bytes(architecture)) return cudaErrorInvalidConfiguration;
  allowed_bytes[{kernel, architecture}] = static_cast<size_t>(value);
  return answer();
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorLaunchFailure:
      return "threads missed a barrier, or wrote beyond their shared memory";
    case cudaErrorUnknown:
      return "unknown error";
    default:
      return "no error";
  }
}

extern "C" void c4d_emulation_reverse(int is_reverse) { reverse = is_reverse != 0; }
extern "C" void c4d_emulation_architecture(int number) { architecture = number; }
extern "C" void c4d_emulation_eager(int is_eager) { eager = is_eager != 0; }
extern "C" int64_t c4d_emulation_questions() { return questions; }
extern "C" void c4d_emulation_fail_questions(int is_failing) { fails_questions = is_failing != 0; }
