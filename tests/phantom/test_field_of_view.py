# SPDX-License-Identifier: Apache-2.0
"""The ventricle lies inside the field of view at every preset and phase."""

from __future__ import annotations

import numpy as np
import pytest

from cardiac4d.phantom.anatomy.placement import sample_placement
from cardiac4d.phantom.anatomy.ventricle import Ventricle, sample_outline
from cardiac4d.phantom.field_of_view import sample_grid
from cardiac4d.phantom.physiology import sample_physiology
from cardiac4d.phantom.presets import PRESETS, Preset


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
@pytest.mark.parametrize("group", ["normal", "reduced"])
def test_ventricle_is_inside_with_a_margin(preset: Preset, group: str) -> None:
    for seed in range(15):
        rng = np.random.default_rng(seed)
        ventricle = Ventricle(sample_physiology(group, 20, rng), sample_outline(rng))  # type: ignore[arg-type]
        frame = sample_placement(ventricle.end_diastole.base_mm, rng)
        grid = sample_grid(ventricle.end_diastole, frame, preset, rng)
        inverse = np.linalg.inv(grid.affine)
        for phase in (0.0, 0.35):
            state = ventricle.at(phase)
            cavity = state.endo_point_mm(np.linspace(0, 6.3, 40)[None, :], np.linspace(0, 1, 20)[:, None])
            index = frame.to_ras(cavity) @ inverse[:3, :3].T + inverse[:3, 3]
            millimetres = index * grid.spacing_mm
            wall = state.wall_mm * 0.5
            assert (millimetres > wall).all()
            assert (millimetres < (np.array(grid.shape) - 1) * grid.spacing_mm - wall).all()


def test_paper_grids_have_the_papers_sizes() -> None:
    grids = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        ventricle = Ventricle(sample_physiology("normal", 20, rng))
        frame = sample_placement(ventricle.end_diastole.base_mm, rng)
        grids.append(sample_grid(ventricle.end_diastole, frame, PRESETS["paper"], rng))
    shapes, spacings = np.array([g.shape for g in grids]), np.array([g.spacing_mm for g in grids])
    assert (shapes[:, :2] == 512).all()
    assert shapes[:, 2].min() >= 40
    assert shapes[:, 2].max() <= 108
    assert 0.24 <= spacings[:, 0].min() < 0.26 < 0.44 < spacings[:, 0].max() <= 0.46
    assert set(spacings[:, 2].round(6)) == {1.5, 2.0}
    extent = shapes * spacings
    assert extent[:, 0].min() > 119
    assert extent[:, 0].max() < 238.5
    assert extent[:, 2].max() < 161


def test_affine_runs_left_back_and_up() -> None:
    rng = np.random.default_rng(0)
    ventricle = Ventricle(sample_physiology("normal", 20, rng))
    grid = sample_grid(
        ventricle.end_diastole, sample_placement(ventricle.end_diastole.base_mm, rng), PRESETS["laptop"], rng
    )
    assert np.array_equal(np.sign(np.diag(grid.affine)[:3]), [-1, -1, 1])
    assert np.count_nonzero(grid.affine[:3, :3]) == 3
