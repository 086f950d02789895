# SPDX-License-Identifier: Apache-2.0
"""Nearest-neighbour up-sampling by two on every axis, time included."""

import torch
from torch import Tensor, nn

from ..ops.fused import upsample_add
from ..ops.fusion import fuses_upsample_add
from ..ops.layout import from_frames, lies_as_frames


def upsample_nearest(x: Tensor) -> Tensor:
    """Repeat every voxel and frame twice on each axis but the first two.

    Args:
        x: ``(N, C, *size)`` with any number of axes.

    Returns:
        ``(N, C, *(2 * size))``, one copy, deterministic gradients. Four axes keep their memory layout (see
        :mod:`cardiac4d.ops.layout`); others come with the channels innermost, as ``layers.Conv3d`` returns them.

    Example:
        >>> import torch
        >>> upsample_nearest(torch.tensor([[[1, 2, 3]]]))
        tensor([[[1, 1, 2, 2, 3, 3]]])
    """
    return _upsample_like(x, x)


def _upsample_like(x: Tensor, layout: Tensor) -> Tensor:
    """Up-sample to the memory layout of another tensor: at an extent of one, ``x`` does not tell its own."""
    if x.dim() != 6:
        return _repeat_twice(x.movedim(1, -1), 1, x.dim() - 2).movedim(-1, 1)
    if lies_as_frames(layout):
        return from_frames(_repeat_twice(x.permute(0, 5, 2, 3, 4, 1), 1, 4))
    return _repeat_twice(x, 2, 5)


def _repeat_twice(x: Tensor, first: int, last: int) -> Tensor:
    """Double the axes from ``first`` to ``last``; the result is contiguous."""
    spread, size = list(x.shape), list(x.shape)
    for axis in range(last, first - 1, -1):
        x = x.unsqueeze(axis + 1)
        spread.insert(axis + 1, 2)
        size[axis] *= 2
    return x.expand(spread).reshape(size)


class UpsampleAdd(nn.Module):
    """Up-sample by two, crop to the skip connection and add it.

    A stride-2 convolution maps ``n`` to ``ceil(n / 2)``, so an odd axis comes back one longer than its skip; the
    surplus at the far end is cut off. That is how any size and any number of frames pass without padding.
    """

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Add ``x``, ``(N, C, *ceil(size / 2))``, to ``skip``, ``(N, C, *size)``."""
        if not torch.jit.is_scripting():  # noqa: SIM102  (TorchScript leaves out what stands under this condition alone)
            if fuses_upsample_add(x, skip):
                return upsample_add(x, skip)
        x = _upsample_like(x, skip)
        for axis in range(2, x.dim()):
            x = x.narrow(axis, 0, skip.shape[axis])
        return x + skip
