# SPDX-License-Identifier: Apache-2.0
"""Layers in turn that tell the next one what they know of their output."""

from typing import TypeGuard

import torch
from torch import Tensor, nn

from ..ops.autocast import autocast
from ..ops.fused import pointwise_softmax, upsample_conv_add
from ..ops.fusion import fuses_softmax, fuses_softmax_sums, fuses_upsample_conv
from ..ops.head_input import HeadInput
from ..ops.hooks import has_hooks
from .blocks import ResidualBlock
from .conv import Conv4d
from .upsampling import UpsampleAdd


class Chain(nn.Sequential):
    """:class:`torch.nn.Sequential`, whose fused layers hand the sums of their output to the block behind them.

    A normalisation needs the mean and the variance of its input. A convolution or a block that sums up its output while
    writing it spares the next block a pass over memory. Results are those of ``Sequential``, but for rounding.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply the layers in turn."""
        if not torch.jit.is_scripting():  # TorchScript leaves out what stands under this condition alone
            return self.forward_with_sums(input, None)
        for layer in self:
            input = layer(input)
        return input

    def forward_with_sums(self, x: Tensor, sums: Tensor | None) -> Tensor:
        """Apply the layers to ``x``; with its sums if they are known, and then it belongs to the layers."""
        for layer in self:
            x, sums = _apply(layer, x, sums)
        return x


def _apply(layer: nn.Module, x: Tensor, sums: Tensor | None) -> tuple[Tensor, Tensor | None]:
    # A subclass may compute something else; a hook waits for its layer to be called.
    if type(layer) is ResidualBlock and not has_hooks(layer):
        return layer.forward_with_sums(x, sums)
    if type(layer) is Conv4d and not has_hooks(layer):
        return layer.forward_with_sums(x)
    return layer(x), None


def convolve_to_probabilities(conv: nn.Module, x: Tensor) -> Tensor:
    """Compute the softmax of ``conv(x)`` over the channels, in one pass where one operator serves.

    Args:
        conv: a convolution whose output channels are classes.
        x: its input.
    """
    if _is_pointwise(conv) and fuses_softmax(x, conv.weight, conv.bias):
        return pointwise_softmax(x, conv.weight, conv.bias)
    return conv(x).softmax(1)


def convolve_in_loss(conv: nn.Module, x: Tensor, backend: str) -> HeadInput | None:
    """Leave ``conv(x)`` to the loss, where one operator computes both with their gradients.

    Args:
        conv: a convolution whose output channels are classes.
        x: its input.
        backend: what the network computes with, and is in force here.

    Returns:
        The operands as the convolution would take them, under autocast in its dtype; ``None`` where no operator serves.
    """
    if not _is_pointwise(conv):
        return None
    x, weight, bias = autocast(x, conv.weight, conv.bias)
    if not fuses_softmax_sums(x, weight, bias):
        return None
    # Results of an operator, where data-parallel wrappers look for the graph that leads to the parameters.
    return HeadInput(x, weight.view_as(weight), None if bias is None else bias.view_as(bias), backend)


def convolve_and_upsample(conv: nn.Module, up: UpsampleAdd, x: Tensor, skip: Tensor) -> tuple[Tensor, Tensor | None]:
    """Compute ``up(conv(x), skip)``, in one pass where one operator serves.

    Args:
        conv: a convolution, of any kernel.
        up: up-sampling by two.
        x: its input.
        skip: what is added, as large as the result.

    Returns:
        The result, and its sums if the operator computed it.
    """
    alone = type(up) is UpsampleAdd and not has_hooks(up)
    if alone and _is_pointwise(conv) and fuses_upsample_conv(x, conv.weight, conv.bias, skip):
        return upsample_conv_add(x, conv.weight, conv.bias, skip)
    return up(conv(x), skip), None


def _is_pointwise(conv: nn.Module) -> TypeGuard[Conv4d]:
    """Tell whether a layer is nothing but a product with one matrix at every voxel."""
    if type(conv) is not Conv4d or has_hooks(conv):
        return False
    return conv.kernel_size == conv.stride == (1, 1, 1, 1) and conv.groups == 1 and not conv.pads()
