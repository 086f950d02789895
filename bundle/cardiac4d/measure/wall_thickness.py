# SPDX-License-Identifier: Apache-2.0
"""Thickness of the wall in 3D: the length of the field lines of Laplace's equation between its two surfaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from .laplace import field_directions
from .long_axis import LongAxis
from .tissue import Body
from .wall_grid import LEVEL, Volume, WallGrid, wall_grid

Points = npt.NDArray[np.float64]

_STEP_NODES: Final = 0.5
_LONGEST_MM: Final = 50.0
"""A field line longer than this has lost its way: no wall is that thick."""


@dataclass(frozen=True, eq=False)
class ThicknessMap:
    """Wall thickness on points of the endocardium.

    Attributes:
        inner_mm: ``(N, 3)`` points of the endocardium below the valve plane, RAS.
        outer_mm: ``(N, 3)`` the other end of the field line through each, on the epicardium.
        thickness_mm: ``(N,)`` length of the line.
        areas_mm2: ``(N,)`` share of each point in the endocardial area.
    """

    inner_mm: Points
    outer_mm: Points
    thickness_mm: Points
    areas_mm2: Points

    def mean_mm(self, chosen: npt.NDArray[np.bool_] | None = None) -> float:
        """Mean over the endocardial area, or over chosen points of it; NaN without any."""
        area = self.areas_mm2 if chosen is None else self.areas_mm2[chosen]
        thickness = self.thickness_mm if chosen is None else self.thickness_mm[chosen]
        return float(np.average(thickness, weights=area)) if area.sum() > 0 else float("nan")


def thickness_map(body: Body, axis: LongAxis | None, spacing_mm: float = 1.0) -> ThicknessMap:
    """Measure the wall of one frame.

    Args:
        body: the ventricle.
        axis: its valve plane: no field line crosses it. ``None`` for a ventricle without opening.
        spacing_mm: of the grid on which the equation is solved.

    Returns:
        Thickness at each endocardial point whose field line reaches the epicardium. Where the wall is missing, so that
        cavity meets background, it is 0.
    """
    grid = wall_grid(body, axis, spacing_mm)
    starts, areas = _endocardium(grid)
    ends, lengths = _follow(grid, field_directions(grid), starts)
    reached = np.isfinite(lengths)
    inner, outer = grid.to_mm(starts[reached]), grid.to_mm(ends[reached])
    return ThicknessMap(inner, outer, lengths[reached] * spacing_mm, areas[reached])


def _endocardium(grid: WallGrid) -> tuple[Points, Points]:
    """Points on the endocardium, ``(N, 3)`` node coordinates, and the area of each in mm2.

    Where it crosses the grid's edges. Along axis k a surface of unit normal n has ``|n_k|`` crossings per node area, so
    that each crossing stands for ``|n_k|`` of it: summed over the three axes, for the whole.
    """
    slopes: tuple[Volume, ...] = tuple(np.gradient(grid.cavity))
    points, shares = [], []
    for axis in range(3):
        crossing, near, far = _edges(grid.cavity, axis)
        here = np.argwhere(crossing).astype(np.float64)
        here[:, axis] += (LEVEL - near[crossing]) / (far - near)[crossing]
        normal = np.stack([_sample(slope, here) for slope in slopes], axis=1)
        points.append(here)
        shares.append(np.abs(normal[:, axis]) / np.maximum(np.linalg.norm(normal, axis=1), 1e-6))
    return np.concatenate(points), np.concatenate(shares) * grid.spacing_mm**2


def _edges(volume: Volume, axis: int) -> tuple[npt.NDArray[np.bool_], Volume, Volume]:
    """Which edges along an axis a surface crosses, and the occupancy at their two ends."""
    near, far = (np.take(volume, range(k, volume.shape[axis] - 1 + k), axis=axis) for k in (0, 1))
    return (near >= LEVEL) != (far >= LEVEL), near, far


def _follow(grid: WallGrid, directions: Volume, starts: Points) -> tuple[Points, Points]:
    """Follow the field from the endocardium until the epicardium: ends ``(N, 3)`` and lengths ``(N,)`` in nodes.

    Midpoint rule; the last step ends where the occupancy passes one half. Length NaN where it never does.
    """
    ends, lengths = starts.copy(), np.full(len(starts), np.nan)
    occupancy = _sample(grid.ventricle, starts)
    lengths[occupancy <= LEVEL] = 0.0
    alive = np.flatnonzero(occupancy > LEVEL)
    points, occupancy = starts[alive], occupancy[alive]
    for step in range(int(_LONGEST_MM / grid.spacing_mm / _STEP_NODES)):
        middle = points + 0.5 * _STEP_NODES * _directions_at(directions, points)
        there = points + _STEP_NODES * _directions_at(directions, middle)
        after = _sample(grid.ventricle, there)
        out = after <= LEVEL
        share = ((occupancy - LEVEL) / np.where(out, occupancy - after, 1.0))[out]
        lengths[alive[out]] = (step + share) * _STEP_NODES
        ends[alive[out]] = points[out] + share[:, None] * (there - points)[out]
        alive, points, occupancy = alive[~out], there[~out], after[~out]
        if not alive.size:
            break
    return ends, lengths


def _sample(volume: Volume, points: Points) -> Points:
    return np.asarray(map_coordinates(volume, points.T, order=1, mode="nearest"), dtype=np.float64)


def _directions_at(directions: Volume, points: Points) -> Points:
    """Unit vectors ``(N, 3)``; 0 where there is no field."""
    vectors = np.stack([_sample(component, points) for component in directions], axis=1)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
