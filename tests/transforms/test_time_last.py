# SPDX-License-Identifier: Apache-2.0
"""Moving time between the channel axis and the last axis."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from cardiac4d.transforms import TimeLast, TimeLastd


def _time_first() -> MetaTensor:
    return MetaTensor(torch.arange(2 * 3 * 4 * 5.0).view(5, 2, 3, 4), affine=torch.diag(torch.tensor([2.0, 3, 4, 1])))


def test_each_voxel_keeps_its_frames() -> None:
    moved = TimeLast()(_time_first())
    assert moved.shape == (1, 2, 3, 4, 5)
    assert moved.is_contiguous()
    assert torch.equal(moved[0, 1, 2, 3].as_tensor(), _time_first()[:, 1, 2, 3].as_tensor())
    assert torch.equal(moved.affine, _time_first().affine)


def test_there_and_back_is_the_identity_and_the_record_is_used_up() -> None:
    move = TimeLastd("image")
    restored = move.inverse(move({"image": _time_first()}))["image"]
    assert torch.equal(restored.as_tensor(), _time_first().as_tensor())
    assert restored.applied_operations == []


def test_the_input_keeps_its_own_record() -> None:
    image = _time_first()
    TimeLast()(image)
    assert image.applied_operations == []


def test_channels_of_a_prediction_become_channels_times_frames() -> None:
    soft = torch.rand(3, 2, 3, 4, 5)
    moved = TimeLast().inverse(soft)
    assert moved.shape == (15, 2, 3, 4)
    assert torch.equal(moved[5 + 2], soft[1, ..., 2])


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 2, 3, 4, 5)])
def test_other_ranks_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"`img` must be \(T, H, W, D\)"):
        TimeLast()(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"`data` must be \(C, H, W, D, T\)"):
        TimeLast().inverse(torch.zeros(2, 3, 4, 5))
