# SPDX-License-Identifier: Apache-2.0
"""A training step of the whole network as a CUDA graph: captured, replayed, compared with the same step without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from cardiac4d.ops import use_backend

from .gpu_network import NATIVE, WAYS, TrainingStep, build, draw
from .gpu_precision import precision
from .gpu_timing import time_ms
from .plan import PAPER_SIZE, Size
from .tables import number, table

WARM_UP, COMPARED = 3, 5
TOLERANCE = 1e-3
"""Largest relative difference of the losses."""


@dataclass(frozen=True)
class GraphTimes:
    """Milliseconds of one step in one precision.

    Attributes:
        precision: of :data:`.gpu_precision.PRECISIONS`.
        launched_ms: launched kernel by kernel, on the device.
        host_ms: what the host needs to launch it, while nothing keeps it waiting. More than the above: it is the limit.
        replayed_ms: as a CUDA graph, on the device.
    """

    precision: str
    launched_ms: float
    host_ms: float
    replayed_ms: float


def measure(device: str, name: str, size: Size = PAPER_SIZE) -> GraphTimes:
    """Capture and time a step of the native kernels in a precision.

    Raises:
        RuntimeError: if steps that are replayed train otherwise than those that are launched.
    """
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
        host = host_ms(launched)
        return GraphTimes(name, time_ms(launched, device), host, time_ms(replay, device))


def host_ms(step: Callable[[], Tensor]) -> float:
    """How long the call of a step takes while the device has nothing else to do; the median of several."""
    taken = []
    for _ in range(COMPARED):
        start = time.perf_counter()
        loss = step()
        taken.append(1e3 * (time.perf_counter() - start))
        loss.item()  # waits for the device
    return statistics.median(taken)


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
    body = [
        [f"training step, {row.precision}"]
        + [number(value) for value in (row.launched_ms, row.host_ms, row.replayed_ms)]
        for row in rows
    ]
    return table(["Milliseconds", "launched", "host alone, launching", "replayed as a CUDA graph"], body)
