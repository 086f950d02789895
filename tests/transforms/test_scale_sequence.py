# SPDX-License-Identifier: Apache-2.0
"""Scaling intensities frame by frame: MONAI's values, without MONAI's memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import ScaleIntensityRange, ScaleIntensityRanged
from torch.utils._python_dispatch import TorchDispatchMode

from cardiac4d.transforms import ScaleSequenceRange, ScaleSequenceRanged

ARGUMENTS: dict[str, dict[str, Any]] = {
    "the_bundles": {"b_min": -1, "b_max": 1},
    "clipped": {"b_min": -1, "b_max": 1, "clip": True},
    "without_target": {},
    "half": {"b_min": 0, "b_max": 1, "dtype": np.float16},
    "of_the_input": {"b_min": 0, "b_max": 1, "dtype": None},
}


def _sequence(dtype: torch.dtype = torch.float32) -> MetaTensor:
    voxels = torch.randint(-2000, 3000, (5, 4, 3, 2)).to(dtype)
    return MetaTensor(voxels, affine=torch.diag(torch.tensor([2.0, 3, 4, 1])), meta={"time_step": 0.05})


@pytest.mark.parametrize("arguments", ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_are_those_of_monai_to_the_last_bit(arguments: dict[str, Any], dtype: torch.dtype) -> None:
    sequence = _sequence(dtype)
    expected = ScaleIntensityRange(-1024, 1024, **arguments)(sequence)
    scaled = ScaleSequenceRange(-1024, 1024, **arguments)(sequence)
    assert isinstance(scaled, MetaTensor)
    assert scaled.dtype == expected.dtype
    assert torch.equal(scaled.as_tensor(), expected.as_tensor())
    assert torch.equal(scaled.affine, expected.affine)
    assert scaled.meta["time_step"] == 0.05


def test_time_last_and_plain_arrays_are_scaled_too() -> None:
    voxels = np.random.default_rng(0).uniform(-1000, 1000, (1, 3, 2, 4, 5)).astype(np.float32)
    expected = ScaleIntensityRange(-1024, 1024, -1, 1)(voxels)
    assert torch.equal(torch.as_tensor(ScaleSequenceRange(-1024, 1024, -1, 1)(voxels)), torch.as_tensor(expected))


def test_the_input_stays_as_it_is() -> None:
    sequence = _sequence()
    before = sequence.clone()
    scaled = ScaleSequenceRange(-1024, 1024, -1, 1)(sequence)
    scaled.applied_operations.append({"class": "later"})
    assert torch.equal(sequence.as_tensor(), before.as_tensor())
    assert sequence.applied_operations == []


def test_the_dictionary_twin_is_a_drop_in() -> None:
    keys = {"a_min": -1024, "a_max": 1024, "b_min": -1, "b_max": 1, "clip": True, "allow_missing_keys": True}
    item = {"image": _sequence(), "id": "a"}
    ours = ScaleSequenceRanged(keys=["image", "other"], **keys)(item)
    theirs = ScaleIntensityRanged(keys=["image", "other"], **keys)(item)
    assert torch.equal(ours["image"].as_tensor(), theirs["image"].as_tensor())
    assert ours["id"] == "a"
    with pytest.raises(KeyError, match="other"):
        ScaleSequenceRanged(["image", "other"], -1024, 1024)(item)


class _Allocations(TorchDispatchMode):
    """Count the operations whose result has at least ``num_voxels`` elements of its own."""

    def __init__(self, num_voxels: int) -> None:
        super().__init__()
        self.num_voxels, self.count = num_voxels, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and out.numel() >= self.num_voxels and not func.is_view:
            self.count += 1
        return out


@pytest.mark.parametrize(("scaling", "arrays"), [(ScaleSequenceRange, 1), (ScaleIntensityRange, 4)])
def test_one_array_of_the_sequences_size_is_made_where_monai_makes_four(scaling: Any, arrays: int) -> None:
    sequence = _sequence()
    with _Allocations(sequence.numel()) as made:
        scaling(-1024, 1024, -1, 1)(sequence)
    assert made.count == arrays
