// SPDX-License-Identifier: Apache-2.0
// What the bindings of every device share: a call of an operator as a problem of the kernels.
#ifndef CARDIAC4D_BINDING_PROBLEM_H
#define CARDIAC4D_BINDING_PROBLEM_H

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <vector>

#include "conv4d_problem.h"

namespace c4d_binding {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Sizes = std::vector<int64_t>;

inline int32_t dtype_of(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Double:
      return C4D_FLOAT64;
    case ScalarType::Float:
      return C4D_FLOAT32;
    case ScalarType::BFloat16:
      return C4D_BFLOAT16;
    case ScalarType::Half:
      return C4D_FLOAT16;
    default:
      STD_TORCH_CHECK(false, "conv4d: the dtype must be float64, float32, bfloat16 or float16");
  }
  return -1;
}

inline Sizes sizes_of(const Tensor& tensor) {
  const auto sizes = tensor.sizes();
  return Sizes(sizes.begin(), sizes.end());
}

inline Sizes six_sizes(const Tensor& tensor) {
  const Sizes size = sizes_of(tensor);
  STD_TORCH_CHECK(size.size() == 6, "cardiac4d: a tensor (N, C, H, W, D, T) must have 6 axes");
  return size;
}

// The size before up-sampling.
inline Sizes half_of(const Sizes& large) {
  Sizes small = large;
  for (size_t axis = 2; axis < small.size(); ++axis) small[axis] = (small[axis] + 1) / 2;
  return small;
}

inline float* floats_to_fill(const Tensor& tensor) { return static_cast<float*>(tensor.mutable_data_ptr()); }
inline double* doubles_to_fill(const Tensor& tensor) { return static_cast<double*>(tensor.mutable_data_ptr()); }

struct Options {
  const Sizes &stride, &padding, &dilation;  // H, W, D, T
  int64_t groups, precision;
};

inline void check_options(const Options& o) {
  STD_TORCH_CHECK(o.stride.size() == 4 && o.padding.size() == 4 && o.dilation.size() == 4,
                  "conv4d: stride, padding and dilation must have 4 entries");
  for (int axis = 0; axis < 4; ++axis) {
    STD_TORCH_CHECK(o.stride[axis] >= 1 && o.dilation[axis] >= 1 && o.padding[axis] >= 0,
                    "conv4d: stride and dilation must be positive, padding must not be negative");
    // So that no sum or product of them overflows.
    STD_TORCH_CHECK(o.stride[axis] <= INT32_MAX && o.dilation[axis] <= INT32_MAX && o.padding[axis] <= INT32_MAX,
                    "conv4d: stride, dilation and padding must be below 2**31");
  }
  STD_TORCH_CHECK(o.groups >= 1, "conv4d: groups must be positive");
  STD_TORCH_CHECK(o.precision >= C4D_FAST && o.precision <= C4D_TF32, "conv4d: precision must be 0, 1, 2 or 3");
}

// The problem of a forward input and a weight of these sizes; the kernels see only problems that passed here.
inline c4d_problem describe(const Sizes& input, const Sizes& weight, const Options& o, int32_t dtype) {
  check_options(o);
  STD_TORCH_CHECK(input.size() == 6 && weight.size() == 6, "conv4d: input and weight must have 6 axes");
  STD_TORCH_CHECK(input[0] >= 0 && weight[0] >= 1 && weight[0] % o.groups == 0 && weight[1] >= 1 &&
                      input[1] == weight[1] * o.groups,
                  "conv4d: the channels of input (", input[1], ") and weight (", weight[0], ", ", weight[1],
                  ") do not fit groups (", o.groups, ")");
  c4d_problem p{};
  p.batch = input[0];
  p.in_channels = input[1];
  p.out_channels = weight[0];
  p.groups = o.groups;
  for (int axis = 0; axis < 4; ++axis) {
    p.in[axis] = input[2 + axis];
    p.kernel[axis] = weight[2 + axis];
    p.stride[axis] = o.stride[axis];
    p.padding[axis] = o.padding[axis];
    p.dilation[axis] = o.dilation[axis];
    const int64_t room = p.in[axis] + 2 * p.padding[axis] - p.dilation[axis] * (p.kernel[axis] - 1) - 1;
    STD_TORCH_CHECK(p.in[axis] >= 1 && p.kernel[axis] >= 1 && room >= 0, "conv4d: the kernel does not fit on axis ",
                    axis);
    p.out[axis] = room / p.stride[axis] + 1;
  }
  p.dtype = dtype;
  p.precision = static_cast<int32_t>(o.precision);
  return p;
}

inline Sizes output_size(const c4d_problem& p) {
  return {p.batch, p.out_channels, p.out[0], p.out[1], p.out[2], p.out[3]};
}

}  // namespace c4d_binding

#endif  // CARDIAC4D_BINDING_PROBLEM_H
