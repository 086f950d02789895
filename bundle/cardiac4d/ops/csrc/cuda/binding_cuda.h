// SPDX-License-Identifier: Apache-2.0
// The native operators on CUDA tensors: checks, memory and the stream for the kernels, which know no torch.
#ifndef CARDIAC4D_BINDING_CUDA_H
#define CARDIAC4D_BINDING_CUDA_H

#include <torch/csrc/stable/accelerator.h>

#include <optional>
#include <string>

#include "../binding_problem.h"
#include "conv4d_cuda.h"

// The one function that a torch without CUDA lacks. Weak, so that the library loads there, too.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_get_current_cuda_stream(int32_t device_index, void** stream);

namespace c4d_binding {

using torch::stable::accelerator::DeviceGuard;

inline void check_tensor(const Tensor& tensor, const char* name, const Tensor& like, const Sizes& size) {
  STD_TORCH_CHECK(tensor.is_cuda() && tensor.get_device_index() == like.get_device_index() &&
                      tensor.scalar_type() == like.scalar_type(),
                  "conv4d: ", name, " must be on the device and have the dtype of the other tensors");
  STD_TORCH_CHECK(sizes_of(tensor) == size, "conv4d: ", name, " has the wrong size");
}

// The strides of frames, physically N, T, H, W, D, C, as torch gives them to a view of such a tensor.
inline Sizes frame_strides(const Sizes& size) {
  Sizes strides(6);
  int64_t stride = 1;
  for (const int axis : {1, 4, 3, 2, 5, 0}) {
    strides[axis] = stride;
    stride *= size[axis] > 1 ? size[axis] : 1;
  }
  return strides;
}

inline bool lies_as_frames(const Tensor& tensor, const Sizes& size) {
  const Sizes wanted = frame_strides(size);
  const auto strides = tensor.strides();
  for (int axis = 0; axis < 6; ++axis) {
    if (size[axis] > 1 && strides[axis] != wanted[axis]) return false;
  }
  return true;
}

// dtype: as the stable interface numbers it.
inline Tensor empty_frames(const Tensor& like, const Sizes& size, int32_t dtype) {
  int32_t device_type;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(like.get(), &device_type));
  const Sizes strides = frame_strides(size);
  AtenTensorHandle result;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(6, size.data(), strides.data(), dtype, device_type,
                                                         like.get_device_index(), &result));
  return Tensor(result);
}

inline Tensor empty_frames(const Tensor& like, const Sizes& size) {
  int32_t dtype;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_dtype(like.get(), &dtype));
  return empty_frames(like, size, dtype);
}

// The kernels load 16 bytes at once. torch's memory is aligned so; a view may begin anywhere.
inline bool is_aligned(const Tensor& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0;
}

// A tensor as the kernels want input and output; copies only from other strides, or if it is not aligned.
inline Tensor frames(const Tensor& tensor, const char* name, const Tensor& like, const Sizes& size) {
  check_tensor(tensor, name, like, size);
  if (lies_as_frames(tensor, size) && is_aligned(tensor)) return tensor;
  Tensor copy = empty_frames(tensor, size);
  torch::stable::copy_(copy, tensor);
  return copy;
}

// The same for weight and bias.
inline Tensor plain(const Tensor& tensor, const char* name, const Tensor& like, const Sizes& size) {
  check_tensor(tensor, name, like, size);
  return tensor.is_contiguous() ? tensor : torch::stable::contiguous(tensor);
}

// The stream of torch on which the caller's tensors are ready, and on which the memory of the result is.
inline void* current_stream(const Tensor& tensor) {
  STD_TORCH_CHECK(aoti_torch_get_current_cuda_stream != nullptr, "conv4d: this torch was built without CUDA");
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
  return stream;
}

// torch keeps the memory for the work that is queued on the current stream, and gives it to later work alone.
inline Tensor workspace_for(const c4d_problem& problem, int operation, const Tensor& like) {
  return torch::stable::new_empty(like, {c4d_cuda_workspace(&problem, operation)}, ScalarType::Byte);
}

inline void check_launch(int status) { STD_TORCH_CHECK(status == 0, "conv4d: ", c4d_cuda_error(status)); }

inline std::optional<Tensor> plain_bias(const std::optional<Tensor>& bias, const Tensor& like, int64_t channels) {
  if (!bias) return std::nullopt;
  return plain(*bias, "bias", like, {channels});
}

inline const void* data_or_null(const std::optional<Tensor>& tensor) {
  return tensor ? tensor->const_data_ptr() : nullptr;
}

// A forward problem, its operands as the kernels want them, and memory for its result.
struct CudaForward {
  c4d_problem problem;
  Tensor x, w;
  std::optional<Tensor> b;
  Tensor y;

  CudaForward(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias, const Options& options)
      : problem(describe(sizes_of(input), sizes_of(weight), options, dtype_of(input))),
        x(frames(input, "input", input, sizes_of(input))), w(plain(weight, "weight", input, sizes_of(weight))),
        b(plain_bias(bias, input, problem.out_channels)), y(empty_frames(input, output_size(problem))) {}
};

inline Tensor cuda_conv4d(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
                          const Sizes& stride, const Sizes& padding, const Sizes& dilation, int64_t groups,
                          int64_t precision) {
  const DeviceGuard guard(input.get_device_index());
  const CudaForward call(input, weight, bias, {stride, padding, dilation, groups, precision});
  const Tensor workspace = workspace_for(call.problem, C4D_CUDA_FORWARD, input);
  check_launch(c4d_cuda_forward(&call.problem, call.x.const_data_ptr(), call.w.const_data_ptr(), data_or_null(call.b),
                                call.y.mutable_data_ptr(), workspace.mutable_data_ptr(), current_stream(input)));
  return call.y;
}

inline Tensor cuda_conv4d_input(const Sizes& input_size, const Tensor& weight, const Tensor& grad_output,
                                const Sizes& stride, const Sizes& padding, const Sizes& dilation, int64_t groups,
                                int64_t precision) {
  const DeviceGuard guard(weight.get_device_index());
  const Sizes weight_size = sizes_of(weight);
  const c4d_problem problem =
      describe(input_size, weight_size, {stride, padding, dilation, groups, precision}, dtype_of(weight));
  const Tensor w = plain(weight, "weight", weight, weight_size);
  const Tensor dy = frames(grad_output, "grad_output", weight, output_size(problem));
  const Tensor dx = empty_frames(weight, input_size);
  const Tensor workspace = workspace_for(problem, C4D_CUDA_GRAD_INPUT, weight);
  check_launch(c4d_cuda_grad_input(&problem, dy.const_data_ptr(), w.const_data_ptr(), dx.mutable_data_ptr(),
                                   workspace.mutable_data_ptr(), current_stream(weight)));
  return dx;
}

inline Tensor cuda_conv4d_weight(const Tensor& input, const Sizes& weight_size, const Tensor& grad_output,
                                 const Sizes& stride, const Sizes& padding, const Sizes& dilation, int64_t groups,
                                 int64_t precision) {
  const DeviceGuard guard(input.get_device_index());
  const Sizes input_size = sizes_of(input);
  const c4d_problem problem =
      describe(input_size, weight_size, {stride, padding, dilation, groups, precision}, dtype_of(input));
  const Tensor x = frames(input, "input", input, input_size);
  const Tensor dy = frames(grad_output, "grad_output", input, output_size(problem));
  const Tensor dw = torch::stable::new_empty(input, weight_size);
  const Tensor workspace = workspace_for(problem, C4D_CUDA_GRAD_WEIGHT, input);
  check_launch(c4d_cuda_grad_weight(&problem, x.const_data_ptr(), dy.const_data_ptr(), dw.mutable_data_ptr(),
                                    workspace.mutable_data_ptr(), current_stream(input)));
  return dw;
}

}  // namespace c4d_binding

#endif  // CARDIAC4D_BINDING_CUDA_H
