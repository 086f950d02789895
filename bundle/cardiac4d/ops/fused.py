# SPDX-License-Identifier: Apache-2.0
"""Several layers in one native operator. Ask :mod:`cardiac4d.ops.fusion` first whether it serves the tensors.

The layout of tensors is that of the native kernels for their device, see :mod:`cardiac4d.ops.layout`. What is said of
rounding and bits below holds on the CPU; on CUDA devices half types round every result that is stored, and no more.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from .autocast import autocast
from .backend import precision_code


class HalfBlock(NamedTuple):
    """The parameters of GN, ReLU and a 3x3x3x3 convolution that keeps channels and size."""

    norm_weight: Tensor
    norm_bias: Tensor
    weight: Tensor
    bias: Tensor | None

    def for_kernels(self, x: Tensor) -> tuple[Tensor | None, ...]:
        """The parameters in the dtypes of the kernels for ``x``: norms float32, convolutions that of ``x``."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return self.norm_weight.float(), self.norm_bias.float(), self.weight.to(x.dtype), bias


def conv4d_sums(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], padding: list[int]
) -> tuple[Tensor, Tensor]:
    """Compute ``conv4d`` and, as it is written, what a normalisation of the result needs.

    Args:
        x: ``(N, C_in, H, W, D, T)``, not float64.
        weight: ``(C_out, C_in, KH, KW, KD, KT)``, of the same dtype, or of another one under autocast.
        bias: ``(C_out,)`` or ``None``.
        stride: step per axis.
        padding: zeros on each side per axis.

    Returns:
        The convolution with the bits of :func:`cardiac4d.ops.conv4d`, and ``(N, C_out, 2)`` in float64: sum and sum of
        squares of each channel, without gradient.
    """
    x, weight, bias = autocast(x, weight, bias)
    return torch.ops.cardiac4d.conv4d_sums(x, weight, bias, stride, padding, [1, 1, 1, 1], 1, precision_code(x))


def residual_block(
    x: Tensor, first: HalfBlock, second: HalfBlock, num_groups: int, eps: float, sums: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Compute GN, ReLU, convolution, twice, plus the identity.

    The convolutions normalise while they read their input, and sum up and add what comes next while they write their
    output. For the gradient only ``x``, the output of the first convolution and sums per channel are kept; the rest is
    computed again. Sums are in float64, and of fixed order: the same bits with any number of threads.

    Largest error against float64, relative to the largest value, on volumes and weights of normal numbers (enforced by
    ``tests/ops/test_fused.py``): with the precision ``fast`` 3e-5, with ``exact`` 3e-6. Gradients alike, except where a
    normalised value is so near zero that rounding decides its ReLU, which no computation in float32 avoids.

    Args:
        x: ``(N, C, H, W, D, T)``, float32; on CUDA devices half types, too.
        first: parameters of the first half.
        second: parameters of the second half.
        num_groups: groups of both normalisations; divides ``C``.
        eps: of both normalisations.
        sums: those of ``x``, as :func:`conv4d_sums` returns them; ``None`` computes them.

    Returns:
        A tensor like ``x``, differentiable any number of times, and its sums for the next block.
    """
    parameters = *first.for_kernels(x), *second.for_kernels(x)
    results = torch.ops.cardiac4d.residual_block(x, sums, *parameters, num_groups, eps, precision_code(x))
    return results[0], results[-1]


def residual_block_(
    x: Tensor, first: HalfBlock, second: HalfBlock, num_groups: int, eps: float, sums: Tensor | None = None
) -> Tensor:
    """Compute :func:`residual_block` in the memory of ``x``, without gradient; returns the sums of the result."""
    parameters = *first.for_kernels(x), *second.for_kernels(x)
    return torch.ops.cardiac4d.residual_block_(x, sums, *parameters, num_groups, eps, precision_code(x))


def upsample_conv_add(x: Tensor, weight: Tensor, bias: Tensor | None, skip: Tensor) -> tuple[Tensor, Tensor]:
    """Convolve with 1x1x1x1, repeat every voxel and frame twice, crop to ``skip`` and add it, in one pass.

    Args:
        x: ``(N, C_in, *ceil(size / 2))``, float32; on CUDA devices half types, too.
        weight: ``(C, C_in, 1, 1, 1, 1)``, of the same dtype, or of another one under autocast.
        bias: ``(C,)`` or ``None``.
        skip: ``(N, C, *size)`` with four axes, of the dtype of ``x``, or of autocast.

    Returns:
        A tensor like ``skip``, with the bits of the separate layers, and its sums as :func:`conv4d_sums` returns them.
    """
    x, weight, bias = autocast(x, weight, bias)
    return torch.ops.cardiac4d.upsample_conv_add(x, weight, bias, skip)


def pointwise_softmax(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve with 1x1x1x1 and take the softmax over the channels, in one pass, without gradient.

    Args:
        x: ``(N, C, H, W, D, T)``, float32; on CUDA devices half types, too.
        weight: ``(classes, C, 1, 1, 1, 1)``, of the same dtype, or of another one under autocast; at most 8 classes.
        bias: ``(classes,)`` or ``None``.

    Returns:
        ``(N, classes, H, W, D, T)``, float32, within 1e-6 of the separate layers; a class of probability below 1e-37
        gets about that.
    """
    x, weight, bias = autocast(x, weight, bias)
    return torch.ops.cardiac4d.pointwise_softmax(x, weight, bias)


def softmax_sums(x: Tensor, weight: Tensor | None, bias: Tensor | None, label: Tensor, *, squared: bool) -> Tensor:
    """Sum up what losses need of the softmax ``p`` of a 1x1x1x1 convolution, which is never stored, nor are its logits.

    For the gradients they are computed again: only the operands are kept.

    Args:
        x: ``(N, C, H, W, D, T)``, float32; on CUDA devices half types, too. Copied if it lies otherwise than the
            kernels want.
        weight: ``(classes, C, 1, 1, 1, 1)`` of the same dtype, at most 8 classes; ``None`` takes ``x`` for the logits.
        bias: ``(classes,)`` or ``None``.
        label: ``(N, 1, H, W, D, T)``, uint8: class indices, 255 = not annotated.
        squared: the size of a class sums ``p * p``, else ``p``.

    Returns:
        ``(N, T, 2 * classes + 3)`` in float64, differentiable any number of times, of each frame: per class the sum of
        ``p`` over its voxels; per class that of ``p * p`` or ``p`` over the annotated voxels, plus the voxels of the
        class; the sum over voxels and classes of the squared change to the next frame, of the last to the first; the
        number of annotated voxels, and of those among them whose label is no class. The same bits in every call; terms
        are rounded to float32.

    Raises:
        ValueError: if the label is on another device than ``x``.
    """
    if label.device != x.device:
        raise ValueError(f"`label` is on {label.device}, but `x` on {x.device}: move one of them with `.to(...)`")
    return torch.ops.cardiac4d.softmax_sums(x, weight, bias, label, squared)


def upsample_add(x: Tensor, skip: Tensor) -> Tensor:
    """Repeat every voxel and frame of ``x`` twice, crop to ``skip`` and add it, in one pass.

    Args:
        x: ``(N, C, *ceil(size / 2))``, not float64.
        skip: ``(N, C, *size)`` with four axes, of the same dtype.

    Returns:
        A tensor like ``skip``, with the bits of the separate layers; the gradient of ``x`` sums in float32 for half
        types as well.
    """
    return torch.ops.cardiac4d.upsample_add(x, skip)
