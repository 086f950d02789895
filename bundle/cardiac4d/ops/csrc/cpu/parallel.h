// SPDX-License-Identifier: Apache-2.0
// Calls a lambda through the C callback of the caller's thread pool.
#ifndef CARDIAC4D_PARALLEL_H
#define CARDIAC4D_PARALLEL_H

#include "conv4d_cpu.h"

namespace c4d {
// Unnamed: units of different instruction sets must not share one compiled copy.
namespace {

// body(i) for i = 0 .. count-1, each once, in any order.
template <class Body>
void parallel(c4d_parallel_for run, int64_t count, const Body& body) {
  if (count == 1) {
    body(int64_t(0));
  } else if (count > 1) {
    run(count, [](void* context, int64_t index) { (*static_cast<const Body*>(context))(index); },
        const_cast<Body*>(&body));
  }
}

}  // namespace
}  // namespace c4d

#endif  // CARDIAC4D_PARALLEL_H
