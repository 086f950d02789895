# SPDX-License-Identifier: Apache-2.0
"""How fast the native kernels are on a GPU: every layer of the network against cuDNN, in three formulations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cardiac4d.ops import conv4d, use_backend

from .formulations import channels_last, stacked_inputs, stacked_outputs, tap_by_tap, time_in_batch_channels_last
from .gpu_device import is_broken
from .gpu_floor import Ceiling, pass_floor, passes_of
from .gpu_precision import precision
from .gpu_timing import time_ms
from .layers import problems
from .methods import Method, Problem, same
from .plan import PAPER_SIZE, Size
from .tables import EMPTY, number, table, times

MODES = ("forward", "forward + backward")
TOLERANCE = {torch.float32: 1e-2, torch.bfloat16: 3e-2}
"""Methods that differ by more are not the same computation; TF32 and sums in bfloat16 differ by less."""


def _native(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    with use_backend("native"):
        return conv4d(x, weight, stride=stride, padding=weight.shape[5] // 2)


def _from_frames_in_batch(y: Tensor) -> Tensor:
    return y.permute(1, 2, 3, 4, 0)[None]


def _composed(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    with use_backend("composed"):
        return conv4d(x, weight, stride=stride, padding=weight.shape[5] // 2)


COMPOSED = Method("composed", "torch", _composed, channels_last, same, same)
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


def measure_native(device: str, problem: Problem, name: str) -> Iterator[LayerTimes]:
    """Time the native kernels in a precision, forward and forward + backward, if they compute what cuDNN does."""
    with precision(name, search=False):
        yield from _measure(device, problem, name, (COMPOSED, NATIVE), (NATIVE,))


def measure_cudnn(device: str, problem: Problem, name: str) -> Iterator[LayerTimes]:
    """Time the formulations on cuDNN; one that fails, or computes something else, is noted and passed over."""
    with precision(name):
        yield from _measure(device, problem, name, CUDNN, CUDNN)


def _measure(
    device: str, problem: Problem, name: str, compared: Sequence[Method], timed: Sequence[Method]
) -> Iterator[LayerTimes]:
    dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
    wrong = find_problems([replace(method, dtype=dtype) for method in compared], problem, device)
    for mode in MODES:
        row = LayerTimes(problem.name, name, mode, problems=dict(wrong))
        for method in timed:
            if method.name not in wrong:
                _time(row, replace(method, dtype=dtype), problem, device)
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
            wrong[method.name] = _noted(error, method, device)
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
        row.problems[method.name] = _noted(error, method, device)


def _noted(error: Exception, method: Method, device: str) -> str:
    """What is noted of a method that failed; raises if it took the device along, and nothing else can be measured."""
    if is_broken(device):
        raise RuntimeError(f"{method.name}: {error}") from error
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


def floor_ms(row: LayerTimes, size: Size, ceiling: Ceiling | None) -> float:
    """What the layer takes at least; NaN where the ceiling is not known."""
    if ceiling is None:
        return math.nan
    (problem,) = (problem for problem in problems(size) if problem.name == row.layer)
    return passes_of(problem, is_forward=row.mode == MODES[0]) * pass_floor(problem, row.dtype, ceiling)[1]


def to_table(rows: list[LayerTimes], size: Size = PAPER_SIZE, ceiling: Ceiling | None = None) -> str:
    """Write a Markdown table."""
    names = [NATIVE.name, *(method.name for method in CUDNN)]
    body = []
    for row in rows:
        floor = floor_ms(row, size, ceiling)
        cells = [*(_cell(row, name) for name in names), _ratio(row.ratio), number(floor)]
        over = _ratio(row.milliseconds.get(NATIVE.name, math.nan) / floor)
        body.append([f"{row.layer}, {row.dtype}, {row.mode}", *cells, over])
    notes = [
        f"- {row.layer}, {row.dtype}, {row.mode}, {way}: {text}" for row in rows for way, text in row.problems.items()
    ]
    head = ["Layers, milliseconds", *names, "native against the best", "floor", "native, times the floor"]
    return table(head, body) + "".join(f"\n{note}" for note in notes)


def _cell(row: LayerTimes, name: str) -> str:
    if name in row.milliseconds:
        return number(row.milliseconds[name])
    return "failed" if name in row.problems else EMPTY


def _ratio(ratio: float) -> str:
    return EMPTY if math.isnan(ratio) else times(ratio)
