// SPDX-License-Identifier: Apache-2.0
// The fused operators on CUDA tensors. Input, output and their gradients are frames of one dtype, that of weights and
// bias as well; what belongs to a normalisation is float32 whatever that is, sums are float64.
#ifndef CARDIAC4D_BINDING_CUDA_FUSED_H
#define CARDIAC4D_BINDING_CUDA_FUSED_H

#include <tuple>
#include <utility>

#include "../schemas_fused.h"
#include "binding_cuda.h"
#include "fused.h"

namespace c4d_binding {

inline void check_fused_dtype(int32_t dtype) {
  STD_TORCH_CHECK(dtype != C4D_FLOAT64, "cardiac4d: no fused kernel for CUDA computes in float64");
}

inline c4d_frames frames_of(const Sizes& size, int32_t dtype) {
  check_fused_dtype(dtype);
  return {size[0], size[1], {size[2], size[3], size[4], size[5]}, dtype};
}

// Dense numbers of another dtype than the tensors'.
inline Tensor numbers(const Tensor& tensor, const char* name, const Tensor& like, const Sizes& size, ScalarType type) {
  STD_TORCH_CHECK(tensor.is_cuda() && tensor.get_device_index() == like.get_device_index() &&
                      tensor.scalar_type() == type,
                  "cardiac4d: ", name, " must be on the device of the other tensors and be ",
                  type == ScalarType::Double ? "float64" : "float32");
  STD_TORCH_CHECK(sizes_of(tensor) == size, "cardiac4d: ", name, " has the wrong size");
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

// As plain(), where kernels load 16 bytes at once.
inline Tensor plain_aligned(const Tensor& tensor, const char* name, const Tensor& like, const Sizes& size) {
  const Tensor dense = plain(tensor, name, like, size);
  if (is_aligned(dense)) return dense;
  Tensor copy = torch::stable::new_empty(dense, size);
  torch::stable::copy_(copy, dense);
  return copy;
}

// Sums (N, C, 2) of a tensor of this size: a copy of those given, or memory for them.
inline Tensor cuda_sums_for(const Tensor& like, const Sizes& size, const std::optional<Tensor>& given) {
  const Sizes sums_size{size[0], size[1], 2};
  Tensor sums = torch::stable::new_empty(like, sums_size, ScalarType::Double);
  if (given) torch::stable::copy_(sums, numbers(*given, "input_sums", like, sums_size, ScalarType::Double));
  return sums;
}

inline Tensor bytes(const Tensor& like, int64_t count) {
  return torch::stable::new_empty(like, {count}, ScalarType::Byte);
}

inline std::tuple<Tensor, Tensor> cuda_conv4d_sums(const Tensor& input, const Tensor& weight,
                                                   const std::optional<Tensor>& bias, const Sizes& stride,
                                                   const Sizes& padding, const Sizes& dilation, int64_t groups,
                                                   int64_t precision) {
  const DeviceGuard guard(input.get_device_index());
  check_fused_dtype(dtype_of(input));
  const CudaForward call(input, weight, bias, {stride, padding, dilation, groups, precision});
  const Tensor sums = cuda_sums_for(call.y, sizes_of(call.y), std::nullopt);
  const Tensor workspace = bytes(input, c4d_cuda_conv4d_sums_workspace(&call.problem));
  check_launch(c4d_cuda_conv4d_sums(&call.problem, call.x.const_data_ptr(), call.w.const_data_ptr(),
                                    data_or_null(call.b), call.y.mutable_data_ptr(), doubles_to_fill(sums),
                                    workspace.mutable_data_ptr(), current_stream(input)));
  return {call.y, sums};
}

// The parameters of norm, ReLU and convolution; it keeps them alive.
struct CudaHalfBlock {
  Tensor norm_weight, norm_bias, weight;
  std::optional<Tensor> bias;

  CudaHalfBlock(const Tensor& x, const Tensor& norm_weight_, const Tensor& norm_bias_, const Tensor& weight_,
                const std::optional<Tensor>& bias_, int64_t channels)
      : norm_weight(numbers(norm_weight_, "norm weight", x, {channels}, ScalarType::Float)),
        norm_bias(numbers(norm_bias_, "norm bias", x, {channels}, ScalarType::Float)),
        weight(plain(weight_, "weight", x, {channels, channels, 3, 3, 3, 3})),
        bias(plain_bias(bias_, x, channels)) {}

  c4d_cuda_half_block pointers() const {
    return {static_cast<const float*>(norm_weight.const_data_ptr()),
            static_cast<const float*>(norm_bias.const_data_ptr()), weight.const_data_ptr(), data_or_null(bias)};
  }
};

inline c4d_cuda_block describe_block(const Sizes& size, int32_t dtype, const CudaHalfBlock& first,
                                     const CudaHalfBlock& second, int64_t groups, double eps, int64_t precision) {
  STD_TORCH_CHECK(groups >= 1 && size[1] % groups == 0, "residual_block: groups (", groups,
                  ") must be positive and divide the channels (", size[1], ")");
  return {frames_of(size, dtype), groups, static_cast<int32_t>(precision), eps, first.pointers(), second.pointers()};
}

// A block and its input; what it runs with.
struct CudaBlockCall {
  Sizes size;
  Tensor x;
  CudaHalfBlock first, second;
  c4d_cuda_block block;

  CudaBlockCall(const Tensor& input, CudaHalfBlock first_, CudaHalfBlock second_, int64_t groups, double eps,
                int64_t precision)
      : size(six_sizes(input)), x(frames(input, "input", input, size)), first(std::move(first_)),
        second(std::move(second_)), block(describe_block(size, dtype_of(x), first, second, groups, eps, precision)) {}

  // out: like x, or x itself.
  void run(bool x_sums_known, const Tensor& out, const Tensor& y, const c4d_cuda_block_sums& sums) const {
    const Tensor workspace = bytes(x, c4d_cuda_block_workspace(&block, false));
    check_launch(c4d_cuda_residual_block(&block, x.const_data_ptr(), x_sums_known, out.mutable_data_ptr(),
                                         y.mutable_data_ptr(), &sums, workspace.mutable_data_ptr(),
                                         current_stream(x)));
  }
};

inline std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> cuda_residual_block(
    const Tensor& input, const std::optional<Tensor>& input_sums, const Tensor& norm1_weight, const Tensor& norm1_bias,
    const Tensor& conv1_weight, const std::optional<Tensor>& conv1_bias, const Tensor& norm2_weight,
    const Tensor& norm2_bias, const Tensor& conv2_weight, const std::optional<Tensor>& conv2_bias, int64_t groups,
    double eps, int64_t precision) {
  const DeviceGuard guard(input.get_device_index());
  const int64_t channels = six_sizes(input)[1];
  const CudaBlockCall call(
      input, CudaHalfBlock(input, norm1_weight, norm1_bias, conv1_weight, conv1_bias, channels),
      CudaHalfBlock(input, norm2_weight, norm2_bias, conv2_weight, conv2_bias, channels), groups, eps, precision);
  const Tensor out = empty_frames(call.x, call.size), y = empty_frames(call.x, call.size);
  const Tensor x_sums = cuda_sums_for(out, call.size, input_sums);
  const Tensor y_sums = cuda_sums_for(out, call.size, std::nullopt);
  const Tensor out_sums = cuda_sums_for(out, call.size, std::nullopt);
  call.run(input_sums.has_value(), out, y,
           {doubles_to_fill(x_sums), doubles_to_fill(y_sums), doubles_to_fill(out_sums)});
  return {out, y, x_sums, y_sums, out_sums};
}

// The output takes the place of the input. Result: its sums.
inline Tensor cuda_residual_block_(const Tensor& input, const std::optional<Tensor>& input_sums,
                                   const Tensor& norm1_weight, const Tensor& norm1_bias, const Tensor& conv1_weight,
                                   const std::optional<Tensor>& conv1_bias, const Tensor& norm2_weight,
                                   const Tensor& norm2_bias, const Tensor& conv2_weight,
                                   const std::optional<Tensor>& conv2_bias, int64_t groups, double eps,
                                   int64_t precision) {
  const DeviceGuard guard(input.get_device_index());
  const int64_t channels = six_sizes(input)[1];
  STD_TORCH_CHECK(lies_as_frames(input, sizes_of(input)) && is_aligned(input),
                  "residual_block_: input must lie as frames, aligned to 16 bytes");
  const CudaBlockCall call(
      input, CudaHalfBlock(input, norm1_weight, norm1_bias, conv1_weight, conv1_bias, channels),
      CudaHalfBlock(input, norm2_weight, norm2_bias, conv2_weight, conv2_bias, channels), groups, eps, precision);
  const Tensor y = empty_frames(call.x, call.size), x_sums = cuda_sums_for(y, call.size, input_sums);
  const Tensor y_sums = cuda_sums_for(y, call.size, std::nullopt);
  const Tensor out_sums = cuda_sums_for(y, call.size, std::nullopt);
  call.run(input_sums.has_value(), call.x, y,
           {doubles_to_fill(x_sums), doubles_to_fill(y_sums), doubles_to_fill(out_sums)});
  return out_sums;
}

// Memory for the gradients of a half block; that of the weight only if it is wanted. That of the bias is float32.
struct CudaHalfGradients {
  Tensor norm_weight, norm_bias, weight, bias;
  bool has_weight;

  CudaHalfGradients(const CudaHalfBlock& like, bool weight_wanted)
      : norm_weight(torch::stable::empty_like(like.norm_weight)), norm_bias(torch::stable::empty_like(like.norm_bias)),
        weight(weight_wanted ? torch::stable::empty_like(like.weight) : torch::stable::new_empty(like.weight, {0})),
        bias(torch::stable::empty_like(like.norm_bias)), has_weight(weight_wanted) {}

  c4d_cuda_half_gradients pointers() const {
    return {floats_to_fill(norm_weight), floats_to_fill(norm_bias), has_weight ? weight.mutable_data_ptr() : nullptr,
            floats_to_fill(bias)};
  }
};

using EightTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

// Results and `wanted` as in binding_fused.cpp.
inline EightTensors cuda_residual_block_backward(
    const Tensor& grad_output, const Tensor& input, const Tensor& hidden, const Tensor& input_sums,
    const Tensor& hidden_sums, const Tensor& norm1_weight, const Tensor& norm1_bias, const Tensor& conv1_weight,
    const std::optional<Tensor>& conv1_bias, const Tensor& norm2_weight, const Tensor& norm2_bias,
    const Tensor& conv2_weight, int64_t groups, double eps, int64_t precision, int64_t wanted) {
  const DeviceGuard guard(input.get_device_index());
  const Sizes size = six_sizes(input), sums_size{size[0], size[1], 2};
  const Tensor x = frames(input, "input", input, size), y = frames(hidden, "hidden", input, size);
  const Tensor grad_out = frames(grad_output, "grad_output", input, size);
  const Tensor sums_x = numbers(input_sums, "input_sums", x, sums_size, ScalarType::Double);
  const Tensor sums_y = numbers(hidden_sums, "hidden_sums", x, sums_size, ScalarType::Double);
  const CudaHalfBlock first(x, norm1_weight, norm1_bias, conv1_weight, conv1_bias, size[1]);
  const CudaHalfBlock second(x, norm2_weight, norm2_bias, conv2_weight, std::nullopt, size[1]);
  const c4d_cuda_block block = describe_block(size, dtype_of(x), first, second, groups, eps, precision);
  const CudaHalfGradients grad1(first, wanted & kWantsWeight1), grad2(second, wanted & kWantsWeight2);
  const auto none = [](const Tensor& like) { return torch::stable::new_empty(like, {0}); };
  const bool needs_dx = wanted & (kWantsInput | kWantsNorm1), needs_inner = wanted & ~kWantsWeight2;
  const Tensor dx = needs_dx ? empty_frames(x, size) : none(x);
  const Tensor inner = needs_inner ? empty_frames(x, size) : none(x);
  const Tensor workspace = bytes(x, c4d_cuda_block_workspace(&block, true));
  const c4d_cuda_half_gradients pointers1 = grad1.pointers(), pointers2 = grad2.pointers();
  check_launch(c4d_cuda_residual_block_grad(
      &block, grad_out.const_data_ptr(), x.const_data_ptr(), y.const_data_ptr(),
      static_cast<const double*>(sums_x.const_data_ptr()), static_cast<const double*>(sums_y.const_data_ptr()),
      needs_inner ? inner.mutable_data_ptr() : nullptr, needs_dx ? dx.mutable_data_ptr() : nullptr, &pointers1,
      &pointers2, workspace.mutable_data_ptr(), current_stream(x)));
  const auto pick = [&](int place, const Tensor& tensor) { return wanted >> place & 1 ? tensor : none(tensor); };
  return {pick(0, dx),         pick(1, grad1.norm_weight), pick(2, grad1.norm_bias), pick(3, grad1.weight),
          pick(4, grad1.bias), pick(5, grad2.norm_weight), pick(6, grad2.norm_bias), pick(7, grad2.weight)};
}

inline Tensor cuda_upsample_add(const Tensor& input, const Tensor& skip) {
  const DeviceGuard guard(skip.get_device_index());
  const Sizes size = six_sizes(skip);
  const c4d_frames large = frames_of(size, dtype_of(skip));
  const Tensor x = frames(input, "input", skip, half_of(size)), s = frames(skip, "skip", skip, size);
  const Tensor y = empty_frames(s, size);
  check_launch(c4d_cuda_upsample_add(&large, x.const_data_ptr(), s.const_data_ptr(), y.mutable_data_ptr(),
                                     current_stream(s)));
  return y;
}

inline Tensor cuda_upsample_backward(const Tensor& grad_output) {
  const DeviceGuard guard(grad_output.get_device_index());
  const Sizes size = six_sizes(grad_output);
  const c4d_frames large = frames_of(size, dtype_of(grad_output));
  const Tensor dy = frames(grad_output, "grad_output", grad_output, size);
  const Tensor dx = empty_frames(dy, half_of(size));
  check_launch(c4d_cuda_upsample_grad(&large, dy.const_data_ptr(), dx.mutable_data_ptr(), current_stream(dy)));
  return dx;
}

// Results: the output and its sums.
inline std::tuple<Tensor, Tensor> cuda_upsample_conv_add(const Tensor& input, const Tensor& weight,
                                                         const std::optional<Tensor>& bias, const Tensor& skip) {
  const DeviceGuard guard(skip.get_device_index());
  const Sizes size = six_sizes(skip);
  Sizes small = half_of(size);
  small[1] = six_sizes(weight)[1];
  const c4d_frames large = frames_of(size, dtype_of(skip));
  const Tensor x = frames(input, "input", skip, small), s = frames(skip, "skip", skip, size);
  const Tensor w = plain_aligned(weight, "weight", skip, {size[1], small[1], 1, 1, 1, 1});
  const std::optional<Tensor> b = plain_bias(bias, skip, size[1]);
  const Tensor y = empty_frames(s, size), sums = cuda_sums_for(s, size, std::nullopt);
  const Tensor workspace = bytes(s, c4d_cuda_fused_workspace(&large));
  check_launch(c4d_cuda_upsample_conv_add(&large, small[1], x.const_data_ptr(), w.const_data_ptr(), data_or_null(b),
                                          s.const_data_ptr(), y.mutable_data_ptr(), doubles_to_fill(sums),
                                          workspace.mutable_data_ptr(), current_stream(s)));
  return {y, sums};
}

// Float32 whatever the dtype of the input. Without derivatives.
inline Tensor cuda_pointwise_softmax(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias) {
  const DeviceGuard guard(input.get_device_index());
  const Sizes size = six_sizes(input);
  const int64_t classes = six_sizes(weight)[0];
  const c4d_frames all = frames_of(size, dtype_of(input));
  const Tensor x = frames(input, "input", input, size);
  const Tensor w = plain_aligned(weight, "weight", input, {classes, size[1], 1, 1, 1, 1});
  const std::optional<Tensor> b = plain_bias(bias, input, classes);
  const Tensor y = empty_frames(x, {size[0], classes, size[2], size[3], size[4], size[5]}, aoti_torch_dtype_float32());
  check_launch(c4d_cuda_pointwise_softmax(&all, classes, x.const_data_ptr(), w.const_data_ptr(), data_or_null(b),
                                          floats_to_fill(y), current_stream(x)));
  return y;
}

// Registers them all, for one kind of device.
inline void implement_cuda_fused(torch::stable::detail::StableLibrary& m) {
  m.impl("conv4d_sums", TORCH_BOX(&cuda_conv4d_sums));
  m.impl("residual_block", TORCH_BOX(&cuda_residual_block));
  m.impl("residual_block_", TORCH_BOX(&cuda_residual_block_));
  m.impl("residual_block_backward", TORCH_BOX(&cuda_residual_block_backward));
  m.impl("upsample_conv_add", TORCH_BOX(&cuda_upsample_conv_add));
  m.impl("pointwise_softmax", TORCH_BOX(&cuda_pointwise_softmax));
  m.impl("upsample_add", TORCH_BOX(&cuda_upsample_add));
  m.impl("upsample_backward", TORCH_BOX(&cuda_upsample_backward));
}

}  // namespace c4d_binding

#endif  // CARDIAC4D_BINDING_CUDA_FUSED_H
