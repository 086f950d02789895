# SPDX-License-Identifier: Apache-2.0
"""The sum of both terms: its parts, its log, and training on crops without annotation."""

from __future__ import annotations

import math

import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from cardiac4d.losses import SparseDiceLoss, SparseSequenceLoss, TemporalSmoothnessLoss


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and label of two samples, the second without annotation."""
    label = torch.randint(0, 3, (2, 1, 4, 4, 3, 4))
    label[0, ..., 1:3] = 255
    label[1] = 255
    return torch.randn(2, 3, 4, 4, 3, 4, requires_grad=True), label


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("on_logits", [False, True])
def test_is_the_weighted_sum_of_its_terms(batch, weight: float, on_logits: bool) -> None:
    dice, smoothness = SparseDiceLoss(pooled=True), TemporalSmoothnessLoss(norm="l1", on_logits=on_logits)
    total = SparseSequenceLoss(dice, smoothness, weight=weight)(*batch)
    assert torch.allclose(total, dice(*batch) + weight * smoothness(*batch), atol=1e-6)


def test_default_is_the_sum_of_the_default_terms(batch) -> None:
    assert torch.allclose(SparseSequenceLoss()(*batch), SparseDiceLoss()(*batch) + TemporalSmoothnessLoss()(*batch))


def test_terms_are_detached_and_of_the_last_call(batch) -> None:
    loss = SparseSequenceLoss()
    assert loss.terms == {}
    loss(*batch)
    assert loss.terms["dice"].item() == pytest.approx(SparseDiceLoss()(*batch).item())
    assert loss.terms["smoothness"].item() == pytest.approx(TemporalSmoothnessLoss()(*batch).item())
    assert loss.terms["num_annotated_frames"].item() == 2
    assert not any(term.requires_grad for term in loss.terms.values())


def test_crop_without_annotation_trains_on_smoothness_alone(batch) -> None:
    logits, loss = batch[0], SparseSequenceLoss()
    total = loss(logits, torch.full((2, 1, 4, 4, 3, 4), 255))
    (gradient,) = torch.autograd.grad(total, logits)
    (expected,) = torch.autograd.grad(TemporalSmoothnessLoss()(logits), logits)
    assert torch.equal(gradient, expected)
    assert gradient.abs().sum() > 0
    assert total.item() == pytest.approx(loss.terms["smoothness"].item())
    assert math.isnan(loss.terms["dice"].item())  # nanmean skips it; a zero would count as a perfect Dice
    assert loss.terms["num_annotated_frames"].item() == 0


def test_mixed_batch_gives_both_samples_a_gradient(batch) -> None:
    logits, label = batch
    SparseSequenceLoss()(logits, label).backward()
    (smooth,) = torch.autograd.grad(TemporalSmoothnessLoss()(logits), logits)
    difference = (logits.grad - smooth).abs().amax(dim=(1, 2, 3, 4))
    assert torch.all(difference[0, [0, 3]] > 1e-4)  # Dice acts here
    assert torch.all(difference[0, 1:3] < 1e-8)  # not annotated
    assert torch.all(difference[1] < 1e-8)
    assert logits.grad[1].abs().sum() > 0


def test_full_cycle_reaches_the_smoothness_term(batch) -> None:
    loss = SparseSequenceLoss()
    loss(*batch, full_cycle=[True, True])
    assert loss.terms["smoothness"].item() == pytest.approx(TemporalSmoothnessLoss(cyclic=True)(*batch).item())


def test_gradient_matches_finite_differences() -> None:
    logits = torch.randn(1, 3, 2, 2, 1, 3, dtype=torch.float64, requires_grad=True)
    label = torch.randint(0, 3, (1, 1, 2, 2, 1, 3))
    label[..., 1] = 255
    assert torch.autograd.gradcheck(lambda x: SparseSequenceLoss()(x, label), (logits,))


def test_metatensors_and_single_frames_of_a_3d_network() -> None:
    logits, label = torch.randn(2, 3, 4, 4, 3), torch.randint(0, 3, (2, 1, 4, 4, 3))
    loss = SparseSequenceLoss()(MetaTensor(logits), MetaTensor(label))
    assert type(loss) is torch.Tensor
    assert torch.allclose(loss, SparseDiceLoss()(logits, label))


def test_builds_from_a_bundle_config(batch) -> None:
    config = {
        "_target_": "cardiac4d.losses.SparseSequenceLoss",
        "weight": 0.5,
        "smoothness": {"_target_": "cardiac4d.losses.TemporalSmoothnessLoss", "cyclic": True},
    }
    loss = ConfigParser({"loss": config}).get_parsed_content("loss")
    expected = SparseDiceLoss()(*batch) + 0.5 * TemporalSmoothnessLoss(cyclic=True)(*batch)
    assert torch.allclose(loss(*batch), expected)


def test_training_lowers_the_loss_and_leaves_no_nan() -> None:
    torch.manual_seed(0)
    logits = torch.zeros(1, 3, 4, 4, 2, 4, requires_grad=True)
    label = torch.randint(0, 3, (1, 1, 4, 4, 2, 1)).repeat_interleave(4, dim=-1)  # a heart that does not move
    target = label.clone()
    label[..., 1:3] = 255
    optimizer, loss = torch.optim.Adam([logits], lr=0.2), SparseSequenceLoss()
    for _ in range(100):
        optimizer.zero_grad()
        loss(logits, label).backward()
        optimizer.step()
    assert loss.terms["dice"].item() < 0.05
    assert torch.equal(logits.argmax(dim=1, keepdim=True), target)  # smoothness filled the frames nobody annotated


def test_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`weight` \(=-1\) must be >= 0"):
        SparseSequenceLoss(weight=-1)
