# SPDX-License-Identifier: Apache-2.0
"""Temporal smoothness against values worked out by hand, and its promises on static and single frames."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from cardiac4d.losses import TemporalSmoothnessLoss, temporal_smoothness_loss


@pytest.fixture
def probabilities() -> torch.Tensor:
    """Two voxels, two classes, three frames; class 1 goes 0.1 -> 0.5 -> 0.8 in one voxel and rests in the other.

    Differences over the four entries of a frame: (0.4, 0.4, 0, 0), then (0.3, 0.3, 0, 0), and back (0.7, 0.7, 0, 0).
    """
    foreground = torch.tensor([[0.1, 0.5, 0.8], [0.6, 0.6, 0.6]], dtype=torch.float64)
    return torch.stack([1 - foreground, foreground]).reshape(1, 2, 2, 1, 1, 3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, (0.16 + 0.09) / 2 / 2, id="default: squared L2, K - 1"),
        pytest.param({"norm": "l1"}, (0.4 + 0.3) / 2 / 2, id="L1"),
        pytest.param({"norm": "l2"}, (0.4 + 0.3) / math.sqrt(2) / 2, id="L2"),
        pytest.param({"divide_by": "frames"}, (0.16 + 0.09) / 2 / 3, id="K"),
        pytest.param({"cyclic": True}, (0.16 + 0.09 + 0.49) / 2 / 3, id="cyclic"),
        pytest.param({"cyclic": True, "norm": "l1"}, (0.4 + 0.3 + 0.7) / 2 / 3, id="cyclic L1"),
        pytest.param({"cyclic": True, "norm": "l2"}, (0.4 + 0.3 + 0.7) / math.sqrt(2) / 3, id="cyclic L2"),
        pytest.param({"cyclic": True, "divide_by": "frames"}, (0.16 + 0.09 + 0.49) / 2 / 3, id="cyclic K"),
    ],
)
def test_value_is_the_one_worked_out_by_hand(probabilities: torch.Tensor, options: dict, expected: float) -> None:
    loss = TemporalSmoothnessLoss(**options)
    assert loss(probabilities.log()).item() == pytest.approx(expected, abs=1e-12)
    assert loss(probabilities, probabilities=True).item() == pytest.approx(expected, abs=1e-12)


def test_on_logits_measures_the_logits() -> None:
    logits = torch.tensor([0.0, 3.0, 1.0]).reshape(1, 1, 1, 1, 1, 3)
    assert TemporalSmoothnessLoss(on_logits=True)(logits).item() == pytest.approx((9 + 4) / 2)
    assert TemporalSmoothnessLoss()(logits).item() == 0  # one channel: its probability is always 1


def test_full_cycle_is_chosen_per_sample(probabilities: torch.Tensor) -> None:
    batch = torch.cat([probabilities, probabilities]).log()
    once, wrapped = (0.16 + 0.09) / 4, (0.16 + 0.09 + 0.49) / 6
    loss = TemporalSmoothnessLoss()
    assert loss(batch).item() == pytest.approx(once)
    assert loss(batch, full_cycle=torch.tensor([True, False])).item() == pytest.approx((once + wrapped) / 2)
    for one_for_all in (True, torch.tensor(True), np.bool_(True), [True]):
        assert loss(batch, full_cycle=one_for_all).item() == pytest.approx(wrapped)
    assert TemporalSmoothnessLoss(cyclic=True)(batch, full_cycle=[False, False]).item() == pytest.approx(once)


def test_label_is_ignored(probabilities: torch.Tensor) -> None:
    loss = TemporalSmoothnessLoss()
    assert loss(probabilities.log(), torch.zeros(1)) == loss(probabilities.log())


@pytest.mark.parametrize("norm", ["squared_l2", "l2", "l1"])
@pytest.mark.parametrize("num_frames", [1, 3])
def test_nothing_moves_gives_zero_and_a_finite_gradient(norm: str, num_frames: int) -> None:
    logits = torch.randn(2, 3, 2, 2, 2, 1).repeat_interleave(num_frames, dim=-1).requires_grad_()
    loss = TemporalSmoothnessLoss(norm=norm, cyclic=True)(logits)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_3d_network_output_has_no_neighbour() -> None:
    logits = torch.randn(1, 3, 2, 2, 2, requires_grad=True)
    loss = TemporalSmoothnessLoss()(logits)
    loss.backward()
    assert loss.item() == 0


@pytest.mark.parametrize("norm", ["squared_l2", "l2", "l1"])
@pytest.mark.parametrize("cyclic", [False, True])
def test_gradient_matches_finite_differences(norm: str, cyclic: bool) -> None:
    values = torch.randn(2, 2, 2, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: temporal_smoothness_loss(x, norm=norm, cyclic=cyclic), (values,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("norm", ["squared_l2", "l2", "l1"])
def test_half_precision_is_averaged_in_float32(norm: str, dtype: torch.dtype) -> None:
    logits = torch.randn(1, 3, 20, 20, 20, 2).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = TemporalSmoothnessLoss(norm=norm, on_logits=True)(logits)
    exact = TemporalSmoothnessLoss(norm=norm, on_logits=True)(logits.double())
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)


def test_metatensor_gives_a_plain_result(probabilities: torch.Tensor) -> None:
    assert type(TemporalSmoothnessLoss()(MetaTensor(probabilities))) is torch.Tensor


@pytest.mark.parametrize("options", [{"norm": "l3"}, {"divide_by": "K"}])
def test_unknown_option_is_named(options: dict) -> None:
    name, value = next(iter(options.items()))
    with pytest.raises(ValueError, match=f"`{name}` must be one of .* got '{value}'"):
        TemporalSmoothnessLoss(**options)


def test_wrong_number_of_cycle_flags_is_named(probabilities: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"one per sample \(1\), got 2"):
        TemporalSmoothnessLoss()(probabilities, full_cycle=[True, False])


def test_probabilities_for_a_loss_on_logits_are_refused(probabilities: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="`probabilities` must be False"):
        TemporalSmoothnessLoss(on_logits=True)(probabilities, probabilities=True)
