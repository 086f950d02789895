# SPDX-License-Identifier: Apache-2.0
"""What a GPU allows at best: its measured arithmetic and bandwidth, and what the network needs of both."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from functools import partial

import torch

from .gpu_precision import PRECISIONS, precision
from .gpu_timing import time_ms
from .layers import problems
from .methods import Problem
from .plan import Size
from .tables import number, table

MODES = ("inference", "training step")
COUNTS = (1, 4, 1, 6, 1, 8, 1, 1, 1)
"""How often each kind of layer of :func:`.layers.problems` stands in the network."""
MATRIX, COPIED = 8192, 1 << 31
"""Extent of the matrices that are multiplied, and bytes that are copied."""


@dataclass(frozen=True)
class Ceiling:
    """What a machine reaches when it does nothing else.

    Attributes:
        bytes_per_s: read and written while it copies.
        flop_per_s: of a large product of matrices, by precision.
    """

    bytes_per_s: float
    flop_per_s: dict[str, float]


def measure(device: str, extent: int = MATRIX, copied: int = COPIED) -> Ceiling:
    """Measure the ceiling by one long copy, and one large product in every precision."""
    source = torch.ones(copied, dtype=torch.uint8, device=device)
    copy_ms = time_ms(partial(torch.empty_like(source).copy_, source), device)
    rates = {}
    for name in PRECISIONS:
        dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
        a, b = (torch.randn(extent, extent, device=device).to(dtype) for _ in range(2))
        with precision(name):
            rates[name] = 2e3 * extent**3 / time_ms(partial(torch.mm, a, b), device)
    return Ceiling(2e3 * copied / copy_ms, rates)


@dataclass(frozen=True)
class Floor:
    """What the convolutions of one kind need at least, all of them in the network together.

    Each pass of each is taken for itself: it reads its input once and writes its output once, or computes at the
    ceiling's rate, whichever takes longer. Nothing else is counted: no norm, no loss, no optimizer.

    Attributes:
        layer: of :func:`.layers.problems`, or :data:`ALL`.
        precision: of :data:`.gpu_precision.PRECISIONS`.
        mode: of :data:`MODES`.
        passes: forward, and the gradients of weights and inputs, each of which costs as much; that of the image is not
            needed.
        gigaflop: nominal arithmetic.
        gigabytes: read and written, in the dtype of the precision; weights are left out.
        milliseconds: the floor.
    """

    layer: str
    precision: str
    mode: str
    passes: int
    gigaflop: float
    gigabytes: float
    milliseconds: float


ALL = "all convolutions"


def pass_floor(problem: Problem, name: str, ceiling: Ceiling) -> tuple[float, float]:
    """Gigabytes that one pass of a layer moves, and the milliseconds that it takes at least."""
    outputs = math.prod((extent - 1) // problem.stride + 1 for extent in problem.size)
    values = problem.channels[0] * math.prod(problem.size) + problem.channels[1] * outputs
    moved = values * (2 if name == "bfloat16" else 4)
    return 1e-9 * moved, 1e3 * max(moved / ceiling.bytes_per_s, 1e9 * problem.gigaflop / ceiling.flop_per_s[name])


def passes_of(problem: Problem, *, is_forward: bool) -> int:
    """How often a layer is passed: forward alone, or with the gradients that a training step needs."""
    return 1 if is_forward else 2 if problem.channels[0] == 1 else 3


def network_floors(size: Size, name: str, mode: str, ceiling: Ceiling) -> list[Floor]:
    """The floor of every kind of layer of the network, and the sum of all as the last one."""
    rows = []
    for problem, count in zip(problems(size), COUNTS, strict=True):
        passes = count * passes_of(problem, is_forward=mode == MODES[0])
        moved, taken = pass_floor(problem, name, ceiling)
        row = Floor(problem.name, name, mode, passes, passes * problem.gigaflop, passes * moved, passes * taken)
        rows.append(row)
    sums = [sum(column) for column in zip(*(astuple(row)[3:] for row in rows), strict=True)]
    return [*rows, Floor(ALL, name, mode, *sums)]


def network_ms(size: Size, name: str, mode: str, ceiling: Ceiling) -> float:
    """The least time for the convolutions of the network."""
    return network_floors(size, name, mode, ceiling)[-1].milliseconds


def to_table(rows: list[Floor]) -> str:
    """Write a Markdown table of floors."""
    body = [
        [f"{row.layer}, {row.mode}, {row.precision}", str(row.passes)]
        + [number(value) for value in (row.gigaflop, row.gigabytes, row.milliseconds)]
        for row in rows
    ]
    return table(["Floor of the convolutions alone", "passes", "GFLOP", "GB moved", "milliseconds"], body)


def ceiling_to_table(ceiling: Ceiling) -> str:
    """Write a Markdown table of what the machine reaches."""
    rates = [[f"product of matrices, TFLOP/s, {name}", number(1e-12 * r)] for name, r in ceiling.flop_per_s.items()]
    return table(
        ["Ceiling", "measured"], [*rates, ["copy, read and written, TB/s", number(1e-12 * ceiling.bytes_per_s)]]
    )
