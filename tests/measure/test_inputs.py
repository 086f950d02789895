# SPDX-License-Identifier: Apache-2.0
"""What a measurement accepts as a label map and an affine, and the errors for everything else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from cardiac4d.measure import as_affine, as_label_map, measured_frames, structure_id

LABELS = np.array([0, 1, 2, 255], np.uint8).reshape(4, 1, 1, 1)


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LABELS.astype(np.int64),
        LABELS.astype(np.float32),
        torch.from_numpy(LABELS),
        MetaTensor(torch.from_numpy(LABELS).float()),
    ],
    ids=lambda labels: f"{type(labels).__name__} {labels.dtype}",
)
def test_any_container_of_whole_numbers_is_accepted(labels) -> None:
    result = as_label_map(labels)
    assert result.dtype == np.uint8
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, LABELS)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[None], r"`pred` must be a non-empty \(H, W, D, T\) without channel axis, got shape \(1, 4, 1, 1, 1\)"),
        (LABELS[:0], "must be a non-empty"),
        (LABELS + 3, r"only the labels \(0, 1, 2, 255\), got \[3, 4, 5\]"),
        (LABELS.astype(np.int16) - 1, r"got \[-1, 254\]"),
        (LABELS * 0.5, r"got \[0.5, 127.5\]"),
        (np.full((1, 1, 1, 1), np.nan), r"got \[nan\]"),
    ],
    ids=["channel", "empty", "unknown", "negative", "fraction", "nan"],
)
def test_bad_label_map_is_named(labels: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_label_map(labels, "pred")


def test_affine_comes_from_any_container() -> None:
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    for form in (affine, affine.tolist(), torch.from_numpy(affine), MetaTensor(torch.zeros(1), affine=affine).affine):
        np.testing.assert_array_equal(as_affine(form), affine)


@pytest.mark.parametrize("affine", [np.eye(3), np.eye(4)[None], np.diag([1.0, 0, 1, 1]), np.diag([1.0, np.nan, 1, 1])])
def test_bad_affine_is_refused(affine: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"`affine` must be a finite, invertible \(4, 4\)"):
        as_affine(affine)


def test_one_annotated_voxel_makes_a_frame_measurable() -> None:
    labels = np.full((2, 2, 2, 3), 255, np.uint8)
    labels[1, 0, 1, 2] = 0
    assert measured_frames(labels).tolist() == [False, False, True]


def test_structures_have_their_convention_ids() -> None:
    assert (structure_id("LV"), structure_id("LVM")) == (1, 2)
    with pytest.raises(ValueError, match=r"`structure` must be one of \('LV', 'LVM'\), got 'RV'"):
        structure_id("RV")
