# SPDX-License-Identifier: Apache-2.0
"""Wall thickness along true normals, against limits known by hand and against the nearest point of the epicardium."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from cardiac4d.phantom.anatomy.ventricle import Outline, Ventricle, VentricleState
from cardiac4d.phantom.truth import endo_normals, ray_lengths_mm, truth_numbers, wall_thickness_mm
from tests.phantom.hearts import irregular_ventricle, physiology


def plain(a_mm: float, b_mm: float, wall_mm: float) -> VentricleState:
    return VentricleState(a_mm, b_mm, wall_mm, 0.0, (0.0, 0.0), 100.0, Outline())


def test_thickness_of_a_long_cylinder_is_the_wall() -> None:
    state = plain(25.0, 1e5, 8.0)
    points = state.endo_point_mm(np.linspace(0, 6, 9), np.full(9, 1 / 1.45))  # the equator
    assert ray_lengths_mm(state, points, endo_normals(state, points)) == pytest.approx(np.full(9, 8.0), abs=1e-6)


def test_thickness_at_equator_and_apex_of_the_ellipsoid() -> None:
    state = plain(25.0, 62.0, 8.0)
    points = state.endo_point_mm(np.array([0.4, 0.4]), np.array([1 / 1.45, 1e-12]))
    assert ray_lengths_mm(state, points, endo_normals(state, points)) == pytest.approx([8.0, 0.6 * 8.0], abs=1e-4)


def test_sphere_in_a_sphere_is_evenly_thick() -> None:
    """With the apex as thick as the equator the model would be two concentric spheres; here a thin wall comes close."""
    rings = wall_thickness_mm(plain(40.0, 40.0, 1e-3))
    slant = np.linspace(0, 1 / 3, 2001)[1:]  # heights of the apical third; normals of a sphere are radial
    zeta = 1.45 * slant - 1  # position on the unit sphere's axis
    local = 1e-3 * (1 - 0.4 * zeta**2)  # first order in the wall: w (sin^2 + 0.6 cos^2)
    assert rings["apex"] == pytest.approx(local.mean(), rel=1e-3)
    assert rings["base"] == pytest.approx(1e-3 * (1 - 0.4 * ((1.45 * (slant + 2 / 3) - 1) ** 2).mean()), rel=1e-3)


def epicardium(state: VentricleState) -> np.ndarray:
    """A dense cloud ``(N, 3)`` of the epicardium, past the basal plane, found by bisection from the axis outwards."""
    top = state.center_mm + 0.98 * state.epi_semi_axes_mm()[1]
    angle, z = np.meshgrid(np.linspace(0, 2 * np.pi, 360), np.linspace(1e-3, top, 400))
    off_x, off_y = state.axis_offset_mm(z)
    near, far = np.zeros_like(z), np.full_like(z, 60.0)
    for _ in range(22):
        radius = (near + far) / 2
        inside = state.fields(off_x + radius * np.cos(angle), off_y + radius * np.sin(angle), z)[1] < 0
        near, far = np.where(inside, radius, near), np.where(inside, far, radius)
    return np.stack([off_x + near * np.cos(angle), off_y + near * np.sin(angle), z], axis=-1).reshape(-1, 3)


@pytest.mark.parametrize("phase", [0.0, 0.35])
def test_thickness_agrees_with_the_nearest_epicardial_point(phase: float) -> None:
    state = irregular_ventricle().at(phase)
    points = state.endo_point_mm(np.linspace(0, 2 * np.pi, 15)[None, :], np.linspace(0.02, 0.98, 12)[:, None])
    rays = ray_lengths_mm(state, points, endo_normals(state, points))
    nearest, _ = cKDTree(epicardium(state)).query(points)
    assert (rays > nearest - 0.02).all()  # no point of the epicardium is nearer than the nearest one
    assert rays.mean() == pytest.approx(nearest.mean(), rel=0.01)


def test_normals_are_those_of_the_surface() -> None:
    state = irregular_ventricle().at(0.2)
    angle, height = np.array([0.3, 2.0, 5.0]), np.array([0.2, 0.5, 0.9])
    normals = endo_normals(state, state.endo_point_mm(angle, height))
    along = state.endo_point_mm(angle + 1e-4, height) - state.endo_point_mm(angle - 1e-4, height)
    up = state.endo_point_mm(angle, height + 1e-4) - state.endo_point_mm(angle, height - 1e-4)
    for tangent in (along, up):
        assert np.abs((normals * tangent).sum(-1) / np.linalg.norm(tangent, axis=-1)).max() < 1e-4


def test_wall_is_thickest_at_the_base_and_thickens_in_systole() -> None:
    numbers = truth_numbers(irregular_ventricle())
    diastole, systole = numbers["wall_thickness_ed_mm"], numbers["wall_thickness_es_mm"]
    assert diastole["apex"] < diastole["mid"] < diastole["base"]
    assert all(3.0 < systole[ring] - diastole[ring] < 5.0 for ring in diastole)


def test_numbers_agree_with_each_other() -> None:
    ventricle = Ventricle(replace(physiology(), esv_ml=52.0))
    numbers = truth_numbers(ventricle)
    assert numbers["ef_percent"] == pytest.approx(60.0)
    assert numbers["stroke_volume_ml"] == pytest.approx(78.0)
    assert (max(numbers["volumes_ml"]), min(numbers["volumes_ml"])) == pytest.approx((130.0, 52.0))
    assert numbers["volumes_ml"].index(min(numbers["volumes_ml"])) == numbers["es_frame"]
    assert numbers["mass_g"] == pytest.approx(1.05 * ventricle.at(0.3).wall_ml)
    assert numbers["frame_duration_ms"] * numbers["num_frames"] == pytest.approx(numbers["cycle_length_ms"])
