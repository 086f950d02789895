# SPDX-License-Identifier: Apache-2.0
"""Sparse Dice against values worked out by hand, an independent formulation, and its promises on unannotated frames."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.losses import DiceLoss

from cardiac4d.losses import SparseDiceLoss, sparse_dice_loss
from cardiac4d.losses.sparse_dice import sparse_dice_of_sums

ATOL = 2e-5  # the hand-computed values leave out smooth_dr = 1e-5


@pytest.fixture
def example() -> tuple[torch.Tensor, torch.Tensor]:
    """Two voxels, two classes, three frames; frame 1 is not annotated. Logits are log-probabilities."""
    foreground = torch.tensor([[0.8, 0.123, 0.5], [0.4, 0.456, 0.9]])
    probabilities = torch.stack([1 - foreground, foreground]).reshape(1, 2, 2, 1, 1, 3)
    label = torch.tensor([[1, 255, 1], [0, 255, 1]], dtype=torch.uint8).reshape(1, 1, 2, 1, 1, 3)
    return probabilities.log(), label


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # class 1: 1.6 / 1.8 in frame 0, 2.8 / 3.06 in frame 2; class 0: 1.2 / 1.4, and absent in frame 2
        pytest.param({}, 1 - (1.6 / 1.8 + 2.8 / 3.06 + 1.2 / 1.4 + 0) / 4, id="default"),
        pytest.param({"include_background": False}, 1 - (1.6 / 1.8 + 2.8 / 3.06) / 2, id="without background"),
        pytest.param({"squared_denominator": False}, 1 - (1.6 / 2.2 + 2.8 / 3.4 + 1.2 / 1.8 + 0) / 4, id="plain"),
        pytest.param({"pooled": True}, 1 - (4.4 / 4.86 + 1.2 / 1.66) / 2, id="pooled"),
        pytest.param(
            {"smooth_nr": 1.0, "smooth_dr": 1.0}, 1 - (2.6 / 2.8 + 3.8 / 4.06 + 2.2 / 2.4 + 1 / 1.26) / 4, id="smooth"
        ),
        pytest.param({"smooth_dr": 0.5}, 1 - (1.6 / 2.3 + 2.8 / 3.56 + 1.2 / 1.9 + 0) / 4, id="smooth_dr"),
    ],
)
def test_value_is_the_one_worked_out_by_hand(example, options: dict, expected: float) -> None:
    assert SparseDiceLoss(**options)(*example).item() == pytest.approx(expected, abs=ATOL)


def test_equals_monai_dice_on_the_annotated_frames() -> None:
    logits = torch.randn(2, 3, 4, 5, 3, 4, dtype=torch.float64)
    label = torch.randint(0, 3, (2, 1, 4, 5, 3, 4))
    label[..., [0, 2]] = 255
    frames = [1, 3]
    by_frame = logits[..., frames].movedim(-1, 1).flatten(0, 1)  # time into the batch
    target = label[..., frames].movedim(-1, 1).flatten(0, 1)
    monai = DiceLoss(softmax=True, to_onehot_y=True, squared_pred=True, smooth_nr=0, smooth_dr=1e-5)
    assert SparseDiceLoss()(logits, label).item() == pytest.approx(monai(by_frame, target).item(), abs=1e-7)


def test_gradient_is_exactly_zero_where_not_annotated() -> None:
    logits = torch.randn(2, 3, 3, 3, 2, 5, requires_grad=True)
    label = torch.randint(0, 3, (2, 1, 3, 3, 2, 5))
    label[0, ..., [0, 1, 4]] = 255
    label[1] = 255
    label[1, ..., 2] = 1
    label[1, :, 0, ..., 2] = 255  # padding inside an annotated frame
    SparseDiceLoss()(logits, label).backward()
    missing = (label == 255).expand_as(logits)
    assert torch.count_nonzero(logits.grad[missing]) == 0
    assert torch.count_nonzero(logits.grad[~missing]) > 0.9 * (~missing).sum()


def test_255_inside_an_annotated_frame_equals_cropping_it_away() -> None:
    logits, label = torch.randn(1, 3, 5, 4, 3, 2), torch.randint(0, 3, (1, 1, 5, 4, 3, 2))
    cropped = SparseDiceLoss()(logits[:, :, 1:], label[:, :, 1:])
    label[:, :, 0] = 255
    assert torch.allclose(SparseDiceLoss()(logits, label), cropped, atol=1e-6)


def test_batch_averages_over_the_annotated_samples_only() -> None:
    logits, label = torch.randn(3, 3, 3, 3, 3, 2), torch.randint(0, 3, (3, 1, 3, 3, 3, 2))
    label[1] = 255
    label[2, ..., 0] = 255
    loss = SparseDiceLoss()
    alone = [loss(logits[n : n + 1], label[n : n + 1]) for n in (0, 2)]
    assert torch.allclose(loss(logits, label), sum(alone) / 2, atol=1e-6)


def test_pooled_dice_stays_within_a_sample(example) -> None:
    logits, label = example
    twice = torch.cat([logits, logits.flip(1)]), torch.cat([label, label])
    loss = SparseDiceLoss(pooled=True)
    assert torch.allclose(loss(*twice), (loss(logits, label) + loss(logits.flip(1), label)) / 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_without_annotated_frame_the_loss_is_zero_and_keeps_its_graph(dtype: torch.dtype) -> None:
    logits = torch.full((2, 3, 2, 2, 2, 2), 6e4, dtype=dtype, requires_grad=True)  # a float16 sum would overflow
    loss = SparseDiceLoss()(logits, torch.full((2, 1, 2, 2, 2, 2), 255))
    loss.backward()
    assert loss.item() == 0
    assert loss.dtype == torch.promote_types(dtype, torch.float32)
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_absent_class_scores_zero_without_a_gradient_through_its_own_channel() -> None:
    # Only the LV is in the frame: LV and background carry the gradient, LVM is a constant 0.
    probabilities = torch.rand(1, 3, 2, 2, 2, 1, requires_grad=True)
    label = torch.tensor([0, 1], dtype=torch.uint8).repeat(4).reshape(1, 1, 2, 2, 2, 1)
    sparse_dice_loss(probabilities, label, probabilities=True).backward()
    assert torch.count_nonzero(probabilities.grad[:, 2]) == 0
    assert torch.count_nonzero(probabilities.grad[:, :2]) == 16


def test_gradient_matches_finite_differences() -> None:
    label = torch.randint(0, 3, (2, 1, 2, 2, 2, 3))
    label[0, ..., 1] = 255
    logits = torch.randn(2, 3, 2, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: sparse_dice_loss(x, label), (logits,))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_summed_in_float32(dtype: torch.dtype) -> None:
    # 40**3 voxels of probability 1: a float16 sum of squares saturates at 65504 or stalls at 2048 in steps of one.
    label = torch.ones(1, 1, 40, 40, 40, 1, dtype=torch.uint8)
    logits = torch.tensor([0.0, 30.0], dtype=dtype).reshape(1, 2, 1, 1, 1, 1).expand(1, 2, 40, 40, 40, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = SparseDiceLoss(include_background=False)(logits, label)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_metatensor_gives_the_plain_result() -> None:
    logits, label = torch.randn(1, 3, 3, 3, 3, 2, requires_grad=True), torch.randint(0, 3, (1, 1, 3, 3, 3, 2))
    plain = SparseDiceLoss()(logits, label)
    meta = SparseDiceLoss()(MetaTensor(logits), MetaTensor(label.float()))
    assert type(meta) is torch.Tensor
    assert torch.equal(plain, meta)


def test_background_alone_cannot_be_left_out() -> None:
    scores, label = torch.randn(1, 1, 2, 2, 2, 3), torch.zeros(1, 1, 2, 2, 2, 3)
    loss, words = SparseDiceLoss(include_background=False), r"`include_background=False` leaves no class of 1"
    with pytest.raises(ValueError, match=words):
        loss(scores, label)
    with pytest.raises(ValueError, match=words):
        sparse_dice_of_sums(loss, torch.ones(1, 1, 3), torch.ones(1, 1, 3), torch.ones(1, 3).bool())


def test_3d_network_output_is_one_frame() -> None:
    logits, label = torch.randn(2, 3, 3, 4, 5), torch.randint(0, 3, (2, 1, 3, 4, 5))
    assert torch.equal(SparseDiceLoss()(logits, label), SparseDiceLoss()(logits[..., None], label[..., None]))


@pytest.mark.parametrize("options", [{"smooth_nr": -1.0}, {"smooth_dr": 0.0}])
def test_smoothing_terms_are_checked(options: dict) -> None:
    with pytest.raises(ValueError, match=r"`smooth_nr` .* must be >= 0 and `smooth_dr` .* > 0"):
        SparseDiceLoss(**options)
