# SPDX-License-Identifier: Apache-2.0
"""The errors that docs/conv4d.md promises for float32, beside that of torch's own convolution.

Torch has no 4D convolution to compare with. What comes nearest, and adds up each output in one sum as it would, is one
``conv3d`` over all frames as a batch, whose 3 C input channels are those of the frames before, at and after each. In
memory as ``channels_last_3d`` torch adds its 81 C products one after the other, and in plain memory in blocks of
channels, which rounds less.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv3d, pad

from cardiac4d.ops import conv4d, use_backend
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.backends import needs_native

CHANNELS = [8, 16, 32]
Results = list[Tensor]
"""Output, gradient of the input, gradient of the weight."""
Convolve = Callable[[Tensor, Tensor], Tensor]
"""``(1, C, H, W, D, T)`` with a 3x3x3x3 kernel, padded by one."""


def _conv3d_of_three_frames(memory_format: torch.memory_format) -> Convolve:
    def function(x: Tensor, weight: Tensor) -> Tensor:
        frames = pad(x[0], [1, 1]).movedim(-1, 0)
        stacked = torch.cat([frames[:-2], frames[1:-1], frames[2:]], dim=1).contiguous(memory_format=memory_format)
        kernel = torch.cat(weight.unbind(-1), dim=1).contiguous(memory_format=memory_format)
        return conv3d(stacked, kernel, padding=1).movedim(0, -1)[None]

    return function


IN_ONE_SUM = _conv3d_of_three_frames(torch.channels_last_3d)
IN_BLOCKS = _conv3d_of_three_frames(torch.contiguous_format)


@cache
def _problem(channels: int) -> tuple[Tensor, Tensor, Tensor, Results]:
    """Input, weight, seed of the gradients, and the results in float64."""
    generator = torch.Generator().manual_seed(channels)
    x, seed = (torch.randn(1, channels, 12, 10, 6, 8, generator=generator) for _ in range(2))
    weight = torch.randn(channels, channels, 3, 3, 3, 3, generator=generator)
    return (
        x,
        weight,
        seed,
        _results(lambda *both: conv4d_reference(*both, padding=1), x.double(), weight.double(), seed),
    )


def _results(function: Convolve, x: Tensor, weight: Tensor, seed: Tensor) -> Results:
    leaves = x.clone().requires_grad_(), weight.clone().requires_grad_()
    out = function(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, seed.to(out.dtype))]


def _errors(channels: int, function: Convolve) -> list[float]:
    """The largest error of each result, relative to its largest value."""
    x, weight, seed, expected = _problem(channels)
    pairs = zip(_results(function, x, weight, seed), expected, strict=True)
    return [((ours - theirs).abs().max() / theirs.abs().max()).item() for ours, theirs in pairs]


def _ours(precision: str) -> Convolve:
    def function(x: Tensor, weight: Tensor) -> Tensor:
        with use_backend("native", precision=precision):
            return conv4d(x, weight, padding=1)

    return function


@pytest.mark.parametrize("theirs", [IN_ONE_SUM, IN_BLOCKS])
def test_the_formulation_of_torch_is_the_same_convolution(theirs: Convolve) -> None:
    x, weight, _, expected = _problem(8)
    torch.testing.assert_close(theirs(x.double(), weight.double()), expected[0])


@needs_native
@pytest.mark.parametrize("channels", CHANNELS)
def test_winograd_of_2x2_is_no_less_accurate_than_conv3d_in_one_sum(channels: int) -> None:
    ours = _errors(channels, _ours("exact"))[0]
    assert ours <= _errors(channels, IN_ONE_SUM)[0]
    assert ours <= 3 * _errors(channels, IN_BLOCKS)[0]


@needs_native
@pytest.mark.parametrize(("precision", "limit"), [("fast", 2e-5), ("exact", 2e-6), ("direct", 5e-6)])
@pytest.mark.parametrize("channels", CHANNELS)
def test_errors_stay_below_what_is_promised(channels: int, precision: str, limit: float) -> None:
    assert max(_errors(channels, _ours(precision))) < limit
