# SPDX-License-Identifier: Apache-2.0
"""What a GPU allows at best: its measured arithmetic and bandwidth, and what the network needs of both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch

from .gpu_layers import time_ms
from .layers import problems
from .methods import Problem
from .plan import Size

PRECISIONS = ("bfloat16", "tf32", "float32")
"""What is timed, the most important first. The parameters are float32 in all of them."""
MODES = ("inference", "training step")
COUNTS = (1, 4, 1, 6, 1, 8, 1, 1, 1)
"""How often each kind of layer of :func:`.layers.problems` stands in the network."""
MATRIX, COPIED = 8192, 1 << 31
"""Extent of the matrices that are multiplied, and bytes that are copied."""


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Let torch's own operators on float32 tensors use TF32 or not; cuDNN looks for its fastest kernels."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, cudnn.benchmark, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = name == "tf32"
    cudnn.benchmark = True
    try:
        yield
    finally:
        cudnn.allow_tf32, cudnn.benchmark, matmul.allow_tf32 = before


def autocast(name: str, device: str) -> torch.autocast:
    """The context of a forward pass in a precision."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=name == "bfloat16")


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


def network_ms(size: Size, name: str, mode: str, ceiling: Ceiling) -> float:
    """The least time for the convolutions of the network, each for itself: its arithmetic, or its input and output.

    A training step needs the gradients of weights and inputs, too, each of which costs as much; that of the image is
    not needed.
    """
    total = 0.0
    for index, (problem, count) in enumerate(zip(problems(size), COUNTS, strict=True)):
        passes = 1 if mode == MODES[0] else 2 if index == 0 else 3
        total += count * passes * _conv_ms(problem, name, ceiling)
    return total


def _conv_ms(problem: Problem, name: str, ceiling: Ceiling) -> float:
    outputs = math.prod((extent - 1) // problem.stride + 1 for extent in problem.size)
    values = problem.channels[0] * math.prod(problem.size) + problem.channels[1] * outputs
    moved = values * (2 if name == "bfloat16" else 4)
    return 1e3 * max(moved / ceiling.bytes_per_s, 1e9 * problem.gigaflop / ceiling.flop_per_s[name])
