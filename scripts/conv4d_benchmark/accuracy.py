# SPDX-License-Identifier: Apache-2.0
"""Correct first: every method is compared with float64 before it is timed, and its error is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .formulations import COMPOSED, FORMULATIONS, HALF, ONE_SUM, POINTWISE, composed
from .methods import Convolve, Method, Problem
from .native import NATIVE, NATIVE_HALF
from .peers import PEERS
from .plan import Size

TOLERANCE = {torch.float32: 3e-5, torch.bfloat16: 3e-2}
"""Largest admissible difference, relative to the largest value of the result."""

GATES = (
    Problem("stride 1", (3, 8), (6, 5, 7, 4)),
    Problem("stride 2", (4, 3), (6, 5, 7, 5), stride=2),
    Problem("1x1", (4, 3), (6, 5, 4, 3), kernel=1),
)
LARGEST: Size = (24, 24, 8, 6)
"""Errors do not grow with the volume, and float64 is slow."""
SHOWN: tuple[tuple[Method, str], ...] = (
    (COMPOSED, "PyTorch, composed backend"),
    (ONE_SUM, "PyTorch, one sum (s2l)"),
    *((method, method.name) for method in (*NATIVE, NATIVE_HALF)),
)
"""The methods whose errors are shown, and what the table calls them."""
LEAST_OF_TORCH = "PyTorch, least of all formulations"
"""What the table calls the smallest error that any formulation has, for each result the one of another if need be."""


@dataclass(frozen=True)
class Errors:
    """Largest errors of one method at one size, relative to the largest value of each result."""

    method: str
    case: str
    forward: float
    grad_input: float
    grad_weight: float


def check_all(gates: Sequence[Problem] = GATES) -> int:
    """Compare every method with float64, results and gradients.

    Returns:
        How many comparisons were made.

    Raises:
        RuntimeError: if a method is wrong; the message names it. A wrong method must not be timed.
    """
    count = 0
    for problem in gates:
        for method in _all_methods(problem):
            found = errors(method, problem)
            worst = max(found.forward, found.grad_input, found.grad_weight)
            # "not below" and not "above": a NaN is wrong as well.
            if not worst < TOLERANCE[method.dtype]:
                raise RuntimeError(f"{method.name} is wrong for {problem.name}: relative error {worst:.1e}")
            count += 1
    return count


def _all_methods(problem: Problem) -> Iterator[Method]:
    baselines = (*FORMULATIONS, *HALF, *PEERS) if problem.kernel > 1 else POINTWISE
    for method in (*NATIVE, NATIVE_HALF, *baselines):
        if problem.stride in method.strides:
            yield method


def measure(size: Size) -> Iterator[Errors]:
    """Yield the errors of PyTorch and of every precision for 8, 16 and 32 channels, at ``size`` or smaller."""
    height, width, depth, frames = (min(pair) for pair in zip(size, LARGEST, strict=True))
    for channels in (8, 16, 32):
        problem = Problem(f"{channels} -> {channels}", (channels, channels), (height, width, depth, frames))
        expected = _exact(problem)
        yield least([errors(method, problem, expected=expected) for method in FORMULATIONS])
        for method, name in SHOWN:
            yield errors(method, problem, name, expected)


def least(found: Sequence[Errors]) -> Errors:
    """Take the smallest error of each result from the errors of several methods on one problem."""
    parts = zip(*((entry.forward, entry.grad_input, entry.grad_weight) for entry in found), strict=True)
    return Errors(LEAST_OF_TORCH, found[0].case, *map(min, parts))


def errors(method: Method, problem: Problem, name: str = "", expected: Sequence[Tensor] | None = None) -> Errors:
    """Compare one method with float64 on one problem, or with what has been computed already."""
    found = _with_gradients(problem, method.forward, method.dtype)
    parts = [_relative(*pair) for pair in zip(found, expected or _exact(problem, method.dtype), strict=True)]
    return Errors(name or method.name, problem.name, *parts)


def _exact(problem: Problem, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Compute in float64, from the values that ``dtype`` holds."""
    return _with_gradients(problem, composed, dtype, torch.float64)


def _with_gradients(
    problem: Problem, compute: Convolve, dtype: torch.dtype, as_dtype: torch.dtype | None = None
) -> list[Tensor]:
    x, weight = (tensor.to(as_dtype or dtype).requires_grad_() for tensor in problem.tensors(dtype))
    out = compute(x, weight, problem.stride)
    # The sum of squares gives every output an upstream gradient of its own.
    return [out.detach(), *torch.autograd.grad(out.square().sum() / 2, (x, weight))]


def _relative(found: Tensor, expected: Tensor) -> float:
    scale = expected.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
    return ((found.double() - expected).abs().max() / scale).item()
