# SPDX-License-Identifier: Apache-2.0
"""What the image shows: tissues at their attenuation, blood without a seam, blur where the heart moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cardiac4d.ct_noise import NoiseModel
from cardiac4d.phantom.appearance import gantry_samples, heart_block, render_chest, render_frames, render_heart
from cardiac4d.phantom.presets import PRESETS
from cardiac4d.phantom.sequence import Study, sample_study
from cardiac4d.phantom.stairs import Slab, whole_stack
from tests.phantom.hearts import physiology

PRESET = replace(PRESETS["laptop"], matrix=56, pixel_mm=(2.8, 2.8), slice_mm=(3.0,))


@pytest.fixture(scope="module")
def study() -> Study:
    return sample_study(PRESET, "normal", 2, np.random.default_rng(11))


@pytest.fixture(scope="module")
def diastole(study: Study) -> np.ndarray:
    """End-diastole without noise or kernel, on the whole grid."""
    hu = render_chest(study.scene, study.grid, np.random.default_rng(0))
    block = heart_block(study.scene, study.grid)
    hu[block] = render_heart(hu, study.scene, study.grid, block, 0.0, study.slabs)
    return hu


def heart_coordinates(study: Study) -> np.ndarray:
    """Heart-frame coordinates of every voxel, ``(H, W, D, 3)``."""
    grid, frame = study.grid, study.scene.heart.frame
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return (index @ grid.affine[:3, :3].T + grid.affine[:3, 3] - frame.origin_mm) @ frame.rotation


def test_cavity_and_wall_show_their_attenuation(study: Study, diastole: np.ndarray) -> None:
    truth, contrast = study.truth_frame(0), study.scene.contrast
    assert np.median(diastole[truth == 1]) == pytest.approx(contrast.left_blood, abs=1)
    assert contrast.wall - contrast.lateral_drop - 5 < np.median(diastole[truth == 2]) < contrast.wall + 40
    assert np.percentile(diastole, 2) == pytest.approx(contrast.lung, abs=5)


def test_papillary_muscles_are_cavity_in_the_label_and_dark_in_the_image(study: Study, diastole: np.ndarray) -> None:
    cavity = diastole[study.truth_frame(0) == 1]
    dark = (cavity < 0.6 * study.scene.contrast.left_blood).mean()
    assert 0.063 < dark < 0.175  # 11.9 +- 5.6 % on CT


def test_no_seam_at_the_valve_plane(study: Study, diastole: np.ndarray) -> None:
    x, y, z = np.moveaxis(heart_coordinates(study), -1, 0)
    plan, contrast = study.scene.heart, study.scene.contrast
    atrium_x, atrium_y = -0.20 * plan.epi_radius_mm, -0.10 * plan.epi_radius_mm
    mitral = (np.hypot(x - atrium_x, y - atrium_y) < 7) & (np.abs(z - plan.base_mm) < 8)
    assert mitral.sum() > 50
    assert diastole[mitral] == pytest.approx(np.full(mitral.sum(), contrast.left_blood), abs=0.05 * contrast.left_blood)
    assert {0, 1} <= set(np.unique(study.truth_frame(0)[mitral]))


def test_outside_the_heart_block_nothing_moves(study: Study) -> None:
    frames = list(render_frames(study.scene, study.grid, NoiseModel(0.0, 1.0), study.slabs, np.random.default_rng(0)))
    block = heart_block(study.scene, study.grid)
    moving = frames[0] != frames[study.scene.ventricle.physiology.es_frame]
    assert moving[block].any()
    moving[block] = False
    assert not moving.any()
    assert frames[0].dtype == np.int16


def test_gantry_window_averages_only_where_the_heart_moves() -> None:
    heart = physiology()
    assert gantry_samples(heart, 0.2) == pytest.approx([0.175, 0.2, 0.225])
    assert gantry_samples(heart, 0.75) == [0.75]


def test_motion_blurs_the_wall(study: Study) -> None:
    """During ejection the edge of the cavity is softer than in diastasis."""

    def steepest(phase: float) -> float:
        hu = render_heart(chest, study.scene, study.grid, block, phase, whole_stack(study.grid.shape[2]))
        return float(np.percentile(np.abs(np.diff(hu, axis=0)), 99.5))

    chest = np.zeros(study.grid.shape, np.float32)
    block = heart_block(study.scene, study.grid)
    assert steepest(0.22) < steepest(0.75)


def test_stair_steps_shift_their_slices_only(study: Study) -> None:
    depth = study.grid.shape[2]
    slabs = [Slab(0, depth // 2), Slab(depth // 2, depth, (3.0, 0.0, 0.0), 0.02)]
    chest = np.zeros(study.grid.shape, np.float32)
    block = (slice(None), slice(None), slice(0, depth))
    still = render_heart(chest, study.scene, study.grid, block, 0.0, whole_stack(depth))
    stepped = render_heart(chest, study.scene, study.grid, block, 0.0, slabs)
    below = slice(0, depth // 2 - 1)  # the last slice below lacks the neighbour that partial volume looks at
    assert np.abs(stepped[..., below] - still[..., below]).max() < 60
    assert np.abs(stepped[..., depth // 2 :] - still[..., depth // 2 :]).max() > 150
