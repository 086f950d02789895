# SPDX-License-Identifier: Apache-2.0
"""Error of the ejection fraction as a MONAI metric."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cardiac4d.metrics import EjectionFractionError


def cavity(*counts: int) -> torch.Tensor:
    """A case ``(1, 10, 10, 1, T)`` with this many cavity voxels per frame; -1 for a frame that is not annotated."""
    labels = (np.arange(100)[:, None] < np.array(counts)).astype(np.uint8)
    labels[:, np.array(counts) < 0] = 255
    return torch.from_numpy(labels).reshape(1, 10, 10, 1, -1)


PREDICTIONS = [cavity(80, 50, 40, 60), cavity(100, 80, 90, 90), cavity(0, 0, 0, 0)]  # 50 %, 20 %, undefined
LABELS = [cavity(100, -1, 40, -1), cavity(100, 90, -1, -1), cavity(100, 50, -1, -1)]  # 60 %, 10 %, 50 %


@pytest.mark.parametrize(("absolute", "expected", "mean"), [(True, [10, 10], 10), (False, [-10, 10], 0)])
def test_error_is_in_percentage_points(absolute: bool, expected: list[float], mean: float) -> None:
    metric = EjectionFractionError(absolute)
    rows = metric(PREDICTIONS, LABELS)
    assert rows[:2, 0].tolist() == pytest.approx(expected, abs=1e-4)
    assert math.isnan(rows[2, 0])
    assert metric.aggregate().item() == pytest.approx(mean, abs=1e-4)


def test_a_case_without_annotation_is_left_out_of_the_mean() -> None:
    metric = EjectionFractionError()
    rows = metric(PREDICTIONS[:2], [LABELS[0], cavity(-1, -1, -1, -1)])
    assert rows[0, 0].item() == pytest.approx(10, abs=1e-4)
    assert math.isnan(rows[1, 0])
    assert metric.aggregate().item() == pytest.approx(10, abs=1e-4)


def test_label_is_needed() -> None:
    with pytest.raises(ValueError, match="EjectionFractionError needs the label `y`"):
        EjectionFractionError()(PREDICTIONS)
