// SPDX-License-Identifier: Apache-2.0
// The torch operators of the fused kernels (see binding.cpp): residual block and up-sampling with their gradients.
#include "binding_fused.h"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "cpu/residual_block.h"
#include "schemas_fused.h"

namespace {

using namespace c4d_binding;

// The parameters of norm, ReLU and convolution, made dense; it keeps them alive.
struct HalfBlock {
  Tensor norm_weight, norm_bias, weight;
  std::optional<Tensor> bias;

  HalfBlock(const Tensor& norm_weight_, const Tensor& norm_bias_, const Tensor& weight_,
            const std::optional<Tensor>& bias_, int64_t channels)
      : norm_weight(dense(norm_weight_, "norm weight", {channels}, C4D_FLOAT32)),
        norm_bias(dense(norm_bias_, "norm bias", {channels}, C4D_FLOAT32)),
        weight(dense(weight_, "weight", {channels, channels, 3, 3, 3, 3}, C4D_FLOAT32)) {
    if (bias_) bias = dense(*bias_, "bias", {channels}, C4D_FLOAT32);
  }

  c4d_half_block pointers() const {
    return {floats(norm_weight), floats(norm_bias), floats(weight), bias ? floats(*bias) : nullptr};
  }
};

// Memory for the gradients of a half block; that of the weight only if it is wanted.
struct HalfGradients {
  Tensor norm_weight, norm_bias, weight, bias;
  bool has_weight;

  HalfGradients(const HalfBlock& like, bool weight_wanted)
      : norm_weight(torch::stable::empty_like(like.norm_weight)), norm_bias(torch::stable::empty_like(like.norm_bias)),
        weight(weight_wanted ? torch::stable::empty_like(like.weight) : torch::stable::new_empty(like.weight, {0})),
        bias(torch::stable::empty_like(like.norm_bias)), has_weight(weight_wanted) {}

  c4d_half_gradients pointers() const {
    return {floats_to_fill(norm_weight), floats_to_fill(norm_bias), has_weight ? floats_to_fill(weight) : nullptr,
            floats_to_fill(bias)};
  }
};

c4d_residual_block describe(const Sizes& size, const HalfBlock& first, const HalfBlock& second, int64_t groups,
                            double eps, int64_t precision) {
  STD_TORCH_CHECK(groups >= 1 && size[1] % groups == 0, "residual_block: groups (", groups,
                  ") must be positive and divide the channels (", size[1], ")");
  c4d_residual_block block{};
  block.batch = size[0];
  block.channels = size[1];
  block.groups = groups;
  for (int axis = 0; axis < 4; ++axis) block.size[axis] = size[2 + axis];
  block.precision = static_cast<int32_t>(precision);
  block.eps = eps;
  block.first = first.pointers();
  block.second = second.pointers();
  return block;
}

// Sums (N, C, 2) of a tensor of this size: a copy of those given, or memory for them.
Tensor sums_for(const Tensor& like, const std::optional<Tensor>& given) {
  const Sizes size{like.size(0), like.size(1), 2};
  const Tensor sums = torch::stable::new_empty(like, size, ScalarType::Double);
  if (given) {
    const Tensor from = dense(*given, "input_sums", size, C4D_FLOAT64);
    std::copy_n(static_cast<const double*>(from.const_data_ptr()), sums.numel(), doubles_to_fill(sums));
  }
  return sums;
}

// A block and its input, made dense.
struct BlockCall {
  Tensor x;
  HalfBlock first, second;
  c4d_residual_block block;

  BlockCall(const Tensor& input, HalfBlock first_, HalfBlock second_, int64_t groups, double eps, int64_t precision)
      : x(dense(input, "input", six_sizes(input), C4D_FLOAT32)), first(std::move(first_)), second(std::move(second_)),
        block(describe(sizes_of(x), first, second, groups, eps, precision)) {}

  // out: like x, or x itself.
  void run(bool x_sums_known, const Tensor& out, const Tensor& y, const c4d_block_sums& sums) const {
    check_status(c4d_cpu_residual_block(&block, floats(x), x_sums_known, floats_to_fill(out), floats_to_fill(y), &sums,
                                        run_in_torch_pool));
  }
};

// Results: the output, that of the first convolution, the sums of input, first convolution and output.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> residual_block(
    const Tensor& input, const std::optional<Tensor>& input_sums, const Tensor& norm1_weight, const Tensor& norm1_bias,
    const Tensor& conv1_weight, const std::optional<Tensor>& conv1_bias, const Tensor& norm2_weight,
    const Tensor& norm2_bias, const Tensor& conv2_weight, const std::optional<Tensor>& conv2_bias, int64_t groups,
    double eps, int64_t precision) {
  const int64_t channels = six_sizes(input)[1];
  const BlockCall call(input, HalfBlock(norm1_weight, norm1_bias, conv1_weight, conv1_bias, channels),
                       HalfBlock(norm2_weight, norm2_bias, conv2_weight, conv2_bias, channels), groups, eps, precision);
  const Tensor out = torch::stable::empty_like(call.x), y = torch::stable::empty_like(call.x);
  const Tensor x_sums = sums_for(out, input_sums), y_sums = sums_for(out, std::nullopt);
  const Tensor out_sums = sums_for(out, std::nullopt);
  call.run(input_sums.has_value(), out, y,
           {doubles_to_fill(x_sums), doubles_to_fill(y_sums), doubles_to_fill(out_sums)});
  return {out, y, x_sums, y_sums, out_sums};
}

// The output takes the place of the input. Result: its sums.
Tensor residual_block_(const Tensor& input, const std::optional<Tensor>& input_sums, const Tensor& norm1_weight,
                       const Tensor& norm1_bias, const Tensor& conv1_weight, const std::optional<Tensor>& conv1_bias,
                       const Tensor& norm2_weight, const Tensor& norm2_bias, const Tensor& conv2_weight,
                       const std::optional<Tensor>& conv2_bias, int64_t groups, double eps, int64_t precision) {
  STD_TORCH_CHECK(input.is_contiguous(), "residual_block_: input must be contiguous");
  const int64_t channels = six_sizes(input)[1];
  const BlockCall call(input, HalfBlock(norm1_weight, norm1_bias, conv1_weight, conv1_bias, channels),
                       HalfBlock(norm2_weight, norm2_bias, conv2_weight, conv2_bias, channels), groups, eps, precision);
  const Tensor y = torch::stable::empty_like(call.x), x_sums = sums_for(y, input_sums);
  const Tensor y_sums = sums_for(y, std::nullopt), out_sums = sums_for(y, std::nullopt);
  call.run(input_sums.has_value(), call.x, y,
           {doubles_to_fill(x_sums), doubles_to_fill(y_sums), doubles_to_fill(out_sums)});
  return out_sums;
}

using EightTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

// The gradients of input, norm1 weight and bias, conv1 weight and bias, norm2 weight and bias, conv2 weight. That of
// the second bias is the sum of grad_output. A gradient whose bit in `wanted` is 0 comes as an empty tensor, and is not
// computed if it takes a pass of its own. The derivative of this operator needs the first bias, the operator itself
// does not.
EightTensors residual_block_backward(const Tensor& grad_output, const Tensor& input, const Tensor& hidden,
                                     const Tensor& input_sums, const Tensor& hidden_sums, const Tensor& norm1_weight,
                                     const Tensor& norm1_bias, const Tensor& conv1_weight,
                                     const std::optional<Tensor>& conv1_bias, const Tensor& norm2_weight,
                                     const Tensor& norm2_bias, const Tensor& conv2_weight, int64_t groups, double eps,
                                     int64_t precision, int64_t wanted) {
  const Sizes size = six_sizes(input);
  const Tensor grad_out = dense(grad_output, "grad_output", size, C4D_FLOAT32);
  const Tensor x = dense(input, "input", size, C4D_FLOAT32), y = dense(hidden, "hidden", size, C4D_FLOAT32);
  const Tensor sums_x = dense(input_sums, "input_sums", {size[0], size[1], 2}, C4D_FLOAT64);
  const Tensor sums_y = dense(hidden_sums, "hidden_sums", {size[0], size[1], 2}, C4D_FLOAT64);
  const HalfBlock first(norm1_weight, norm1_bias, conv1_weight, conv1_bias, size[1]);
  const HalfBlock second(norm2_weight, norm2_bias, conv2_weight, std::nullopt, size[1]);
  const c4d_residual_block block = describe(size, first, second, groups, eps, precision);
  const HalfGradients grad1(first, wanted & kWantsWeight1), grad2(second, wanted & kWantsWeight2);
  const auto none = [&x] { return torch::stable::new_empty(x, {0}); };
  const bool needs_dx = wanted & (kWantsInput | kWantsNorm1), needs_work = wanted & ~kWantsWeight2;
  const Tensor dx = needs_dx ? torch::stable::new_empty(x, size) : none();
  const Tensor work = needs_work ? torch::stable::new_empty(x, size) : none();
  const c4d_half_gradients pointers1 = grad1.pointers(), pointers2 = grad2.pointers();
  check_status(c4d_cpu_residual_block_grad(
      &block, floats(grad_out), floats(x), floats(y), static_cast<const double*>(sums_x.const_data_ptr()),
      static_cast<const double*>(sums_y.const_data_ptr()), needs_work ? floats_to_fill(work) : nullptr,
      needs_dx ? floats_to_fill(dx) : nullptr, &pointers1, &pointers2, run_in_torch_pool));
  const auto pick = [&](int place, const Tensor& tensor) { return wanted >> place & 1 ? tensor : none(); };
  return {pick(0, dx),         pick(1, grad1.norm_weight), pick(2, grad1.norm_bias), pick(3, grad1.weight),
          pick(4, grad1.bias), pick(5, grad2.norm_weight), pick(6, grad2.norm_bias), pick(7, grad2.weight)};
}

Tensor upsample_add(const Tensor& input, const Tensor& skip) {
  const Sizes size = six_sizes(skip);
  const int32_t dtype = dtype_of(skip);
  const Tensor x = dense(input, "input", half_of(size), dtype), s = dense(skip, "skip", size, dtype);
  const Tensor y = torch::stable::new_empty(s, size);
  const c4d_tensor large = tensor_of(size, dtype);
  check_status(c4d_cpu_upsample_add(&large, x.const_data_ptr(), s.const_data_ptr(), y.mutable_data_ptr(),
                                    run_in_torch_pool));
  return y;
}

// Results: the output and its sums.
std::tuple<Tensor, Tensor> upsample_conv_add(const Tensor& input, const Tensor& weight,
                                             const std::optional<Tensor>& bias, const Tensor& skip) {
  const Sizes size = six_sizes(skip), weight_size = six_sizes(weight);
  Sizes small = half_of(size);
  small[1] = weight_size[1];
  const Tensor x = dense(input, "input", small, C4D_FLOAT32), s = dense(skip, "skip", size, C4D_FLOAT32);
  const Tensor w = dense(weight, "weight", {size[1], small[1], 1, 1, 1, 1}, C4D_FLOAT32);
  std::optional<Tensor> b;
  if (bias) b = dense(*bias, "bias", {size[1]}, C4D_FLOAT32);
  const Tensor y = torch::stable::new_empty(s, size), sums = sums_for(s, std::nullopt);
  const c4d_tensor large = tensor_of(size, C4D_FLOAT32);
  check_status(c4d_cpu_upsample_conv_add(&large, small[1], floats(x), floats(w), b ? floats(*b) : nullptr, floats(s),
                                         floats_to_fill(y), doubles_to_fill(sums), run_in_torch_pool));
  return {y, sums};
}

// Without derivatives.
Tensor pointwise_softmax(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias) {
  const Sizes size = six_sizes(input);
  const int64_t classes = six_sizes(weight)[0];
  const Tensor x = dense(input, "input", size, C4D_FLOAT32);
  const Tensor w = dense(weight, "weight", {classes, size[1], 1, 1, 1, 1}, C4D_FLOAT32);
  std::optional<Tensor> b;
  if (bias) b = dense(*bias, "bias", {classes}, C4D_FLOAT32);
  const Tensor y = torch::stable::new_empty(x, {size[0], classes, size[2], size[3], size[4], size[5]});
  const c4d_tensor tensor = tensor_of(size, C4D_FLOAT32);
  check_status(c4d_cpu_pointwise_softmax(&tensor, classes, floats(x), floats(w), b ? floats(*b) : nullptr,
                                         floats_to_fill(y), run_in_torch_pool));
  return y;
}

Tensor upsample_backward(const Tensor& grad_output) {
  const Sizes size = six_sizes(grad_output);
  const int32_t dtype = dtype_of(grad_output);
  const Tensor dy = dense(grad_output, "grad_output", size, dtype);
  const Tensor dx = torch::stable::new_empty(dy, half_of(size));
  const c4d_tensor large = tensor_of(size, dtype);
  check_status(c4d_cpu_upsample_grad(&large, dy.const_data_ptr(), dx.mutable_data_ptr(), run_in_torch_pool));
  return dx;
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cardiac4d, m) {
  m.def(kResidualBlock);
  m.def(kResidualBlockInPlace);
  m.def(kResidualBlockBackward);
  m.def(kUpsampleConvAdd);
  m.def(kPointwiseSoftmax);
  m.def(kUpsampleAdd);
  m.def(kUpsampleBackward);
}

STABLE_TORCH_LIBRARY_IMPL(cardiac4d, CPU, m) {
  m.impl("residual_block", TORCH_BOX(&residual_block));
  m.impl("residual_block_", TORCH_BOX(&residual_block_));
  m.impl("residual_block_backward", TORCH_BOX(&residual_block_backward));
  m.impl("upsample_conv_add", TORCH_BOX(&upsample_conv_add));
  m.impl("pointwise_softmax", TORCH_BOX(&pointwise_softmax));
  m.impl("upsample_add", TORCH_BOX(&upsample_add));
  m.impl("upsample_backward", TORCH_BOX(&upsample_backward));
}
