# SPDX-License-Identifier: Apache-2.0
"""Fields are negative inside; boxes hold the solid in any rotated frame."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cardiac4d.phantom.anatomy.shapes import Ellipsoid, Tube, tube
from tests.phantom.hearts import lattice

SOLIDS = {
    "ellipsoid": (Ellipsoid((1.0, -2.0, 3.0), (5.0, 8.0, 11.0)), 4 / 3 * np.pi * 5 * 8 * 11),
    "cone": (Tube((-6.0, 0.0, 0.0), (6.0, 3.0, 4.0), 4.0, 4.0), np.pi * 16 * 13 + 4 / 3 * np.pi * 64),
}


@pytest.mark.parametrize(("solid", "volume"), SOLIDS.values(), ids=SOLIDS)
def test_volume_inside_the_field(solid: Ellipsoid | Tube, volume: float) -> None:
    x, y, z = lattice((-20, -20, -20), (20, 20, 20), 0.4)
    assert (solid.field(x, y, z) < 0).sum() * 0.4**3 == pytest.approx(volume, rel=0.01)


@pytest.mark.parametrize(("solid", "volume"), SOLIDS.values(), ids=SOLIDS)
def test_bounds_hold_the_rotated_solid_tightly(solid: Ellipsoid | Tube, volume: float) -> None:
    rotation = Rotation.from_euler("xyz", [20, 35, -50], degrees=True).as_matrix()
    points = np.stack(np.meshgrid(*[np.arange(-20, 20, 0.5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = points[solid.field(*points.T) < 0]
    center, half = solid.bounds(rotation)
    reach = np.abs((inside - center) @ rotation.T).max(axis=0)
    assert (reach <= half + 1e-9).all()
    assert (reach > half - 1.0).all()


def test_tube_radius_is_linear_between_its_ends() -> None:
    taper = Tube((0.0, 0.0, 0.0), (10.0, 0.0, 0.0), 4.0, 2.0)
    distance = taper.field(np.array([0.0, 5.0, 10.0]), np.array([4.0, 3.0, 2.0]), np.zeros(3))
    assert distance == pytest.approx(np.zeros(3), abs=1e-12)


def test_grown_solids_are_larger_by_the_margin() -> None:
    assert Ellipsoid((0, 0, 0), (1, 2, 3)).grown(2.0).semi_axes_mm == (3, 4, 5)
    assert Tube((0, 0, 0), (1, 0, 0), 1.0, 2.0).grown(0.5).radius_end_mm == 2.5


def test_bent_tube_joins_its_pieces() -> None:
    pieces = tube([(0, 0, 0), (1, 0, 0), (1, 1, 0)], [1.0, 2.0, 3.0])
    assert [(p.start_mm, p.radius_start_mm) for p in pieces] == [((0, 0, 0), 1.0), ((1, 0, 0), 2.0)]
