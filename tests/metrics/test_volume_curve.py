# SPDX-License-Identifier: Apache-2.0
"""Roughness and phases of the volume curve, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cardiac4d.metrics import CurveRoughness, PhaseError, phase_error_frames, roughness_percent

NAN = float("nan")


def curve(*volumes: int) -> torch.Tensor:
    """A cavity of these many voxels in each frame, ``(1, H, W, D, T)``."""
    return torch.stack([(torch.arange(64) < n).reshape(4, 4, 4) for n in volumes], -1)[None].to(torch.uint8)


def test_roughness_by_hand() -> None:
    volumes = np.array([100.0, 90.0, 60.0, 70.0])  # second differences 10, -20 inside; 20, -10 round the cycle
    assert roughness_percent(volumes) == pytest.approx(math.sqrt((10**2 + 20**2) / 2))
    assert roughness_percent(volumes, cyclic=True) == pytest.approx(math.sqrt((100 + 400 + 400 + 100) / 4))
    assert roughness_percent(2 * volumes) == roughness_percent(volumes)


def test_roughness_of_straight_lines_and_short_curves() -> None:
    assert roughness_percent(np.array([50.0, 40.0, 30.0])) == 0
    for volumes in ([50.0, 40.0], [50.0, NAN, 40.0, 30.0], [0.0, 0.0, 0.0], [NAN, NAN, NAN]):
        assert math.isnan(roughness_percent(np.array(volumes))), volumes


@pytest.mark.parametrize(("pair", "open_end", "cycle"), [((19, 1), 18, 2), ((3, 3), 0, 0), ((0, 10), 10, 10)])
def test_phase_error_takes_the_shorter_way_round(pair, open_end, cycle) -> None:
    assert phase_error_frames(*pair, 20) == open_end
    assert phase_error_frames(*pair, 20, cyclic=True) == cycle


def test_metrics_of_cases() -> None:
    pred, label = curve(50, 60, 40, 20), curve(60, 50, 20, 40)
    label[..., [1, 3]] = 255
    error = PhaseError(cyclic=True)
    error([pred, pred], [label, torch.full_like(label, 255)])
    assert error.aggregate().tolist() == [1, 1], "a case without annotation is left out"
    roughness = CurveRoughness(cyclic=False)
    roughness([pred])
    expected = roughness_percent(np.array([50.0, 60.0, 40.0, 20.0]))
    assert roughness.aggregate().item() == pytest.approx(expected)
