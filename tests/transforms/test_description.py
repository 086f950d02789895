# SPDX-License-Identifier: Apache-2.0
"""Transforms that do the same are described alike, others are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import CastToTyped, Compose, RandFlipd, ScaleIntensityRanged, Spacingd

from cardiac4d.transforms import LoadSequenced, LoadSparseLabelsd, ScaleSequenceRanged, TimeLastd
from cardiac4d.transforms.description import describe
from tests.helpers.sequences import write_nifti


def steps(spacing_mm: float = 1.0, orientation: str = "RAS", low: float = -1024) -> Compose:
    load = LoadSequenced("image", (spacing_mm, 1.0, 1.0), orientation)
    return Compose([load, LoadSparseLabelsd("label"), ScaleSequenceRanged("image", low, 1024, -1, 1), TimeLastd()])


def test_description_is_plain_data_and_the_same_every_time() -> None:
    assert json.dumps(describe(steps())) == json.dumps(describe(steps()))


@pytest.mark.parametrize("changed", [{"spacing_mm": 1.5}, {"orientation": "LPS"}, {"low": -1000}])
def test_changed_parameter_is_noticed(changed: dict[str, Any]) -> None:
    assert describe(steps(**changed)) != describe(steps())


def test_whole_numbers_of_our_own_transforms_may_be_written_without_a_point() -> None:
    assert describe(LoadSequenced("image", [5, None, 6])) == describe(LoadSequenced("image", (5.0, None, 6.0)))
    one, other = (
        ScaleSequenceRanged("image", -1024, 1024, -1, 1),
        ScaleSequenceRanged("image", -1024.0, 1024.0, -1.0, 1.0),
    )
    assert describe(one) == describe(other)
    assert describe(RandFlipd("image", 1)) != describe(
        RandFlipd("image", 1.0)
    )  # theirs may mean a count by one of them


def test_use_does_not_count(tmp_path: Path) -> None:
    transform = steps()
    before = describe(transform)
    time = np.zeros((6, 5, 4, 2), np.int16)
    paths = {name: str(write_nifti(tmp_path / f"{name}.nii", time)) for name in ("image", "label")}
    transform(paths)
    assert describe(transform) == before


def test_order_counts() -> None:
    first, second = ScaleIntensityRanged("image", 0, 1, 0, 1), CastToTyped("image", torch.float32)
    assert describe(Compose([first, second])) != describe(Compose([second, first]))


def test_random_state_does_not_count() -> None:
    flip, other = RandFlipd("image"), RandFlipd("image")
    other.set_random_state(seed=7)
    assert describe(flip) == describe(other)


def doubled(factor: float) -> Callable[[float], float]:
    return lambda x: factor * x


class Shift:
    """A team's own transform."""

    def __init__(self, by: Any) -> None:
        self.by = by


class ShiftOfOtherCode:
    """Another one."""

    def __init__(self, by: Any) -> None:
        self.by = by + 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Shift(1), Shift(2)),
        (Shift(1), ShiftOfOtherCode(1)),
        (Shift(np.zeros(3)), Shift(np.ones(3))),
        (Shift(torch.zeros(3)), Shift(torch.zeros(3, dtype=torch.float64))),
        (doubled(1.0), doubled(2.0)),
        (eval("lambda x: x + 1"), eval("lambda x: x + 2")),
        (partial(max, 1), partial(max, 2)),
        (Shift({"a": 1}), Shift({"a": 2})),
        (Shift({1, 2}), Shift({1, 3})),
        (torch.float16, torch.float32),
        (Shift(float("nan")), Shift(0.0)),
    ],
    ids=str,
)
def test_different_things_are_described_differently(one: Any, other: Any) -> None:
    assert describe(one) != describe(other)
    assert describe(one) == describe(one)


def test_object_that_refers_to_itself_has_an_end() -> None:
    shift = Shift(None)
    shift.by = [shift]
    json.dumps(describe(shift))


def test_transforms_of_monai_can_be_described() -> None:
    json.dumps(describe(Compose([Spacingd("image", (1, 1, 1)), CastToTyped("image", torch.float32)])))


def test_thing_without_attributes_is_refused() -> None:
    with pytest.raises(TypeError, match="a lock cannot be described, so a change of it would not be noticed"):
        describe(Shift(Lock()))
