# SPDX-License-Identifier: Apache-2.0
"""Viewing planes: which slice of a volume in any orientation is shown, and which way up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..geometry import closest_axes, spacing_from_affine

Array = npt.NDArray[np.generic]

MARGIN_MM = 25.0


@dataclass(frozen=True)
class Plane:
    """One viewing plane of a volume in RAS order, drawn in radiological convention.

    Attributes:
        name: as in the title.
        normal: RAS axis that the plane is cut across.
        horizontal: RAS axis that runs from left to right, high end first.
        vertical: RAS axis that runs from top to bottom, high end first.
        letters: what stands at the left, right, top and bottom edge.
    """

    name: str
    normal: int
    horizontal: int
    vertical: int
    letters: str


PLANES = (Plane("axial", 2, 0, 1, "RLAP"), Plane("coronal", 1, 0, 2, "RLSI"), Plane("sagittal", 0, 1, 2, "APSI"))


def to_ras(volume: Array, affine: Array) -> Array:
    """Turn the axes of ``(H, W, D)`` so that they run right, anterior and superior, without resampling.

    Args:
        volume: ``(H, W, D)``.
        affine: ``(4, 4)``, voxel to RAS millimetres; an oblique grid takes its nearest axes.

    Returns:
        A view of ``volume``.
    """
    axes = closest_axes(affine)
    flipped = volume[tuple(slice(None, None, sign) for _, sign in axes)]
    return flipped.transpose(_source_axes(affine))


def _source_axes(affine: Array) -> tuple[int, ...]:
    """The array axis that runs along each RAS axis."""
    worlds = [world for world, _ in closest_axes(affine)]
    return tuple(worlds.index(world) for world in range(3))


@dataclass(frozen=True)
class View:
    """What part of a volume in RAS order is shown.

    Attributes:
        box: index range along each axis.
        centre: the planes run through this voxel.
        spacing_mm: along each axis.
    """

    box: tuple[slice, ...]
    centre: tuple[int, ...]
    spacing_mm: tuple[float, ...]

    def cut(self, volume: Array, plane: Plane) -> Array:
        """The picture ``(rows, columns)`` of a plane: first row at the top, first column at the left."""
        index: list[slice | int] = list(self.box)
        index[plane.normal] = self.centre[plane.normal]
        picture = volume[tuple(index)]
        return picture[::-1, ::-1].T

    def half_width_mm(self) -> float:
        """Half of what the longest side of the box measures: pictures of this size hold every plane of it."""
        sides = [(part.stop - part.start) * s for part, s in zip(self.box, self.spacing_mm, strict=True)]
        return max(sides) / 2

    def limits(self, plane: Plane, shape: tuple[int, ...]) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where a picture begins and ends in its own pixels, so that all planes come out square and at one scale.

        Args:
            plane: one of :data:`PLANES`.
            shape: rows and columns of its picture.

        Returns:
            Left and right, then bottom and top; beyond the picture there is nothing.
        """
        (rows, columns), half = shape, self.half_width_mm()
        across, down = half / self.spacing_mm[plane.horizontal], half / self.spacing_mm[plane.vertical]
        middle_x, middle_y = (columns - 1) / 2, (rows - 1) / 2
        return (middle_x - across, middle_x + across), (middle_y + down, middle_y - down)

    def aspect(self, plane: Plane) -> float:
        """Height of a pixel over its width."""
        return self.spacing_mm[plane.vertical] / self.spacing_mm[plane.horizontal]


def view_around(foreground: npt.NDArray[np.bool_], affine: Array) -> View:
    """The planes through the middle of a structure, with 25 mm around it.

    Args:
        foreground: ``(H, W, D)``, with at least one voxel.
        affine: ``(4, 4)``, voxel to RAS millimetres.
    """
    spacing = tuple(spacing_from_affine(affine)[list(_source_axes(affine))].tolist())
    turned = to_ras(foreground, affine)
    voxels = np.argwhere(turned)
    margin = np.ceil(MARGIN_MM / np.array(spacing)).astype(int)
    low, high = np.maximum(voxels.min(0) - margin, 0), np.minimum(voxels.max(0) + margin + 1, turned.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    centre = tuple(int(c) for c in np.round(voxels.mean(0)))
    return View(box, centre, spacing)
