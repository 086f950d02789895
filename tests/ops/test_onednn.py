# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv3d

from cardiac4d.ops import conv4d, use_backend
from cardiac4d.ops.onednn import misses_onednn
from tests.helpers.backends import needs_onednn

WEIGHT = torch.randn(4, 3, 3, 3, 3)


def _operators(function) -> set[str]:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        function()
    return {event.key for event in profile.key_averages()}


@pytest.mark.parametrize(
    ("x", "weight", "expected"),
    [
        (torch.zeros(1, 3, 8, 8, 8), WEIGHT, True),
        (torch.zeros(2, 3, 8, 8, 8), WEIGHT, False),
        (torch.zeros(1, 3, 90, 90, 1), WEIGHT, False),
        (torch.zeros(1, 6, 8, 8, 8), WEIGHT, False),
        (torch.zeros(1, 3, 8, 8, 8), WEIGHT[..., :1, :1, :1], False),
        (torch.zeros(1, 3, 8, 8, 8, dtype=torch.float64), WEIGHT.double(), False),
    ],
    ids=["small", "batch_of_two", "large", "two_groups", "pointwise", "float64"],
)
@needs_onednn
def test_only_one_small_float_volume_misses_onednn(x: torch.Tensor, weight: torch.Tensor, expected: bool) -> None:
    assert misses_onednn(x, weight) is expected


@needs_onednn
def test_one_small_frame_is_kept_off_the_slow_path() -> None:
    x, weight = torch.randn(1, 3, 8, 8, 8, 1), WEIGHT[..., None]
    slow = _operators(lambda: conv3d(x[..., 0], weight[..., 0], padding=1))
    with use_backend("composed"):
        ours = _operators(lambda: conv4d(x, weight, padding=(1, 1, 1, 0)))
    assert any("slow_conv3d" in name for name in slow), "torch has changed: ops/onednn.py may go"
    assert not any("slow_conv3d" in name for name in ours)
