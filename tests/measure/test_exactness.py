# SPDX-License-Identifier: Apache-2.0
"""Measurements of label maps against volumes, mass and thickness known without them: by formula, and of the phantom.

The phantom's truth is analytic: volumes of truncated ellipsoids, thickness along true normals of its implicit surfaces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from cardiac4d.geometry import Grid
from cardiac4d.measure import MeasureOptions, StudyMeasures, measure_study, volumes_ml
from cardiac4d.phantom import PRESETS
from cardiac4d.phantom.anatomy.placement import Frame, sample_placement
from cardiac4d.phantom.anatomy.ventricle import Ventricle, VentricleState, sample_outline
from cardiac4d.phantom.field_of_view import sample_grid
from cardiac4d.phantom.labels import truth_labels
from cardiac4d.phantom.physiology import Physiology, sample_physiology
from cardiac4d.phantom.truth import _surface, endo_normals, ray_lengths_mm, wall_thickness_mm
from tests.helpers.shapes import TURN, cup, cup_ml, sphere_in_sphere
from tests.helpers.tolerances import MEASURES

RING_OF = {"basal": "base", "mid": "mid", "apical": "apex"}
GROUPS = ("normal", "borderline", "reduced")


# A cut along thick slices is known to half a slice only, whatever counts the voxels: they are turned here.
@pytest.mark.parametrize(
    ("spacing", "rotation"),
    [((1.0, 1.0, 1.0), None), ((1.0, 1.0, 1.0), TURN), ((0.8, 0.8, 2.0), TURN), ((1.2, 1.4, 3.0), TURN)],
    ids=["straight", "oblique", "thick slices", "three spacings"],
)
def test_volumes_of_truncated_ellipsoids(spacing: tuple[float, ...], rotation: np.ndarray | None) -> None:
    inner, outer, top = (24.0, 60.0), (32.0, 65.0), 27.0
    labels, affine = cup(inner, outer, top, spacing, rotation)
    within = MEASURES["volume_percent"] / 100
    assert volumes_ml(labels[..., None], affine, "LV")[0] == pytest.approx(cup_ml(inner, top), rel=within)
    wall_ml = cup_ml(outer, top) - cup_ml(inner, top)
    assert volumes_ml(labels[..., None], affine, "LVM")[0] == pytest.approx(wall_ml, rel=within)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.0), (2.5, 2.5, 3.5)])
def test_volumes_of_spheres(spacing: tuple[float, ...]) -> None:
    labels, affine = sphere_in_sphere(20.0, 28.0, spacing, TURN)
    within = MEASURES["volume_percent"] / 100
    assert volumes_ml(labels[..., None], affine, "LV")[0] == pytest.approx(4 / 3 * np.pi * 8, rel=within)
    assert volumes_ml(labels[..., None], affine, "LVM")[0] == pytest.approx(
        4 / 3 * np.pi * (28**3 - 20**3) / 1000, rel=within
    )


@dataclass(frozen=True)
class Heart:
    """A heart of the phantom in two frames, end-diastole and end-systole."""

    physiology: Physiology
    states: tuple[VentricleState, VentricleState]
    frame: Frame
    grid: Grid
    mass_g: float

    def measured(self) -> StudyMeasures:
        labels = np.stack([truth_labels(state, self.frame, self.grid) for state in self.states], axis=-1)
        options = MeasureOptions(septal_direction=self.frame.rotation[:, 0])
        return measure_study(labels, self.grid.affine, options=options)


def heart(preset: str, physiology: Physiology, seed: int) -> Heart:
    rng = np.random.default_rng(seed)
    ventricle = Ventricle(physiology, sample_outline(rng))
    start = ventricle.end_diastole
    frame = sample_placement(start.base_mm, rng)
    states = (start, ventricle.at(physiology.es_frame / physiology.num_frames))
    return Heart(physiology, states, frame, sample_grid(start, frame, PRESETS[preset], rng), 1.05 * ventricle.wall_ml)


def assert_exact(case: Heart) -> None:
    found = case.measured()
    assert found.flags == ()
    assert abs(found.function.ef_percent - case.physiology.ef_percent) < MEASURES["phantom_ef_points"]
    assert found.function.ed_mass_g == pytest.approx(case.mass_g, rel=MEASURES["phantom_mass_percent"] / 100)
    assert found.es_mass_g == pytest.approx(case.mass_g, rel=MEASURES["phantom_mass_percent"] / 100)
    for state, wall in zip(case.states, (found.wall_ed, found.wall_es), strict=True):
        truth = wall_thickness_mm(state)
        rings = {ring: truth[name] for ring, name in RING_OF.items()}
        assert wall.rings_mm == pytest.approx(rings, abs=MEASURES["phantom_thickness_mm"])
        np.testing.assert_allclose(wall.segments_mm, true_segments_mm(state), atol=MEASURES["phantom_segment_mm"])
    start, voxel = case.states[0], case.grid.spacing_mm.max()
    along = np.degrees(np.arccos(np.clip(found.axis.valve_normal @ case.frame.rotation[:, 2], -1, 1)))
    assert along < MEASURES["axis_degrees"]
    length = start.base_mm - start.endo_apex_mm
    assert found.axis.length_mm == pytest.approx(length, abs=MEASURES["axis_voxels"] * voxel)


def true_segments_mm(state: VentricleState) -> np.ndarray:
    """``(17,)`` thickness along the endocardium's true normals, by AHA segment in the heart's own frame."""
    angle, height = np.radians(np.arange(0.0, 360.0, 4.0))[None], ((np.arange(60) + 0.5) / 60)[:, None]
    points, area = _surface(state, angle, height)
    normals = endo_normals(state, points)
    thickness = ray_lengths_mm(state, points, normals)
    apex = np.array([*state.axis_offset_mm(np.asarray(state.endo_apex_mm)), state.endo_apex_mm])
    base = np.array([*state.axis_offset_mm(np.asarray(state.base_mm)), state.base_mm])
    axis = (base - apex) / np.linalg.norm(base - apex)
    septum = np.array([1.0, 0, 0]) - axis[0] * axis
    septum /= np.linalg.norm(septum)
    sector = np.degrees(np.arctan2((points - apex) @ np.cross(axis, septum), (points - apex) @ septum)) % 360
    up = (points - apex) @ axis / np.linalg.norm(base - apex)
    number = np.where(up >= 1 / 3, 0, -1)
    for first, (low, high) in ((0, (2 / 3, 9)), (6, (1 / 3, 2 / 3))):
        for k, segment in enumerate((2, 1, 6, 5, 4, 3)):
            number[(up >= low) & (up < high) & (sector // 60 == k)] = first + segment
    for k, segment in enumerate((14, 13, 16, 15)):
        number[(up < 1 / 3) & (((sector + 45) % 360) // 90 == k)] = segment
    number[(points + thickness[..., None] * normals - apex) @ axis < 0] = 17
    return np.array([np.average(thickness[number == s], weights=area[number == s]) for s in range(1, 18)])


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), 2])
def test_hearts_of_the_coarsest_phantom(seed: int) -> None:
    physiology = sample_physiology(GROUPS[seed % 3], 20, np.random.default_rng(seed))
    assert_exact(heart("laptop", physiology, seed))


# The ends of every range that the generator draws from (physiology.py): EDV, EF, wall, base descent.
EXTREMES = {
    "small, thick, vigorous": (70.0, 0.76, 11.0, 19.0),
    "small, thin": (70.0, 0.55, 5.5, 11.0),
    "large, thin, weak": (280.0, 0.12, 5.5, 5.0),
    "large, thick": (280.0, 0.50, 11.0, 10.0),
    "normal, largest": (170.0, 0.76, 5.5, 19.0),
}


def extreme(name: str) -> Physiology:
    edv_ml, ef, wall_mm, descent_mm = EXTREMES[name]
    drawn = sample_physiology("normal", 20, np.random.default_rng(0))
    length_mm = 82.0 * (edv_ml / 98.0) ** 0.276
    return replace(
        drawn,
        edv_ml=edv_ml,
        esv_ml=edv_ml * (1 - ef),
        wall_ed_mm=wall_mm,
        length_ed_mm=length_mm,
        mapse_mm=descent_mm,
        twist_apex_deg=16.0 * ef,
        twist_base_deg=-5.0 * ef,
    )


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["laptop", "small"])
@pytest.mark.parametrize("name", EXTREMES)
def test_ends_of_the_generators_range(preset: str, name: str) -> None:
    assert_exact(heart(preset, extreme(name), 7))


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["laptop", "small"])
@pytest.mark.parametrize("seed", range(100, 112))
def test_hearts_across_the_generator(preset: str, seed: int) -> None:
    assert_exact(heart(preset, sample_physiology(GROUPS[seed % 3], 20, np.random.default_rng(seed)), seed))


@pytest.mark.slow
def test_heart_of_the_finest_phantom() -> None:
    assert_exact(heart("paper", sample_physiology("normal", 20, np.random.default_rng(3)), 3))
