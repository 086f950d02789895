# SPDX-License-Identifier: Apache-2.0
"""The whole network: inference and a training step, computed in several ways."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from cardiac4d import Conv4d
from cardiac4d.networks import EncoderDecoder
from cardiac4d.ops import use_backend

from .methods import Convolve, same
from .peers import loop_over_padded_frames, time_first, time_last
from .plan import Size
from .rows import Budget, Row, Runner, compete, look

MODES = ("inference", "training step")
TOLERANCE = 1e-4
"""Largest admissible difference of the logits at the gate, relative to the largest logit."""


@dataclass(frozen=True)
class Variant:
    """One way to run the network.

    Attributes:
        kind: ``native``, ``torch`` (pure PyTorch) or ``peer``.
        context: what its calls run in.
        convolve: stands in for the package's convolution; ``None`` leaves it.
        enter: brings the image into the order of axes that ``convolve`` wants.
        leave: brings the logits back.
        modes: what it is timed for.
    """

    kind: str
    context: Callable[[], AbstractContextManager[None]]
    convolve: Convolve | None = None
    enter: Callable[[Tensor], Tensor] = same
    leave: Callable[[Tensor], Tensor] = same
    modes: Sequence[str] = MODES


VARIANTS = {
    "native": Variant("native", partial(use_backend, "native")),
    "composed": Variant("torch", partial(use_backend, "composed")),
    "pvjosue/pytorch_convNd": Variant(
        "peer", nullcontext, loop_over_padded_frames, time_first, time_last, modes=("inference",)
    ),
}
"""By name, in the order of the table; ours first. One more entry is one more column."""

UNFUSED: dict[str, Any] = {"fused": False}

if UNFUSED.keys() <= inspect.signature(use_backend).parameters.keys():
    VARIANTS["native, not fused"] = Variant("native", partial(use_backend, "native", **UNFUSED))


class ForeignConv(nn.Module):
    """Take a ``Conv4d``'s weight and compute with another algorithm, on inputs with time first."""

    def __init__(self, conv: Conv4d, convolve: Convolve) -> None:
        super().__init__()
        self.weight = nn.Parameter(time_first(conv.weight.detach()))
        self.stride, self.convolve = conv.stride[0], convolve

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(1, C, T, H, W, D)`` to the output in the same order of axes."""
        return self.convolve(x, self.weight, self.stride)


def build(variant: Variant) -> EncoderDecoder:
    """Build the paper's network, with the same weights for every variant."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = EncoderDecoder()
    if variant.convolve is not None:
        for parent in list(network.modules()):
            for name, child in parent.named_children():
                if isinstance(child, Conv4d):
                    setattr(parent, name, ForeignConv(child, variant.convolve))
    return network


def check_all(size: Size = (8, 9, 6, 5)) -> int:
    """Compare the logits of every variant with float64; returns how many were compared.

    Raises:
        RuntimeError: if a variant is wrong; the message names it.
    """
    image = _image(size)
    with torch.no_grad(), use_backend("composed"):
        expected = build(Variant("torch", nullcontext)).double()(image.double())
    for name, variant in VARIANTS.items():
        with torch.no_grad(), variant.context():
            logits = variant.leave(build(variant)(variant.enter(image)))
        error = ((logits.double() - expected).abs().max() / expected.abs().max()).item()
        if not error < TOLERANCE:
            raise RuntimeError(f"the network computed by {name} is wrong: relative error {error:.1e}")
    return len(VARIANTS)


def _image(size: Sequence[int]) -> Tensor:
    return torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(0))


def make_runner(name: str, mode: str, size: Sequence[int]) -> Runner:
    """Build a variant's network and image, and return what runs it once.

    A training step is forward, the mean square of the logits as a loss, backward, and Adam.
    """
    variant = VARIANTS[name]
    network, image = build(variant), variant.enter(_image(size))

    def infer() -> None:
        with torch.no_grad(), variant.context():
            network(image)

    if mode == MODES[0]:
        return infer
    optimizer = torch.optim.Adam(network.parameters())

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        with variant.context():
            network(image).square().mean().backward()
        optimizer.step()

    return train


def measure(size: Size, budget: Budget) -> Iterator[Row]:
    """Time inference and a training step; the variants of this package in turn, the published one once."""
    for mode in MODES:
        row = Row("whole network", mode, math.prod(size))
        makers = {name: partial(make_runner, name, mode, size) for name, v in VARIANTS.items() if mode in v.modes}
        for name, make in makers.items():
            look(row, VARIANTS[name].kind, [(name, make)], budget)
        compete(row, {name: make for name, make in makers.items() if VARIANTS[name].kind != "peer"}, budget)
        yield row
