# SPDX-License-Identifier: Apache-2.0
"""Nearest-neighbour up-sampling by two on every axis, time included."""

from torch import Tensor, nn


def upsample_nearest(x: Tensor) -> Tensor:
    """Repeat every voxel and frame twice on each axis but the first two.

    Args:
        x: ``(N, C, *size)`` with any number of axes.

    Returns:
        ``(N, C, *(2 * size))``, in memory with the channels innermost; one copy, deterministic gradients.

    Example:
        >>> import torch
        >>> upsample_nearest(torch.tensor([[[1, 2, 3]]]))
        tensor([[[1, 1, 2, 2, 3, 3]]])
    """
    if x.dim() == 6:
        # Keep time outermost: the order that the composed convolution reads.
        return _repeat_twice(x.permute(0, 5, 2, 3, 4, 1)).permute(0, 5, 2, 3, 4, 1)
    return _repeat_twice(x.movedim(1, -1)).movedim(-1, 1)


def _repeat_twice(x: Tensor) -> Tensor:
    """``(N, *size, C)`` to contiguous ``(N, *(2 * size), C)``."""
    spread, size = list(x.shape), list(x.shape)
    for axis in range(x.dim() - 2, 0, -1):
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
        x = upsample_nearest(x)
        for axis in range(2, x.dim()):
            x = x.narrow(axis, 0, skip.shape[axis])
        return x + skip
