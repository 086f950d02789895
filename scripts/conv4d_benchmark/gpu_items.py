# SPDX-License-Identifier: Apache-2.0
"""What the check of a GPU does, piece by piece, in the order of importance: what comes last is left out first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from . import gpu_checks, gpu_floor, gpu_graph, gpu_layers, gpu_network, gpu_profile, gpu_sanitizers, gpu_training
from .gpu_device import is_cuda
from .gpu_precision import PRECISIONS
from .layers import problems
from .methods import Problem
from .plan import PAPER_SIZE, Size

HALF, *OTHERS = PRECISIONS
NATIVE = gpu_network.NATIVE
FASTEST_FIRST = ("cat", "out3", "three", "composed")
"""The order in which ways on cuDNN are timed: one that was beaten matters least."""

SECONDS, LONG_S = 60.0, 120.0
"""For one piece at most; for those that compile or try many kernels."""
SANITIZER_S = 75.0
MARGIN_S = 10.0
"""What lasts as long as there is time ends so early."""

Found = tuple[str, dict[str, Any]]
"""A part of the results, and a row for it."""


KINDS_OF_CHECKS = ("check: ", "sanitizer: ")
"""How the names of pieces begin that check something; what the others find is measured."""


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        crop: H, W, D, T of the network's input.
        study: of the synthetic studies.
        steps: of the training.
        matrix: extent of the matrices whose product gives the ceiling.
        copied: bytes that give the bandwidth.
        problems: random ones, for the checks.
    """

    crop: Size = PAPER_SIZE
    study: Size = gpu_training.STUDY
    steps: int = gpu_training.STEPS
    matrix: int = gpu_floor.MATRIX
    copied: int = gpu_floor.COPIED
    problems: int = gpu_checks.NUM_RANDOM

    @classmethod
    def tiny(cls) -> Scale:
        """For a CPU."""
        return cls((8, 6, 5, 4), (12, 11, 10, 6), 3, 32, 1 << 12, 5)


@dataclass(frozen=True)
class Item:
    """A piece of the check.

    Attributes:
        name: of this piece alone.
        find: gives what it finds, row by row.
        seconds: it is ended after so long.
    """

    name: str
    find: Callable[[], Iterable[Found]]
    seconds: float = SECONDS


def items(device: str, scale: Scale, end: float, *, benchmark: bool = True, script: str = "") -> list[Item]:
    """List the pieces.

    Args:
        device: ``cuda``, or ``cpu`` to try out what a CPU can do: no CUDA graph, no sanitizer.
        scale: how large.
        end: when the time is over, as :func:`time.time` has it.
        benchmark: time something, too.
        script: what a sanitizer runs.
    """
    checks = _checks(gpu_checks.checks(device, scale.problems), device)
    late = _checks(gpu_checks.late_checks(device), device)
    on_gpu = is_cuda(device)
    graphs = {name: [_graph(device, name, scale.crop)] if on_gpu else [] for name in PRECISIONS}
    sanitizers = _sanitizers(script, end) if on_gpu else []
    if not benchmark:
        return [*checks, *late, *sanitizers]
    kinds, crop = problems(scale.crop), scale.crop
    return [
        *checks,
        Item("ceiling", partial(_ceiling, device, scale)),
        _step(device, HALF, crop),
        *graphs[HALF],
        Item("training with loading", partial(_training, device, scale, end), LONG_S),
        Item("profile of a step", partial(_profile, device, HALF, crop)),
        *(_layer(device, problem, HALF) for problem in kinds),
        *(_way(device, HALF, way, crop) for way in FASTEST_FIRST),
        *(_layer_on_cudnn(device, problem, HALF) for problem in kinds),
        *sanitizers,
        *(_step(device, name, crop) for name in OTHERS),
        *(graph for name in OTHERS for graph in graphs[name]),
        *(_layer(device, problem, name) for name in OTHERS for problem in kinds),
        *late,
        *(_way(device, name, way, crop) for name in OTHERS for way in FASTEST_FIRST),
        *(_layer_on_cudnn(device, problem, name) for name in OTHERS for problem in kinds),
    ]


def _checks(checks: dict[str, gpu_checks.Check], device: str) -> list[Item]:
    def find(name: str, check: gpu_checks.Check) -> Iterator[Found]:
        yield "checks", gpu_checks.run(name, check, device)._asdict()

    return [Item(f"{KINDS_OF_CHECKS[0]}{name}", partial(find, name, check), LONG_S) for name, check in checks.items()]


def _sanitizers(script: str, end: float) -> list[Item]:
    def find(tool: str) -> Iterator[Found]:
        seconds = min(SANITIZER_S, end - MARGIN_S - time.time())
        yield "checks", gpu_sanitizers.run_sanitizer(tool, script, seconds)._asdict()

    tools, kind = gpu_sanitizers.TOOLS, KINDS_OF_CHECKS[1]
    return [Item(f"{kind}{tool}", partial(find, tool), SANITIZER_S + MARGIN_S) for tool in tools]


def _ceiling(device: str, scale: Scale) -> Iterator[Found]:
    yield "ceiling", asdict(gpu_floor.measure(device, scale.matrix, scale.copied))


def _step(device: str, name: str, crop: Size) -> Item:
    def find() -> Iterator[Found]:
        for row in gpu_network.measure(device, name, NATIVE, crop, modes=gpu_floor.MODES[::-1]):
            yield "network", asdict(row)

    return Item(f"whole network: {name}, {NATIVE}", find)


def _way(device: str, name: str, way: str, crop: Size) -> Item:
    def find() -> Iterator[Found]:
        for row in gpu_network.measure(device, name, way, crop):
            yield "network", asdict(row)

    return Item(f"whole network: {name}, {way}", find, LONG_S)


def _graph(device: str, name: str, crop: Size) -> Item:
    def find() -> Iterator[Found]:
        yield "graph", asdict(gpu_graph.measure(device, name, crop))

    return Item(f"CUDA graph of a step: {name}", find)


def _training(device: str, scale: Scale, end: float) -> Iterator[Found]:
    def seconds_left() -> float:
        return min(end, begun + LONG_S) - MARGIN_S - time.time()

    begun = time.time()
    run = gpu_training.measure(device, seconds_left, crop=scale.crop, study=scale.study, steps=scale.steps)
    yield "training", asdict(run)


def _profile(device: str, name: str, crop: Size) -> Iterator[Found]:
    try:
        yield "profile", asdict(gpu_profile.measure(device, name, crop))
    except gpu_profile.NothingRecordedError as error:  # where the driver keeps its counters to itself
        yield "checks", gpu_checks.Outcome("profile of a step", None, str(error))._asdict()


def _layer(device: str, problem: Problem, name: str) -> Item:
    def find() -> Iterator[Found]:
        for row in gpu_layers.measure_native(device, problem, name):
            yield "layers", asdict(row)

    return Item(f"layer: {problem.name}, {name}, {NATIVE}", find)


def _layer_on_cudnn(device: str, problem: Problem, name: str) -> Item:
    def find() -> Iterator[Found]:
        for row in gpu_layers.measure_cudnn(device, problem, name):
            yield "layers", asdict(row)

    return Item(f"layer: {problem.name}, {name}, on cuDNN", find)
