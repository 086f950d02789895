# SPDX-License-Identifier: Apache-2.0
"""Reversal and sub-sampling in time, and flips in space: image, label and frame times stay together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import RandFlipd

from cardiac4d.geometry import TimeAxis
from cardiac4d.transforms import RandTimeReversald, RandTimeSubsampled, TimeReversal, TimeSubsample

NUM_FRAMES = 12


def _sequence(dtype: torch.dtype = torch.float32, *, full_cycle: bool = True) -> MetaTensor:
    """Frame t is t everywhere."""
    frames = torch.arange(NUM_FRAMES).to(dtype).expand(1, 2, 3, 2, NUM_FRAMES).contiguous()
    time = TimeAxis.uniform(NUM_FRAMES, 50.0, unit="msec", full_cycle=full_cycle)
    return MetaTensor(frames, affine=torch.diag(torch.tensor([1.0, 2, 3, 1])), meta=time.to_meta())


def _label(annotated: tuple[int, ...], *, full_cycle: bool = True) -> MetaTensor:
    """Frame t is t where it is annotated, 255 elsewhere."""
    label = _sequence(torch.uint8, full_cycle=full_cycle)
    for t in set(range(NUM_FRAMES)) - set(annotated):
        label[..., t] = 255
    return label


def _entry(annotated: tuple[int, ...] = (0, 5), *, full_cycle: bool = True) -> dict[str, MetaTensor]:
    return {"image": _sequence(full_cycle=full_cycle), "label": _label(annotated, full_cycle=full_cycle)}


def _assert_together(entry: dict[str, MetaTensor]) -> None:
    """Every annotated frame still stands at the frame it was drawn on, and the times say which that is."""
    image, label = entry["image"].as_tensor(), entry["label"].as_tensor()
    annotated = label != 255
    assert annotated.any()
    assert (image[annotated] == label[annotated].float()).all()
    for key in ("image", "label"):
        np.testing.assert_allclose(entry[key].meta["frame_times_ms"] % 600, 50.0 * image[0, 0, 0, 0].numpy())


def _assert_as_before(entry: dict[str, MetaTensor], before: dict[str, MetaTensor]) -> None:
    for key, img in before.items():
        assert torch.equal(entry[key].as_tensor(), img.as_tensor())
        assert TimeAxis.from_meta(entry[key].meta) == TimeAxis.from_meta(img.meta)


def test_reversal_keeps_all_keys_together_and_comes_back() -> None:
    reverse = RandTimeReversald(prob=1.0)
    moved = reverse(_entry())
    assert moved["image"][0, 0, 0, 0].tolist() == list(range(NUM_FRAMES - 1, -1, -1))
    _assert_together(moved)
    assert moved["image"].meta["full_cycle"]
    _assert_as_before(reverse.inverse(moved), _entry())


@pytest.mark.parametrize(("full_cycle", "prob"), [(False, 1.0), (True, 0.0)])
def test_reversal_passes_other_sequences_unchanged(full_cycle: bool, prob: float) -> None:
    reverse = RandTimeReversald(prob=prob)
    passed = reverse(_entry(full_cycle=full_cycle))
    _assert_as_before(passed, _entry(full_cycle=full_cycle))
    _assert_as_before(reverse.inverse(passed), _entry(full_cycle=full_cycle))


def test_a_sequence_that_is_no_full_cycle_cannot_be_reversed() -> None:
    with pytest.raises(ValueError, match="must cover a full cycle"):
        TimeReversal()(_sequence(full_cycle=False))


def test_reversal_happens_as_often_as_asked() -> None:
    reverse = RandTimeReversald("image", prob=0.3).set_random_state(0)
    count = sum(reverse({"image": _sequence()})["image"][0, 0, 0, 0, 0].item() > 0 for _ in range(300))
    assert 60 < count < 120


@pytest.mark.parametrize("stride", [2, 3])
def test_subsampling_keeps_all_keys_together_and_an_annotated_frame(stride: int) -> None:
    subsample = RandTimeSubsampled(prob=1.0, strides=(stride,), min_frames=2).set_random_state(0)
    seen = set()
    for _ in range(30):
        moved = subsample(_entry())
        assert moved["image"].shape[-1] == NUM_FRAMES // stride
        _assert_together(moved)
        assert moved["image"].meta["frame_duration_ms"] == 50 * stride
        assert moved["image"].meta["full_cycle"]
        seen |= set(moved["label"].as_tensor().unique().tolist())
    assert {0, 5} <= seen


def test_subsampling_puts_frames_back() -> None:
    subsample = RandTimeSubsampled(prob=1.0, strides=(2,), min_frames=2).set_random_state(0)
    restored = subsample.inverse(subsample(_entry((4,))))["image"]
    assert restored[0, 0, 0, 0].tolist() == [0, 0, 2, 0, 4, 0, 6, 0, 8, 0, 10, 0]
    assert TimeAxis.from_meta(restored.meta) == TimeAxis.from_meta(_sequence().meta)


def test_subsampling_draws_the_strides_that_leave_enough_frames() -> None:
    subsample = RandTimeSubsampled("image", prob=1.0, strides=(1, 2, 3), min_frames=6).set_random_state(0)
    sizes = [subsample({"image": _sequence()})["image"].shape[-1] for _ in range(40)]
    assert set(sizes) == {12, 6}
    assert RandTimeSubsampled("image", prob=0.0)({"image": _sequence()})["image"].shape[-1] == NUM_FRAMES


def test_subsampling_without_annotated_frames_begins_anywhere() -> None:
    subsample = RandTimeSubsampled(prob=1.0, strides=(2,), min_frames=2).set_random_state(0)
    entries = ({"image": _sequence(), "label": _label(())}, {"image": _sequence()})
    subsample.allow_missing_keys = True
    for entry in entries:
        assert {subsample(entry)["image"][0, 0, 0, 0, 0].item() for _ in range(20)} == {0, 1}


def test_subsampling_refuses_what_leaves_no_frames() -> None:
    with pytest.raises(ValueError, match="`strides` must be whole numbers from 1"):
        RandTimeSubsampled(strides=(0, 2))
    for stride, first in ((0, 0), (2, NUM_FRAMES)):
        with pytest.raises(ValueError, match="must leave frames"):
            TimeSubsample()(_sequence(), stride, first)


def test_monai_flips_are_right_in_space_and_keep_frames() -> None:
    """Why there is no flip of ours. Without ``spatial_axis`` MONAI's would flip time, too."""
    flip = RandFlipd(("image", "label"), prob=1.0, spatial_axis=1)
    image = _sequence()
    image[:, :, 0] += 100
    moved = flip({"image": image, "label": _label((0, 5))})
    assert moved["image"][0, 0, 2, 0].tolist() == [100 + t for t in range(NUM_FRAMES)]
    assert moved["label"][0, 0, 0, 0].tolist() == _label((0, 5))[0, 0, 0, 0].tolist()
    corner = moved["image"].affine @ torch.tensor([0.0, 2, 0, 1], dtype=moved["image"].affine.dtype)
    assert corner[:3].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(moved["image"].meta["frame_times_ms"], image.meta["frame_times_ms"])
    torch.testing.assert_close(flip.inverse(moved)["image"].as_tensor(), image.as_tensor())
