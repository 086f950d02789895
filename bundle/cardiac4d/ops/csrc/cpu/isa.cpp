// SPDX-License-Identifier: Apache-2.0
#include "isa.h"

#include <cstdlib>
#include <cstring>

namespace c4d {
namespace {

const IsaKernels& choose() {
  const char* limit = std::getenv("CARDIAC4D_CPU_ISA");
  if (limit != nullptr && std::strcmp(limit, "portable") == 0) return kPortableKernels;
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  const bool lowered = limit != nullptr && std::strcmp(limit, "avx2") == 0;
  if (avx512 && !lowered) return kAvx512Kernels;
  if (avx2) return kAvx2Kernels;
#endif
  return kPortableKernels;
}

}  // namespace

const IsaKernels& isa_kernels() {
  static const IsaKernels& chosen = choose();
  return chosen;
}

}  // namespace c4d
