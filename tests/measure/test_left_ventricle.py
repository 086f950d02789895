# SPDX-License-Identifier: Apache-2.0
"""Ejection fraction, volumes and mass against values worked out by hand, and the cases that define none."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from cardiac4d.measure import measure_left_ventricle

AFFINE = np.diag([2.0, 2.0, 2.5, 1.0])  # 10 mm^3


def sequence(cavity_voxels: list[int], muscle_voxels: int = 200) -> np.ndarray:
    """A label map of 1000 voxels per frame with this many cavity voxels."""
    labels = np.zeros((1000, len(cavity_voxels)), np.uint8)
    for t, count in enumerate(cavity_voxels):
        labels[:count, t] = 1
        labels[count : count + muscle_voxels + t, t] = 2
    return labels.reshape(10, 10, 10, -1)


def test_measures_are_the_ones_worked_out_by_hand() -> None:
    result = measure_left_ventricle(sequence([500, 800, 300, 700]), AFFINE, frame_times_ms=[10.0, 50.0, 90.0, 130.0])
    assert result.edv_ml == pytest.approx(8.0)
    assert result.esv_ml == pytest.approx(3.0)
    assert result.sv_ml == pytest.approx(5.0)
    assert result.ef_percent == pytest.approx(62.5)
    assert (result.ed_frame, result.es_frame) == (1, 2)
    assert (result.ed_time_ms, result.es_time_ms) == (50.0, 90.0)
    assert result.ed_mass_g == pytest.approx(200 * 0.01 * 1.05)
    np.testing.assert_allclose(result.lv_volumes_ml, [5.0, 8.0, 3.0, 7.0])
    np.testing.assert_allclose(result.lvm_volumes_ml[[0, 2]], [2.0, 2.02])


def test_sparse_labels_are_measured_where_annotated() -> None:
    labels = sequence([900, 800, 300, 100])
    labels[..., [0, 3]] = 255
    result = measure_left_ventricle(torch.from_numpy(labels), torch.from_numpy(AFFINE))
    assert result.ef_percent == pytest.approx(62.5)
    assert (result.ed_frame, result.es_frame) == (1, 2)
    assert np.isnan(result.lv_volumes_ml).tolist() == [True, False, False, True]
    assert math.isnan(result.ed_time_ms)


def test_first_frame_wins_a_tie() -> None:
    result = measure_left_ventricle(sequence([400, 400, 100, 100]), AFFINE)
    assert (result.ed_frame, result.es_frame) == (0, 2)


def test_ejection_fraction_does_not_depend_on_voxel_size_or_start_of_the_cycle() -> None:
    labels = sequence([500, 800, 300, 700])
    assert measure_left_ventricle(np.roll(labels, 2, axis=-1), 3 * AFFINE).ef_percent == pytest.approx(62.5)


def test_single_frame_defines_no_ejection_fraction() -> None:
    result = measure_left_ventricle(sequence([400]), AFFINE)
    assert result.edv_ml == result.esv_ml == pytest.approx(4.0)
    assert result.sv_ml == 0
    assert math.isnan(result.ef_percent)


def test_empty_cavity_defines_no_ejection_fraction() -> None:
    result = measure_left_ventricle(sequence([0, 0, 0]), AFFINE)
    assert (result.edv_ml, result.esv_ml, result.sv_ml) == (0, 0, 0)
    assert math.isnan(result.ef_percent)


def test_result_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        measure_left_ventricle(sequence([400]), AFFINE).edv_ml = 1.0


def test_no_annotated_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one annotated frame, all voxels are 255"):
        measure_left_ventricle(np.full((2, 2, 2, 2), 255), AFFINE)


def test_wrong_number_of_frame_times_is_named() -> None:
    with pytest.raises(ValueError, match=r"one time per frame \(2\), got shape \(3,\)"):
        measure_left_ventricle(sequence([400, 300]), AFFINE, frame_times_ms=[0.0, 1.0, 2.0])


def test_variation_of_the_myocardium_is_the_one_worked_out_by_hand() -> None:
    result = measure_left_ventricle(sequence([500, 600, 300, 700]), AFFINE)  # 200, 201, 202, 203 voxels
    assert result.lvm_variation_percent == pytest.approx(100 * 3 / 201.5)
    assert measure_left_ventricle(sequence([500, 500])[..., [0, 0]], AFFINE).lvm_variation_percent == 0


def test_variation_is_undefined_for_one_frame_and_without_myocardium() -> None:
    sparse = sequence([500, 600, 300])
    sparse[..., 1:] = 255
    cavity_alone = np.minimum(sequence([500, 600]), 1)
    for labels in (sequence([500]), sparse, cavity_alone):
        assert math.isnan(measure_left_ventricle(labels, AFFINE).lvm_variation_percent)
