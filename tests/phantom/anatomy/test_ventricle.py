# SPDX-License-Identifier: Apache-2.0
"""The solved ventricle against the reference table, against voxel counts and against numeric integration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import trapezoid

from cardiac4d.phantom.anatomy.ventricle import Outline, Ventricle, sample_outline, truncated_ellipsoid_ml
from cardiac4d.phantom.physiology import GROUP_SHARES, sample_physiology
from tests.phantom.hearts import OUTLINE, irregular_ventricle, lattice, physiology

# EDV, ESV (mL), wall, length, descent (mm) -> endocardial short semi-axis and wall at ED and ES (mm), LV mass (g).
TABLE = {
    "female": ((98, 34, 5.6, 82, 15), (22.5, 14.9), (5.6, 9.0), 64),
    "male": ((130, 47, 6.6, 90, 15), (24.8, 16.6), (6.6, 10.3), 92),
    "thick": ((135, 52, 8.0, 92, 14), (25.0, 17.1), (8.0, 12.0), 118),
    "hypertrophic": ((100, 38, 11.0, 84, 11), (22.5, 15.2), (11.0, 15.6), 145),
    "borderline": ((170, 94, 7.5, 97, 10), (27.3, 21.6), (7.5, 9.9), 125),
    "dilated": ((240, 168, 7.0, 105, 7), (31.2, 27.2), (7.0, 8.3), 142),
}


@pytest.mark.parametrize(("measures", "radii", "walls", "mass_g"), TABLE.values(), ids=TABLE)
def test_solved_wall_matches_the_reference_table(
    measures: tuple[float, ...], radii: tuple[float, ...], walls: tuple[float, ...], mass_g: float
) -> None:
    ventricle = Ventricle(physiology(*measures))
    states = [ventricle.at(0.0), ventricle.at(7 / 20)]
    assert [s.a_mm for s in states] == pytest.approx(radii, abs=0.1)
    assert [s.wall_mm for s in states] == pytest.approx(walls, abs=0.1)
    assert ventricle.wall_ml * 1.05 == pytest.approx(mass_g, abs=2)  # the table's inputs are rounded


def test_mass_is_constant_and_volume_follows_the_curve() -> None:
    ventricle = irregular_ventricle()
    for phase in np.linspace(-0.1, 1.1, 25):
        state = ventricle.at(float(phase))
        assert state.wall_ml == pytest.approx(ventricle.wall_ml, rel=1e-9)
        assert state.cavity_ml == pytest.approx(float(ventricle.physiology.volume_ml(phase)), rel=1e-12)


def test_base_descends_by_mapse_while_the_epicardial_apex_stays() -> None:
    ventricle = irregular_ventricle()
    start, end = ventricle.at(0.0), ventricle.at(7 / 20)
    assert start.base_mm - end.base_mm == pytest.approx(15.0, abs=1e-9)
    for state in (start, end):
        epi = state.fields(np.array([0.0, 0.0]), np.zeros(2), np.array([-0.05, 0.05]))[1]
        assert epi[0] > 0 > epi[1]


def test_volume_formula_agrees_with_numeric_integration() -> None:
    z = np.linspace(-60.0, 20.0, 400_001)
    area = np.pi * 25.0**2 * (1 - (z / 60.0) ** 2)
    assert truncated_ellipsoid_ml(25.0, 60.0, 20.0) == pytest.approx(trapezoid(area, z) / 1000, rel=1e-8)


@pytest.mark.parametrize("phase", [0.0, 0.2, 0.35])
def test_analytic_volumes_equal_voxel_counts_of_the_irregular_shape(phase: float) -> None:
    state = irregular_ventricle().at(phase)
    x, y, z = lattice((-45, -45, -2), (45, 45, state.base_mm), 0.75)
    z = z + (state.base_mm - z[0, 0, -1]) - 0.375  # the last layer of voxels ends at the basal plane
    endo, epi = state.fields(x, y, z)
    voxel_ml = 0.75**3 / 1000
    assert (endo < 0).sum() * voxel_ml == pytest.approx(state.cavity_ml, rel=0.004)
    assert ((endo >= 0) & (epi < 0)).sum() * voxel_ml == pytest.approx(state.wall_ml, rel=0.004)


def test_drawn_cavities_lie_within_their_walls() -> None:
    rng = np.random.default_rng(5)
    groups = list(GROUP_SHARES)
    for index in range(60):
        ventricle = Ventricle(sample_physiology(groups[index % 3], 20, rng), sample_outline(rng))
        for phase in (0.0, ventricle.physiology.es_frame / 20):
            state = ventricle.at(phase)
            points = state.endo_point_mm(np.linspace(0, 2 * np.pi, 37)[None, :], np.linspace(0, 1, 21)[:, None])
            endo, epi = state.fields(*np.moveaxis(points, -1, 0))
            assert np.abs(endo).max() < 1e-9
            assert epi.max() < 0


def test_twist_turns_apex_and_base_against_each_other() -> None:
    ventricle = Ventricle(physiology(), Outline())
    start, end = ventricle.at(0.0), ventricle.at(7 / 20)

    def angle(state: object, height: float) -> float:
        x, y, _ = state.endo_point_mm(np.array(0.3), np.array(height))  # type: ignore[attr-defined]
        return float(np.rad2deg(np.arctan2(y, x)))

    assert angle(end, 0.0001) - angle(start, 0.0001) == pytest.approx(10.0, abs=1.5)
    assert angle(end, 1.0) - angle(start, 1.0) == pytest.approx(-3.0, abs=1e-6)


def test_margin_grows_the_epicardium_only() -> None:
    state = Ventricle(physiology(), OUTLINE).at(0.0)
    at = (np.array([state.a_mm + state.wall_mm + 2.0]), np.zeros(1), np.array([state.center_mm]))
    endo, epi, grown = state.fields(*at, 6.0)
    assert grown < epi < endo
