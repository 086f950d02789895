# SPDX-License-Identifier: Apache-2.0
"""Motion against the thresholds: the phantom's truth keeps them, jumps and stillness do not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cardiac4d.metrics import ConsistencyMetric, temporal_consistency
from cardiac4d.metrics.attributes import ATTRIBUTES, sequence_attributes
from cardiac4d.metrics.consistency import consistency_table, second_difference
from cardiac4d.phantom import PRESETS
from cardiac4d.phantom.plan import sequence_rng
from cardiac4d.phantom.sequence import sample_study


@pytest.fixture(scope="module")
def study() -> tuple[np.ndarray, np.ndarray]:
    """Exact labels of one heart of twenty frames, and its affine."""
    made = sample_study(PRESETS["laptop"], "normal", 2, sequence_rng(7, 0))
    return made.truth(), made.grid.affine


def test_attributes_follow_shift_size_and_rotation() -> None:
    labels = np.zeros((30, 20, 20, 2), np.uint8)
    labels[5:25, 6:14, 6:14, 0] = 1
    labels[5:25, 8:16, 6:14, 1] = 1
    labels[5:25, 2:6, 6:14] = 2
    affine = np.array([[0, 2.0, 0, -10], [1.0, 0, 0, 5], [0, 0, 3.0, 0], [0, 0, 0, 1]])  # axes in another order
    found = sequence_attributes(labels, affine)
    assert list(found) == list(ATTRIBUTES)
    np.testing.assert_allclose(found["lv_volume_ml"], 20 * 8 * 8 * 6e-3)
    np.testing.assert_allclose(found["lvm_volume_ml"], 20 * 4 * 8 * 6e-3)
    np.testing.assert_allclose(found["lv_x_mm"], [2 * 9.5 - 10, 2 * 11.5 - 10])
    np.testing.assert_allclose(found["lv_y_mm"], 14.5 + 5)
    np.testing.assert_allclose(found["lv_z_mm"], 3 * 9.5)
    np.testing.assert_allclose(found["lv_length_mm"], 2 * math.sqrt(5 * 9 * (8**2 - 1) / 12))  # the longest is along D


def test_attributes_of_frames_without_cavity() -> None:
    labels = np.zeros((6, 6, 6, 3), np.uint8)
    labels[..., 0], labels[2, 2, 2, 1] = 255, 1
    found = sequence_attributes(labels, np.eye(4))
    assert np.isnan(found["lv_volume_ml"]).tolist() == [True, False, False]
    assert np.isnan(found["lv_x_mm"]).tolist() == [True, False, True]
    assert found["lv_length_mm"][1] == 0, "one voxel has no length"


def test_truth_of_a_heart_that_set_no_threshold_is_consistent(study) -> None:
    found = temporal_consistency(*study, cyclic=True)
    assert found.inconsistent_percent == 0
    assert 0 < found.mean_ratio < 0.5


def test_a_frame_out_of_line_is_found_with_its_neighbours(study) -> None:
    labels, affine = study
    shifted = labels.copy()
    shifted[..., 5] = np.roll(labels[..., 5], 2, axis=0)  # 5 mm to one side
    found = temporal_consistency(shifted, affine)
    assert np.nonzero(found.ratios["lv_x_mm"] > 1)[0].tolist() == [4, 5, 6]
    assert found.inconsistent_percent == pytest.approx(100 * 3 / 18)
    assert np.nanmax(found.ratios["lv_volume_ml"]) < 1


def test_a_sequence_that_stands_still_is_inconsistent_throughout(study) -> None:
    labels, affine = study
    still = temporal_consistency(labels[..., [0] * 20], affine, cyclic=True)
    assert still.is_still
    assert (still.inconsistent_percent, still.mean_ratio) == (100, 0)
    assert not temporal_consistency(labels, affine).is_still


def test_few_frames_and_unannotated_ones_are_not_judged(study) -> None:
    labels, affine = study
    few = temporal_consistency(labels[..., :2], affine, cyclic=True)
    assert math.isnan(few.inconsistent_percent)
    assert math.isnan(few.mean_ratio)
    sparse = labels.copy()
    sparse[..., 3] = 255
    found = temporal_consistency(sparse, affine)
    assert np.isnan(found.ratios["lv_volume_ml"][[0, 2, 3, 4, 19]]).all()
    assert np.isfinite(found.ratios["lv_volume_ml"][[1, 5, 18]]).all()


def test_thresholds_grow_with_the_time_between_frames(study) -> None:
    table = consistency_table()["thresholds"]
    assert all(table["10"][name] > table["20"][name] for name in ATTRIBUTES if name != "lvm_volume_ml")
    labels, affine = study
    every, second = (temporal_consistency(part, affine, cyclic=True) for part in (labels, labels[..., ::2]))
    expected = {name: table[frames]["lv_volume_ml"] for name, frames in (("every", "20"), ("second", "10"))}
    low, high = consistency_table()["ranges"]["lv_volume_ml"]
    volumes = sequence_attributes(labels, affine)["lv_volume_ml"]
    for found, curve, tau in ((every, volumes, expected["every"]), (second, volumes[::2], expected["second"])):
        np.testing.assert_allclose(
            found.ratios["lv_volume_ml"], np.abs(second_difference(curve, True)) / (high - low) / tau
        )


def test_metric_takes_cycle_and_affine(study) -> None:
    labels, affine = study
    metric = ConsistencyMetric(cyclic=True, affine=affine)
    metric([torch.from_numpy(labels.copy())[None], torch.from_numpy(labels[..., [0] * 20])[None]])
    percent, ratio = metric.aggregate().tolist()
    assert percent == 50
    assert ratio == pytest.approx(temporal_consistency(labels, affine, cyclic=True).mean_ratio / 2)
