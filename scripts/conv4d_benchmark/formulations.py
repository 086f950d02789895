# SPDX-License-Identifier: Apache-2.0
"""The formulations of a 4D convolution in pure PyTorch: one axis goes into the batch of :func:`conv3d`.

With time in the batch the input is ``(T, C, H, W, D)`` and a weight's taps stand in the order H, W, D, T. The same code
serves with H in the batch: input ``(H, C, W, D, T)``, taps W, D, T, H. One sample; the kernel's extent is odd and half
of it is padding, on every axis.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import conv3d, pad

from cardiac4d.ops import conv4d, use_backend

from .methods import Convolve, Method, same

FRAMES = (0, 5, 2, 3, 4, 1)
"""Turns ``(N, C, H, W, D, T)`` into N, T, H, W, D, C, the order in memory of what lies as frames; also the way back."""


def tap_by_tap(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Convolve once per tap of the batch axis, and add each result where it belongs."""
    margin = weight.shape[5] // 2
    out = conv3d(x[::stride], weight[..., margin], padding=margin, stride=stride)
    for tap, first, source, count in _other_taps(x.shape[0], weight.shape[5], stride):
        read = x[source : source + (count - 1) * stride + 1 : stride]
        out[first : first + count] += conv3d(read, weight[..., tap], padding=margin, stride=stride)
    return out


def stacked_inputs(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Put all frames that an output reads side by side as channels, and convolve once."""
    taps = weight.shape[5]
    padded = pad(x, [0, 0] * 4 + [taps // 2] * 2)
    last = x.shape[0] - 1 - (x.shape[0] - 1) % stride
    wide = torch.cat([padded[tap : tap + last + 1 : stride] for tap in range(taps)], 1)
    return conv3d(wide, torch.cat(weight.unbind(5), 1), padding=taps // 2, stride=stride)


def stacked_outputs(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Convolve once with the weights of all taps side by side as output channels, then shift and add."""
    taps = weight.shape[5]
    parts = conv3d(x, torch.cat(weight.unbind(5), 0), padding=taps // 2, stride=stride).chunk(taps, 1)
    out = parts[taps // 2][::stride].clone(memory_format=torch.preserve_format)
    for tap, first, source, count in _other_taps(x.shape[0], taps, stride):
        out[first : first + count] += parts[tap][source : source + (count - 1) * stride + 1 : stride]
    return out


def _other_taps(extent: int, taps: int, stride: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield tap, first output, the input it reads, and how many outputs follow, for all taps but the middle one."""
    margin = taps // 2
    for tap in range(taps):
        first = max(0, -((tap - margin) // stride))
        source = first * stride + tap - margin
        count = min((extent - 1 - source) // stride, (extent - 1) // stride - first) + 1
        if tap != margin and count > 0:
            yield tap, first, source, count


def matrix_product(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Multiply the channels by a matrix: what a kernel of extent one is."""
    if weight[0, 0].numel() != 1 or stride != 1:
        raise ValueError("`weight` must have a kernel of extent one, and `stride` must be 1")
    return (weight.flatten(1) @ x.flatten(2)).unflatten(2, x.shape[2:])


def composed(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Compute with this package's own pure-PyTorch backend."""
    with use_backend("composed"):
        return conv4d(x, weight, stride=stride, padding=weight.shape[5] // 2)


def time_in_batch(x: Tensor) -> Tensor:
    """``(1, C, H, W, D, T)`` to contiguous ``(T, C, H, W, D)``."""
    return x[0].permute(4, 0, 1, 2, 3).contiguous()


def time_in_batch_channels_last(x: Tensor) -> Tensor:
    """``(1, C, H, W, D, T)`` to ``(T, C, H, W, D)`` in ``channels_last_3d``."""
    return time_in_batch(x).contiguous(memory_format=torch.channels_last_3d)


def rows_in_batch(x: Tensor) -> Tensor:
    """``(1, C, H, W, D, T)`` to contiguous ``(H, C, W, D, T)``."""
    return x[0].permute(1, 0, 2, 3, 4).contiguous()


def rows_in_batch_channels_last(x: Tensor) -> Tensor:
    """``(1, C, H, W, D, T)`` to ``(H, C, W, D, T)`` in ``channels_last_3d``."""
    return rows_in_batch(x).contiguous(memory_format=torch.channels_last_3d)


def _from_time_in_batch(y: Tensor) -> Tensor:
    return y.permute(1, 2, 3, 4, 0)[None]


def _from_rows_in_batch(y: Tensor) -> Tensor:
    return y.permute(1, 0, 2, 3, 4)[None]


def rows_last(weight: Tensor) -> Tensor:
    """Reorder the taps H, W, D, T to W, D, T, H."""
    return weight.permute(0, 1, 3, 4, 5, 2).contiguous()


def channels_last(x: Tensor) -> Tensor:
    """``(N, C, H, W, D, T)`` laid in memory as N, T, H, W, D, C, as the composed backend keeps it."""
    return x.permute(FRAMES).contiguous().permute(FRAMES)


def _time(name: str, compute: Convolve, *, last: bool, dtype: torch.dtype = torch.float32) -> Method:
    lay_out = time_in_batch_channels_last if last else time_in_batch
    return Method(name, "torch", compute, lay_out, same, _from_time_in_batch, dtype)


def _rows(name: str, compute: Convolve, *, last: bool, dtype: torch.dtype = torch.float32) -> Method:
    lay_out = rows_in_batch_channels_last if last else rows_in_batch
    return Method(name, "torch", compute, lay_out, rows_last, _from_rows_in_batch, dtype)


COMPOSED = Method("composed backend", "torch", composed, channels_last, same, same)

ONE_SUM = _time("s2l: stacked inputs, channels last", stacked_inputs, last=True)

FORMULATIONS = (
    _time("s1: tap by tap", tap_by_tap, last=False),
    _time("s1l: tap by tap, channels last", tap_by_tap, last=True),
    ONE_SUM,
    _time("s3: stacked outputs", stacked_outputs, last=False),
    _time("s3l: stacked outputs, channels last", stacked_outputs, last=True),
    _rows("s42l: stacked inputs, H in the batch, channels last", stacked_inputs, last=True),
    _rows("s43l: stacked outputs, H in the batch, channels last", stacked_outputs, last=True),
    COMPOSED,
)
"""The best known ones, in float32; which of them is the best depends on the layer."""

FOR_LARGE = tuple(method for method in FORMULATIONS if "l:" in method.name)
"""Those worth their time on large layers, where ``channels_last_3d`` beats the plain layout, and where the composed
backend takes one of these forms."""

POINTWISE = (
    _time("conv3d", tap_by_tap, last=False),
    _time("conv3d, channels last", tap_by_tap, last=True),
    Method("matrix product", "torch", matrix_product, same, same, same, strides=(1,)),
    COMPOSED,
)
"""For kernels of extent one, where all formulations are the same."""

HALF = (
    _time("s1l: tap by tap, channels last", tap_by_tap, last=True, dtype=torch.bfloat16),
    _time("s3l: stacked outputs, channels last", stacked_outputs, last=True, dtype=torch.bfloat16),
    _rows("s42l: stacked inputs, H in the batch, channels last", stacked_inputs, last=True, dtype=torch.bfloat16),
    Method("composed backend", "torch", composed, channels_last, same, same, torch.bfloat16),
)
"""The best known ones in bfloat16."""
