# SPDX-License-Identifier: Apache-2.0
"""Dice per frame and its MONAI metric, against hand-made masks and MONAI's own Dice."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric
from monai.networks import one_hot

from cardiac4d.metrics import SparseDice, dice_per_frame


def line(*values: int) -> np.ndarray:
    """One frame of a few voxels."""
    return np.array(values).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("pred", "label", "lv", "lvm"),
    [
        pytest.param(line(1, 1, 2, 0), line(1, 1, 2, 0), 1, 1, id="equal"),
        pytest.param(line(1, 1, 1, 0), line(1, 0, 2, 2), 2 / 4, 0, id="overlap"),
        pytest.param(line(0, 0, 2, 2), line(1, 1, 0, 0), 0, 0, id="absent from one"),
        pytest.param(line(0, 1, 0, 0), line(0, 1, 0, 0), 1, 1, id="absent from both"),
        pytest.param(line(1, 1, 1, 2), line(1, 255, 255, 2), 1, 1, id="255 inside the frame"),
        pytest.param(line(1, 1, 1, 2), line(255, 255, 255, 255), math.nan, math.nan, id="not annotated"),
    ],
)
def test_value_is_the_one_worked_out_by_hand(pred: np.ndarray, label: np.ndarray, lv: float, lvm: float) -> None:
    np.testing.assert_allclose(dice_per_frame(pred, label), [[lv], [lvm]])


def test_equals_monai_frame_by_frame() -> None:
    pred, label = torch.randint(0, 3, (5, 4, 3, 6)), torch.randint(0, 3, (5, 4, 3, 6))
    label[..., [1, 4]] = 255
    frames = [0, 2, 3, 5]
    batches = [one_hot(x[..., frames].movedim(-1, 0)[:, None], num_classes=3) for x in (pred, label)]
    expected = DiceMetric(include_background=False, ignore_empty=False)(*batches)
    scores = dice_per_frame(pred, label)
    np.testing.assert_allclose(scores[:, frames].T, expected, rtol=1e-6)
    assert np.isnan(scores[:, [1, 4]]).all()


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"same shape, got \(4, 1, 1, 1\) and \(3, 1, 1, 1\)"):
        dice_per_frame(line(0, 0, 0, 0), line(0, 0, 0))


def test_metric_averages_frames_then_cases() -> None:
    # Case 1: LV 1 and 0.5 over two frames. Case 2: LV 0 in its only frame. Case 3 has no annotation.
    pred = torch.zeros(3, 1, 4, 1, 1, 2)
    pred[0, 0, :, 0, 0] = torch.tensor([[1, 1], [1, 1], [2, 1], [0, 0]])
    label = torch.full((3, 1, 4, 1, 1, 2), 255)
    label[0, 0, :, 0, 0] = torch.tensor([[1, 1], [1, 0], [2, 0], [0, 0]])
    label[1, 0, :, 0, 0, 1] = torch.tensor([1, 1, 0, 0])
    metric = SparseDice("mean_batch")
    rows = metric(pred, label)
    assert torch.allclose(rows[:2, 0], torch.tensor([0.75, 0.0]))
    assert torch.isnan(rows[2]).all()
    assert metric.aggregate().tolist() == pytest.approx([0.375, 1.0])
    assert metric.aggregate("mean").item() == pytest.approx(0.6875)
