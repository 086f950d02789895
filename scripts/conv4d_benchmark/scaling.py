# SPDX-License-Identifier: Apache-2.0
"""How the time of one convolution grows with frames, volume and channels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from .formulations import COMPOSED
from .layers import MODES, make_runner
from .methods import Problem
from .native import NATIVE
from .plan import Size
from .rows import Budget, Row, compete, look

METHODS = (NATIVE[0], COMPOSED)


def problems(size: Size) -> list[Problem]:
    """List one series each of frames, of volume and of channels, around fractions of the network's input.

    Args:
        size: H, W, D, T of the input.
    """
    height, width, depth, frames = size
    half = (_part(height, 1, 2), _part(width, 1, 2), _part(depth, 1, 2))
    counts = [_part(frames, part, 4) for part in (1, 2, 4, 5, 8)]
    planes = [(_part(height, part, 4), _part(width, part, 4)) for part in (1, 2, 3, 4)]
    small = (_part(height, 1, 3), _part(width, 1, 3), _part(depth, 1, 4), _part(frames, 1, 2))
    return [
        *(_series("frames", 8, (*half, count)) for count in counts),
        *(_series("volume", 8, (*plane, half[2], frames)) for plane in planes),
        *(_series("channels", count, small) for count in (8, 16, 24, 32, 48, 64)),
    ]


def _part(extent: int, part: int, whole: int) -> int:
    return max(1, extent * part // whole)


def _series(name: str, channels: int, size: Size) -> Problem:
    return Problem(f"{name}: {channels} -> {channels}, {'x'.join(map(str, size))}", (channels, channels), size)


def measure(size: Size, budget: Budget) -> Iterator[Row]:
    """Time the forward pass of the native kernels and of the composed backend in turn; ``work`` counts voxels."""
    for problem in problems(size):
        row = Row(problem.name, MODES[0], math.prod(problem.size))
        makers = {method.name: partial(make_runner, method, problem, MODES[0]) for method in METHODS}
        for method in METHODS:
            look(row, method.kind, [(method.name, makers[method.name])], budget)
        compete(row, makers, budget)
        yield row
