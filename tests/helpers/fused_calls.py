# SPDX-License-Identifier: Apache-2.0
"""Arguments for the fused operators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.helpers.comparison import sums_of

EPS = 1e-5
OPTIONS = 2, EPS, 1
"""Groups, eps and precision (exact) of the calls below the door."""


def block_tensors(shape: tuple[int, ...], *, bias: bool = True) -> list[Tensor | None]:
    """An input and the parameters of both halves."""
    channels = shape[1]
    tensors: list[Tensor | None] = [torch.randn(shape) + 0.5]
    for _ in range(2):
        tensors += [torch.rand(channels) + 0.5, torch.randn(channels) * 0.3]
        tensors += [torch.randn(channels, channels, 3, 3, 3, 3) / 9, torch.randn(channels) if bias else None]
    return [None if tensor is None else tensor.requires_grad_() for tensor in tensors]


def doubles(tensors: list[Tensor | None]) -> list[Tensor | None]:
    """Copies in float64."""
    return [None if tensor is None else tensor.detach().double().requires_grad_() for tensor in tensors]


def given(tensors: list[Tensor | None]) -> list[Tensor]:
    """Without what is missing."""
    return [tensor for tensor in tensors if tensor is not None]


def block_call() -> tuple[Any, ...]:
    """Arguments of the block with the sums of its input."""
    x, *parameters = block_tensors((2, 4, 3, 4, 3, 5))
    return (x, sums_of(x), *parameters, *OPTIONS)


def inference_call() -> tuple[Any, ...]:
    """The same without gradients."""
    return tuple(a.detach() if isinstance(a, Tensor) else a for a in block_call())


def skip_tensor() -> Tensor:
    """A skip connection."""
    return torch.randn(2, 3, 4, 5, 1, 3).requires_grad_()


def upsample_conv_call() -> tuple[Any, ...]:
    """Arguments of the convolution with up-sampling."""
    x, weight = torch.randn(2, 5, 2, 3, 1, 2).requires_grad_(), torch.randn(3, 5, 1, 1, 1, 1).requires_grad_()
    return x, weight, torch.randn(3).requires_grad_(), skip_tensor()


def convolution_call(stride: int = 2) -> tuple[Any, ...]:
    """Arguments of the convolution with sums."""
    x, weight = torch.randn(2, 4, 4, 3, 3, 5).requires_grad_(), torch.randn(6, 4, 3, 3, 3, 3).requires_grad_()
    return x, weight, torch.randn(6).requires_grad_(), [stride] * 4, [1] * 4, [1] * 4, 1, 1
