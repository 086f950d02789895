# SPDX-License-Identifier: Apache-2.0
"""Put labels that cover a part of a grid, in any order of its axes, onto it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import Grid
from .same_grid import GRID_TOLERANCE


def paste_labels(path: Path, target: np.ndarray, grid: Grid, labels: np.ndarray, affine: np.ndarray) -> None:
    """Write the voxels of ``labels`` that are not 0 into ``target``, where each lies on a voxel of ``grid``.

    Args:
        path: the file that ``labels`` come from, for messages.
        target: ``grid.shape``; changed in place.
        grid: of ``target``.
        labels: ``(i, j, k)``; its axes may be those of ``grid`` in another order or direction, and cover a part.
        affine: 4x4, index in ``labels`` to RAS millimetres.

    Raises:
        InputError: if voxels lie between those of ``grid`` or outside, or one has two labels.
    """
    indices = np.argwhere(labels)
    exact = indices @ (np.linalg.inv(grid.affine) @ affine)[:3, :3].T + (np.linalg.inv(grid.affine) @ affine)[:3, 3]
    places = np.rint(exact).astype(np.int64)
    distance = np.linalg.norm((exact - places) @ grid.affine[:3, :3].T, axis=1).max(initial=0.0)
    if distance > GRID_TOLERANCE * grid.spacing_mm.min():
        problem = f"its voxels lie up to {distance:.3g} mm from those of its image"
        raise InputError(path, problem, "resample the label onto the image's grid with nearest-neighbour interpolation")
    if ((places < 0) | (places >= grid.shape)).any():
        raise InputError(path, "it holds structures outside of its image", "give the label of this image")
    at, values = tuple(places.T), labels[tuple(indices.T)]
    if (~np.isin(target[at], (0,)) & (target[at] != values)).any():
        fix = "export segments that do not overlap"
        raise InputError(path, "segments overlap, but a voxel can be of one structure only", fix)
    target[at] = values
