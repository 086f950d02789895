// SPDX-License-Identifier: Apache-2.0
// Prints the float32 fused multiply-add rate of 1 and of argv[1] threads in GFLOP/s, one number per line: the best of
// three runs each. Sixteen (twelve) independent sums hide the latency of the instruction and fit the registers.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int kLanes = 16, kSums = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8, kSums = 12;
#else
constexpr int kLanes = 4, kSums = 12;
#endif
typedef float Vector __attribute__((vector_size(4 * kLanes)));
constexpr long kRounds = 20000000;

static double rate() {
  Vector sums[kSums], factor, term;
  for (int lane = 0; lane < kLanes; ++lane) factor[lane] = 0.5f, term[lane] = 1e-9f;
  for (int i = 0; i < kSums; ++i) sums[i] = term;
  // Opaque to the compiler, or it would compute the loop while compiling.
  asm volatile("" : "+m"(factor), "+m"(term));
  const auto start = std::chrono::steady_clock::now();
  for (long round = 0; round < kRounds; ++round)
#pragma GCC unroll 16
    for (int i = 0; i < kSums; ++i) sums[i] = sums[i] * factor + term;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (int i = 0; i < kSums; ++i) asm volatile("" : : "m"(sums[i]));
  return 2e-9 * kRounds * kSums * kLanes / seconds;
}

static double best(int num_threads) {
  double highest = 0;
  for (int run = 0; run < 3; ++run) {
    std::vector<double> rates(num_threads);
    std::vector<std::thread> threads;
    for (double& mine : rates) threads.emplace_back([&mine] { mine = rate(); });
    for (std::thread& thread : threads) thread.join();
    double sum = 0;
    for (double one : rates) sum += one;
    if (sum > highest) highest = sum;
  }
  return highest;
}

int main(int, char** arguments) {
  std::printf("%.1f\n", best(1));
  std::printf("%.1f\n", best(std::atoi(arguments[1])));
}
