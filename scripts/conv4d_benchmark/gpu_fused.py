# SPDX-License-Identifier: Apache-2.0
"""Whether the fused layers are right on a GPU: against the composed backend in float64 on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cardiac4d.conventions import NOT_ANNOTATED
from cardiac4d.layers import ResidualBlock
from cardiac4d.losses import HeadInput, SparseSequenceLoss
from cardiac4d.networks import EncoderDecoder
from cardiac4d.ops import use_backend

from .gpu_device import is_cuda
from .gpu_guards import lay_between_nan
from .gpu_precision import precision

BLOCKS = (
    ((2, 8, 9, 10, 18, 5), 8),
    ((1, 16, 5, 9, 20, 6), 1),
    ((1, 32, 9, 3, 5, 5), 4),
    ((1, 40, 3, 5, 4, 2), 5),
    ((2, 6, 5, 4, 7, 3), 3),
)
"""Shapes and groups: ragged, on every tile of the tensor cores and without them."""


@dataclass(frozen=True)
class Problems:
    """What fused layers are computed on.

    Attributes:
        blocks: shapes and groups of residual blocks.
        image: N, C, H, W, D, T of what goes into networks.
        classes: how many classes a loss is computed of.
    """

    blocks: tuple[tuple[tuple[int, ...], int], ...]
    image: tuple[int, ...]
    classes: tuple[int, ...]


LARGE = Problems(BLOCKS, (2, 1, 9, 4, 17, 6), (2, 3, 5))
SMALL = Problems((((1, 8, 3, 4, 9, 3), 8),), (1, 1, 5, 4, 9, 4), (3,))
"""For a sanitizer, which makes kernels many times slower."""
LIMITS = {"float32": (1e-5, 1e-3), "tf32": (3e-3, 5e-2), "float16": (3e-3, 5e-2), "bfloat16": (2e-2, 1.5e-1)}
"""By precision: the largest error of values and of gradients, as a whole, relative to what is expected. A value near
zero that rounding moves over it changes its gradient altogether, so that these have the root of the share of such
values."""

CANCELLED = 3e-2
"""A gradient smaller than this share of the largest is taken for as large: it is a sum that cancels, of which rounding
is left. That of a bias before a norm is even zero where a group has one channel. One that is missing still shows."""


def check_fused(device: str, problems: Problems = LARGE) -> str:
    """Compare blocks, up-sampling, softmax and loss, their gradients included, and ask for the same bits again."""
    names = precisions_of(device)
    worst = dict.fromkeys(names, 0.0)
    for name in names:
        for number, (shape, groups) in enumerate(problems.blocks):
            torch.manual_seed(number)
            image = torch.randn(problems.image)
            errors = [_check_block(shape, groups, name, device), _check_ends(image, name, device)]
            errors += [_check_loss(image, classes, name, device) for classes in problems.classes]
            worst[name] = max(worst[name], *errors)
    return "largest errors of values: " + ", ".join(f"{name} {error:.1e}" for name, error in worst.items())


def precisions_of(device: str) -> tuple[str, ...]:
    """What is fused there: on the CPU float32 alone."""
    return tuple(LIMITS) if is_cuda(device) else ("float32",)


def _dtype(name: str) -> torch.dtype:
    return torch.float32 if name == "tf32" else getattr(torch, name)


def _check_block(shape: tuple[int, ...], groups: int, name: str, device: str) -> float:
    block, x = ResidualBlock(4, shape[1], groups, bias=True), torch.randn(shape).to(_dtype(name))

    def compute(block: ResidualBlock, x: Tensor) -> Tensor:
        out, sums = block.forward_with_sums(x, None)
        assert sums is not None or x.dtype == torch.float64, f"{shape} in {name} is not fused"
        return out

    return _compare(compute, block, x, name, device)


def _check_ends(image: Tensor, name: str, device: str) -> float:
    """A network without blocks: convolutions with sums, up-sampling with its 1x1x1x1 convolution, and softmax."""
    network = EncoderDecoder(blocks_down=(0, 0), blocks_up=(0,))
    error = _compare(lambda network, x: network(x), network, image, name, device)
    with torch.no_grad():
        return max(error, _compare(lambda network, x: network.probabilities(x), network, image, name, device))


def _check_loss(image: Tensor, classes: int, name: str, device: str) -> float:
    """The loss of a network that leaves its last convolution to it."""
    network = EncoderDecoder(blocks_down=(1,), blocks_up=(), out_channels=classes, bias=True, head_in_loss=True)
    label = torch.randint(0, classes, image.shape, dtype=torch.uint8)
    label[..., 1::2] = NOT_ANNOTATED
    full_cycle = [sample == 0 for sample in range(len(image))]

    def compute(network: EncoderDecoder, x: Tensor) -> Tensor:
        scores = network(x)
        assert isinstance(scores, HeadInput) or x.dtype == torch.float64, f"{classes} classes in {name} are not fused"
        return SparseSequenceLoss()(scores, label.to(x.device), full_cycle=full_cycle)

    return _compare(compute, network, image, name, device)


def _compare(compute: Callable[[Any, Tensor], Tensor], layer: nn.Module, x: Tensor, name: str, device: str) -> float:
    """The error of the value; raises an AssertionError if it or that of a gradient is too large."""
    with use_backend("composed"):
        expected = _with_gradients(compute, deepcopy(layer).double(), x.double())
    dtype, choice = _dtype(name), "fast" if name == "tf32" else "exact"
    half = torch.autocast(device, dtype, enabled=dtype != torch.float32)
    with use_backend("native", precision=choice), precision(name), half:
        results = [_with_gradients(compute, deepcopy(layer).to(device), lay_out(x, device)) for _ in range(2)]
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True)), f"{name}: other bits the second time"
    least = CANCELLED * max(right.norm() for right in expected[1:] or expected)
    errors = [
        ((actual.cpu().double() - right).norm() / torch.maximum(right.norm(), least)).item()
        for actual, right in zip(results[0], expected, strict=True)
    ]
    for number, error in enumerate(errors):
        limit = LIMITS[name][min(number, 1)]
        assert error <= limit, f"{tuple(x.shape)} in {name}: error {error:.1e} of {number or 'the value'}"
    return errors[0]


def lay_out(x: Tensor, device: str) -> Tensor:
    """On the device, as the layer before would leave it, but between NaN."""
    return lay_between_nan(x.to(device), "frames" if is_cuda(device) else "plain")


def _with_gradients(compute: Callable[[Any, Tensor], Tensor], layer: nn.Module, x: Tensor) -> list[Tensor]:
    if not torch.is_grad_enabled():
        return [compute(layer, x)]
    x = x.detach().requires_grad_()
    out = compute(layer, x)
    seed = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out)
    return [out.detach(), *torch.autograd.grad(out, [x, *layer.parameters()], seed)]
