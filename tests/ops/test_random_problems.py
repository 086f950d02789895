# SPDX-License-Identifier: Apache-2.0
"""Random problems on every backend against float64: sizes, options, dtypes, precisions and memory layouts are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cardiac4d.ops import conv4d, native, use_backend
from cardiac4d.ops.arguments import output_size
from cardiac4d.ops.reference import conv4d_reference
from cardiac4d.ops.settings import PRECISIONS
from tests.helpers.conv4d_cases import channels_innermost
from tests.helpers.tolerances import assert_near

BACKENDS = ["composed"] if native.PROBLEM else ["native", "composed"]


def _permuted(x: Tensor) -> Tensor:
    return x.permute(5, 3, 1, 0, 4, 2).contiguous().permute(3, 2, 5, 1, 4, 0)


def _sliced(x: Tensor) -> Tensor:
    """Every other element of a larger tensor, from the second on."""
    return x.repeat_interleave(2, 5).repeat_interleave(2, 1)[:, 1::2, ..., 1::2]


def _expanded(x: Tensor) -> Tensor:
    """One sample and one frame for all, with stride 0."""
    return x[:1, ..., :1].expand_as(x) if x.numel() else x


LAYOUTS: list[Callable[[Tensor], Tensor]] = [torch.clone, channels_innermost, _permuted, _sliced, _expanded]


class Problem(NamedTuple):
    """What is drawn: shapes and options, and how the tensors lie in memory."""

    input: tuple[int, ...]
    weight: tuple[int, ...]
    options: dict[str, Any]
    with_bias: bool
    dtype: torch.dtype
    layouts: tuple[Callable[[Tensor], Tensor], ...]
    backend: str
    precision: str


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Any admissible problem of up to seven voxels and five taps per axis."""

    def four(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=4, max_size=4))

    cube = draw(st.booleans())  # what networks have, and the fast kernels are for
    kernel = [3] * 4 if cube else four(1, 5)
    stride, dilation = ([1] * 4, [1] * 4) if cube and draw(st.booleans()) else (four(1, 3), four(1, 3))
    padding, groups = [1] * 4 if cube else four(0, 3), draw(st.sampled_from([1, 1, 1, 2, 3]))
    spans = [max(1, gap * (taps - 1) + 1 - 2 * pad) for gap, taps, pad in zip(dilation, kernel, padding, strict=True)]
    size = [draw(st.integers(span, max(span, 7))) for span in spans]
    source, target = (groups * draw(st.integers(1, 5)) for _ in range(2))
    return Problem(
        (draw(st.integers(0, 2)), source, *size),
        (target, source // groups, *kernel),
        {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups},
        draw(st.booleans()),
        draw(st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16])),
        tuple(draw(st.sampled_from(LAYOUTS)) for _ in range(3)),
        draw(st.sampled_from(BACKENDS)),
        draw(st.sampled_from(PRECISIONS)),
    )


def _check(problem: Problem) -> None:
    options = problem.options
    extents = output_size(
        *(list(sizes) for sizes in (problem.input[2:], problem.weight[2:])),
        options["stride"],
        options["padding"],
        options["dilation"],
    )
    shapes = problem.input, problem.weight, (problem.input[0], problem.weight[0], *extents)
    generator = torch.Generator().manual_seed(sum(problem.input))
    x, weight, seed = (
        layout(torch.randn(shape, generator=generator).to(problem.dtype))
        for shape, layout in zip(shapes, problem.layouts, strict=True)
    )
    leaves = [x, weight]
    if problem.with_bias:
        leaves.append(torch.randn(problem.weight[0], generator=generator).to(problem.dtype))
    leaves = [leaf.requires_grad_() for leaf in leaves]
    expected = _results(leaves, seed, options)
    squares = [leaf.detach().double().square().requires_grad_() for leaf in leaves]
    usual = [x.sqrt().max().item() if x.numel() else 0.0 for x in _results(squares, seed.square(), options)]
    with use_backend(problem.backend, precision=problem.precision):
        actual = conv4d(*leaves, **options)
        ours = actual, *torch.autograd.grad(actual, leaves, seed)
        for mine, theirs, size in zip(ours, expected, usual, strict=True):
            assert_near(mine, theirs, problem.dtype, size)


def _results(leaves: list[Tensor], seed: Tensor, options: dict[str, Any]) -> list[Tensor]:
    """The output and its gradients; those of squares are the squares of how large sums of random terms usually are."""
    out = conv4d_reference(*leaves, **options)
    return [out, *torch.autograd.grad(out, leaves, seed.double())]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(problem=problems())
def test_random_problems_are_the_reference(problem: Problem) -> None:
    _check(problem)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(problem=problems())
def test_many_random_problems_that_differ_in_every_run_are_the_reference(problem: Problem) -> None:
    _check(problem)
