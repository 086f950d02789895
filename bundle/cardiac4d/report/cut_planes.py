# SPDX-License-Identifier: Apache-2.0
"""Planes through a volume, free in space: where their pixels lie, in millimetres and in voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))
"""Names of the negative and the positive direction of each RAS axis."""

OBLIQUE = 0.4
"""A second letter is named where its share of a unit vector is at least this: 24 degrees off the first axis."""


@dataclass(frozen=True)
class CutPlane:
    """A square plane, free in space.

    Attributes:
        name: as in the title of its picture.
        right: RAS unit vector from left to right in the picture.
        down: RAS unit vector from top to bottom.
        half_width_mm: from the centre to each edge.
    """

    name: str
    right: Points
    down: Points
    half_width_mm: float

    def points_mm(self, center_mm: Points, step_mm: float) -> Points:
        """RAS points ``(rows, columns, 3)`` of the picture's pixels."""
        ticks = np.arange(-self.half_width_mm, self.half_width_mm + step_mm / 2, step_mm)
        return center_mm + ticks[:, None, None] * self.down + ticks[None, :, None] * self.right

    @property
    def letters(self) -> str:
        """What stands at the left, right, top and bottom edge, separated by blanks, such as ``"R L A P"``."""
        return " ".join(map(direction_letters, (-self.right, self.right, -self.down, self.down)))


def direction_letters(direction: Points) -> str:
    """The anatomical name of a RAS direction: one letter, or two where it is oblique.

    Example:
        >>> direction_letters(np.array([-0.8, 0.6, 0.0])), direction_letters(np.array([0.0, 0.1, -0.99]))
        ('LA', 'I')
    """
    order = np.argsort(-np.abs(direction), kind="stable")
    named = [axis for rank, axis in enumerate(order) if rank == 0 or abs(direction[axis]) >= OBLIQUE]
    return "".join(LETTERS[axis][int(direction[axis] > 0)] for axis in named[:2])


def voxel_indices(points_mm: Points, affine: Points) -> Points:
    """Array indices ``(3, ...)`` of RAS points ``(..., 3)``."""
    inverse = np.linalg.inv(affine)
    return np.moveaxis(points_mm @ inverse[:3, :3].T + inverse[:3, 3], -1, 0)


def unit(vector: Points) -> Points:
    """The vector at length one."""
    return vector / np.linalg.norm(vector)
