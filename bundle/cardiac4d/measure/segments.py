# SPDX-License-Identifier: Apache-2.0
"""Wall thickness by region: basal, mid and apical ring, and the 17 segments of the American Heart Association.

Rings are thirds of the long axis, from the end of the cavity to the valve plane. Segments (Cerqueira et al.,
Circulation 2002;105:539) divide the rings around the axis, here counted from the septum towards the anterior wall:
six in the basal ring (1 to 6), six in the mid ring (7 to 12), four in the apical ring (13 to 16); 17 is the cap
beyond the cavity's end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .long_axis import LongAxis, unit
from .wall_thickness import ThicknessMap

Vector = npt.NDArray[np.float64]

RINGS: Final = ("basal", "mid", "apical")
NUM_SEGMENTS: Final = 17
# From the septum's middle towards the anterior wall, in sectors of 60 and 90 degrees.
_BASAL: Final = np.array([2, 1, 6, 5, 4, 3])
_APICAL: Final = np.array([14, 13, 16, 15])
_CAP: Final = 17


@dataclass(frozen=True)
class RegionalThickness:
    """Thickness of the wall in one frame, means over endocardial area.

    Attributes:
        mean_mm: of the whole wall below the valve plane.
        rings_mm: ``{"basal": ..., "mid": ..., "apical": ...}``; NaN without a long axis.
        segments_mm: of AHA segments 1 to 17, NaN where a segment holds no wall; ``None`` without a septal direction.
    """

    mean_mm: float
    rings_mm: dict[str, float]
    segments_mm: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Thickening:
    """Gain of the wall from end-diastole to end-systole, in percent of its thickness at end-diastole.

    Attributes:
        mean_percent: of the mean thickness.
        rings_percent: of each ring.
        segments_percent: of each segment; ``None`` without segments.
    """

    mean_percent: float
    rings_percent: dict[str, float]
    segments_percent: tuple[float, ...] | None = None


def thickening(ed: RegionalThickness, es: RegionalThickness) -> Thickening:
    """Compare the wall of two frames, region by region; NaN where either has none."""
    segments = None
    if ed.segments_mm is not None and es.segments_mm is not None:
        segments = tuple(_gain_percent(a, b) for a, b in zip(ed.segments_mm, es.segments_mm, strict=True))
    rings = {name: _gain_percent(ed.rings_mm[name], es.rings_mm[name]) for name in RINGS}
    return Thickening(_gain_percent(ed.mean_mm, es.mean_mm), rings, segments)


def _gain_percent(ed_mm: float, es_mm: float) -> float:
    return 100 * (es_mm - ed_mm) / ed_mm if ed_mm > 0 else float("nan")


def regional_thickness(found: ThicknessMap, axis: LongAxis | None, septal: Vector | None = None) -> RegionalThickness:
    """Average a thickness map over rings and segments.

    Args:
        found: thickness on the endocardium.
        axis: the frame's long axis; without it there are neither rings nor segments.
        septal: ``(3,)`` RAS direction from the cavity to the septum; without it there are no segments.

    Returns:
        The means.
    """
    if axis is None:
        return RegionalThickness(found.mean_mm(), dict.fromkeys(RINGS, float("nan")))
    third = np.clip(np.floor(3 * (1 - _heights(found.inner_mm, axis))), 0, 2)  # 0 is basal
    rings = {name: found.mean_mm(third == i) for i, name in enumerate(RINGS)}
    if septal is None:
        return RegionalThickness(found.mean_mm(), rings)
    number = segment_of(found, axis, septal)
    return RegionalThickness(found.mean_mm(), rings, tuple(found.mean_mm(number == s + 1) for s in range(NUM_SEGMENTS)))


def segment_of(found: ThicknessMap, axis: LongAxis, septal: Vector) -> npt.NDArray[np.intp]:
    """AHA segment, 1 to 17, of each point of a thickness map.

    A point belongs to the cap if its field line ends beyond the end of the cavity.

    Raises:
        ValueError: if the septal direction runs along the long axis.
    """
    height = _heights(found.inner_mm, axis)
    angle = np.degrees(_angles(found.inner_mm, axis, septal))
    third = np.clip(np.floor(3 * (1 - height)), 0, 2)
    sixth = _BASAL[(np.floor(angle / 60) % 6).astype(int)] + np.where(third == 1, 6, 0)
    quarter = _APICAL[(np.floor((angle + 45) / 90) % 4).astype(int)]
    segments = np.where(third == 2, quarter, sixth)
    return np.asarray(np.where(_heights(found.outer_mm, axis) < 0, _CAP, segments))


def septal_direction(rv_mm: Vector, axis: LongAxis) -> Vector:
    """The direction from the long axis to the right ventricle, across the axis.

    Args:
        rv_mm: ``(N, 3)`` RAS positions of the right ventricle's voxels.
        axis: long axis of the left ventricle.

    Raises:
        ValueError: if there are none, or their middle lies on the axis.
    """
    if not len(rv_mm):
        raise ValueError("`rv_mask` must mark at least one voxel of the right ventricle at end-diastole")
    return across_axis(rv_mm.mean(axis=0) - axis.apex_mm, axis)


def _heights(points_mm: Vector, axis: LongAxis) -> Vector:
    """Position along the long axis: 0 at the end of the cavity, 1 at the centre of the valve plane."""
    return np.asarray((points_mm - axis.apex_mm) @ axis.direction / axis.length_mm)


def _angles(points_mm: Vector, axis: LongAxis, septal: Vector) -> Vector:
    """Angle about the axis, radians: 0 at the septum, a quarter turn at the anterior wall."""
    across = across_axis(septal, axis)
    anterior = np.cross(axis.direction, across)  # base, septum, anterior wall: right-handed in every human heart in RAS
    offsets = points_mm - axis.apex_mm
    return np.asarray(np.arctan2(offsets @ anterior, offsets @ across))


def across_axis(direction: Vector, axis: LongAxis) -> Vector:
    """The unit vector across the long axis that comes closest to a direction.

    Raises:
        ValueError: if the direction runs along the axis.
    """
    across = direction - (direction @ axis.direction) * axis.direction
    if np.linalg.norm(across) < 0.1 * np.linalg.norm(direction) or not direction.any():
        raise ValueError(f"`septal_direction` must point across the long axis, got {direction.tolist()}")
    return unit(across)
