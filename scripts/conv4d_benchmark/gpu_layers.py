# SPDX-License-Identifier: Apache-2.0
"""How fast the native kernels are on a GPU: every layer of the network against cuDNN, in three formulations."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cardiac4d.ops import conv4d, use_backend

from .formulations import channels_last, stacked_inputs, stacked_outputs, tap_by_tap, time_in_batch_channels_last
from .layers import problems
from .methods import Method, Problem, same
from .plan import PAPER_SIZE, Size
from .tables import number, table, times

REPETITIONS, WARM_UP = 20, 3
ENOUGH, LIMIT_S = 5, 4.0
"""So many repetitions are enough where all of them would take longer."""
HEAD_START = 2_000_000
"""Cycles that a GPU waits before a repetition, about a millisecond."""
DTYPES = (("float32", torch.float32, False), ("tf32", torch.float32, True), ("bfloat16", torch.bfloat16, False))
"""What is timed: name, dtype, and whether cuDNN and the native kernels may use TF32."""
TOLERANCE = {torch.float32: 1e-2, torch.bfloat16: 3e-2}
"""Methods that differ by more are not the same computation; TF32 and sums in bfloat16 differ by less."""


def _native(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    with use_backend("native"):
        return conv4d(x, weight, stride=stride, padding=weight.shape[5] // 2)


def _from_frames_in_batch(y: Tensor) -> Tensor:
    return y.permute(1, 2, 3, 4, 0)[None]


NATIVE = Method("native", "native", _native, channels_last, same, same)
CUDNN = tuple(
    Method(name, "torch", compute, time_in_batch_channels_last, same, _from_frames_in_batch)
    for name, compute in (
        ("tap by tap", tap_by_tap),
        ("stacked inputs", stacked_inputs),
        ("stacked outputs", stacked_outputs),
    )
)


@dataclass
class LayerTimes:
    """Milliseconds of one layer in one dtype, by method."""

    layer: str
    dtype: str
    mode: str
    milliseconds: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How many times faster than the best formulation on cuDNN the native kernels are; NaN if one side failed."""
        theirs = [taken for name, taken in self.milliseconds.items() if name != NATIVE.name]
        return min(theirs, default=math.nan) / self.milliseconds.get(NATIVE.name, math.nan)


def measure(device: str, size: Size = PAPER_SIZE) -> Iterator[LayerTimes]:
    """Time all layers, forward and forward + backward, in float32, with TF32 allowed, and in bfloat16.

    A method that fails, or computes something else, is noted and passed over.
    """
    for label, dtype, tf32 in DTYPES:
        torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = tf32, True
        for problem in problems(size):
            methods = [replace(method, dtype=dtype) for method in (NATIVE, *CUDNN)]
            wrong = find_problems(methods, problem, device)
            for mode in ("forward", "forward + backward"):
                row = LayerTimes(problem.name, label, mode, problems=dict(wrong))
                for method in methods:
                    if method.name not in wrong:
                        _time(row, method, problem, device)
                yield row


def find_problems(methods: list[Method], problem: Problem, device: str) -> dict[str, str]:
    """Compare the results of all methods before any is timed; returns what is wrong, by the names of methods.

    They are compared with the first one that gives a result.
    """
    x, weight = (tensor.to(device) for tensor in problem.tensors(methods[0].dtype))
    first: Tensor | None = None
    wrong = {}
    for method in methods:
        try:
            result = method.forward(x, weight, problem.stride).float()
        except RuntimeError as error:
            wrong[method.name] = _first_line(error)
            continue
        first = result if first is None else first
        difference = ((result - first).abs().max() / first.abs().max()).item()
        if not difference <= TOLERANCE[method.dtype]:
            wrong[method.name] = f"differs by {difference:.1e} from the others"
    return wrong


def _time(row: LayerTimes, method: Method, problem: Problem, device: str) -> None:
    try:
        row.milliseconds[method.name] = time_ms(_runner(method, problem, row.mode, device), device)
    except RuntimeError as error:
        row.problems[method.name] = _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _runner(method: Method, problem: Problem, mode: str, device: str) -> Callable[[], None]:
    """Lay the operands out, and return what runs the method once; the first layer's input needs no gradient."""
    x, weight = (tensor.to(device) for tensor in method.operands(problem))
    if mode == "forward":

        def forward() -> None:
            with torch.no_grad():
                method.compute(x, weight, problem.stride)

        return forward
    leaves = [weight.requires_grad_(), *([x.requires_grad_()] if problem.channels[0] > 1 else [])]
    seed = torch.ones_like(method.compute(x, weight, problem.stride))

    def both() -> None:
        torch.autograd.grad(method.compute(x, weight, problem.stride), leaves, seed)

    return both


def time_ms(run: Callable[[], object], device: str) -> float:
    """Time one call in milliseconds, by the device's own clock: the median of several.

    The device is kept waiting before each, so that the host has queued the first kernels when its clock starts: else a
    short call would take as long as its launch. A CPU, which is there to try the scripts out, takes what the host's
    clock says of one call.
    """
    if torch.device(device).type == "cpu":
        start = time.perf_counter()
        run()
        return 1e3 * (time.perf_counter() - start)
    for _ in range(WARM_UP):
        run()
    measured: list[float] = []
    start = time.perf_counter()
    while len(measured) < (REPETITIONS if time.perf_counter() - start < LIMIT_S else ENOUGH):
        begin, end = (torch.Event(device, enable_timing=True) for _ in range(2))
        torch.cuda._sleep(HEAD_START)
        begin.record()
        run()
        end.record()
        end.synchronize()
        measured.append(begin.elapsed_time(end))
    return statistics.median(measured)


def to_table(rows: list[LayerTimes]) -> str:
    """Write a Markdown table."""
    names = [NATIVE.name, *(method.name for method in CUDNN)]
    body = [
        [f"{row.layer}, {row.dtype}, {row.mode}", *(_cell(row, name) for name in names), _ratio(row)] for row in rows
    ]
    notes = [
        f"- {row.layer}, {row.dtype}, {row.mode}, {way}: {text}" for row in rows for way, text in row.problems.items()
    ]
    return table(["Milliseconds", *names, "native against the best"], body) + "".join(f"\n{note}" for note in notes)


def _cell(row: LayerTimes, name: str) -> str:
    return number(row.milliseconds[name]) if name in row.milliseconds else "failed"


def _ratio(row: LayerTimes) -> str:
    return "-" if math.isnan(row.ratio) else times(row.ratio)
