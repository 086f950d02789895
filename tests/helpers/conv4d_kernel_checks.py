# SPDX-License-Identifier: Apache-2.0
"""Checks that kernels of every device pass, called through their C interfaces."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from tests.helpers.conv4d_table import TABLE, expected
from tests.helpers.cpu_kernels import Shape
from tests.helpers.tolerances import assert_near


class AnyKernels(Protocol):
    """Kernels of the CPU or of a GPU."""

    def run(self, operation: str, shape: Shape, *tensors: Tensor | None) -> Tensor:
        """Compute ``forward(x, w, bias)``, ``grad_input(dy, w)`` or ``grad_weight(x, dy)``."""


def check_problem_of_table(kernels: AnyKernels, name: str) -> None:
    """Values and gradients of a problem of the table, in float32, against float64."""
    problem = expected(name)
    shape = Shape(**{"batch": 2, **TABLE[name]})
    x, w, bias = (operand.float() for operand in problem.operands)
    dy, by_x, by_w = problem.seed.float(), *problem.gradients[:2]
    assert_near(kernels.run("forward", shape, x, w, bias), problem.result)
    assert_near(kernels.run("grad_input", shape, dy, w), by_x)
    assert_near(kernels.run("grad_weight", shape, x, dy), by_w)
