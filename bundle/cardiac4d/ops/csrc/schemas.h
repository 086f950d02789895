// SPDX-License-Identifier: Apache-2.0
// The closed triple as torch sees it: each derivative of one of these operators is another of them.
//
// The order of the arguments is that of torch.nn.grad. Sizes that may change from call to call are symbolic.
#ifndef CARDIAC4D_SCHEMAS_H
#define CARDIAC4D_SCHEMAS_H

namespace c4d_binding {

constexpr const char* kConv4d =
    "conv4d(Tensor input, Tensor weight, Tensor? bias, int[4] stride, int[4] padding, int[4] dilation, int groups, "
    "int precision) -> Tensor";
constexpr const char* kConv4dInput =
    "conv4d_input(SymInt[] input_size, Tensor weight, Tensor grad_output, int[4] stride, int[4] padding, "
    "int[4] dilation, int groups, int precision) -> Tensor";
constexpr const char* kConv4dWeight =
    "conv4d_weight(Tensor input, SymInt[] weight_size, Tensor grad_output, int[4] stride, int[4] padding, "
    "int[4] dilation, int groups, int precision) -> Tensor";

}  // namespace c4d_binding

#endif  // CARDIAC4D_SCHEMAS_H
