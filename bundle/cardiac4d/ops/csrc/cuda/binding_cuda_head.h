// SPDX-License-Identifier: Apache-2.0
// The operators that a loss is made of, on CUDA tensors: frames of one dtype, that of weight and bias as well; sums are
// float64, their label is uint8.
#ifndef CARDIAC4D_BINDING_CUDA_HEAD_H
#define CARDIAC4D_BINDING_CUDA_HEAD_H

#include <tuple>

#include "../binding_head.h"
#include "binding_cuda_fused.h"

namespace c4d_binding {

static_assert(kMaxClasses == C4D_CUDA_MAX_CLASSES && kMaxHead == C4D_CUDA_MAX_HEAD,
              "the binding refuses what the kernels refuse");

// x: of this size.
inline Tensor label_frames(const Tensor& label, const Tensor& x, const Sizes& size) {
  STD_TORCH_CHECK(label.is_cuda() && label.get_device_index() == x.get_device_index() &&
                      label.scalar_type() == ScalarType::Byte,
                  "softmax_sums: label must be uint8, on the device of the input");
  return frames(label, "label", label, {size[0], 1, size[2], size[3], size[4], size[5]});
}

// A head and its tensors as the kernels want them; it keeps them alive.
struct CudaHeadCall {
  Sizes size;
  Tensor x, label;
  std::optional<Tensor> w, b;
  c4d_cuda_head head{};

  CudaHeadCall(const Tensor& input, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
               const Tensor& label_, bool squared)
      : size(six_sizes(input)), x(frames(input, "input", input, size)),
        label(label_frames(label_, x, size)) {
    const int64_t classes = classes_of(size, weight, bias);
    if (weight) w = plain(*weight, "weight", x, {classes, size[1], 1, 1, 1, 1});
    b = plain_bias(bias, x, classes);
    head = {frames_of(size, dtype_of(x)), classes, w ? w->const_data_ptr() : nullptr, data_or_null(b),
            static_cast<const uint8_t*>(label.const_data_ptr()), squared};
  }

  Sizes sums_size() const { return {size[0], size[5], 2 * head.classes + 3}; }
  Tensor workspace() const { return bytes(x, c4d_cuda_softmax_sums_workspace(&head)); }
};

inline Tensor cuda_softmax_sums(const Tensor& input, const std::optional<Tensor>& weight,
                                const std::optional<Tensor>& bias, const Tensor& label, bool squared) {
  const DeviceGuard guard(input.get_device_index());
  const CudaHeadCall call(input, weight, bias, label, squared);
  const Tensor sums = torch::stable::new_empty(call.x, call.sums_size(), ScalarType::Double);
  const Tensor workspace = call.workspace();
  check_launch(c4d_cuda_softmax_sums(&call.head, call.x.const_data_ptr(), doubles_to_fill(sums),
                                     workspace.mutable_data_ptr(), current_stream(call.x)));
  return sums;
}

// Results and `wanted` as in binding_head.cpp; that of weight and bias is float32.
inline std::tuple<Tensor, Tensor> cuda_softmax_sums_backward(const Tensor& grad_sums, const Tensor& input,
                                                             const std::optional<Tensor>& weight,
                                                             const std::optional<Tensor>& bias, const Tensor& label,
                                                             bool squared, int64_t wanted) {
  const DeviceGuard guard(input.get_device_index());
  const CudaHeadCall call(input, weight, bias, label, squared);
  const Tensor seeds = numbers(grad_sums, "grad_sums", call.x, call.sums_size(), ScalarType::Double);
  const bool has_dx = wanted & kWantsFeatures, has_head = weight && (wanted & kWantsHead);
  const Tensor dx = has_dx ? empty_frames(call.x, call.size) : torch::stable::new_empty(call.x, {0});
  const Tensor dhead = torch::stable::new_empty(
      call.x, has_head ? Sizes{call.head.classes, call.size[1] + 1} : Sizes{0}, ScalarType::Float);
  const Tensor workspace = call.workspace();
  check_launch(c4d_cuda_softmax_sums_grad(
      &call.head, call.x.const_data_ptr(), static_cast<const double*>(seeds.const_data_ptr()),
      has_dx ? dx.mutable_data_ptr() : nullptr, has_head ? floats_to_fill(dhead) : nullptr,
      workspace.mutable_data_ptr(), current_stream(call.x)));
  return {dx, dhead};
}

// Registers them, for one kind of device.
inline void implement_cuda_head(torch::stable::detail::StableLibrary& m) {
  m.impl("softmax_sums", TORCH_BOX(&cuda_softmax_sums));
  m.impl("softmax_sums_backward", TORCH_BOX(&cuda_softmax_sums_backward));
}

}  // namespace c4d_binding

#endif  // CARDIAC4D_BINDING_CUDA_HEAD_H
