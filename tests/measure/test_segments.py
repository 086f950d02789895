# SPDX-License-Identifier: Apache-2.0
"""Rings and AHA segments of points whose place around the axis is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cardiac4d.measure import LongAxis
from cardiac4d.measure.segments import (
    RegionalThickness,
    across_axis,
    regional_thickness,
    segment_of,
    septal_direction,
    thickening,
)
from cardiac4d.measure.wall_thickness import ThicknessMap

# A heart that points to the left, front and foot, as hearts do: septum to the right and front.
AXIS = LongAxis.given([0, 0, 0], [50.0, -45.0, 40.0])
SEPTUM = across_axis(np.array([1.0, 1.0, 0.0]), AXIS)
ANTERIOR = np.cross(AXIS.direction, SEPTUM)


def point(height: float, degrees_: float) -> np.ndarray:
    around = math.cos(math.radians(degrees_)) * SEPTUM + math.sin(math.radians(degrees_)) * ANTERIOR
    return height * AXIS.length_mm * AXIS.direction + 20 * around


def thickness_at(places: list[tuple[float, float]], thickness: list[float] | None = None) -> ThicknessMap:
    inner = np.array([point(*place) for place in places])
    values = np.ones(len(places)) if thickness is None else np.array(thickness)
    return ThicknessMap(inner, inner * 1.0, values, np.ones(len(places)))


def test_anterior_wall_lies_up_and_front_of_a_human_heart() -> None:
    assert ANTERIOR[2] > 0.5, "towards the head"


# Cerqueira 2002, figure 4: 1 anterior, 2 anteroseptal, 3 inferoseptal, 4 inferior, 5 inferolateral, 6 anterolateral;
# 13 anterior, 14 septal, 15 inferior, 16 lateral.
@pytest.mark.parametrize(
    ("height", "degrees_", "segment"),
    [
        *((0.9, angle, s) for angle, s in ((30, 2), (90, 1), (150, 6), (210, 5), (270, 4), (330, 3))),
        *((0.5, angle, s) for angle, s in ((30, 8), (90, 7), (150, 12), (210, 11), (270, 10), (330, 9))),
        *((0.1, angle, s) for angle, s in ((0, 14), (90, 13), (180, 16), (270, 15), (44, 14), (46, 13), (316, 14))),
        (1.02, 30, 2),
        (-0.02, 90, 17),
    ],
)
def test_segments_are_those_of_the_american_heart_association(height: float, degrees_: float, segment: int) -> None:
    assert segment_of(thickness_at([(height, degrees_)]), AXIS, SEPTUM).tolist() == [segment]


def test_rings_are_thirds_and_means_are_weighted_by_area() -> None:
    found = thickness_at([(0.9, 30), (0.7, 30), (0.5, 30), (0.1, 0)], [10.0, 6.0, 8.0, 5.0])
    found = ThicknessMap(found.inner_mm, found.outer_mm, found.thickness_mm, np.array([3.0, 1.0, 1.0, 1.0]))
    wall = regional_thickness(found, AXIS, SEPTUM)
    assert wall.rings_mm == {"basal": 9.0, "mid": 8.0, "apical": 5.0}
    assert wall.mean_mm == pytest.approx(49 / 6)
    assert wall.segments_mm[1] == 9.0
    assert math.isnan(wall.segments_mm[0])


def test_without_axis_or_septum_there_are_no_regions() -> None:
    found = thickness_at([(0.9, 30)], [7.0])
    wall = regional_thickness(found, None)
    assert wall.mean_mm == 7.0
    assert all(math.isnan(value) for value in wall.rings_mm.values())
    assert regional_thickness(found, AXIS).segments_mm is None


def test_septum_lies_towards_the_right_ventricle() -> None:
    voxels = AXIS.apex_mm + 30 * AXIS.direction + 45 * SEPTUM + np.random.default_rng(0).normal(0, 5, (4000, 3))
    assert septal_direction(voxels, AXIS) @ SEPTUM == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match="`rv_mask` must mark at least one voxel"):
        septal_direction(np.empty((0, 3)), AXIS)
    with pytest.raises(ValueError, match="must point across the long axis"):
        across_axis(AXIS.direction * 3, AXIS)


def test_thickening_is_the_gain_in_percent() -> None:
    rings = {"basal": 8.0, "mid": 8.0, "apical": 0.0}
    gain = thickening(
        RegionalThickness(8.0, rings, (8.0,) * 17), RegionalThickness(12.0, {**rings, "basal": 10.0}, (4.0,) * 17)
    )
    assert gain.mean_percent == 50
    assert gain.rings_percent["basal"] == 25
    assert math.isnan(gain.rings_percent["apical"])
    assert gain.segments_percent == (-50.0,) * 17
    assert thickening(RegionalThickness(8.0, rings), RegionalThickness(8.0, rings)).segments_percent is None
