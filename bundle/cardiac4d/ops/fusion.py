# SPDX-License-Identifier: Apache-2.0
"""Whether one native kernel may compute what is several layers: the only place where this is decided.

Fused kernels save passes over memory and the tensors between the layers; they give the same results within rounding.
They serve what the network does most: plain contiguous tensors on the CPU, on the native backend, in eager mode and
under ``torch.compile``. Everything else goes through the layers one by one: graphs written to a file, the transforms of
``torch.func``, other dtypes and layouts, autocast. A convolution among these layers reports the fallback, if it is one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .backend import could_run_native, is_transformed
from .settings import active

MAX_CLASSES = 8
"""What the fused softmax takes, see ``csrc/cpu/conv4d_cpu_fused.h``."""

MIN_CHANNELS = 4
"""Fewer channels than this do not pay in Winograd, see ``csrc/cpu/choose.cpp``."""


def fuses_block(x: Tensor, channels: int, parameters: Sequence[Tensor | None]) -> bool:
    """Tell whether :func:`cardiac4d.ops.fused.residual_block` serves this input and a block of these parameters."""
    if not _may_fuse() or x.dim() != 6 or x.dtype != torch.float32 or channels < MIN_CHANNELS:
        return False
    if active().precision == "direct" or _is_autocast(x):
        return False
    return x.shape[1] == channels and _is_plain(x) and could_run_native(x, *parameters)


def fuses_sums(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Tell whether :func:`cardiac4d.ops.fused.conv4d_sums` serves this input and a convolution of one group."""
    if not _may_fuse() or x.dim() != 6 or x.dtype != torch.float32 or _is_autocast(x):
        return False
    return _is_plain(x) and could_run_native(x, weight, bias)


def fuses_softmax(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Tell whether :func:`cardiac4d.ops.fused.pointwise_softmax` serves a 1x1x1x1 convolution of this input."""
    if torch.is_grad_enabled() or weight.shape[0] > MAX_CLASSES:
        return False
    return fuses_sums(x, weight, bias) and x.shape[1] == weight.shape[1]


def fuses_upsample_conv(x: Tensor, weight: Tensor, bias: Tensor | None, skip: Tensor) -> bool:
    """Tell whether :func:`cardiac4d.ops.fused.upsample_conv_add` serves these tensors."""
    if not fuses_sums(x, weight, bias) or skip.dim() != 6 or skip.dtype != x.dtype:
        return False
    shapes = [*skip.shape[:1], weight.shape[1], *((extent + 1) // 2 for extent in skip.shape[2:])]
    fits = list(x.shape) == shapes and weight.shape[0] == skip.shape[1]
    return fits and _is_plain(skip) and could_run_native(x, skip)


def fuses_upsample_add(x: Tensor, skip: Tensor) -> bool:
    """Tell whether :func:`cardiac4d.ops.fused.upsample_add` serves these tensors."""
    if not _may_fuse() or x.dim() != 6 or skip.dim() != 6 or not x.is_floating_point() or x.dtype == torch.float64:
        return False
    halves = [(extent + 1) // 2 for extent in skip.shape[2:]]
    if list(x.shape) != [*skip.shape[:2], *halves]:
        return False
    return _is_plain(x) and _is_plain(skip) and could_run_native(x, skip)


def _may_fuse() -> bool:
    """Check what does not depend on the tensors; comes first, for tracing records every question about a shape."""
    return active().fused and not _is_recorded_or_transformed()


def _is_plain(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.numel() > 0 and x.is_contiguous()


def _is_recorded_or_transformed() -> bool:
    """Tell whether the call becomes part of a graph for a file, or is seen by a transform of ``torch.func``."""
    if torch.compiler.is_compiling():
        return torch.compiler.is_exporting() or is_transformed()
    return torch.jit.is_tracing() or is_transformed()


def _is_autocast(x: Tensor) -> bool:
    return torch.amp.is_autocast_available(x.device.type) and torch.is_autocast_enabled(x.device.type)
