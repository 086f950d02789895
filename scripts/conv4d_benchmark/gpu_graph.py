# SPDX-License-Identifier: Apache-2.0
"""A training step of the whole network as a CUDA graph: captured, replayed, compared with the same step without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cardiac4d.ops import use_backend

from .gpu_floor import PRECISIONS, precision
from .gpu_layers import time_ms
from .gpu_network import NATIVE, WAYS, TrainingStep, build, draw
from .plan import PAPER_SIZE, Size
from .tables import number, table

WARM_UP, COMPARED = 3, 5
TOLERANCE = 1e-3
"""Largest relative difference of the losses."""


@dataclass(frozen=True)
class GraphTimes:
    """Milliseconds of one step in one precision, launched kernel by kernel and replayed."""

    precision: str
    launched_ms: float
    replayed_ms: float


def measure(device: str, size: Size = PAPER_SIZE) -> list[GraphTimes]:
    """Capture and time a step of the native kernels in every precision.

    Raises:
        RuntimeError: if steps that are replayed train otherwise than those that are launched.
    """
    rows = []
    for name in PRECISIONS:
        with precision(name), use_backend("native"):
            launched = _make_step(name, device, size)
            expected = [launched().item() for _ in range(WARM_UP + COMPARED)][WARM_UP:]
            replay, loss = capture(_make_step(name, device, size))
            found = []
            for _ in range(COMPARED):
                replay()
                found.append(loss.item())
            worst = max(abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))
            if not worst <= TOLERANCE:
                raise RuntimeError(f"{name}: losses of a replayed step are {found}, of a launched one {expected}")
            rows.append(GraphTimes(name, time_ms(launched, device), time_ms(replay, device)))
    return rows


def _make_step(name: str, device: str, size: Size) -> TrainingStep:
    return TrainingStep(build(WAYS[NATIVE], device), *draw(size, device), name, device)


def capture(step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Capture a step that has run on a stream of its own; returns what replays it, and where its loss then lies."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()
    return graph.replay, loss


def to_table(rows: list[GraphTimes]) -> str:
    """Write a Markdown table."""
    body = [[f"training step, {row.precision}", number(row.launched_ms), number(row.replayed_ms)] for row in rows]
    return table(["Milliseconds", "launched", "replayed as a CUDA graph"], body)
