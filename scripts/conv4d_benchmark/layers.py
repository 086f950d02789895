# SPDX-License-Identifier: Apache-2.0
"""The layers of the network: native kernels against pure PyTorch and published algorithms, each layer by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial

import torch

from .formulations import FOR_LARGE, FORMULATIONS, HALF, POINTWISE
from .methods import Method, Problem
from .native import NATIVE, NATIVE_HALF
from .peers import PEERS
from .plan import Size
from .rows import Budget, Contestant, Row, Runner, compete, look

MODES = ("forward", "forward + backward")
FINALISTS = 2
"""So many of the fastest formulations of the first look are timed in turn with the native kernels."""

LARGE_GFLOP = 20
"""From here on only the formulations for large layers are looked at."""

LEVELS = ("level 0, 8 -> 8", "level 1, 16 -> 16", "level 2, 32 -> 32")
"""The layers that nearly all the time of the network goes to."""


def problems(size: Size) -> list[Problem]:
    """List the kinds of layers that the network has for an input of this size."""
    half = _halve(size)
    quarter = _halve(half)
    return [
        Problem("first, 1 -> 8", (1, 8), size),
        Problem(LEVELS[0], (8, 8), size),
        Problem("down, 8 -> 16, stride 2", (8, 16), size, stride=2),
        Problem(LEVELS[1], (16, 16), half),
        Problem("down, 16 -> 32, stride 2", (16, 32), half, stride=2),
        Problem(LEVELS[2], (32, 32), quarter),
        Problem("1x1, 32 -> 16", (32, 16), quarter, kernel=1),
        Problem("1x1, 16 -> 8", (16, 8), half, kernel=1),
        Problem("1x1, 8 -> 3", (8, 3), size, kernel=1),
    ]


def _halve(size: Size) -> Size:
    """Apply what a convolution of stride 2 does to a size."""
    height, width, depth, frames = ((extent + 1) // 2 for extent in size)
    return height, width, depth, frames


def measure(size: Size, budget: Budget, *, levels_only: bool = False) -> Iterator[Row]:
    """Measure all layers, forward and forward + backward; yields a row as soon as it is there.

    Args:
        size: H, W, D, T of the network's input.
        budget: of a row.
        levels_only: only the layers of :data:`LEVELS`, without published algorithms and without bfloat16.
    """
    for problem in problems(size):
        if levels_only and problem.name not in LEVELS:
            continue
        peers = PEERS if problem.kernel > 1 and not levels_only else ()
        for mode in MODES:
            yield measure_layer(problem, mode, NATIVE, baselines(problem), budget, peers)
            if problem.name in LEVELS and not levels_only:
                yield measure_layer(problem, f"{mode}, bfloat16", (NATIVE_HALF,), HALF, budget)


def baselines(problem: Problem) -> Sequence[Method]:
    """Name the formulations to look at in float32."""
    if problem.kernel == 1:
        return POINTWISE
    return FOR_LARGE if problem.gigaflop > LARGE_GFLOP else FORMULATIONS


def measure_layer(
    problem: Problem,
    mode: str,
    ours: Sequence[Method],
    theirs: Sequence[Method],
    budget: Budget,
    peers: Sequence[Method] = (),
) -> Row:
    """Look at every formulation once, then time the fastest of them in turn with ours; the peers last.

    All of ours take part if two rounds fit the budget, else the first one alone.
    """
    row = Row(problem.name, mode, problem.gigaflop * _passes(problem, mode))
    makers = {method.name: partial(make_runner, method, problem, mode) for method in (*ours, *theirs, *peers)}
    fitting = [method.name for method in theirs if problem.stride in method.strides]
    finalists = look(row, "torch", _chosen(makers, fitting), budget)[:FINALISTS]
    native = [method.name for method in ours]
    look(row, "native", _chosen(makers, native), budget)
    if 2 * sum(row.timings[name].median_s for name in [*native, *finalists]) > budget.seconds:
        native = native[:1]
    compete(row, {name: makers[name] for name in [*native, *finalists]}, budget)
    start = time.perf_counter()
    for peer in peers:
        if problem.stride in peer.strides and time.perf_counter() - start < budget.seconds / 2:
            look(row, "peer", _chosen(makers, [peer.name]), budget)
    return row


def _passes(problem: Problem, mode: str) -> int:
    """Count in forward passes: each gradient costs as much as one, and an image needs none."""
    backward = 1 if problem.channels[0] == 1 else 2
    return 1 + backward * mode.startswith(MODES[1])


def _chosen(makers: dict[str, partial[Runner]], names: Sequence[str]) -> list[Contestant]:
    return [(name, makers[name]) for name in names]


def make_runner(method: Method, problem: Problem, mode: str) -> Runner:
    """Prepare the operands of a method, and return what computes it once."""
    x, weight = method.operands(problem)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return method.compute(x, weight, problem.stride)

    if not mode.startswith(MODES[1]):
        return forward
    leaves = [weight] if problem.channels[0] == 1 else [x, weight]
    upstream = torch.ones_like(forward())
    for leaf in leaves:
        leaf.requires_grad_()
    return lambda: torch.autograd.grad(method.compute(x, weight, problem.stride), leaves, upstream)
