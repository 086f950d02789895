# SPDX-License-Identifier: Apache-2.0
"""Published 4D convolutions, written anew from their algorithms as baselines.

All of them loop over the first spatial axis. It is time here, which suits them best: few steps, large volumes. Inputs
are ``(1, C, T, H, W, D)``, weights ``(C_out, C_in, KT, KH, KW, KD)``. None has a bias here, as in the network; an
algorithm that is published with a fault is timed without it, see :data:`CORRECTIONS`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv3d, pad

from .methods import Convolve, Method


def loop_over_padded_frames(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """pvjosue/pytorch_convNd: pad time, then tap by tap and frame by frame, frames off the stride left out."""
    margin = weight.shape[2] // 2
    padded = pad(x, [0, 0] * 3 + [margin, margin])
    count = (x.shape[2] - 1) // stride + 1
    sums: list[Tensor | None] = [None] * count
    for tap, kernel in enumerate(weight.unbind(2)):
        for frame in range(padded.shape[2]):
            place, off_stride = divmod(frame - tap, stride)
            if off_stride or not 0 <= place < count:
                continue
            part = conv3d(padded[:, :, frame], kernel, stride=stride, padding=margin)
            sums[place] = part if sums[place] is None else sums[place].add_(part)  # type: ignore[union-attr]
    return torch.stack([total for total in sums if total is not None], 2)


def loop_over_real_frames(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """timothygebhard/pytorch-conv4d: tap by tap and frame by frame, sums that fall into the padding left out."""
    margin, count = weight.shape[2] // 2, x.shape[2]
    sums: list[Tensor | None] = [None] * count
    for tap, kernel in enumerate(weight.unbind(2)):
        for frame in range(count):
            place = frame - tap + margin
            if not 0 <= place < count:
                continue
            part = conv3d(x[:, :, frame], kernel, padding=margin)
            sums[place] = part if sums[place] is None else sums[place].add_(part)  # type: ignore[union-attr]
    return torch.stack([total for total in sums if total is not None], 2)


def fill_a_buffer(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """ignacio-rocco/ncnet: copy time to the front, pad it, and write frame by frame into a buffer of zeros."""
    frames, kernels = x.permute(2, 0, 1, 3, 4, 5).contiguous(), weight.permute(2, 0, 1, 3, 4, 5).contiguous()
    margin = kernels.shape[0] // 2
    edge = frames.new_zeros(margin, *frames.shape[1:])
    padded = torch.cat([edge, frames, edge])
    out = frames.new_zeros(*frames.shape[:2], kernels.shape[1], *frames.shape[3:])
    for frame in range(frames.shape[0]):
        out[frame] = conv3d(padded[frame + margin], kernels[margin], padding=margin)
        for step in range(1, margin + 1):
            out[frame] = out[frame] + conv3d(padded[frame + margin - step], kernels[margin - step], padding=margin)
            out[frame] = out[frame] + conv3d(padded[frame + margin + step], kernels[margin + step], padding=margin)
    return out.permute(1, 2, 0, 3, 4, 5).contiguous()


def one_call_per_tap(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """fzimmermann89/torchnd: pad time, then one convolution per tap with the frames in its batch, summed anew."""
    margin = weight.shape[2] // 2
    padded = pad(x, [0, 0] * 3 + [margin, margin])
    samples, count = x.shape[0], (x.shape[2] - 1) // stride + 1
    total: Tensor | None = None
    for tap, kernel in enumerate(weight.unbind(2)):
        read = padded[:, :, tap : tap + (count - 1) * stride + 1 : stride].transpose(1, 2).flatten(0, 1)
        part = conv3d(read, kernel, stride=stride, padding=margin)
        part = part.unflatten(0, (samples, count)).transpose(1, 2)
        total = part if total is None else total + part
    assert total is not None
    return total


def time_first(x: Tensor) -> Tensor:
    """``(..., H, W, D, T)`` to contiguous ``(..., T, H, W, D)``."""
    return x.permute(0, 1, 5, 2, 3, 4).contiguous()


def time_last(y: Tensor) -> Tensor:
    """View ``(..., T, H, W, D)`` as ``(..., H, W, D, T)``."""
    return y.permute(0, 1, 3, 4, 5, 2)


def _peer(name: str, compute: Convolve, strides: tuple[int, ...] = (1, 2)) -> Method:
    return Method(name, "peer", compute, time_first, time_first, time_last, strides=strides)


PEERS = (
    _peer("pvjosue/pytorch_convNd", loop_over_padded_frames),
    _peer("timothygebhard/pytorch-conv4d", loop_over_real_frames, strides=(1,)),
    _peer("fzimmermann89/torchnd", one_call_per_tap),
    _peer("ignacio-rocco/ncnet", fill_a_buffer, strides=(1,)),
)
"""In the order in which they are timed, as long as time is left."""

CORRECTIONS = {
    "timothygebhard/pytorch-conv4d": "adds the bias once per time tap; timed without bias",
    "ignacio-rocco/ncnet": "cannot compute gradients with respect to its input, because its buffer of zeros demands "
    "gradients itself; timed with a buffer that does not",
}
"""Faults of the published code that the timed form does not have."""

LEFT_OUT = (
    "im2col over four axes (FoldND-UnfoldND-ConvND, chanjure/conv4d) is left out: it copies the input 81 times, 24 GB "
    "at level 0. yaolubrain/Conv4D is left out: it knows one stride, padding and kernel, and few channels."
)
