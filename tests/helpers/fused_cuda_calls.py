# SPDX-License-Identifier: Apache-2.0
"""Problems for the fused CUDA operators, what the layers make of them in float64, and how near the operators come."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import group_norm

from cardiac4d.layers import UpsampleAdd
from cardiac4d.ops import use_backend
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.fused_calls import EPS

LIMITS = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}
"""The largest error of a result, relative to its largest value: half types round what lies between the layers."""
TF32_LIMIT = 2e-3
"""The same of float32 as TF32."""


def is_frames(x: Tensor) -> bool:
    """Whether a tensor lies in memory as frames of voxels, the channels of each side by side."""
    return x.permute(0, 5, 2, 3, 4, 1).is_contiguous()


def normalised(x: Tensor, sums: Tensor, weight: Tensor, bias: Tensor, groups: int) -> Tensor:
    """Norm and ReLU from the sums of ``x``, as the kernels compute it: two numbers for each channel of each sample."""
    total, square = sums.view(x.shape[0], groups, -1, 2).sum(2, keepdim=True).unbind(-1)
    count = x[0].numel() // groups
    mean, variance = total / count, square / count - (total / count).square()
    scale = 1 / (variance + EPS).sqrt() * weight.double().view(1, groups, -1)
    shift = bias.double().view(1, groups, -1) - mean * scale
    scale, shift = (numbers.view(*x.shape[:2], 1, 1, 1, 1).float() for numbers in (scale, shift))
    return (x.float() * scale + shift).relu().to(x.dtype)


class Block(NamedTuple):
    """A residual block: input, then norm weight, norm bias, convolution weight and bias of each half."""

    tensors: list[Tensor | None]
    groups: int
    precision: int = 0

    @property
    def arguments(self) -> list[Any]:
        """As ``residual_block`` takes them, without sums of the input."""
        x, *parameters = self.tensors
        return [x, None, *parameters, self.groups, EPS, self.precision]


def draw_block(shape: tuple[int, ...], groups: int, dtype: torch.dtype, *, bias: bool = True) -> Block:
    """Draw a block; its norms are float32 whatever the dtype."""
    channels = shape[1]
    tensors: list[Tensor | None] = [(torch.randn(shape) + 0.5).to(dtype)]
    for _ in range(2):
        tensors += [torch.rand(channels) + 0.5, torch.randn(channels) * 0.3]
        weight = torch.randn(channels, channels, 3, 3, 3, 3) / (9 * channels**0.5)
        tensors += [weight.to(dtype), torch.randn(channels).to(dtype) if bias else None]
    return Block(tensors, groups)


class Expected(NamedTuple):
    """What a block makes of float64: output, output of the first convolution, gradients of all tensors."""

    out: Tensor
    hidden: Tensor
    gradients: list[Tensor]


def expected_block(block: Block, seed: Tensor, stored: Tensor | None = None) -> Expected:
    """Compute a block and its gradients layer by layer in float64.

    ``stored`` is the output of the first convolution as the operator rounded it, which decides the second ReLU.
    """
    exact = [None if t is None else t.detach().double().requires_grad_() for t in block.tensors]
    x, *parameters = exact
    hidden = _half(x, parameters[:4], block.groups)
    rounding = 0 if stored is None else stored.double() - hidden.detach()
    out = _half(hidden + rounding, parameters[4:], block.groups) + x
    leaves = [t for t in exact if t is not None]
    return Expected(out, hidden, list(torch.autograd.grad(out, leaves, seed.double())))


def _half(x: Tensor, parameters: list[Tensor | None], groups: int) -> Tensor:
    norm_weight, norm_bias, weight, bias = parameters
    normal = group_norm(x, groups, norm_weight, norm_bias, EPS).relu()
    return conv4d_reference(normal, weight, bias, padding=1)


def upsampled(x: Tensor, skip: Tensor) -> Tensor:
    """Up-sampling by the layer, composed of torch's own operators."""
    with use_backend("composed", fused=False):
        return UpsampleAdd()(x, skip)
