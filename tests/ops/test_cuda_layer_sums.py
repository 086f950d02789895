# SPDX-License-Identifier: Apache-2.0
"""A convolution that gives the sums of its output as well, without a GPU: binding and kernels run in the emulation."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from cardiac4d.ops.backend import TF32
from tests.helpers.backends import needs_compiler
from tests.helpers.comparison import check, sums_of
from tests.helpers.cpu_kernels import Shape
from tests.helpers.cuda_kernels import draw
from tests.helpers.fused_cuda_calls import is_frames

pytestmark = needs_compiler

LAYERS = {
    "8_to_8": Shape((9, 9, 18, 9), (8, 8), padding=1),
    "8_to_24": Shape((9, 5, 5, 5), (8, 24), padding=(1, 0, 2, 1)),
    "40_to_16": Shape((2, 3, 4, 3), (40, 16), batch=2, padding=1),
}
"""Convolutions on tensor cores; the second one has more blocks of output channels than warps for them."""


@pytest.mark.parametrize("channels", [1, 8, 20, 136])
def test_convolution_with_sums_is_the_convolution(operators: Any, channels: int) -> None:
    x, weight = torch.randn(2, 2, 9, 7, 5, 6), torch.randn(channels, 2, 2, 2, 2, 2)
    options = [2, 1, 2, 1], [1] * 4, [1] * 4, 1, 0
    y, sums = operators.conv4d_sums(x, weight, None, *options)
    assert torch.equal(y, operators.conv4d(x, weight, None, *options))
    check(sums, sums_of(y), 1e-6)


def _is_one_with_its_sums(operators: Any, shape: Shape, dtype: torch.dtype, precision: int = 0) -> None:
    x, weight, bias = draw("forward", shape, dtype)
    stride, padding = (
        [number] * 4 if isinstance(number, int) else list(number) for number in (shape.stride, shape.padding)
    )
    options = stride, padding, [1] * 4, 1, precision
    y, sums = operators.conv4d_sums(x, weight, bias, *options)
    assert torch.equal(y, operators.conv4d(x, weight, bias, *options))
    check(sums, sums_of(y), 1e-6)
    assert is_frames(y)


def test_layer_on_tensor_cores_gives_its_sums(operators: Any) -> None:
    _is_one_with_its_sums(operators, Shape((2, 5, 3, 3), (8, 16), batch=2, padding=1), torch.bfloat16)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_layers_on_tensor_cores_give_their_sums(operators: Any, name: str) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        _is_one_with_its_sums(operators, LAYERS[name], dtype)
    _is_one_with_its_sums(operators, LAYERS[name], torch.float32, TF32)


def test_sums_are_of_pieces_that_lose_nothing_to_a_mean(operators: Any) -> None:
    x = torch.randn(1, 1, 40, 40, 40, 3) + 100
    _, sums = operators.conv4d_sums(x, torch.ones(1, 1, 1, 1, 1, 1), None, [1] * 4, [0] * 4, [1] * 4, 1, 0)
    count = x.numel()
    variance = sums[0, 0, 1] / count - (sums[0, 0, 0] / count) ** 2
    assert abs(variance - x.double().var(correction=0)) < 2e-3
