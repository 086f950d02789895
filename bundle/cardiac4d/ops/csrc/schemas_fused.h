// SPDX-License-Identifier: Apache-2.0
// The fused operators as torch sees them; fused_derivatives.py explains arguments and results, head_derivatives.py
// those of the sums over a softmax.
#ifndef CARDIAC4D_SCHEMAS_FUSED_H
#define CARDIAC4D_SCHEMAS_FUSED_H

namespace c4d_binding {

constexpr const char* kConv4dSums =
    "conv4d_sums(Tensor input, Tensor weight, Tensor? bias, int[4] stride, int[4] padding, int[4] dilation, "
    "int groups, int precision) -> (Tensor, Tensor)";
constexpr const char* kResidualBlock =
    "residual_block(Tensor input, Tensor? input_sums, Tensor norm1_weight, Tensor norm1_bias, "
    "Tensor conv1_weight, Tensor? conv1_bias, "
    "Tensor norm2_weight, Tensor norm2_bias, Tensor conv2_weight, Tensor? conv2_bias, int groups, float eps, "
    "int precision) -> (Tensor, Tensor, Tensor, Tensor, Tensor)";
constexpr const char* kResidualBlockInPlace =
    "residual_block_(Tensor(a!) input, Tensor? input_sums, Tensor norm1_weight, Tensor norm1_bias, Tensor "
    "conv1_weight, Tensor? conv1_bias, Tensor norm2_weight, Tensor norm2_bias, Tensor conv2_weight, Tensor? "
    "conv2_bias, int groups, float eps, int precision) -> Tensor";
constexpr const char* kResidualBlockBackward =
    "residual_block_backward(Tensor grad_output, Tensor input, Tensor hidden, Tensor input_sums, Tensor hidden_sums, "
    "Tensor norm1_weight, Tensor norm1_bias, Tensor conv1_weight, Tensor? conv1_bias, Tensor norm2_weight, "
    "Tensor norm2_bias, Tensor conv2_weight, int groups, float eps, int precision, int wanted) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)";
// Bits of `wanted`, in the order of the results.
enum : long long { kWantsInput = 1, kWantsNorm1 = 2 + 4, kWantsWeight1 = 8, kWantsWeight2 = 128 };
constexpr const char* kUpsampleConvAdd =
    "upsample_conv_add(Tensor input, Tensor weight, Tensor? bias, Tensor skip) -> (Tensor, Tensor)";
constexpr const char* kPointwiseSoftmax = "pointwise_softmax(Tensor input, Tensor weight, Tensor? bias) -> Tensor";
constexpr const char* kSoftmaxSums =
    "softmax_sums(Tensor input, Tensor? weight, Tensor? bias, Tensor label, bool squared) -> Tensor";
constexpr const char* kSoftmaxSumsBackward =
    "softmax_sums_backward(Tensor grad_sums, Tensor input, Tensor? weight, Tensor? bias, Tensor label, bool squared, "
    "int wanted) -> (Tensor, Tensor)";
// Bits of its `wanted`, in the order of the results.
enum : long long { kWantsFeatures = 1, kWantsHead = 2 };
constexpr const char* kUpsampleAdd = "upsample_add(Tensor input, Tensor skip) -> Tensor";
constexpr const char* kUpsampleBackward = "upsample_backward(Tensor grad_output) -> Tensor";

}  // namespace c4d_binding

#endif  // CARDIAC4D_SCHEMAS_FUSED_H
