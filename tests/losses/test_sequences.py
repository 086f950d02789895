# SPDX-License-Identifier: Apache-2.0
"""The errors a wrong logits or label tensor ends in, the same for every loss."""

from __future__ import annotations

import pytest
import torch

from cardiac4d.losses import SparseDiceLoss, SparseSequenceLoss, TemporalSmoothnessLoss
from cardiac4d.losses.sequences import annotated_frames

LOGITS = torch.zeros(2, 3, 4, 4, 4, 5)


@pytest.mark.parametrize("loss", [SparseDiceLoss(), SparseSequenceLoss()])
@pytest.mark.parametrize(
    ("label", "message"),
    [
        pytest.param(torch.zeros(2, 3, 4, 4, 4, 5), r"not one-hot channels", id="one-hot"),
        pytest.param(torch.zeros(2, 1, 4, 4, 4, 4), r"must have shape \(2, 1, 4, 4, 4, 5\)", id="frames missing"),
        pytest.param(torch.zeros(2, 4, 4, 5), r"`label` must be a non-empty .* got \(2, 4, 4, 5\)", id="rank"),
        pytest.param(torch.full((2, 1, 4, 4, 4, 5), 3), r"must hold 0 \.\. 2 or 255 .* got \[3\]", id="unknown class"),
        pytest.param(torch.full((2, 1, 4, 4, 4, 5), -1), r"must hold 0 \.\. 2 or 255 .* got \[-1\]", id="negative"),
        pytest.param(torch.full((2, 1, 4, 4, 4, 5), 0.5), "must hold whole numbers", id="interpolated"),
        pytest.param(torch.full((2, 1, 4, 4, 4, 5), float("nan")), "must hold whole numbers", id="nan"),
    ],
)
def test_bad_label_is_named(loss: torch.nn.Module, label: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loss(LOGITS, label)


@pytest.mark.parametrize("loss", [SparseDiceLoss(), TemporalSmoothnessLoss(), SparseSequenceLoss()])
@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 2, 3, 4, 4, 4, 5), (2, 3, 4, 0, 4, 5)])
def test_bad_logits_are_named(loss: torch.nn.Module, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="`logits` must be a non-empty"):
        loss(torch.zeros(shape), torch.zeros(2, 1, 4, 4, 4, 5))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
def test_label_type_does_not_matter(dtype: torch.dtype) -> None:
    label = torch.tensor([0, 1, 2, 255]).reshape(1, 1, 4, 1, 1, 1)
    logits = torch.arange(12.0).reshape(1, 3, 4, 1, 1, 1).sin()
    assert torch.equal(SparseDiceLoss()(logits, label.to(dtype)), SparseDiceLoss()(logits, label))


def test_one_annotated_voxel_makes_a_frame_annotated() -> None:
    label = torch.full((2, 3, 3, 3, 3), 255, dtype=torch.uint8)
    label[1, 2, 0, 1, 2] = 0
    assert annotated_frames(label).tolist() == [[False, False, False], [False, False, True]]
