# SPDX-License-Identifier: Apache-2.0
"""Implicit solids: a scalar field that is negative inside, and a tight bounding box in any rotated frame.

Coordinates are millimetres in whatever frame the solid is placed in; fields are evaluated on broadcastable arrays in
the precision of their input. The scale of a field is free: rendering divides by its gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float, float]
Array = NDArray[np.floating]


class Solid(Protocol):
    """Anything with a field (negative inside) and a bounding box."""

    def field(self, x: Array, y: Array, z: Array) -> Array:
        """Signed field at points of broadcastable coordinates, negative inside."""

    def bounds(self, rotation: Array) -> tuple[Array, Array]:
        """Centre ``(3,)`` in the own frame and half extents ``(3,)`` along the rows of ``rotation`` ``(3, 3)``."""


@dataclass(frozen=True)
class Ellipsoid:
    """Axis-aligned ellipsoid."""

    center_mm: Point
    semi_axes_mm: Point

    def field(self, x: Array, y: Array, z: Array) -> Array:
        """``sum(((p - center) / semi_axis)^2) - 1``."""
        (cx, cy, cz), (ax, ay, az) = self.center_mm, self.semi_axes_mm
        return ((x - cx) * (1 / ax)) ** 2 + ((y - cy) * (1 / ay)) ** 2 + ((z - cz) * (1 / az)) ** 2 - 1

    def bounds(self, rotation: Array) -> tuple[Array, Array]:
        """Centre, and the support of the rotated ellipsoid along each axis."""
        return np.array(self.center_mm), np.sqrt(rotation**2 @ np.square(self.semi_axes_mm))

    def grown(self, margin_mm: float) -> Ellipsoid:
        """The ellipsoid with every semi-axis longer by ``margin_mm``."""
        ax, ay, az = self.semi_axes_mm
        return Ellipsoid(self.center_mm, (ax + margin_mm, ay + margin_mm, az + margin_mm))


@dataclass(frozen=True)
class Tube:
    """Round-ended tube from ``start_mm`` to ``end_mm``, its radius linear between the ends."""

    start_mm: Point
    end_mm: Point
    radius_start_mm: float
    radius_end_mm: float

    def field(self, x: Array, y: Array, z: Array) -> Array:
        """Distance to the axis segment minus the local radius, in millimetres."""
        (sx, sy, sz), axis = self.start_mm, np.subtract(self.end_mm, self.start_mm)
        ux, uy, uz = (float(c) for c in axis / (axis @ axis))
        dx, dy, dz = x - sx, y - sy, z - sz
        along = np.clip(dx * ux + dy * uy + dz * uz, 0, 1)
        ax, ay, az = (float(c) for c in axis)
        distance = np.sqrt((dx - along * ax) ** 2 + (dy - along * ay) ** 2 + (dz - along * az) ** 2)
        return distance - (self.radius_start_mm + along * (self.radius_end_mm - self.radius_start_mm))

    def bounds(self, rotation: Array) -> tuple[Array, Array]:
        """Middle of the axis, and the box around two equal end spheres."""
        start, end = np.array(self.start_mm), np.array(self.end_mm)
        half = np.abs(rotation @ (end - start)) / 2
        return (start + end) / 2, half + max(self.radius_start_mm, self.radius_end_mm)

    def grown(self, margin_mm: float) -> Tube:
        """The tube with its radius larger by ``margin_mm``."""
        return Tube(self.start_mm, self.end_mm, self.radius_start_mm + margin_mm, self.radius_end_mm + margin_mm)


def tube(points_mm: list[Point], radii_mm: list[float]) -> list[Tube]:
    """A bent tube as the chain of its straight pieces."""
    ends = list(zip(points_mm, radii_mm, strict=True))
    return [Tube(p, q, r, s) for (p, r), (q, s) in pairwise(ends)]
