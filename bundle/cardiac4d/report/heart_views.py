# SPDX-License-Identifier: Apache-2.0
"""How a cardiologist cuts a heart: axial levels, short axes from apex to base, long axes turned about the ventricle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..conventions import LV, LVM
from .cut_planes import CutPlane, Points, unit
from .montage import ventricle_planes

Array = npt.NDArray[np.generic]

MARGIN_MM = 22.0
"""Shown around the ventricle: the septum's other side, the atrium, the chest wall."""
SMALLEST_HALF_MM, LARGEST_HALF_MM = 30.0, 110.0
LEFT, BACK = np.array([-1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])


@dataclass(frozen=True)
class Cut:
    """One plane of a stack.

    Attributes:
        title: where it lies, in words.
        center_mm: RAS point at the centre of the picture.
        plane: its directions and its size.
    """

    title: str
    center_mm: Points
    plane: CutPlane


@dataclass(frozen=True)
class Stack:
    """Planes that belong to one slider.

    Attributes:
        key: short name, for ids.
        name: title of the view.
        slider: what its slider moves.
        cuts: from the first position to the last.
    """

    key: str
    name: str
    slider: str
    cuts: tuple[Cut, ...]


@dataclass(frozen=True)
class HeartAxis:
    """The long axis of a ventricle at end-diastole.

    Attributes:
        apex_mm: RAS point.
        base_mm: RAS point, centre of the valve plane.
        septum: RAS unit vector across the axis, from the cavity to the septum; a guess unless ``septum_known``.
        septum_known: the direction was measured or given.
    """

    apex_mm: Points
    base_mm: Points
    septum: Points
    septum_known: bool

    @property
    def toward_apex(self) -> Points:
        """RAS unit vector from base to apex."""
        return unit(self.apex_mm - self.base_mm)

    @property
    def center_mm(self) -> Points:
        """RAS point midway between apex and base."""
        return (self.apex_mm + self.base_mm) / 2


def heart_axis(document: Mapping[str, Any], labels: Array, affine: Points) -> HeartAxis | None:
    """The long axis that was measured, or without one the longest direction of the ventricle.

    Without a known septum the right of the body stands for it, across the axis: in most hearts the septum faces right
    and forward.

    Args:
        document: the measures of the study.
        labels: ``(H, W, D)`` at end-diastole.
        affine: ``(4, 4)``, voxel to RAS millimetres.

    Returns:
        ``None`` if neither the measures nor the labels hold a ventricle.
    """
    found = document.get("axis") or _axis_of_shape(labels, affine)
    if found is None:
        return None
    apex, base = np.asarray(found["apex_mm"], float), np.asarray(found["base_mm"], float)
    direction = found.get("septal_direction")
    along = unit(apex - base)
    wanted = np.asarray(direction, float) if direction is not None else np.cross(along, [0.0, 0.0, 1.0])
    across = wanted - (wanted @ along) * along
    if np.linalg.norm(across) < 1e-3:  # a heart that stands upright: any direction across it
        across = np.cross(along, [0.0, 1.0, 0.0])
    return HeartAxis(apex, base, unit(across), direction is not None)


def _axis_of_shape(labels: Array, affine: Points) -> dict[str, Any] | None:
    inside = np.argwhere(np.isin(labels, (LV, LVM)))
    if len(inside) < 3:
        return None
    center, planes = ventricle_planes(labels, affine)
    toward_apex = -planes[2].down
    along = (inside @ affine[:3, :3].T + affine[:3, 3] - center) @ toward_apex
    return {"apex_mm": center + along.max() * toward_apex, "base_mm": center + along.min() * toward_apex}


def heart_stacks(axis: HeartAxis | None, labels: Array, affine: Points, num_cuts: int) -> tuple[Stack, ...]:
    """The stacks of a study, all at one scale and the same for all frames, so that motion shows.

    Args:
        axis: from :func:`heart_axis`; ``None`` gives axial planes through the middle of the volume only.
        labels: ``(H, W, D)`` at end-diastole.
        affine: ``(4, 4)``, voxel to RAS millimetres.
        num_cuts: planes per stack, at least 1.

    Returns:
        Axial (radiological: the patient's right at the left), short axis (seen from the apex, septum at the left) and
        long axis (apex at the top, turned in equal steps over half a circle from the septum).
    """
    points = _points_of_interest(labels, affine)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    if axis is None:
        half_mm = _clip(float(np.ptp(points, axis=0).max()) / 2)
        return (_axial(middle, points, half_mm, num_cuts),)
    reach = float(np.linalg.norm(points - axis.center_mm, axis=1).max())
    half_mm = _clip(reach + MARGIN_MM)
    along, septum = axis.toward_apex, axis.septum
    short = CutPlane("short axis", -septum, np.cross(along, septum), half_mm)
    return (
        _axial(axis.center_mm, points, half_mm, num_cuts),
        Stack("short", "Short axis", "Level from apex to base", _short_cuts(axis, short, num_cuts)),
        Stack("long", "Long axis", "Turn about the axis", _long_cuts(axis, half_mm, num_cuts)),
    )


def _clip(half_mm: float) -> float:
    return min(max(half_mm, SMALLEST_HALF_MM), LARGEST_HALF_MM)


def _points_of_interest(labels: Array, affine: Points) -> Points:
    """Voxels of the ventricle, or the corners of the volume if there is none, in millimetres."""
    voxels = np.argwhere(np.isin(labels, (LV, LVM)))
    if not len(voxels):
        last = np.array(labels.shape) - 1
        voxels = np.array([[i, j, k] for i in (0, last[0]) for j in (0, last[1]) for k in (0, last[2])])
    return voxels @ affine[:3, :3].T + affine[:3, 3]


def _positions(num_cuts: int) -> list[float]:
    """Middles of equal parts of 0 .. 1."""
    return [(k + 0.5) / num_cuts for k in range(num_cuts)]


def _axial(center_mm: Points, points: Points, half_mm: float, num_cuts: int) -> Stack:
    low, high = float(points[:, 2].min()), float(points[:, 2].max())
    plane, cuts = CutPlane("axial", LEFT, BACK, half_mm), []
    for share in _positions(num_cuts):
        level = low + share * (high - low)
        offset = level - center_mm[2]
        where = "middle" if abs(offset) < 0.5 else f"{abs(offset):.0f} mm {'above' if offset > 0 else 'below'} middle"
        cuts.append(Cut(where, np.array([center_mm[0], center_mm[1], level]), plane))
    return Stack("axial", "Axial", "Level from foot to head", tuple(cuts))


def _short_cuts(axis: HeartAxis, plane: CutPlane, num_cuts: int) -> tuple[Cut, ...]:
    span = axis.base_mm - axis.apex_mm
    return tuple(
        Cut(f"{100 * share:.0f} % from apex to base", axis.apex_mm + share * span, plane)
        for share in _positions(num_cuts)
    )


def _long_cuts(axis: HeartAxis, half_mm: float, num_cuts: int) -> tuple[Cut, ...]:
    across, cuts = np.cross(axis.septum, axis.toward_apex), []
    for k in range(num_cuts):
        angle = math.pi * k / num_cuts
        right = -(math.cos(angle) * axis.septum + math.sin(angle) * across)
        plane = CutPlane("long axis", right, -axis.toward_apex, half_mm)
        reference = "septum" if axis.septum_known else "right of the body"
        cuts.append(Cut(f"{math.degrees(angle):.0f}° from the {reference}", axis.center_mm, plane))
    return tuple(cuts)
