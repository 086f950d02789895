# SPDX-License-Identifier: Apache-2.0
"""The L2 measure of temporal change: value, unit, invariances, gaps; and the MONAI metric of both measures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from cardiac4d.metrics import TemporalSmoothness, changed_volumes_ml, temporal_l2, temporal_surface_distance


def growing(*counts: int) -> np.ndarray:
    """LV of this many of 1000 voxels per frame, nested."""
    return (np.arange(1000)[:, None] < np.array(counts)).astype(np.uint8).reshape(10, 10, 10, -1)


def test_value_is_the_one_worked_out_by_hand() -> None:
    affine = np.diag([2.0, 1.0, 5.0, 1.0])  # 10 mm^3
    labels = growing(0, 400, 300)  # 4 mL, then 1 mL, and 3 mL back
    np.testing.assert_allclose(changed_volumes_ml(labels, affine, "LV"), [4, 1])
    np.testing.assert_allclose(changed_volumes_ml(labels, affine, "LV", cyclic=True), [4, 1, 3])
    assert temporal_l2(labels, affine) == pytest.approx({"LV": 1.5, "LVM": 0, "mean": 0.75})
    assert temporal_l2(labels, affine, cyclic=True)["LV"] == pytest.approx((3 + math.sqrt(3)) / 3)


def test_equals_the_norm_of_the_difference_array(truth: np.ndarray, affine: np.ndarray) -> None:
    for value, name in ((1, "LV"), (2, "LVM")):
        mask = (truth == value).astype(float)
        norms = np.linalg.norm(np.diff(mask, axis=-1).reshape(-1, 4), axis=0) * math.sqrt(7.5e-3)
        assert temporal_l2(truth, affine)[name] == pytest.approx(norms.mean())


def test_grid_field_of_view_and_axis_order_do_not_matter(truth: np.ndarray, affine: np.ndarray) -> None:
    expected = temporal_l2(truth, affine)
    fine = truth.repeat(2, axis=0).repeat(2, axis=2)
    assert temporal_l2(fine, affine @ np.diag([0.5, 1, 0.5, 1])) == pytest.approx(expected)
    assert temporal_l2(np.pad(truth, [(3, 0), (0, 5), (2, 2), (0, 0)]), affine) == pytest.approx(expected)
    assert temporal_l2(truth.transpose(1, 0, 2, 3)[:, ::-1], affine) == pytest.approx(expected)


def test_cyclic_value_does_not_depend_on_the_first_frame(truth: np.ndarray, affine: np.ndarray) -> None:
    shifted = np.roll(truth, 2, axis=-1)
    assert temporal_l2(shifted, affine, cyclic=True) == pytest.approx(temporal_l2(truth, affine, cyclic=True))
    assert temporal_l2(shifted, affine)["LV"] != pytest.approx(temporal_l2(truth, affine)["LV"])


def test_static_mask_scores_zero() -> None:
    assert temporal_l2(growing(300, 300, 300), np.eye(4), cyclic=True)["mean"] == 0


@pytest.mark.parametrize("cyclic", [False, True])
def test_single_frame_is_undefined(cyclic: bool) -> None:
    assert math.isnan(temporal_l2(growing(300), np.eye(4), cyclic=cyclic)["LV"])


def test_empty_frames_count_and_unannotated_ones_do_not() -> None:
    labels = growing(0, 0, 1000, 500)
    assert temporal_l2(labels, np.eye(4))["LV"] == pytest.approx((0 + 1 + math.sqrt(0.5)) / 3)
    labels[..., 2] = 255
    assert temporal_l2(labels, np.eye(4))["LV"] == 0  # the pair of empty frames is all that is left


@pytest.mark.parametrize("measure", ["l2", "surface"])
def test_metric_reads_affine_and_cycle_of_each_case(measure: str, truth: np.ndarray, affine: np.ndarray) -> None:
    function = {"l2": temporal_l2, "surface": temporal_surface_distance}[measure]
    cases = []
    for scale, full_cycle in ((1.0, False), (2.0, True)):
        meta = {"full_cycle": full_cycle}
        cases.append(MetaTensor(torch.from_numpy(truth)[None], affine=affine * [[scale]] * 3 + [[1]], meta=meta))
    metric = TemporalSmoothness(measure, reduction="none")
    metric(cases)
    for row, case, full_cycle in zip(metric.aggregate(), cases, (False, True), strict=True):
        expected = function(truth, case.affine, cyclic=full_cycle)
        assert row.tolist() == pytest.approx([expected["LV"], expected["LVM"]], rel=1e-6)


def test_metric_takes_an_affine_for_plain_tensors(truth: np.ndarray, affine: np.ndarray) -> None:
    metric = TemporalSmoothness(affine=affine)
    metric([torch.from_numpy(truth)[None]])
    assert metric.aggregate().item() == pytest.approx(temporal_l2(truth, affine)["mean"], rel=1e-6)
    with pytest.raises(ValueError, match="needs a MetaTensor with an affine, or its own argument `affine`"):
        TemporalSmoothness()([torch.from_numpy(truth)[None]])


def test_unknown_measure_is_named() -> None:
    with pytest.raises(ValueError, match=r"`measure` must be one of \('l2', 'surface'\), got 'hausdorff'"):
        TemporalSmoothness("hausdorff")
