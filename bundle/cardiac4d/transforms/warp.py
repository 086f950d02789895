# SPDX-License-Identifier: Apache-2.0
"""What transforms share that resample a sequence on a moved grid: the matrices, and one way to sample.

Points are counted in voxels from the centre of the array, as MONAI's ``Resample`` does. Frames go through it as
channels, so that all of them are sampled at the same points and none is mixed with another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Resample

from ..conventions import NOT_ANNOTATED


def output_to_input(turn: torch.Tensor, shift: Sequence[float], spacing_mm: Sequence[float]) -> torch.Tensor:
    """The matrix from a voxel of the result to one of the input.

    Args:
        turn: ``(n, n)``: how the content turns and grows, in millimetres.
        shift: ``(n,)``: voxels by which it then moves.
        spacing_mm: ``(n,)``: voxel size along these axes.

    Returns:
        ``(n + 1, n + 1)`` float64, homogeneous.
    """
    size = torch.tensor(spacing_mm, dtype=torch.float64)
    forward = torch.eye(len(size) + 1, dtype=torch.float64)
    forward[:-1, :-1] = turn.to(torch.float64) * size / size[:, None]
    forward[:-1, -1] = torch.tensor(shift, dtype=torch.float64)
    return forward.inverse()


def in_index_space(matrix: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """``matrix`` about the centre of an array of ``shape`` as 4 x 4 from index to index; axes left over stay."""
    n = len(shape)
    centre = (torch.tensor(shape, dtype=torch.float64) - 1) / 2
    index = torch.eye(4, dtype=torch.float64)
    index[:n, :n] = matrix[:n, :n]
    index[:n, 3] = matrix[:n, n] + centre - matrix[:n, :n] @ centre
    return index


def sample_channels(channels: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Sample every channel at the same points.

    Floating-point channels are interpolated linearly and hold their border value outside; integer channels are label
    maps: they take the nearest voxel and are 255 (not annotated) outside, and channels that are 255 throughout are
    passed over.

    Args:
        channels: ``(K, *space)``, two or three axes of space.
        points: ``(2 or 3, *new_space)`` or with a homogeneous row; its dtype is that of the computation.

    Returns:
        ``(K, *new_space)`` of the dtype of ``channels``.
    """
    if channels.is_floating_point():
        return _resample(channels, points, "bilinear", "border").to(channels.dtype)
    out = torch.full((len(channels), *points.shape[1:]), NOT_ANNOTATED, dtype=channels.dtype, device=channels.device)
    annotated = (channels != NOT_ANNOTATED).flatten(1).any(dim=1)
    if annotated.any():
        # The resampler can only fill with 0: complement, so that 0 means not annotated.
        complement = NOT_ANNOTATED - channels[annotated].to(torch.float32)
        out[annotated] = (NOT_ANNOTATED - _resample(complement, points, "nearest", "zeros")).to(channels.dtype)
    return out


def _resample(channels: torch.Tensor, points: torch.Tensor, mode: str, padding: str) -> torch.Tensor:
    dtype = np.float64 if points.dtype == torch.float64 else np.float32
    resample = Resample(mode=mode, padding_mode=padding, align_corners=False, dtype=dtype)
    sampled = resample(channels.contiguous(), points)
    # A new MetaTensor made from a MetaTensor would share the metadata of its source: unwrap.
    return sampled.as_tensor() if isinstance(sampled, MetaTensor) else sampled


def rewrapped(voxels: torch.Tensor, like: MetaTensor, index_map: torch.Tensor) -> MetaTensor:
    """``voxels`` with the metadata of ``like``; ``index_map`` (4 x 4) leads from its indices to those of ``like``."""
    out = MetaTensor(voxels.contiguous(), meta=like.meta, applied_operations=like.applied_operations)
    out.affine = like.affine.to(torch.float64) @ index_map
    return out
