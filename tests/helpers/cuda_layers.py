# SPDX-License-Identifier: Apache-2.0
"""Problems of single layers for the emulated CUDA kernels, and how their results are checked."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tests.helpers.cpu_kernels import Shape, reference
from tests.helpers.cuda_kernels import EmulatedKernels, assert_rounded_once, draw, rounded_to_tf32
from tests.helpers.tolerances import assert_near

HALF = [torch.bfloat16, torch.float16]


class Layer(NamedTuple):
    """A kernel's problem."""

    operation: str
    algorithm: str
    shape: Shape


def assert_right(actual: Tensor, right: Tensor) -> None:
    """Half types are summed in float32 and rounded once."""
    (assert_rounded_once if actual.dtype in HALF else assert_near)(actual, right)


def check(
    kernels: EmulatedKernels, layer: Layer, dtype: torch.dtype, precision: str = "fast", architecture: int = 90
) -> Tensor:
    """Compute it with threads in either order, and copies as late and as early as may be; the result.

    With ``precision`` "tf32" the operands are rounded, and nothing else.
    """
    operation, algorithm, shape = layer
    operands = draw(operation, shape, dtype)
    assert kernels.algorithm(operation, shape, dtype, architecture, precision) == algorithm
    late, eager = (
        kernels.run(operation, shape, *operands, reverse=e, eager=e, precision=precision, architecture=architecture)
        for e in (False, True)
    )
    assert torch.equal(late, eager)
    if precision == "tf32":
        operands[:2] = map(rounded_to_tf32, operands[:2])
    assert_right(late, reference(operation, shape, *operands))
    return late
