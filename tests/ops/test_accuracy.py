# SPDX-License-Identifier: Apache-2.0
"""The errors that docs/conv4d.md promises for float32, beside those of torch's own convolutions.

Torch has no 4D convolution to compare with. What can be made of its ``conv3d`` adds up each output in one sum or in
several that are then added; in memory as ``channels_last_3d`` one product after the other, and in plain memory in
blocks of channels, which rounds less. Which of them has the least error depends on the number of channels and on the
gradient; ``exact`` is compared with the best in every case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv3d, pad

from cardiac4d.ops import conv4d, use_backend
from cardiac4d.ops.reference import conv4d_reference
from scripts.conv4d_benchmark.formulations import FORMULATIONS
from tests.helpers.backends import needs_native

SIZES = {8: (12, 10, 6, 8), 16: (8, 9, 6, 6), 32: (8, 9, 6, 6)}
"""H, W, D, T for each number of channels; few voxels make gradients of weights exact for all, so no fewer with 8."""
CHANNELS = list(SIZES)
Results = list[Tensor]
"""Output, gradient of the input, gradient of the weight."""
Convolve = Callable[[Tensor, Tensor], Tensor]
"""``(1, C, H, W, D, T)`` with a 3x3x3x3 kernel, padded by one."""


def _conv3d_of_three_frames(memory_format: torch.memory_format) -> Convolve:
    """One ``conv3d`` over all frames as a batch, whose 3 C channels are the frames before, at and after each."""

    def function(x: Tensor, weight: Tensor) -> Tensor:
        frames = pad(x[0], [1, 1]).movedim(-1, 0)
        stacked = torch.cat([frames[:-2], frames[1:-1], frames[2:]], dim=1).contiguous(memory_format=memory_format)
        kernel = torch.cat(weight.unbind(-1), dim=1).contiguous(memory_format=memory_format)
        return conv3d(stacked, kernel, padding=1).movedim(0, -1)[None]

    return function


IN_ONE_SUM = _conv3d_of_three_frames(torch.channels_last_3d)
IN_BLOCKS = _conv3d_of_three_frames(torch.contiguous_format)
THEIRS: tuple[Convolve, ...] = (IN_ONE_SUM, IN_BLOCKS, *(method.forward for method in FORMULATIONS))


@cache
def _problem(channels: int, draw: int = 0) -> tuple[Tensor, Tensor, Tensor, Results]:
    """Input, weight, seed of the gradients, and the results in float64."""
    generator = torch.Generator().manual_seed(100 * draw + channels)
    x, seed = (torch.randn(1, channels, *SIZES[channels], generator=generator) for _ in range(2))
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


def _errors(channels: int, function: Convolve, draw: int = 0) -> list[float]:
    """The largest error of each result, relative to its largest value."""
    x, weight, seed, expected = _problem(channels, draw)
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


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Torch sums the gradient of a weight in as many parts as there are threads, and rounds less the more there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@needs_native
@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("draw", range(3))
@pytest.mark.parametrize("channels", CHANNELS)
def test_winograd_of_2x2_is_no_less_accurate_than_the_best_of_torch(channels: int, draw: int) -> None:
    ours = _errors(channels, _ours("exact"), draw)
    least = map(min, zip(*(_errors(channels, theirs, draw) for theirs in THEIRS), strict=True))
    for error, bound in zip(ours, least, strict=True):
        assert error <= bound


@needs_native
@pytest.mark.parametrize(("precision", "limit"), [("fast", 2e-5), ("exact", 6e-7), ("direct", 5e-6)])
@pytest.mark.parametrize("channels", CHANNELS)
def test_errors_stay_below_what_is_promised(channels: int, precision: str, limit: float) -> None:
    assert max(_errors(channels, _ours(precision))) < limit
