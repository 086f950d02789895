// SPDX-License-Identifier: Apache-2.0
// The torch operators of the native library, on the LibTorch stable ABI: one binary for torch 2.10 and later.
//
// Only the binding*.cpp files know torch. They check what a kernel relies on, allocate the result and hand over plain
// pointers; fake kernels, derivatives and batching rules are Python (registration.py). The checks here guard memory:
// the messages a user should see come from the Python functions, which check the same first.
#include "binding.h"

#include <optional>
#include <string>
#include <tuple>

#include "cpu/conv4d_cpu_fused.h"
#include "schemas.h"
#include "schemas_fused.h"

namespace {

using namespace c4d_binding;

// Read from the file by native.py before it loads the library: a build of other sources is never loaded.
[[gnu::used]] const char kSources[] = "cardiac4d-sources:" C4D_SOURCES;

// sums: null, or memory for those of the result (see conv4d_cpu_fused.h).
Tensor forward(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias, const Options& options,
               double* sums) {
  const int32_t dtype = dtype_of(input);
  const Sizes input_size = sizes_of(input), weight_size = sizes_of(weight);
  const c4d_problem problem = describe(input_size, weight_size, options, dtype);
  const Tensor x = dense(input, "input", input_size, dtype);
  const Tensor w = dense(weight, "weight", weight_size, dtype);
  const std::optional<Tensor> b =
      bias ? std::optional<Tensor>(dense(*bias, "bias", {problem.out_channels}, dtype)) : std::nullopt;
  Tensor y = torch::stable::new_empty(x, output_size(problem));
  if (problem.batch > 0) {
    const void *from = x.const_data_ptr(), *taps = w.const_data_ptr(), *offset = b ? b->const_data_ptr() : nullptr;
    void* to = y.mutable_data_ptr();
    check_status(sums == nullptr ? c4d_cpu_forward(&problem, from, taps, offset, to, run_in_torch_pool)
                                 : c4d_cpu_forward_sums(&problem, from, taps, offset, to, sums, run_in_torch_pool));
  }
  return y;
}

Tensor conv4d(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias, const Sizes& stride,
              const Sizes& padding, const Sizes& dilation, int64_t groups, int64_t precision) {
  return forward(input, weight, bias, {stride, padding, dilation, groups, precision}, nullptr);
}

std::tuple<Tensor, Tensor> conv4d_sums(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
                                       const Sizes& stride, const Sizes& padding, const Sizes& dilation,
                                       int64_t groups, int64_t precision) {
  const Tensor sums = torch::stable::new_empty(input, {input.size(0), weight.size(0), 2}, ScalarType::Double);
  const Options options{stride, padding, dilation, groups, precision};
  const Tensor y = forward(input, weight, bias, options, static_cast<double*>(sums.mutable_data_ptr()));
  return {y, sums};
}

Tensor conv4d_input(const Sizes& input_size, const Tensor& weight, const Tensor& grad_output, const Sizes& stride,
                    const Sizes& padding, const Sizes& dilation, int64_t groups, int64_t precision) {
  const int32_t dtype = dtype_of(weight);
  const Sizes weight_size = sizes_of(weight);
  const c4d_problem problem = describe(input_size, weight_size, {stride, padding, dilation, groups, precision}, dtype);
  const Tensor w = dense(weight, "weight", weight_size, dtype);
  const Tensor dy = dense(grad_output, "grad_output", output_size(problem), dtype);
  Tensor dx = torch::stable::new_empty(w, input_size);
  if (problem.batch > 0) {
    check_status(c4d_cpu_grad_input(&problem, dy.const_data_ptr(), w.const_data_ptr(), dx.mutable_data_ptr(),
                                    run_in_torch_pool));
  }
  return dx;
}

Tensor conv4d_weight(const Tensor& input, const Sizes& weight_size, const Tensor& grad_output, const Sizes& stride,
                     const Sizes& padding, const Sizes& dilation, int64_t groups, int64_t precision) {
  const int32_t dtype = dtype_of(input);
  const Sizes input_size = sizes_of(input);
  const c4d_problem problem = describe(input_size, weight_size, {stride, padding, dilation, groups, precision}, dtype);
  const Tensor x = dense(input, "input", input_size, dtype);
  const Tensor dy = dense(grad_output, "grad_output", output_size(problem), dtype);
  if (problem.batch == 0) {
    return torch::stable::new_zeros(x, weight_size);
  }
  Tensor dw = torch::stable::new_empty(x, weight_size);
  check_status(c4d_cpu_grad_weight(&problem, x.const_data_ptr(), dy.const_data_ptr(), dw.mutable_data_ptr(),
                                   run_in_torch_pool));
  return dw;
}

// `operation`: 0 forward, 1 gradient of the input, 2 gradient of the weight.
std::string conv4d_algorithm(const Tensor& input, const Tensor& weight, const Sizes& stride, const Sizes& padding,
                             const Sizes& dilation, int64_t groups, int64_t precision, int64_t operation) {
  STD_TORCH_CHECK(operation >= 0 && operation <= 2, "conv4d: operation must be 0, 1 or 2");
  const Options options{stride, padding, dilation, groups, precision};
  const c4d_problem problem = describe(sizes_of(input), sizes_of(weight), options, dtype_of(input));
  return c4d_cpu_algorithm(&problem, static_cast<int>(operation));
}

std::string cpu_isa() { return c4d_cpu_isa(); }

}  // namespace

STABLE_TORCH_LIBRARY(cardiac4d, m) {
  m.def(kConv4d);
  m.def(kConv4dSums);
  m.def(kConv4dInput);
  m.def(kConv4dWeight);
  m.def(
      "conv4d_algorithm(Tensor input, Tensor weight, int[4] stride, int[4] padding, int[4] dilation, int groups, "
      "int precision, int operation) -> str");
  m.def("cpu_isa() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(cardiac4d, CPU, m) {
  m.impl("conv4d", TORCH_BOX(&conv4d));
  m.impl("conv4d_sums", TORCH_BOX(&conv4d_sums));
  m.impl("conv4d_input", TORCH_BOX(&conv4d_input));
  m.impl("conv4d_weight", TORCH_BOX(&conv4d_weight));
  m.impl("conv4d_algorithm", TORCH_BOX(&conv4d_algorithm));
}

STABLE_TORCH_LIBRARY_IMPL(cardiac4d, CompositeExplicitAutograd, m) { m.impl("cpu_isa", TORCH_BOX(&cpu_isa)); }
