# SPDX-License-Identifier: Apache-2.0
"""Affines and voxel grids, and the map from one grid to another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final, TypeAlias

import numpy as np
import torch

Array: TypeAlias = "np.ndarray | torch.Tensor"
Spacing: TypeAlias = "Sequence[float | None] | None"
"""Target spacing in millimetres per axis; ``None`` (for one axis or for all) keeps the study's own."""

_NEGATIVE_POSITIVE: Final = (("L", "R"), ("P", "A"), ("I", "S"))


def spacing_from_affine(affine: Array) -> np.ndarray:
    """Voxel spacing in millimetres: the lengths of the affine's columns."""
    return np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)


def voxel_volume_ml(affine: Array) -> float:
    """Volume of one voxel in millilitres, from the determinant: right for oblique and sheared grids too.

    Example:
        >>> round(voxel_volume_ml(np.diag([-0.5, 0.5, 2.0, 1.0])), 9)
        0.0005
    """
    return abs(float(np.linalg.det(np.asarray(affine, dtype=np.float64)[:3, :3]))) / 1000.0


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a volume lie.

    Args:
        shape: ``(H, W, D)``.
        affine: 4x4, voxel index to RAS millimetres.
    """

    shape: tuple[int, ...]
    affine: np.ndarray

    @property
    def spacing_mm(self) -> np.ndarray:
        """Voxel spacing per array axis, millimetres."""
        return spacing_from_affine(self.affine)

    def distance_mm(self, other: Grid) -> float:
        """Largest distance between equal corners of the two grids; infinite where the shapes differ."""
        if self.shape != other.shape:
            return math.inf
        last = np.array(self.shape) - 1
        corners = np.array([[i, j, k, 1] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])])
        return float(np.linalg.norm(corners @ (self.affine - other.affine).T, axis=1).max())


@dataclass(frozen=True, eq=False)
class GridMap:
    """How the axes of a ``target`` grid run through a ``source`` grid.

    Args:
        source: grid of the data at hand.
        target: grid wanted.
        axes: source axis that runs along each target axis.
        offsets: source index of the first target voxel, per target axis.
        steps: source voxels per target voxel, per target axis; negative where the axis is flipped.
    """

    source: Grid
    target: Grid
    axes: tuple[int, ...]
    offsets: tuple[float, ...]
    steps: tuple[float, ...]

    def coordinates(self, target_axis: int) -> np.ndarray:
        """Source index of every target voxel along ``target_axis``, float64, not clamped."""
        return self.offsets[target_axis] + self.steps[target_axis] * np.arange(self.target.shape[target_axis])

    def inverse(self) -> GridMap:
        """The map that takes data on ``target`` back to ``source``."""
        back = [self.axes.index(axis) for axis in range(3)]
        offsets, steps = [-self.offsets[k] / self.steps[k] for k in back], [1.0 / self.steps[k] for k in back]
        return GridMap(self.target, self.source, tuple(back), tuple(offsets), tuple(steps))


def closest_axes(affine: Array) -> tuple[tuple[int, int], ...]:
    """The anatomical axis (0 left-right, 1 posterior-anterior, 2 inferior-superior) and sign of each array axis."""
    directions = np.asarray(affine, dtype=np.float64)[:3, :3] / spacing_from_affine(affine)
    best = max(permutations(range(3)), key=lambda order: sum(abs(directions[w, a]) for a, w in enumerate(order)))
    return tuple((world, 1 if directions[world, axis] > 0 else -1) for axis, world in enumerate(best))


def axis_codes(affine: Array) -> str:
    """Closest anatomical orientation of the array axes, such as ``"RAS"``.

    Example:
        >>> axis_codes(np.diag([-0.5, 0.5, 2.0, 1.0]))
        'LAS'
    """
    return "".join(_NEGATIVE_POSITIVE[world][sign > 0] for world, sign in closest_axes(affine))


def _reorientation(affine: np.ndarray, orientation: str | None) -> list[tuple[int, bool]]:
    """Source axis and flip for each target axis."""
    if orientation is None:
        return [(axis, False) for axis in range(3)]
    wanted = [next((w for w, pair in enumerate(_NEGATIVE_POSITIVE) if c in pair), -1) for c in orientation.upper()]
    if sorted(wanted) != [0, 1, 2]:
        raise ValueError(f"`orientation` must name each of L/R, P/A and I/S once, such as 'RAS', got {orientation!r}")
    present = {world: (axis, sign) for axis, (world, sign) in enumerate(closest_axes(affine))}
    signs = [1 if code in "RAS" else -1 for code in orientation.upper()]
    return [(present[w][0], present[w][1] != sign) for w, sign in zip(wanted, signs, strict=True)]


def _check_spacing(spacing_mm: Spacing) -> tuple[float | None, ...]:
    if spacing_mm is None:
        return (None, None, None)
    if len(spacing_mm) != 3 or any(s is not None and not (math.isfinite(s) and s > 0) for s in spacing_mm):
        raise ValueError(f"`spacing_mm` must hold three positive numbers or nulls, got {spacing_mm!r}")
    return tuple(spacing_mm)


def plan_grid(source: Grid, spacing_mm: Spacing = (1.0, 1.0, 1.0), orientation: str | None = "RAS") -> GridMap:
    """The grid of a wanted spacing and orientation over the same field of view, and the map to it.

    Args:
        source: the study's own grid.
        spacing_mm: target spacing along the *target* axes; ``None`` for an axis, or for all, keeps the study's own.
        orientation: three letters, one of each of L/R, P/A, I/S; ``None`` keeps the study's axes and signs.

    Returns:
        The map from ``source`` to the target grid.

    Raises:
        ValueError: if ``spacing_mm`` or ``orientation`` is not admissible.

    Example:
        >>> plan_grid(Grid((5, 5, 3), np.diag([-0.5, 0.5, 2.0, 1.0]))).target.shape
        (3, 3, 5)
    """
    wanted, order = _check_spacing(spacing_mm), _reorientation(source.affine, orientation)
    shape, offsets, steps = [], [], []
    for (axis, flip), new in zip(order, wanted, strict=True):
        last = source.shape[axis] - 1
        step = 1.0 if new is None else new / source.spacing_mm[axis]
        shape.append(round(last / step) + 1)
        offsets.append(float(last) if flip else 0.0)
        steps.append(-step if flip else step)
    axes = tuple(axis for axis, _ in order)
    to_source = np.eye(4)
    to_source[:3, :3] = 0
    to_source[list(axes), range(3)] = steps
    to_source[list(axes), 3] = offsets
    target = Grid(tuple(shape), source.affine @ to_source)
    return GridMap(source, target, axes, tuple(offsets), tuple(steps))
