# SPDX-License-Identifier: Apache-2.0
"""What the check of a GPU times, in the order of importance: each part gives numbers for a file, and a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from . import gpu_floor, gpu_graph, gpu_layers, gpu_network, gpu_training
from .plan import PAPER_SIZE, Size
from .tables import number

T = TypeVar("T")
Section = Callable[[], tuple[Any, str]]
MARGIN_S = 5.0
"""A part that is made of rows stops so early."""


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        crop: H, W, D, T of the network's input.
        study: of the synthetic studies.
        steps: of the training.
        matrix: extent of the matrices whose product gives the ceiling.
        copied: bytes that give the bandwidth.
    """

    crop: Size = PAPER_SIZE
    study: Size = gpu_training.STUDY
    steps: int = gpu_training.STEPS
    matrix: int = gpu_floor.MATRIX
    copied: int = gpu_floor.COPIED

    @classmethod
    def tiny(cls) -> Scale:
        """For a CPU."""
        return cls((8, 6, 5, 4), (12, 11, 10, 6), 3, 32, 1 << 12)


def sections(device: str, scale: Scale, end: float) -> dict[str, Section]:
    """List the parts by name.

    Args:
        device: ``cuda``, or ``cpu`` to try them out, without the graph.
        scale: how large.
        end: when the time is over, as :func:`time.time` has it.
    """
    ceiling: list[gpu_floor.Ceiling] = []

    def measure_ceiling() -> tuple[Any, str]:
        ceiling.append(gpu_floor.measure(device, scale.matrix, scale.copied))
        rates = ", ".join(f"{name} {number(1e-12 * rate)}" for name, rate in ceiling[0].flop_per_s.items())
        copied = 1e-12 * ceiling[0].bytes_per_s
        return asdict(ceiling[0]), f"Ceiling: product of matrices, TFLOP/s: {rates}; copy, TB/s: {copied:.2f}\n"

    def network() -> tuple[Any, str]:
        if not ceiling:
            raise RuntimeError("the ceiling was not measured, so there is no floor to compare with")
        rows = list(_in_time(gpu_network.measure(device, ceiling[0], scale.crop), end))
        return [asdict(row) for row in rows], gpu_network.to_table(rows)

    def graph() -> tuple[Any, str]:
        times = gpu_graph.measure(device, scale.crop)
        return [asdict(row) for row in times], gpu_graph.to_table(times)

    def training() -> tuple[Any, str]:
        def seconds_left() -> float:
            return end - MARGIN_S - time.time()

        run = gpu_training.measure(device, seconds_left, crop=scale.crop, study=scale.study, steps=scale.steps)
        return asdict(run), gpu_training.to_table(run)

    def layers() -> tuple[Any, str]:
        rows = list(_in_time(gpu_layers.measure(device, scale.crop), end))
        return [asdict(row) for row in rows], gpu_layers.to_table(rows)

    # cuDNN tries many kernels for every shape before the first is timed: what does without it comes first.
    without_cudnn = {"ceiling": measure_ceiling, "training": training}
    if device == "cuda":
        without_cudnn["graph"] = graph
    return {**without_cudnn, "network": network, "layers": layers}


def _in_time(rows: Iterable[T], end: float) -> Iterator[T]:
    for row in rows:
        yield row
        if time.time() > end - MARGIN_S:
            return
