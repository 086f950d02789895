// SPDX-License-Identifier: Apache-2.0
// Convolution as its definition says, for every problem: the path that is right where no fast one applies.
//
// Work is cut by rows of the result (one row = all of D and T at one position in H and W), so that no two jobs write
// the same element and every sum has one order. Half types are summed in float32, rounded once at the end.
#include "algorithms.h"
#include "general_grad_weight.h"
#include "general_rows.h"

namespace c4d {
namespace {

// Calls call(Storage{}) with the type that the problem's dtype names.
template <class Call>
int with_storage(const c4d_problem& p, const Call& call) {
  switch (p.dtype) {
    case C4D_FLOAT64:
      return call(double());
    case C4D_FLOAT32:
      return call(float());
    case C4D_BFLOAT16:
      return call(BFloat16());
    case C4D_FLOAT16:
      return call(Float16());
    default:
      return C4D_BAD_PROBLEM;
  }
}

}  // namespace

int general_forward(const c4d_problem& p, const void* x, const void* w, const void* bias, void* y,
                    c4d_parallel_for run) {
  return with_storage(p, [&](auto type) {
    using S = decltype(type);
    return general_rows(GeneralRows<S, false>{p, static_cast<const S*>(x), static_cast<const S*>(w),
                                              static_cast<const S*>(bias), static_cast<S*>(y)},
                        run);
  });
}

int general_grad_input(const c4d_problem& p, const void* dy, const void* w, void* dx, c4d_parallel_for run) {
  return with_storage(p, [&](auto type) {
    using S = decltype(type);
    return general_rows(GeneralRows<S, true>{p, static_cast<const S*>(dy), static_cast<const S*>(w), nullptr,
                                             static_cast<S*>(dx)},
                        run);
  });
}

int general_grad_weight(const c4d_problem& p, const void* x, const void* dy, void* dw, c4d_parallel_for run) {
  return with_storage(p, [&](auto type) {
    using S = decltype(type);
    return general_weights(p, static_cast<const S*>(x), static_cast<const S*>(dy), static_cast<S*>(dw), run);
  });
}

}  // namespace c4d
