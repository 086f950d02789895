# SPDX-License-Identifier: Apache-2.0
"""Whether one native kernel may compute what is several layers: the only place where this is decided.

Fused kernels save passes over memory and the tensors between the layers; they give the same results within rounding.
They serve what the network does most, on the native backend, in eager mode and under ``torch.compile``: on the CPU
plain contiguous tensors in float32; on CUDA devices frames (see :mod:`cardiac4d.ops.layout`) in float32 and the half
types, autocast included. Everything else goes through the layers one by one: graphs written to a file, the transforms
of ``torch.func``, other dtypes and layouts. A convolution among these layers reports the fallback, if it is one.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .backend import could_run_native, is_transformed
from .layout import kernels_want_frames, lies_as_kernels_want
from .settings import active

MAX_CLASSES = 8
"""What the fused softmax takes, see ``csrc/cpu/conv4d_cpu_fused.h`` and ``csrc/cuda/fused.h``."""

MAX_HEAD = 4096
"""Weights of the convolution that :func:`cardiac4d.ops.fused.softmax_sums` takes, its channels filled up to eights.

The same as ``C4D_CUDA_MAX_HEAD`` in ``csrc/cuda/fused.h``: how many of them shared memory holds.
"""

MIN_CHANNELS = 4
"""Fewer channels than this do not pay in Winograd, see ``csrc/cpu/choose.cpp``."""


def fuses_block(x: Tensor, channels: int, norms: Sequence[Tensor], convolutions: Sequence[Tensor | None]) -> bool:
    """Tell whether :func:`cardiac4d.ops.fused.residual_block` serves this input and a block of these parameters."""
    if not _may_fuse() or x.dim() != 6 or x.shape[1] != channels:
        return False
    if not kernels_want_frames(x) and (channels < MIN_CHANNELS or active().precision == "direct"):
        return False
    if any(norm.dtype not in (torch.float32, x.dtype) for norm in norms):
        return False
    return _is_laid_out(x) and x.dtype == _dtype_within(x) and _serves(x, *convolutions) and _is_native(x, *norms)


def fuses_sums(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Tell whether :func:`cardiac4d.ops.fused.conv4d_sums` serves this input and a convolution of one group."""
    if not _may_fuse() or x.dim() != 6 or x.numel() == 0:
        return False
    # On CUDA devices the image itself comes here, whose layout is anything: the convolution copies it in any case.
    return (kernels_want_frames(x) or x.is_contiguous()) and _serves(x, weight, bias)


def fuses_softmax(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Tell whether :func:`cardiac4d.ops.fused.pointwise_softmax` serves a 1x1x1x1 convolution of this input."""
    if torch.is_grad_enabled() or weight.shape[0] > MAX_CLASSES or x.dim() != 6 or x.shape[1] != weight.shape[1]:
        return False
    # Its result is float32. So is that of the layers for half types under autocast, but not without.
    return (x.dtype == torch.float32 or _is_autocast(x)) and fuses_sums(x, weight, bias)


def fuses_softmax_sums(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> bool:
    """Tell whether :func:`cardiac4d.ops.fused.softmax_sums` serves these tensors; without a weight ``x`` are logits."""
    if not _may_fuse() or x.dim() != 6 or x.numel() == 0:
        return False
    if weight is None:
        fits = x.shape[1] <= MAX_CLASSES
    else:
        channels = (x.shape[1] + 7) // 8 * 8
        fits = weight.shape[0] <= MAX_CLASSES and weight.shape[0] * channels <= MAX_HEAD
    halves = (torch.bfloat16, torch.float16) if kernels_want_frames(x) else ()
    given = [tensor for tensor in (weight, bias) if tensor is not None]
    alike = x.dtype in (torch.float32, *halves) and all(tensor.dtype == x.dtype for tensor in given)
    return fits and alike and _is_native(x, *given)


def fuses_upsample_conv(x: Tensor, weight: Tensor, bias: Tensor | None, skip: Tensor) -> bool:
    """Tell whether :func:`cardiac4d.ops.fused.upsample_conv_add` serves these tensors."""
    if not fuses_sums(x, weight, bias) or skip.dim() != 6 or skip.dtype != _dtype_within(x):
        return False
    shapes = [*skip.shape[:1], weight.shape[1], *((extent + 1) // 2 for extent in skip.shape[2:])]
    fits = list(x.shape) == shapes and weight.shape[0] == skip.shape[1]
    return fits and _is_laid_out(x) and _is_laid_out(skip) and x.device == skip.device


def fuses_upsample_add(x: Tensor, skip: Tensor) -> bool:
    """Tell whether :func:`cardiac4d.ops.fused.upsample_add` serves these tensors."""
    if not _may_fuse() or x.dim() != 6 or skip.dim() != 6 or not x.is_floating_point() or x.dtype == torch.float64:
        return False
    halves = [(extent + 1) // 2 for extent in skip.shape[2:]]
    if list(x.shape) != [*skip.shape[:2], *halves]:
        return False
    return _is_laid_out(x) and _is_laid_out(skip) and could_run_native(x, skip)


def _may_fuse() -> bool:
    """Check what does not depend on the tensors; comes first, for tracing records every question about a shape."""
    return active().fused and not _is_recorded_or_transformed()


def _is_laid_out(x: Tensor) -> bool:
    return x.device.type in ("cpu", "cuda") and x.numel() > 0 and lies_as_kernels_want(x)


def _serves(x: Tensor, *others: Tensor | None) -> bool:
    """Tell whether the kernels compute in the dtype of a convolution of these tensors."""
    dtype = _dtype_within(x)
    if kernels_want_frames(x):
        if dtype not in (torch.float32, torch.bfloat16, torch.float16):
            return False
    elif dtype != torch.float32 or _is_autocast(x):
        return False
    given = [tensor for tensor in others if tensor is not None]
    return all(_dtype_within(tensor) == dtype for tensor in given) and _is_native(x, *given)


def _is_native(x: Tensor, *others: Tensor) -> bool:
    return could_run_native(x) and all(tensor.device == x.device for tensor in others)


def _dtype_within(x: Tensor) -> torch.dtype:
    """The dtype in which a convolution takes a tensor: autocast's if that is active, see ``autocast.py``."""
    if _is_autocast(x) and x.is_floating_point() and x.dtype != torch.float64:
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype


def _is_recorded_or_transformed() -> bool:
    """Tell whether the call becomes part of a graph for a file, or is seen by a transform of ``torch.func``."""
    if torch.compiler.is_compiling():
        return torch.compiler.is_exporting() or is_transformed()
    return torch.jit.is_tracing() or is_transformed()


def _is_autocast(x: Tensor) -> bool:
    return torch.amp.is_autocast_available(x.device.type) and torch.is_autocast_enabled(x.device.type)
