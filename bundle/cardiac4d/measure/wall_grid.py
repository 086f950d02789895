# SPDX-License-Identifier: Apache-2.0
"""The wall on a fine, isotropic grid that ends at the valve plane, its two surfaces known between the voxels.

Steps of the voxels are removed by a Gaussian of 0.7 voxels along each axis of the study's own grid: less than a
thousandth of the sampling's first harmonic is left. A Gaussian moves a curved surface inwards by half its variance
times the curvature, so it is applied as ``2 G - G G``, whose variance is zero. The surfaces are where the smoothed
share of cavity, and of cavity and muscle together, is one half.

The base is cut, not closed: the last layer lies a voxel below the valve plane, where the Gaussian does not reach it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, map_coordinates

from ..conventions import BACKGROUND, LV, LVM
from .long_axis import LongAxis, unit
from .tissue import Body

Volume = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

SIGMA_VOXELS: Final = 0.7
_MARGIN_VOXELS: Final = 4
FEWEST_VOXELS: Final = 3
"""Along each axis: across two slices nothing tells where the ventricle ends between them, and a wall of 9 mm comes out
as 4 mm; across three it is known to 0.4 mm."""
LEVEL: Final = 0.5
"""The surfaces are where an occupancy passes this."""


@dataclass(frozen=True, eq=False)
class WallGrid:
    """Smoothed occupancies of one frame.

    Attributes:
        cavity: ``(X, Y, Z)`` above one half inside the endocardium.
        ventricle: ``(X, Y, Z)`` above one half inside the epicardium.
        spacing_mm: of the grid, the same along each axis.
        rotation: ``(3, 3)`` its columns are the grid's axes in RAS; the third is the normal of the valve plane.
        origin_mm: ``(3,)`` RAS position of voxel (0, 0, 0).
    """

    cavity: Volume
    ventricle: Volume
    spacing_mm: float
    rotation: Points
    origin_mm: Points

    def to_mm(self, indices: Points) -> Points:
        """RAS positions ``(N, 3)`` of grid indices ``(N, 3)``."""
        return indices * self.spacing_mm @ self.rotation.T + self.origin_mm


def has_wall(body: Body) -> bool:
    """Whether a ventricle has cavity and muscle, and spans enough voxels for its wall to be measured."""
    both = (body.labels == LV).any() and (body.labels == LVM).any()
    return bool(both) and body.fewest_voxels >= FEWEST_VOXELS


def wall_grid(body: Body, axis: LongAxis | None, spacing_mm: float) -> WallGrid:
    """Bring one frame onto the grid.

    Args:
        body: the ventricle.
        axis: its valve plane; ``None`` for a ventricle without opening, which is measured all around.
        spacing_mm: of the grid.

    Returns:
        The grid; its last layer lies half a node below the cut, which is one voxel below the valve plane, where no
        voxel mixes both sides.
    """
    rotation = np.eye(3) if axis is None else frame_along(axis.valve_normal)
    voxel_mm = np.abs(rotation.T @ body.affine[:3, :3])
    padded = np.pad(body.labels, _MARGIN_VOXELS)
    first = body.affine[:3, 3] - body.affine[:3, :3].sum(axis=1) * _MARGIN_VOXELS
    top = np.inf if axis is None else float(axis.base_mm @ rotation[:, 2] - voxel_mm[2].max())
    origin, shape = _box(body, rotation, top, spacing_mm, 2 * voxel_mm.max(axis=1))
    to_index = np.linalg.inv(body.affine[:3, :3])
    where = _coordinates(shape, to_index @ rotation * spacing_mm, to_index @ (origin - first))
    cavity, ventricle = (
        map_coordinates(_smoothed(mask), where, order=1, mode="nearest")
        for mask in (padded == LV, padded != BACKGROUND)
    )
    return WallGrid(cavity, ventricle, spacing_mm, rotation, origin)


def frame_along(direction: Points) -> Points:
    """``(3, 3)`` right-handed rotation whose third column is ``direction``; the other two are arbitrary."""
    third = unit(direction)
    first = unit(np.cross(np.eye(3)[np.abs(third).argmin()], third))
    return np.stack([first, np.cross(third, first), third], axis=1)


def _box(
    body: Body, rotation: Points, top: float, spacing_mm: float, margin_mm: Points
) -> tuple[Points, tuple[int, int, int]]:
    """RAS position of the first node, and number of nodes, of a box around the ventricle that ends at ``top``."""
    local = body.centers_mm(body.labels != BACKGROUND) @ rotation
    low, high = local.min(axis=0) - margin_mm, local.max(axis=0) + margin_mm
    counts = np.maximum(np.ceil((high - low) / spacing_mm), 3).astype(int) + 1
    if np.isfinite(top):
        counts[2] = max(3, int((top - low[2]) / spacing_mm + 0.5))
        low[2] = top - (counts[2] - 0.5) * spacing_mm
    return rotation @ low, (int(counts[0]), int(counts[1]), int(counts[2]))


def _coordinates(shape: tuple[int, int, int], steps: Points, start: Points) -> Volume:
    """``(3, X, Y, Z)`` voxel index of each node: ``steps`` per node along each grid axis, from ``start``."""
    x, y, z = np.ix_(*(np.arange(n) for n in shape))
    return np.stack([start[k] + steps[k, 0] * x + steps[k, 1] * y + steps[k, 2] * z for k in range(3)]).astype(
        np.float32
    )


def _smoothed(mask: npt.NDArray[np.bool_]) -> Volume:
    """Share of a mask around each voxel by ``2 G - G G``."""
    once = gaussian_filter(mask.astype(np.float32), SIGMA_VOXELS)
    return np.asarray(2 * once - gaussian_filter(once, SIGMA_VOXELS))
