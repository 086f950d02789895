# SPDX-License-Identifier: Apache-2.0
"""How fast the whole network is on a GPU: the native kernels against cuDNN in three formulations, and the floor."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from cardiac4d import Conv4d
from cardiac4d.conventions import NOT_ANNOTATED
from cardiac4d.losses import SparseSequenceLoss
from cardiac4d.networks import EncoderDecoder
from cardiac4d.ops import use_backend

from .formulations import channels_last, stacked_inputs, stacked_outputs, tap_by_tap
from .gpu_device import describe, is_broken, is_cuda
from .gpu_floor import MODES, Ceiling, network_ms
from .gpu_precision import autocast, precision
from .gpu_timing import time_ms
from .methods import Convolve
from .plan import PAPER_SIZE, Size
from .tables import EMPTY, number, table, times

NATIVE = "native"
TOLERANCE = {"float32": 1e-2, "tf32": 2e-2, "bfloat16": 1e-1}
"""Largest difference of the probabilities of two ways: more is not the same computation."""
GIGABYTE = 1e9


@dataclass(frozen=True)
class Way:
    """One way to compute the convolutions of the network.

    Attributes:
        context: what its calls run in.
        convolve: stands in for the package's convolution; ``None`` leaves it.
    """

    context: Callable[[], AbstractContextManager[None]]
    convolve: Convolve | None = None


WAYS = {
    NATIVE: Way(partial(use_backend, "native")),
    "composed": Way(partial(use_backend, "composed")),
    "three": Way(nullcontext, tap_by_tap),
    "cat": Way(nullcontext, stacked_inputs),
    "out3": Way(nullcontext, stacked_outputs),
}
"""Ours first; then what the package does without native kernels, and cuDNN's ``conv3d`` per tap in time and then added,
with the frames that an output reads as channels, or with the outputs of all taps as channels."""


class FrameConv(nn.Module):
    """A ``Conv4d`` of one sample by a formulation for frames, on tensors that lie as frames."""

    def __init__(self, conv: Conv4d, convolve: Convolve) -> None:
        super().__init__()
        self.weight, self.stride, self.convolve = conv.weight, conv.stride[0], convolve

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(1, C, H, W, D, T)`` to the output in the same order of axes; neither is copied."""
        return self.convolve(x[0].permute(4, 0, 1, 2, 3), self.weight, self.stride).permute(1, 2, 3, 4, 0)[None]


def build(way: Way, device: str) -> EncoderDecoder:
    """Build the paper's network, with the same weights for every way."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = EncoderDecoder(head_in_loss=True)  # where the native kernels serve
    if way.convolve is not None:
        for parent in list(network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, Conv4d):
                    setattr(parent, name, FrameConv(child, way.convolve))
    return network.to(device)


def draw(size: Size, device: str) -> tuple[Tensor, Tensor]:
    """Draw an image ``(1, 1, H, W, D, T)``, and a label with two annotated frames."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 1, *size, generator=generator)
    label = torch.full((1, 1, *size), NOT_ANNOTATED, dtype=torch.uint8)
    for frame in {0, size[3] // 2}:
        label[..., frame] = torch.randint(0, 3, (1, 1, *size[:3]), generator=generator).byte()
    return channels_last(image.to(device)), label.to(device)


@dataclass
class NetworkTimes:
    """One precision and mode: milliseconds and peak gigabytes by way, and what went wrong with which."""

    mode: str
    precision: str
    milliseconds: dict[str, float] = field(default_factory=dict)
    gigabytes: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def best(self) -> str:
        """The fastest way but ours; empty if there is none."""
        others = {name: time for name, time in self.milliseconds.items() if name != NATIVE}
        return min(others, key=others.__getitem__, default="")


class TrainingStep:
    """Forward, loss, backward and Adam, on one crop; returns the loss, which nobody waits for.

    Args:
        network: whose parameters are trained.
        image: ``(1, 1, H, W, D, T)``.
        label: the same, class indices and 255.
        name: of the precision.
        device: of all of them.
    """

    def __init__(self, network: nn.Module, image: Tensor, label: Tensor, name: str, device: str) -> None:
        self.network, self.image, self.label = network, image, label
        self.name, self.device, self.loss = name, device, SparseSequenceLoss()
        self.optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, capturable=is_cuda(device))

    def __call__(self) -> Tensor:
        """Take one step."""
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.name, self.device):
            scores = self.network(self.image)
        loss = self.loss(scores, self.label)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def infer(network: EncoderDecoder, image: Tensor, name: str, device: str) -> Tensor:
    """Compute the probabilities of the classes."""
    with torch.no_grad(), autocast(name, device):
        return network.probabilities(image)


def measure(
    device: str, name: str, way: str, size: Size = PAPER_SIZE, modes: Sequence[str] = MODES
) -> Iterator[NetworkTimes]:
    """Time inference and a training step in a precision by one way; what goes wrong with it is noted.

    Raises:
        RuntimeError: if it broke the device, so that this process can measure nothing more.
    """
    for mode in modes:
        row = NetworkTimes(mode, name)
        try:
            check_probabilities(device, name, way, size)
            with precision(name), WAYS[way].context():
                _measure_one(way, row, device, size)
        except Exception as error:  # that of one mode must not cost the other
            if is_broken(device):
                raise RuntimeError(f"{mode}, {way}: {describe(error)}") from error
            row.problems[way] = describe(error)
        gc.collect()  # what an error holds of the GPU's memory
        yield row


def check_probabilities(device: str, name: str, way: str, size: Size) -> None:
    """Compare the probabilities of one way with those of the composed backend, without cuDNN's search for kernels.

    Raises:
        RuntimeError: if they differ.
    """
    image, _ = draw(size, device)
    found = []
    for each in ("composed", way):
        with precision(name, search=False), WAYS[each].context():
            found.append(infer(build(WAYS[each], device), image, name, device).float())
    error = (found[0] - found[1]).abs().max().item()
    if not error <= TOLERANCE[name]:
        raise RuntimeError(f"its probabilities differ from those of the composed backend by {error:.1e}")


def _measure_one(way: str, row: NetworkTimes, device: str, size: Size) -> None:
    """Put the times of one way into the row."""
    network, (image, label) = build(WAYS[way], device), draw(size, device)
    run: Callable[[], object] = partial(infer, network, image, row.precision, device)
    if row.mode == MODES[1]:
        run = TrainingStep(network, image, label, row.precision, device)
    run()
    if is_cuda(device):
        torch.cuda.reset_peak_memory_stats()
    row.milliseconds[way] = time_ms(run, device)
    row.gigabytes[way] = torch.cuda.max_memory_allocated() / GIGABYTE if is_cuda(device) else math.nan


def floor_ms(row: NetworkTimes, size: Size, ceiling: Ceiling | None) -> float:
    """What the convolutions of the network take at least; NaN where the ceiling is not known."""
    return math.nan if ceiling is None else network_ms(size, row.precision, row.mode, ceiling)


def to_table(rows: list[NetworkTimes], size: Size = PAPER_SIZE, ceiling: Ceiling | None = None) -> str:
    """Write a Markdown table of milliseconds, ratios and peaks of memory."""
    body = [
        [
            f"{row.mode}, {row.precision}",
            *(number(row.milliseconds.get(way, math.nan)) for way in WAYS),
            _ratio(row.milliseconds.get(row.best), row.milliseconds.get(NATIVE)),
            number(floor_ms(row, size, ceiling)),
            _ratio(row.milliseconds.get(NATIVE), floor_ms(row, size, ceiling)),
            number(row.gigabytes.get(NATIVE, math.nan)),
            number(row.gigabytes.get(row.best, math.nan)),
        ]
        for row in rows
    ]
    head = ["Whole network, milliseconds", *WAYS, "native against the best", "floor", "native, times the floor"]
    notes = [f"- {row.mode}, {row.precision}, {way}: {text}" for row in rows for way, text in row.problems.items()]
    return table([*head, "GB, native", "GB, the best"], body) + "".join(f"\n{note}" for note in notes)


def _ratio(numerator: float | None, denominator: float | None) -> str:
    ratio = numerator / denominator if numerator and denominator else math.nan
    return EMPTY if math.isnan(ratio) else times(ratio)
