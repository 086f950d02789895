# SPDX-License-Identifier: Apache-2.0
"""Problems of single layers for the emulated CUDA kernels, and how their results are checked."""

from __future__ import annotations

import random
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


def draw_shape(seed: int) -> Shape:
    """Draw a ragged problem whose weight gradient has a kernel of its own."""
    draw_from = random.Random(seed)
    stride, source = draw_from.choice(((1, 8), (1, 16), (1, 24), (1, 1), (2, 8), (2, 16)))
    return Shape(
        tuple(draw_from.randint(1, most) for most in (7, 11, 35, 7)),
        (source, 8 * draw_from.randint(1, 4)),
        batch=draw_from.choice((1, 1, 2)),
        stride=stride,
        padding=tuple(draw_from.randint(1, 2) for _ in range(4)),
    )
