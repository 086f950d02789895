// SPDX-License-Identifier: Apache-2.0
// The torch operators that a loss is made of (see binding.cpp): sums over the softmax of a network's last convolution.
#include "binding_head.h"

#include <optional>
#include <tuple>

#include "binding_fused.h"
#include "schemas_fused.h"

namespace {

using namespace c4d_binding;

static_assert(kMaxClasses == C4D_MAX_CLASSES, "the binding refuses what the kernels refuse");

// A head and its tensors, made dense; it keeps them alive.
struct HeadCall {
  Sizes size;
  Tensor x, label;
  std::optional<Tensor> w, b;
  c4d_head head{};

  HeadCall(const Tensor& input, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
           const Tensor& label_, bool squared)
      : size(six_sizes(input)), x(dense(input, "input", size, C4D_FLOAT32)), label(label_) {
    STD_TORCH_CHECK(label.is_cpu() && label.scalar_type() == ScalarType::Byte,
                    "softmax_sums: label must be uint8, on the CPU");
    STD_TORCH_CHECK(sizes_of(label) == (Sizes{size[0], 1, size[2], size[3], size[4], size[5]}),
                    "softmax_sums: label has the wrong size");
    if (!label.is_contiguous()) label = torch::stable::contiguous(label);
    const int64_t classes = classes_of(size, weight, bias);
    if (weight) w = dense(*weight, "weight", {classes, size[1], 1, 1, 1, 1}, C4D_FLOAT32);
    if (bias) b = dense(*bias, "bias", {classes}, C4D_FLOAT32);
    head = {tensor_of(size, C4D_FLOAT32), classes, w ? floats(*w) : nullptr, b ? floats(*b) : nullptr,
            static_cast<const uint8_t*>(label.const_data_ptr()), squared};
  }

  Sizes sums_size() const { return {size[0], size[5], 2 * head.classes + 3}; }
};

Tensor softmax_sums(const Tensor& input, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                    const Tensor& label, bool squared) {
  const HeadCall call(input, weight, bias, label, squared);
  const Tensor sums = torch::stable::new_empty(call.x, call.sums_size(), ScalarType::Double);
  check_status(c4d_cpu_softmax_sums(&call.head, floats(call.x), doubles_to_fill(sums), run_in_torch_pool));
  return sums;
}

// The gradients of the input, and of weight and bias, (classes, C + 1); empty where their bit in `wanted` is 0.
std::tuple<Tensor, Tensor> softmax_sums_backward(const Tensor& grad_sums, const Tensor& input,
                                                 const std::optional<Tensor>& weight,
                                                 const std::optional<Tensor>& bias, const Tensor& label, bool squared,
                                                 int64_t wanted) {
  const HeadCall call(input, weight, bias, label, squared);
  const Tensor seeds = dense(grad_sums, "grad_sums", call.sums_size(), C4D_FLOAT64);
  const bool has_dx = wanted & kWantsFeatures, has_head = weight && (wanted & kWantsHead);
  const Tensor dx = torch::stable::new_empty(call.x, has_dx ? call.size : Sizes{0});
  const Tensor dhead =
      torch::stable::new_empty(call.x, has_head ? Sizes{call.head.classes, call.size[1] + 1} : Sizes{0});
  check_status(c4d_cpu_softmax_sums_grad(&call.head, floats(call.x), static_cast<const double*>(seeds.const_data_ptr()),
                                         has_dx ? floats_to_fill(dx) : nullptr,
                                         has_head ? floats_to_fill(dhead) : nullptr, run_in_torch_pool));
  return {dx, dhead};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cardiac4d, m) {
  m.def(kSoftmaxSums);
  m.def(kSoftmaxSumsBackward);
}

STABLE_TORCH_LIBRARY_IMPL(cardiac4d, CPU, m) {
  m.impl("softmax_sums", TORCH_BOX(&softmax_sums));
  m.impl("softmax_sums_backward", TORCH_BOX(&softmax_sums_backward));
}
