# SPDX-License-Identifier: Apache-2.0
"""The long axis of the left ventricle and its valve plane, from the shape of one frame.

The valve plane is where the cavity is open: the largest patch of faces between cavity and background. The apex is the
end of the cavity that lies farthest from the centre of the patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from ..conventions import LV
from .tissue import Body, faces_to_background, valve_faces

Vector = npt.NDArray[np.float64]

_FAR_SHARE: Final = 0.01
"""Share of the cavity, farthest from the base, whose mean direction is that of the apex."""


@dataclass(frozen=True, eq=False)
class LongAxis:
    """Where the ventricle lies, in RAS millimetres.

    Attributes:
        apex_mm: ``(3,)`` end of the cavity at the apex.
        base_mm: ``(3,)`` centre of the valve plane.
        valve_normal: ``(3,)`` unit normal of the valve plane, away from the cavity.
        source: ``"shape"`` or ``"given"``.
    """

    apex_mm: Vector
    base_mm: Vector
    valve_normal: Vector
    source: Literal["shape", "given"] = "shape"

    @classmethod
    def given(
        cls, apex_mm: Sequence[float], base_mm: Sequence[float], valve_normal: Sequence[float] | None = None
    ) -> LongAxis:
        """An axis by its two ends, and the valve plane across it unless its normal is given too.

        Raises:
            ValueError: if the points are no three finite numbers each, coincide, or the normal points to the apex.
        """
        apex, base = _point(apex_mm, "apex_mm"), _point(base_mm, "base_mm")
        if np.allclose(apex, base):
            raise ValueError(f"`apex_mm` and `base_mm` must differ, got {apex.tolist()} twice")
        normal = base - apex if valve_normal is None else _point(valve_normal, "valve_normal")
        if normal @ (base - apex) <= 0:
            raise ValueError(f"`valve_normal` must point away from the apex, got {normal.tolist()}")
        return cls(apex, base, unit(normal), "given")

    @property
    def length_mm(self) -> float:
        """From apex to base."""
        return float(np.linalg.norm(self.base_mm - self.apex_mm))

    @property
    def direction(self) -> Vector:
        """Unit vector from apex to base."""
        return unit(self.base_mm - self.apex_mm)


def find_long_axis(body: Body) -> LongAxis | None:
    """Find long axis and valve plane of one frame from its shape.

    Args:
        body: the ventricle, see :func:`~cardiac4d.measure.tissue.largest_body`.

    Returns:
        The axis; ``None`` where the cavity has no opening of at least 1 cm2 to the background.
    """
    mouth = valve_faces(faces_to_background(body))
    if mouth is None:
        return None
    base, normal = mouth.plane()
    return LongAxis(_apex_mm(body, base), base, normal)


def carried_over(given: LongAxis, found: LongAxis | None) -> LongAxis:
    """A given axis in another frame: the plane moves along the axis with the base found there, the directions stay.

    Args:
        given: axis at end-diastole.
        found: what the shape of the other frame says; ``None`` leaves the axis where it was.
    """
    if found is None:
        return given
    base = given.base_mm + given.direction * float((found.base_mm - given.base_mm) @ given.direction)
    apex = given.apex_mm + given.direction * float((found.apex_mm - given.apex_mm) @ given.direction)
    return replace(given, base_mm=base, apex_mm=apex) if (base - apex) @ given.direction > 0 else given


def unit(vector: Vector) -> Vector:
    """The vector divided by its length."""
    return np.asarray(vector / np.linalg.norm(vector))


def _apex_mm(body: Body, base_mm: Vector) -> Vector:
    """End of the cavity farthest from the base: the mean direction of its farthest voxels, as far as any reaches."""
    offsets = body.centers_mm(body.labels == LV) - base_mm
    distance = np.linalg.norm(offsets, axis=1)
    direction = unit(offsets[distance >= np.quantile(distance, 1 - _FAR_SHARE)].mean(axis=0))
    return np.asarray(base_mm + direction * float((offsets @ direction).max()))


def _point(values: Sequence[float], name: str) -> Vector:
    point = np.asarray(values, dtype=np.float64)
    if point.shape != (3,) or not np.isfinite(point).all() or (name == "valve_normal" and not point.any()):
        raise ValueError(f"`{name}` must hold three finite numbers in RAS millimetres, got {values!r}")
    return point
