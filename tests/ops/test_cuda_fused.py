# SPDX-License-Identifier: Apache-2.0
"""The fused CUDA operators against float64, without a GPU: binding and kernels run in the emulation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from cardiac4d.ops.backend import TF32
from cardiac4d.ops.layout import from_frames, to_frames
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.backends import needs_compiler
from tests.helpers.comparison import check, sums_of
from tests.helpers.cuda_kernels import emulation_of
from tests.helpers.fused_cuda_calls import LIMITS, TF32_LIMIT, Block, draw_block, expected_block, is_frames, upsampled

pytestmark = needs_compiler

DTYPES = list(LIMITS)
BLOCKS = {
    "eight_channels": ((2, 8, 3, 5, 18, 3), 8),
    "ragged": ((2, 6, 3, 4, 5, 3), 3),
    "one_group": ((1, 16, 2, 3, 4, 5), 1),
    "one_voxel": ((2, 8, 1, 1, 1, 1), 1),
}
"""Shape and groups; in half types all but "ragged" run on tensor cores."""
MANY_TILES = {
    "8": ((2, 8, 10, 9, 18, 5), 2),
    "16": ((1, 16, 9, 5, 5, 5), 16),
    "24": ((1, 24, 3, 5, 5, 3), 3),
    "32": ((1, 32, 9, 3, 3, 2), 8),
    "40_streamed": ((2, 40, 9, 3, 3, 2), 8),
}
"""Blocks on tensor cores: every tile, cut on every axis, more tiles than blocks of threads."""
SIZES = [(7, 6, 5, 3), (1, 2, 3, 1), (8, 4, 2, 6)]


def lay(x: Tensor) -> Tensor:
    """The same numbers as frames."""
    return from_frames(to_frames(x))


def run_block(operators: Any, block: Block, seed: Tensor, wanted: int = 255) -> tuple[list[Tensor], list[Tensor]]:
    """The results of the block, and its gradients."""
    arguments = block.arguments
    results = operators.residual_block(*arguments)
    y, x_sums, y_sums = results[1:4]
    x, _, *parameters, groups, eps, precision = arguments
    options = [*parameters[:7], groups, eps, precision, wanted]
    return results, list(operators.residual_block_backward(seed, x, y, x_sums, y_sums, *options))


def check_block(operators: Any, name: str, dtype: torch.dtype, *, bias: bool = True, precision: int = 0) -> None:
    shape, groups = BLOCKS[name]
    block = draw_block(shape, groups, dtype, bias=bias)._replace(precision=precision)
    seed = torch.randn(shape).to(dtype)
    (out, y, x_sums, y_sums, out_sums), gradients = run_block(operators, block, seed)
    right = expected_block(block, seed, y)
    limit = TF32_LIMIT if precision == TF32 else LIMITS[dtype]
    check(y, right.hidden, limit)
    check(out, right.out, limit)
    for sums, of in ((x_sums, block.tensors[0]), (y_sums, y), (out_sums, out)):
        check(sums, sums_of(of), 1e-6)
    if bias:
        right.gradients.pop()  # that of the second bias, which is not the operator's
    else:
        gradients.pop(4)
    for actual, theirs in zip(gradients, right.gradients, strict=True):
        check(actual, theirs, limit)
    assert is_frames(out)
    assert is_frames(y)
    assert is_frames(gradients[0])
    assert operators.guards_alive() == 0


@pytest.mark.parametrize("name", BLOCKS)
def test_block_and_its_gradients_are_the_layers(operators: Any, name: str) -> None:
    check_block(operators, name, torch.float32)


def test_block_on_tensor_cores_has_the_bits_of_the_separate_passes(operators: Any, cuda_binding: Path) -> None:
    """sm_75 has none: there each pass is a kernel of its own."""
    shape = (1, 8, 2, 5, 3, 5)
    block, seed = draw_block(shape, 2, torch.bfloat16), torch.randn(shape).bfloat16()
    results = []
    for architecture, eager in ((90, False), (90, True), (86, True), (75, False)):
        with emulation_of(cuda_binding, architecture=architecture, eager=eager, reverse=eager):
            (out, y, *_), gradients = run_block(operators, block, seed)
            results.append([out, y, *gradients])
    for a, b, c, apart in zip(*results, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)
        check(a, apart.double(), 1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("precision", [0, TF32])
@pytest.mark.parametrize("name", MANY_TILES)
def test_block_of_many_tiles(
    operators: Any, cuda_binding: Path, name: str, precision: int, eager: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BLOCKS, name, MANY_TILES[name])
    with emulation_of(cuda_binding, eager=eager, reverse=eager):
        check_block(operators, name, torch.float32 if precision else torch.float16, bias=eager, precision=precision)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", BLOCKS)
def test_block_in_every_dtype(operators: Any, name: str, bias: bool, dtype: torch.dtype) -> None:
    check_block(operators, name, dtype, bias=bias)


def test_block_in_place_gives_the_same_bits(operators: Any) -> None:
    block = draw_block((2, 4, 3, 4, 3, 2), 2, torch.bfloat16)
    out, _, x_sums, _, out_sums = operators.residual_block(*block.arguments)
    x, _, *rest = block.arguments
    x = lay(x)
    assert torch.equal(operators.residual_block_(x, x_sums, *rest), out_sums)
    assert torch.equal(x, out)
    with pytest.raises(RuntimeError, match="must lie as frames"):
        operators.residual_block_(x.contiguous(), x_sums, *rest)


def test_block_takes_sums_that_are_known(operators: Any) -> None:
    block = draw_block((1, 4, 3, 4, 3, 2), 2, torch.float32)
    x, _, *rest = block.arguments
    known = sums_of(x) * 2
    results = operators.residual_block(x, known, *rest)
    assert torch.equal(results[2], known)
    assert results[2].data_ptr() != known.data_ptr()
    assert not torch.equal(results[0], operators.residual_block(*block.arguments)[0])


@pytest.mark.parametrize("wanted", [1, 2, 8, 16, 128, 1 + 128, 32])
def test_gradients_come_only_for_what_is_wanted(operators: Any, wanted: int) -> None:
    block = draw_block((1, 4, 2, 3, 2, 2), 2, torch.float32)
    seed = torch.randn(1, 4, 2, 3, 2, 2)
    everything, some = (run_block(operators, block, seed, bits)[1] for bits in (255, wanted))
    for place, (whole, part) in enumerate(zip(everything, some, strict=True)):
        assert torch.equal(part, whole) if wanted >> place & 1 else part.numel() == 0


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("channels", [8, 3])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_upsampling_and_its_gradient_are_the_layer(
    operators: Any, size: tuple[int, ...], channels: int, dtype: torch.dtype
) -> None:
    skip = torch.randn(2, channels, *size).to(dtype)
    x = torch.randn(2, channels, *((extent + 1) // 2 for extent in size)).to(dtype)
    y = operators.upsample_add(x, lay(skip))
    assert torch.equal(y, upsampled(x, skip))
    exact = x.double().requires_grad_()
    (expected,) = torch.autograd.grad(upsampled(exact, skip.double()), exact, skip.double())
    by_x = operators.upsample_backward(skip)
    check(by_x, expected, 2 * torch.finfo(dtype).eps)
    assert is_frames(y)
    assert is_frames(by_x)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("channels", [(16, 8), (5, 3)])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_upsampled_convolution_is_the_layers(
    operators: Any, size: tuple[int, ...], channels: tuple[int, int], dtype: torch.dtype
) -> None:
    skip = torch.randn(2, channels[1], *size).to(dtype)
    x = torch.randn(2, channels[0], *((extent + 1) // 2 for extent in size)).to(dtype)
    weight, bias = torch.randn(*channels[::-1], 1, 1, 1, 1).to(dtype), torch.randn(channels[1]).to(dtype)
    for b in (bias, None):
        y, sums = operators.upsample_conv_add(lay(x), weight, b, lay(skip))
        check(y, upsampled(conv4d_reference(x, weight, b), skip.double()), 2 * torch.finfo(dtype).eps)
        check(sums, sums_of(y), 1e-6)
        assert is_frames(y)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("channels", [(8, 3), (5, 1), (24, 8)])
def test_softmax_of_a_convolution_is_the_layers(operators: Any, channels: tuple[int, int], dtype: torch.dtype) -> None:
    x = torch.randn(2, channels[0], 3, 5, 7, 4).to(dtype)
    weight, bias = torch.randn(*channels[::-1], 1, 1, 1, 1).to(dtype), torch.randn(channels[1]).to(dtype)
    y = operators.pointwise_softmax(lay(x), weight, bias)
    check(y, conv4d_reference(x, weight, bias).softmax(1), 1e-6)
    assert y.dtype == torch.float32
    assert is_frames(y)
    assert operators.pointwise_softmax(x * torch.nan, weight, None).isnan().all()


def test_softmax_of_large_logits_does_not_overflow(operators: Any) -> None:
    x = torch.full((1, 1, 1, 1, 1, 2), 1e4)
    weight = torch.tensor([-1.0, 1.0, 1.0]).view(3, 1, 1, 1, 1, 1)
    expected = torch.tensor([0.0, 0.5, 0.5]).view(1, 3, 1, 1, 1, 1).expand(1, 3, 1, 1, 1, 2)
    assert torch.equal(operators.pointwise_softmax(x, weight, None), expected)


def test_nan_spreads_as_it_does_through_the_layers(operators: Any) -> None:
    block = draw_block((2, 4, 5, 4, 3, 5), 2, torch.float32)
    block.tensors[0][1, 2, 2, 2, 1, 1] = torch.nan
    seed = torch.randn(2, 4, 5, 4, 3, 5)
    (out, *_), (by_x, *_) = run_block(operators, block, seed)
    assert torch.equal(out.isnan(), expected_block(block, seed).out.isnan())
    assert by_x[1].isnan().all()
    assert by_x[0].isfinite().all()


def test_operators_refuse_what_would_read_beyond_memory(operators: Any) -> None:
    arguments = draw_block((1, 4, 3, 4, 3, 2), 2, torch.bfloat16).arguments
    for place, value, message in (
        (0, torch.zeros(1, 4, 3, 4, 3), "must have 6 axes"),
        (0, arguments[0].double(), "must be on the device and have the dtype"),
        (1, torch.zeros(1, 4, 2), "input_sums must be on the device of the other tensors and be float64"),
        (1, torch.zeros(1, 4).double(), "input_sums has the wrong size"),
        (2, torch.zeros(5), "norm weight has the wrong size"),
        (2, torch.zeros(4).bfloat16(), "norm weight must be on the device of the other tensors and be float32"),
        (4, torch.zeros(4, 4, 3, 3, 3, 1).bfloat16(), "weight has the wrong size"),
        (10, 3, r"groups \(3\) must be positive and divide the channels \(4\)"),
    ):
        with pytest.raises(RuntimeError, match=message):
            operators.residual_block(*arguments[:place], value, *arguments[place + 1 :])
    with pytest.raises(RuntimeError, match="no fused kernel for CUDA computes in float64"):
        operators.upsample_backward(torch.zeros(1, 1, 2, 2, 2, 2, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="input has the wrong size"):
        operators.upsample_add(torch.zeros(1, 1, 2, 2, 2, 2), torch.zeros(1, 1, 4, 4, 4, 5))
    with pytest.raises(RuntimeError, match="do not describe a convolution"):
        operators.pointwise_softmax(torch.zeros(1, 1, 2, 2, 2, 2), torch.zeros(9, 1, 1, 1, 1, 1), None)
    assert operators.guards_alive() == 0


def test_views_that_begin_anywhere(operators: Any) -> None:
    x, skip = torch.randn(1, 16, 2, 2, 2, 2).bfloat16(), torch.randn(1, 8, 3, 4, 3, 3).bfloat16()
    weight = torch.randn(8, 16, 1, 1, 1, 1).bfloat16()

    def shifted(tensor: Tensor) -> Tensor:
        view = torch.empty(tensor.numel() + 1, dtype=tensor.dtype)[1:].view(tensor.shape).copy_(tensor)
        assert view.data_ptr() % 16 != 0
        return view

    views = from_frames(shifted(to_frames(x))), shifted(weight), None, from_frames(shifted(to_frames(skip)))
    for actual, right in zip(
        operators.upsample_conv_add(*views), operators.upsample_conv_add(x, weight, None, skip), strict=True
    ):
        assert torch.equal(actual, right)
