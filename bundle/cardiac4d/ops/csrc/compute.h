// SPDX-License-Identifier: Apache-2.0
// What a stored type is computed in: half types in float.
#ifndef CARDIAC4D_COMPUTE_H
#define CARDIAC4D_COMPUTE_H

namespace c4d {

template <class Storage>
struct ComputeOf {
  using type = float;
};
template <>
struct ComputeOf<double> {
  using type = double;
};
template <class Storage>
using Compute = typename ComputeOf<Storage>::type;

}  // namespace c4d

#endif  // CARDIAC4D_COMPUTE_H
