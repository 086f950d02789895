# SPDX-License-Identifier: Apache-2.0
"""Beginning a full cycle at a random phase."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from cardiac4d.geometry import TimeAxis
from cardiac4d.transforms import CyclicShift, RandCyclicShiftd


def _sequence(*, full_cycle: bool = True) -> MetaTensor:
    frames = torch.arange(6.0).expand(1, 2, 2, 2, 6).contiguous()
    return MetaTensor(frames, meta=TimeAxis.uniform(6, 50.0, unit="msec", full_cycle=full_cycle).to_meta())


def test_frames_and_times_begin_at_the_new_phase() -> None:
    image = _sequence()
    shifted = CyclicShift()(image, 4)
    assert shifted[0, 0, 0, 0].tolist() == [4, 5, 0, 1, 2, 3]
    np.testing.assert_allclose(shifted.meta["frame_times_ms"], 50.0 * np.arange(4, 10))
    assert shifted.meta["full_cycle"]
    assert shifted.meta["cycle_length_ms"] == 300
    assert image.meta["frame_times_ms"][0] == 0


def test_all_keys_are_shifted_together_and_back() -> None:
    shift = RandCyclicShiftd(("image", "label"), prob=1.0).set_random_state(2)
    moved = shift({"image": _sequence(), "label": _sequence()})
    assert torch.equal(moved["image"].as_tensor(), moved["label"].as_tensor())
    assert not torch.equal(moved["image"].as_tensor(), _sequence().as_tensor())
    restored = shift.inverse(moved)
    for key in ("image", "label"):
        assert torch.equal(restored[key].as_tensor(), _sequence().as_tensor())
        assert TimeAxis.from_meta(restored[key].meta) == TimeAxis.from_meta(_sequence().meta)


def test_every_phase_occurs() -> None:
    shift = RandCyclicShiftd("image").set_random_state(0)
    firsts = {shift({"image": _sequence()})["image"][0, 0, 0, 0, 0].item() for _ in range(60)}
    assert firsts == set(range(6))


@pytest.mark.parametrize(("full_cycle", "prob"), [(False, 1.0), (True, 0.0)])
def test_other_sequences_pass_unchanged_and_invert_to_themselves(full_cycle: bool, prob: float) -> None:
    shift = RandCyclicShiftd("image", prob=prob).set_random_state(0)
    for _ in range(10):
        passed = shift({"image": _sequence(full_cycle=full_cycle)})
        assert torch.equal(passed["image"].as_tensor(), _sequence().as_tensor())
        assert torch.equal(shift.inverse(passed)["image"].as_tensor(), _sequence().as_tensor())


def test_a_sequence_that_is_no_full_cycle_cannot_be_shifted() -> None:
    with pytest.raises(ValueError, match="must cover a full cycle"):
        CyclicShift()(_sequence(full_cycle=False), 2)
