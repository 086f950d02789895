# SPDX-License-Identifier: Apache-2.0
"""Thickness of shells and of confocal ellipsoids, where the field lines of Laplace's equation are known by formula."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cardiac4d.measure.long_axis import find_long_axis
from cardiac4d.measure.segments import regional_thickness
from cardiac4d.measure.tissue import largest_body
from cardiac4d.measure.wall_thickness import ThicknessMap, thickness_map
from tests.helpers.shapes import TURN, confocal_cup, sphere_in_sphere
from tests.helpers.tolerances import MEASURES

GRIDS = {
    "isotropic": ((1.0, 1.0, 1.0), None),
    "oblique": ((1.2, 1.2, 1.2), TURN),
    "thick slices": ((0.8, 0.8, 2.0), None),
    "thick oblique slices": ((0.8, 0.8, 2.4), TURN),
    "sheared": ((1.2, 1.2, 2.0), TURN @ np.array([[1, 0, 0.4], [0, 1, -0.2], [0, 0, 1]])),
    "coarse": ((2.5, 2.5, 3.5), TURN),
}


def measured(labels: np.ndarray, affine: np.ndarray) -> tuple[ThicknessMap, object]:
    body = largest_body(labels, affine)
    axis = find_long_axis(body)
    return thickness_map(body, axis), axis


@pytest.mark.parametrize(
    ("grid", "inner", "outer"),
    [*((name, 20.0, 28.0) for name in GRIDS), ("thick oblique slices", 24.0, 29.0), ("coarse", 24.0, 29.0)],
)
def test_shell_is_as_thick_as_its_radii_differ(grid: str, inner: float, outer: float) -> None:
    spacing, rotation = GRIDS[grid]
    found, axis = measured(*sphere_in_sphere(inner, outer, spacing, rotation))
    voxel = np.prod(spacing) ** (1 / 3)
    assert axis is None
    assert abs(found.mean_mm() - (outer - inner)) < 0.5 * MEASURES["thickness_voxels"] * voxel
    rms = math.sqrt(np.average((found.thickness_mm - (outer - inner)) ** 2, weights=found.areas_mm2))
    assert rms < MEASURES["thickness_voxels"] * voxel
    assert found.areas_mm2.sum() == pytest.approx(4 * math.pi * inner**2, rel=0.04)
    assert np.linalg.norm(found.outer_mm, axis=1).mean() == pytest.approx(outer, abs=0.5 * voxel)


def test_smoothing_does_not_pull_a_curved_surface_inwards() -> None:
    """A plain Gaussian of 0.7 voxels would, by its variance over the radius: 0.22 mm here."""
    found, _ = measured(*sphere_in_sphere(20.0, 28.0, *GRIDS["coarse"]))
    radius = np.average(np.linalg.norm(found.inner_mm, axis=1), weights=found.areas_mm2)
    assert radius == pytest.approx(20.0, abs=0.15)


def confocal_truth(focus: float, inner: float, outer: float) -> dict[str, float]:
    """Thickness per ring of the half below z = 0: lengths of the hyperbolas ``nu = const``, weighted by inner area."""
    first, last = (math.asinh(a / focus) for a in (inner, outer))
    nu = (np.arange(600) + 0.5) / 600 * math.pi / 2  # from the apex to the equator
    mu = first + (np.arange(200) + 0.5) / 200 * (last - first)
    stretch = focus * np.sqrt(np.sinh(mu)[None] ** 2 + np.sin(nu)[:, None] ** 2)
    length = stretch.mean(axis=1) * (last - first)
    area = np.sin(nu) * np.sqrt(math.sinh(first) ** 2 + np.sin(nu) ** 2)
    ring = np.minimum((3 * np.cos(nu)).astype(int), 2)
    return {
        name: float(np.average(length[ring == i], weights=area[ring == i]))
        for i, name in enumerate(("basal", "mid", "apical"))
    }


@pytest.mark.parametrize("grid", GRIDS)
def test_confocal_cup_is_as_thick_as_its_hyperbolas_are_long(grid: str) -> None:
    spacing, rotation = GRIDS[grid]
    found, axis = measured(*confocal_cup(50.0, 22.0, 31.0, 0.0, spacing, rotation))
    truth = confocal_truth(50.0, 22.0, 31.0)
    assert truth["basal"] - truth["apical"] > 1.0, "the wall thins towards the apex, so that rings must be told apart"
    voxel = np.prod(spacing) ** (1 / 3)
    wall = regional_thickness(found, axis)
    assert wall.rings_mm == pytest.approx(truth, abs=MEASURES["thickness_voxels"] * voxel)


def test_no_field_line_crosses_the_valve_plane() -> None:
    found, axis = measured(*confocal_cup(50.0, 22.0, 31.0, 12.0, (1.0, 1.0, 1.0)))
    below = (axis.base_mm - found.outer_mm) @ axis.valve_normal
    assert below.min() > 0
    top = below < 4
    assert found.mean_mm(top) == pytest.approx(9.0, abs=0.4), "the cut is not taken for the epicardium"


def test_wall_is_zero_where_it_is_missing() -> None:
    labels, affine = sphere_in_sphere(20.0, 28.0, (1.0, 1.0, 1.0))
    middle = labels.shape[1] // 2
    labels[: labels.shape[0] // 4, middle - 3 : middle + 3, middle - 3 : middle + 3] = 0
    labels[labels.shape[0] // 4 : labels.shape[0] // 3, middle - 3 : middle + 3, middle - 3 : middle + 3] = 1
    found, _ = measured(labels, affine)
    at_hole = np.linalg.norm(found.inner_mm[:, 1:], axis=1) < 2
    at_hole &= found.inner_mm[:, 0] < 0
    assert found.mean_mm(at_hole) < 2
    assert found.mean_mm(~at_hole) == pytest.approx(8.0, abs=0.4)


def test_loose_pieces_and_islands_do_not_thicken_the_wall() -> None:
    labels, affine = sphere_in_sphere(20.0, 28.0, (1.0, 1.0, 1.0))
    labels[:2, :2, :2] = 2
    island = tuple(slice(n // 2 - 4, n // 2 + 4) for n in labels.shape)
    labels[island] = 2
    assert measured(labels, affine)[0].mean_mm() == pytest.approx(8.0, abs=0.15)


def test_cavity_alone_and_muscle_alone_have_no_thickness_or_none_at_all() -> None:
    labels, affine = sphere_in_sphere(20.0, 28.0, (2.0, 2.0, 2.0))
    assert math.isnan(measured(np.where(labels == 2, 2, 0).astype(np.uint8), affine)[0].mean_mm())
    assert measured(np.where(labels == 1, 1, 0).astype(np.uint8), affine)[0].mean_mm() == pytest.approx(0, abs=1e-6)
