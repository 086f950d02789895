# SPDX-License-Identifier: Apache-2.0
"""What is known of a tensor is kept as long as it is true, and no longer."""

from __future__ import annotations

import torch
from monai.data import MetaTensor

from cardiac4d.transforms.once_per_tensor import once_per_tensor

calls: list[int] = []


@once_per_tensor
def total(tensor: torch.Tensor, factor: int = 1) -> int:
    calls.append(factor)
    return int(tensor.sum()) * factor


def test_it_is_asked_once_whoever_shows_the_memory() -> None:
    calls.clear()
    label = torch.ones(4, 3, dtype=torch.uint8)
    assert total(label) == total(MetaTensor(label).as_tensor()) == total(label.detach()) == 12
    assert calls == [1]
    assert total(label, 2) == 24
    assert total(label[:2]) == 6
    assert total(label.T) == 12
    assert calls == [1, 2, 1, 1]


def test_it_is_asked_again_once_torch_has_written_there() -> None:
    label = torch.ones(4, 3, dtype=torch.uint8)
    assert total(label) == 12
    label.detach()[0] = 0
    assert total(label) == 9


def test_what_is_known_goes_with_the_memory() -> None:
    """The next tensor is likely to get the memory of the last one."""
    for value in range(20):
        assert total(torch.full((100,), value)) == 100 * value
    calls.clear()
    label = torch.ones(2)
    total(label)
    total(torch.ones(2))
    total(label)
    assert calls == [1, 1]


def test_tensor_that_counts_no_writes_is_asked_every_time() -> None:
    with torch.inference_mode():
        label = torch.ones(3)
        assert total(label) == 3
        label[0] = 5
        assert total(label) == 7
