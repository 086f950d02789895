# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from cardiac4d.layers import channels_innermost


@pytest.mark.parametrize(
    ("shape", "strides"), [((2, 3, 4, 5, 6, 7), (2520, 1, 90, 18, 3, 360)), ((2, 3, 4, 5, 6), (360, 1, 90, 18, 3))]
)
def test_channels_lie_innermost_and_time_outermost(shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    converted = channels_innermost(x)
    assert torch.equal(converted, x)
    assert converted.stride() == strides
    assert channels_innermost(converted).data_ptr() == converted.data_ptr()
