// SPDX-License-Identifier: Apache-2.0
// A number in another type, rounded as the kernels for the CPU round it.
#ifndef C4D_EMULATION_CONVERSION_H
#define C4D_EMULATION_CONVERSION_H

#include "cpu/half.h"

namespace emulation {

template <class To, class From>
To converted(From from) {
  To to;
  c4d::convert(from, to);
  return to;
}

}  // namespace emulation

#endif  // C4D_EMULATION_CONVERSION_H
