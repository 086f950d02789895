# SPDX-License-Identifier: Apache-2.0
"""The two memory layouts of ``(N, C, H, W, D, T)``: plain contiguous, and frames.

The native CPU kernels work on plain contiguous tensors. The composed backend and the native kernels for CUDA work on
*frames*, contiguous ``(N, T, H, W, D, C)``, and their logical tensors are views of them: batch and time merge into one
batch of 3D volumes, each in ``torch.channels_last_3d``, without a copy. Converting a tensor costs about as much as
convolving it, so what stands between two convolutions follows the layout of what it is given, by
:func:`lies_as_frames`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def lies_as_frames(x: Tensor) -> bool:
    """Tell which layout ``(N, C, H, W, D, T)`` is in or nearer to: in frames channels lie closer together than time.

    Strides decide, and not contiguity: a tensor with axes of extent one can be contiguous in both.
    """
    return x.stride(1) < x.stride(5)


def to_frames(x: Tensor) -> Tensor:
    """View ``(N, C, H, W, D, T)`` as contiguous frames ``(N, T, H, W, D, C)``; copies only from another layout."""
    return x.permute(0, 5, 2, 3, 4, 1).contiguous()


def from_frames(frames: Tensor) -> Tensor:
    """View frames ``(N, T, H, W, D, C)`` as ``(N, C, H, W, D, T)``; never copies."""
    return frames.permute(0, 5, 2, 3, 4, 1)


def are_frames(x: Tensor) -> bool:
    """Tell whether :func:`to_frames` would copy nothing."""
    return x.permute(0, 5, 2, 3, 4, 1).is_contiguous()


def as_kernels_want(x: Tensor) -> Tensor:
    """Bring ``(N, C, H, W, D, T)`` into the layout of the native kernels for its device; copies only if need be."""
    return from_frames(to_frames(x)) if kernels_want_frames(x) else x.contiguous()


def lies_as_kernels_want(x: Tensor) -> bool:
    """Tell whether :func:`as_kernels_want` would copy nothing."""
    return are_frames(x) if kernels_want_frames(x) else x.is_contiguous()


def kernels_want_frames(x: Tensor) -> bool:
    """Tell which of the two layouts the native kernels for the device of ``x`` work on."""
    return x.device.type == "cuda"


def new_empty_for_kernels(like: Tensor, size: Sequence[int], dtype: torch.dtype | None = None) -> Tensor:
    """Allocate ``(N, C, H, W, D, T)`` as the native kernels for the device of ``like`` allocate their results."""
    if not kernels_want_frames(like):
        return like.new_empty(list(size), dtype=dtype)
    batch, channels, *space, frames = size
    return from_frames(like.new_empty([batch, frames, *space, channels], dtype=dtype))
