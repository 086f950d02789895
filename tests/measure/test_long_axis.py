# SPDX-License-Identifier: Apache-2.0
"""Long axis and valve plane of cups whose axis is known, on grids that do not follow it."""

from __future__ import annotations

import numpy as np
import pytest

from cardiac4d.measure import LongAxis
from cardiac4d.measure.long_axis import carried_over, find_long_axis
from cardiac4d.measure.tissue import largest_body
from tests.helpers.shapes import TURN, cup, sphere_in_sphere
from tests.helpers.tolerances import MEASURES


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.0), (2.5, 2.5, 3.5)])
@pytest.mark.parametrize("rotation", [None, TURN], ids=["straight", "oblique"])
def test_axis_of_a_cup(spacing: tuple[float, ...], rotation: np.ndarray | None) -> None:
    axis = find_long_axis(largest_body(*cup((24.0, 60.0), (32.0, 65.0), 27.0, spacing, rotation)))
    for direction in (axis.valve_normal, axis.direction):
        assert np.degrees(np.arccos(direction[2])) < MEASURES["axis_degrees"]
    close = MEASURES["axis_voxels"] * max(spacing)
    np.testing.assert_allclose(axis.base_mm, [0, 0, 27], atol=close)
    np.testing.assert_allclose(axis.apex_mm, [0, 0, -60], atol=close)
    assert axis.length_mm == pytest.approx(87, abs=close)
    assert axis.source == "shape"


def test_closed_ventricle_has_no_axis() -> None:
    assert find_long_axis(largest_body(*sphere_in_sphere(15.0, 20.0, (2.0, 2.0, 2.0)))) is None


def test_hole_is_no_valve_plane() -> None:
    labels, affine = sphere_in_sphere(15.0, 20.0, (2.0, 2.0, 2.0))
    middle = labels.shape[0] // 2
    labels[middle, middle, :] = np.where(labels[middle, middle, :] > 0, 1, 0)
    assert find_long_axis(largest_body(labels, affine)) is None


def test_given_axis_is_checked() -> None:
    axis = LongAxis.given([0, 0, 0], [0, 0, 80.0])
    np.testing.assert_allclose(axis.valve_normal, [0, 0, 1])
    assert (axis.source, axis.length_mm) == ("given", 80.0)
    with pytest.raises(ValueError, match="must differ"):
        LongAxis.given([1, 2, 3], [1, 2, 3])
    with pytest.raises(ValueError, match="`apex_mm` must hold three finite numbers"):
        LongAxis.given([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="away from the apex"):
        LongAxis.given([0, 0, 0], [0, 0, 80.0], [0, 0, -1])


def test_given_axis_keeps_its_directions_in_another_frame() -> None:
    given = LongAxis.given([0, 0, 0], [0, 0, 80.0])
    found = LongAxis(np.array([1.0, 2, 3]), np.array([4.0, 5, 66]), np.array([0, 0.6, 0.8]))
    moved = carried_over(given, found)
    np.testing.assert_allclose(moved.base_mm, [0, 0, 66])
    np.testing.assert_allclose(moved.apex_mm, [0, 0, 3])
    np.testing.assert_allclose(moved.valve_normal, [0, 0, 1])
    assert carried_over(given, None) is given
