# SPDX-License-Identifier: Apache-2.0
"""The memory layout of the composed backend: physically N, T, H, W, D, C.

A logical ``(N, C, H, W, D, T)`` tensor in this layout is a view of contiguous *frames* ``(N, T, H, W, D, C)``: batch
and time merge into one batch of 3D volumes, each in ``torch.channels_last_3d``, without a copy.
"""

from torch import Tensor


def to_frames(x: Tensor) -> Tensor:
    """View ``(N, C, H, W, D, T)`` as contiguous frames ``(N, T, H, W, D, C)``; copies only from another layout."""
    return x.permute(0, 5, 2, 3, 4, 1).contiguous()


def from_frames(frames: Tensor) -> Tensor:
    """View frames ``(N, T, H, W, D, C)`` as ``(N, C, H, W, D, T)``; never copies."""
    return frames.permute(0, 5, 2, 3, 4, 1)
