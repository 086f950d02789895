# SPDX-License-Identifier: Apache-2.0
"""Cutting away what shows nothing changes no number."""

from __future__ import annotations

import numpy as np
import pytest

from cardiac4d.metrics import evaluate_case
from cardiac4d.metrics.cropping import crop_to_structures


def test_box_holds_every_structure_and_one_voxel_more(affine) -> None:
    maps = [np.zeros((9, 9, 9, 2), np.uint8) for _ in range(2)]
    maps[0][3:5, 4, 0, 0] = 1
    maps[1][6, 4, 2, 1] = 2
    maps[1][..., 0] = 255
    (first, second), moved = crop_to_structures(maps, affine)
    assert first.shape == second.shape == (6, 3, 4, 2)
    assert (first == 1).sum() == 2
    np.testing.assert_allclose(moved @ [0, 0, 0, 1], affine @ [2, 3, 0, 1])


def test_nothing_is_cut_without_structure_or_from_a_frame_annotated_in_part(affine) -> None:
    empty, part = np.zeros((9, 9, 9, 2), np.uint8), np.zeros((9, 9, 9, 2), np.uint8)
    part[4, 4, 4], part[:5, ..., 1] = 1, 255
    for labels in (empty, part):
        (same,), moved = crop_to_structures([labels], affine)
        assert same is labels
        assert moved is affine


def test_field_of_view_changes_no_number(pred, label, truth, affine) -> None:
    widths = [(4, 3), (0, 5), (2, 2), (0, 0)]
    wide = [np.pad(array, widths) for array in (pred, truth)]
    sparse = np.pad(label, widths, constant_values=0)
    sparse[..., [1, 3, 4]] = 255
    moved = affine.copy()
    moved[:3, 3] -= affine[:3, :3] @ [4, 0, 2]
    expected = evaluate_case("a", pred, label, truth, affine=affine, full_cycle=True)
    row = evaluate_case("a", wide[0], sparse, wide[1], affine=moved, full_cycle=True)
    assert {key: row[key] for key in row if isinstance(row[key], str)} == {
        key: expected[key] for key in row if isinstance(row[key], str)
    }
    for key, value in row.items():
        if not isinstance(value, str):
            assert value == pytest.approx(expected[key], nan_ok=True), key
