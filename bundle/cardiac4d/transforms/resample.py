# SPDX-License-Identifier: Apache-2.0
"""Move one frame between two grids whose axes run along each other: separable, exact where nothing moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch

from ..geometry import GridMap

NEAREST: Final = "nearest"
LINEAR: Final = "bilinear"
"""Named as in MONAI, whose ``Invertd`` exchanges this name for ``nearest`` in the recorded transform."""

_CUTOFF_SIGMAS: Final = 4.0
_INTEGER_ATOL: Final = 1e-6


class FrameResampler:
    """Resample frames from ``grid_map.source`` to ``grid_map.target``.

    Linear interpolation with clamped borders is one small matrix per axis. Where an axis is down-sampled and
    ``anti_aliasing`` is set, a Gaussian of ``sigma = (step - 1) / 2`` source voxels is folded into that matrix (as in
    scikit-image's ``resize``). Axes that need no interpolation (flips, identity) are gathered, hence exact.

    Args:
        grid_map: from where to where.
        mode: ``"bilinear"`` (linear along each axis) or ``"nearest"`` (ties go to the higher index).
        anti_aliasing: smooth before down-sampling; images only, ignored by ``"nearest"``.
    """

    def __init__(self, grid_map: GridMap, mode: str = LINEAR, *, anti_aliasing: bool = True) -> None:
        if mode not in (LINEAR, NEAREST):
            raise ValueError(f"`mode` must be {LINEAR!r} or {NEAREST!r}, got {mode!r}")
        self.grid_map = grid_map
        self._axes = grid_map.axes
        planned = [_plan_axis(grid_map, k, mode, anti_aliasing) for k in range(3)]
        growth = [grid_map.target.shape[k] / grid_map.source.shape[self._axes[k]] for k in range(3)]
        self._steps = [(self._axes[k], planned[k]) for k in sorted(range(3), key=growth.__getitem__)]

    def __call__(self, frame: torch.Tensor) -> torch.Tensor:
        """Resample ``(H, W, D)``; linear interpolation takes and gives floating point, ``nearest`` any type."""
        if tuple(frame.shape) != self.grid_map.source.shape:
            raise ValueError(f"`frame` must have shape {self.grid_map.source.shape}, got {tuple(frame.shape)}")
        for axis, apply in self._steps:
            frame = apply(frame, axis)
        return frame.permute(self._axes)


def _plan_axis(
    grid_map: GridMap, target_axis: int, mode: str, anti_aliasing: bool
) -> Callable[[torch.Tensor, int], torch.Tensor]:
    coordinates = grid_map.coordinates(target_axis)
    size = grid_map.source.shape[grid_map.axes[target_axis]]
    nearest = np.floor(coordinates + 0.5)
    sigma = max(0.0, (abs(grid_map.steps[target_axis]) - 1.0) / 2.0) if anti_aliasing else 0.0
    is_exact = sigma == 0.0 and np.abs(coordinates - nearest).max() < _INTEGER_ATOL
    if mode == NEAREST or is_exact:
        return _gather(nearest.clip(0, size - 1).astype(np.int64), size)
    return _multiply(torch.from_numpy(interpolation_matrix(coordinates, size, sigma).astype(np.float32)))


def _gather(indices: np.ndarray, size: int) -> Callable[[torch.Tensor, int], torch.Tensor]:
    if np.array_equal(indices, np.arange(size)):
        return lambda frame, axis: frame
    positions = torch.from_numpy(indices)
    return lambda frame, axis: frame.index_select(axis, positions)


def _multiply(matrix: torch.Tensor) -> Callable[[torch.Tensor, int], torch.Tensor]:
    def apply(frame: torch.Tensor, axis: int) -> torch.Tensor:
        # Axes in the order of memory, so that no product copies the frame (files are Fortran-ordered).
        order = sorted(range(3), key=lambda a: frame.stride()[a], reverse=True)
        dense, weights, place = frame.permute(order), matrix.to(frame.dtype), order.index(axis)
        if place == 2:
            out = dense @ weights.T
        elif place == 1:
            out = weights @ dense
        else:
            out = (weights @ dense.flatten(1)).unflatten(1, dense.shape[1:])
        return out.permute([order.index(a) for a in range(3)])

    return apply


def interpolation_matrix(coordinates: np.ndarray, size: int, sigma: float) -> np.ndarray:
    """The matrix that takes ``size`` samples to their linear interpolation, after smoothing, at ``coordinates``.

    Args:
        coordinates: sample positions in voxels; those outside ``0..size - 1`` are clamped.
        size: number of samples.
        sigma: standard deviation of the Gaussian in voxels; 0 for none. Past the border it is cut off and renormalised.

    Returns:
        ``(len(coordinates), size)`` float64; each row sums to one.
    """
    positions = np.arange(size)
    inside = coordinates.clip(0, size - 1)
    linear = np.maximum(0.0, 1.0 - np.abs(inside[:, None] - positions))
    if sigma == 0.0:
        return linear
    distance = np.abs(positions[:, None] - positions) / sigma
    gaussian = np.where(distance <= _CUTOFF_SIGMAS, np.exp(-0.5 * distance**2), 0.0)
    return linear @ (gaussian / gaussian.sum(axis=1, keepdims=True))
