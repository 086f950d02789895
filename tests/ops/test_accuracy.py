# SPDX-License-Identifier: Apache-2.0
"""The errors that docs/conv4d.md promises for float32, beside that of torch's own convolution.

Torch has no 4D convolution to compare with. What comes nearest, and adds up each output in one sum as it would, is one
``conv3d`` over all frames as a batch, whose 3 C input channels are those of the frames before, at and after each.
"""

from __future__ import annotations

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


def _conv3d_of_three_frames(x: Tensor, weight: Tensor) -> Tensor:
    """``(1, C, H, W, D, T)`` with a 3x3x3x3 kernel, padded by one."""
    frames = pad(x[0], [1, 1]).movedim(-1, 0)
    stacked = torch.cat([frames[:-2], frames[1:-1], frames[2:]], dim=1)
    return conv3d(stacked, torch.cat(weight.unbind(-1), dim=1), padding=1).movedim(0, -1)[None]


@cache
def _problem(channels: int) -> tuple[Tensor, Tensor, Tensor, Results]:
    """Input, weight, seed of the gradients, and the results in float64."""
    generator = torch.Generator().manual_seed(channels)
    x, seed = (torch.randn(1, channels, 12, 10, 6, 8, generator=generator) for _ in range(2))
    weight = torch.randn(channels, channels, 3, 3, 3, 3, generator=generator)
    return x, weight, seed, _results(lambda *both: conv4d_reference(*both, padding=1), x.double(), weight.double(), seed)


def _results(function, x: Tensor, weight: Tensor, seed: Tensor) -> Results:
    leaves = x.clone().requires_grad_(), weight.clone().requires_grad_()
    out = function(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, seed.to(out.dtype))]


def _errors(channels: int, function) -> list[float]:
    """The largest error of each result, relative to its largest value."""
    x, weight, seed, expected = _problem(channels)
    pairs = zip(_results(function, x, weight, seed), expected, strict=True)
    return [((ours - theirs).abs().max() / theirs.abs().max()).item() for ours, theirs in pairs]


def _ours(precision: str):
    def function(x: Tensor, weight: Tensor) -> Tensor:
        with use_backend("native", precision=precision):
            return conv4d(x, weight, padding=1)

    return function


def test_the_formulation_of_torch_is_the_same_convolution() -> None:
    x, weight, _, expected = _problem(8)
    torch.testing.assert_close(_conv3d_of_three_frames(x.double(), weight.double()), expected[0])


@needs_native
@pytest.mark.parametrize("channels", CHANNELS)
def test_winograd_of_2x2_is_no_less_accurate_than_conv3d(channels: int) -> None:
    ours, theirs = _errors(channels, _ours("exact"))[0], _errors(channels, _conv3d_of_three_frames)[0]
    assert ours <= theirs


@needs_native
@pytest.mark.parametrize(("precision", "limit"), [("fast", 2e-5), ("exact", 2e-6), ("direct", 5e-6)])
@pytest.mark.parametrize("channels", CHANNELS)
def test_errors_stay_below_what_is_promised(channels: int, precision: str, limit: float) -> None:
    assert max(_errors(channels, _ours(precision))) < limit
