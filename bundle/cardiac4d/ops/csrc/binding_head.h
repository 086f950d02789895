// SPDX-License-Identifier: Apache-2.0
// What the bindings of the sums over a softmax share on every device: which heads the operators take.
#ifndef CARDIAC4D_BINDING_HEAD_H
#define CARDIAC4D_BINDING_HEAD_H

#include <optional>

#include "binding_problem.h"

namespace c4d_binding {

constexpr int64_t kMaxClasses = 8, kMaxHead = 4096;  // as fusion.py has them

// The classes of a head on an input of this size; without a weight the input are the logits.
inline int64_t classes_of(const Sizes& input, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias) {
  const int64_t classes = weight ? six_sizes(*weight)[0] : input[1];
  STD_TORCH_CHECK(classes >= 1 && classes <= kMaxClasses, "softmax_sums: ", weight ? "weight" : "input",
                  " must have 1 to ", kMaxClasses, " classes, got ", classes);
  STD_TORCH_CHECK(weight || !bias, "softmax_sums: a bias needs a weight");
  const int64_t numbers = classes * ((input[1] + 7) / 8 * 8);
  STD_TORCH_CHECK(!weight || numbers <= kMaxHead,
                  "softmax_sums: classes * channels, channels rounded up to eights, must be at most ", kMaxHead,
                  ", got ", numbers);
  return classes;
}

}  // namespace c4d_binding

#endif  // CARDIAC4D_BINDING_HEAD_H
