# SPDX-License-Identifier: Apache-2.0
"""Where the time of a training step goes on a GPU: its kernels by name, and what lies between them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from cardiac4d.ops import use_backend

from .gpu_device import OURS, is_cuda
from .gpu_network import NATIVE, WAYS, TrainingStep, build, draw
from .gpu_precision import precision
from .plan import PAPER_SIZE, Size
from .tables import number, table

WARM_UP, STEPS = 3, 3
SHOWN = 25
"""So many kernels are listed, those that take longest."""
LONGEST_NAME = 110


class NothingRecordedError(RuntimeError):
    """The profiler has seen nothing: it may have no access to the device's counters."""


@dataclass(frozen=True)
class KernelTime:
    """One kernel by name, per step."""

    kernel: str
    calls: float
    microseconds: float
    share: float


@dataclass(frozen=True)
class StepProfile:
    """What a step did on the device, per step.

    Attributes:
        precision: of :data:`.gpu_precision.PRECISIONS`.
        span_ms: from the start of the first kernel to the end of the last.
        busy_ms: the part of it in which at least one kernel ran.
        launches: kernels, copies and fills.
        native_share: of the native kernels in the time of all of them.
        kernels: the longest, with their shares of the time of all of them.
    """

    precision: str
    span_ms: float
    busy_ms: float
    launches: float
    native_share: float
    kernels: list[KernelTime] = field(default_factory=list)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> StepProfile:
        """From what :func:`dataclasses.asdict` made of it."""
        return cls(**{**row, "kernels": [KernelTime(**kernel) for kernel in row["kernels"]]})

    @property
    def idle_share(self) -> float:
        """The part in which the device waited for the host."""
        return 1 - self.busy_ms / self.span_ms


Event = tuple[str, float, float]
"""Name, start and end in microseconds."""


def measure(device: str, name: str, size: Size = PAPER_SIZE) -> StepProfile:
    """Profile training steps of the native kernels, launched kernel by kernel."""
    with precision(name), use_backend("native"):
        step = TrainingStep(build(WAYS[NATIVE], device), *draw(size, device), name, device)
        for _ in range(WARM_UP):
            step().item()
        activity = ProfilerActivity.CUDA if is_cuda(device) else ProfilerActivity.CPU
        with profile(activities=[activity]) as profiler:
            losses = [step() for _ in range(STEPS)]
            losses[-1].item()  # waits for the device
    return sum_up(name, _events(profiler.events() or [], is_cuda(device)), STEPS)


def _events(events: Iterable[Any], on_gpu: bool) -> list[Event]:
    """What ran on the device; on the CPU the operators that call no others."""
    wanted = DeviceType.CUDA if on_gpu else DeviceType.CPU
    return [
        (event.name, event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type == wanted and not getattr(event, "is_user_annotation", False) and not event.cpu_children
    ]


def sum_up(name: str, events: list[Event], steps: int) -> StepProfile:
    """Sum up what ran in so many steps.

    Raises:
        NothingRecordedError: if nothing was recorded.
    """
    if not events:
        raise NothingRecordedError("the profiler recorded nothing that ran on the device")
    calls: dict[str, int] = {}
    taken: dict[str, float] = {}
    for kernel, start, end in events:
        calls[kernel] = calls.get(kernel, 0) + 1
        taken[kernel] = taken.get(kernel, 0.0) + end - start
    total = max(sum(taken.values()), 1e-9)
    longest = sorted(taken, key=taken.__getitem__, reverse=True)[:SHOWN]
    kernels = [
        KernelTime(kernel, calls[kernel] / steps, taken[kernel] / steps, taken[kernel] / total) for kernel in longest
    ]
    span = max(end for _, _, end in events) - min(start for _, start, _ in events)
    ours = sum(time for kernel, time in taken.items() if OURS in kernel) / total
    in_ms = 1e-3 / steps
    return StepProfile(name, max(span, 1e-9) * in_ms, _busy(events) * in_ms, len(events) / steps, ours, kernels)


def _busy(events: list[Event]) -> float:
    """How long at least one of them ran."""
    total, until = 0.0, float("-inf")
    for _, start, end in sorted(events, key=lambda event: event[1]):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def short(kernel: str) -> str:
    """What tells one kernel from another: no return type, arguments, anonymous namespaces or repeated namespaces."""
    kernel = re.sub(r"\(anonymous namespace\)::|^void ", "", kernel).replace("|", "/")
    head, mark, _ = kernel.rpartition(">(")
    kernel = re.sub(rf"(?<!^){OURS}::", "", f"{head}>" if mark else kernel)
    return kernel if len(kernel) <= LONGEST_NAME else kernel[: LONGEST_NAME - 3] + "..."


def to_table(rows: list[StepProfile]) -> str:
    """Write Markdown: how busy the device was, and the longest kernels."""
    texts = []
    for row in rows:
        body = [
            [short(kernel.kernel), number(kernel.calls), number(kernel.microseconds), f"{kernel.share:.1%}"]
            for kernel in row.kernels
        ]
        listed = sum(kernel.share for kernel in row.kernels)
        texts.append(
            f"One training step, {row.precision}: {number(row.span_ms)} ms from its first kernel to its last, "
            f"{number(row.busy_ms)} ms of them busy; idle, waiting for the host: {row.idle_share:.1%}. "
            f"{row.launches:.0f} launches; native kernels take {row.native_share:.1%} of the kernels' time; "
            f"listed: {listed:.1%}.\n\n" + table(["Kernels of a training step", "calls", "microseconds", "share"], body)
        )
    return "\n".join(texts)
