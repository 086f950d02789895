# SPDX-License-Identifier: Apache-2.0
"""The fused operators around the residual block: sums, up-sampling and softmax with a convolution."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from cardiac4d.ops import conv4d, use_backend
from cardiac4d.ops.fused import pointwise_softmax, upsample_add, upsample_conv_add
from tests.helpers.backends import needs_native
from tests.helpers.comparison import check, check_each, sums_of
from tests.helpers.fused_calls import block_call, convolution_call, given, inference_call

pytestmark = needs_native


@pytest.fixture(autouse=True)
def _on_the_native_backend() -> Iterator[None]:
    with use_backend("native", fused=True):
        yield


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_with_sums_is_the_convolution(stride: int) -> None:
    x, weight, bias, *_options = arguments = convolution_call(stride)
    y, sums = torch.ops.cardiac4d.conv4d_sums(*arguments)
    expected = torch.ops.cardiac4d.conv4d(*arguments)
    assert torch.equal(y, expected)
    assert not sums.requires_grad
    check(sums, sums_of(expected), 1e-12)
    seed = torch.randn_like(y)
    ours, theirs = (torch.autograd.grad(out, [x, weight, bias], seed) for out in (y, expected))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_known_sums_change_nothing() -> None:
    x, sums, *parameters = block_call()
    known = torch.ops.cardiac4d.residual_block(x, sums, *parameters)
    computed = torch.ops.cardiac4d.residual_block(x, None, *parameters)
    check_each(known, tuple(tensor.double() for tensor in computed), 1e-6)
    check_each(known[2:3] + known[4:], (sums_of(x), sums_of(known[0])), 1e-12)


def test_block_in_the_memory_of_its_input_has_the_same_bits() -> None:
    for sums in (True, False):
        x, known, *others = inference_call()
        known = known if sums else None
        out, _, _, _, expected = torch.ops.cardiac4d.residual_block(x, known, *others)
        assert torch.equal(torch.ops.cardiac4d.residual_block_(x, known, *others), expected)
        assert torch.equal(x, out)
    with pytest.raises(RuntimeError, match="must be contiguous"):
        torch.ops.cardiac4d.residual_block_(x.transpose(2, 4), None, *others)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("classes", [1, 3, 8])
@pytest.mark.parametrize("size", [(1, 1, 1, 3), (4, 4, 4, 4), (9, 9, 9, 9)], ids=str)
def test_softmax_of_a_convolution_is_that_of_the_layers(size: tuple[int, ...], classes: int, bias: bool) -> None:
    x, weight = 5 * torch.randn(2, 20, *size), torch.randn(classes, 20, 1, 1, 1, 1)
    x[1, :, 0, 0, 0, 1] *= 1e3  # probabilities of 0 and 1
    x[1, 3, 0, 0, 0, 2] = torch.nan
    offset = torch.randn(classes) if bias else None
    actual = pointwise_softmax(x, weight, offset)
    expected = conv4d(x.double(), weight.double(), None if offset is None else offset.double()).softmax(1)
    assert torch.equal(actual.isnan(), expected.isnan())
    assert (actual - expected).nan_to_num().abs().max() <= 1e-5  # of the logits' rounding; they are up to 100
    torch.testing.assert_close(actual, conv4d(x, weight, offset).softmax(1), rtol=3e-6, atol=1e-30, equal_nan=True)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("size", [(7, 6, 5, 3), (1, 2, 3, 1), (8, 4, 2, 6)], ids=str)
def test_upsampling_of_a_convolution_and_its_gradients_of_both_orders_are_the_layers(
    size: tuple[int, ...], bias: bool
) -> None:
    skip, halves = torch.randn(2, 5, *size).requires_grad_(), [(extent + 1) // 2 for extent in size]
    x, weight = torch.randn(2, 9, *halves).requires_grad_(), torch.randn(5, 9, 1, 1, 1, 1).requires_grad_()
    offset = torch.randn(5).requires_grad_() if bias else None
    operands, seed = given([x, weight, offset, skip]), torch.randn_like(skip).requires_grad_()
    results = []
    for function in (
        lambda: upsample_conv_add(x, weight, offset, skip)[0],
        lambda: upsample_add(conv4d(x, weight, offset), skip),
    ):
        out = function()
        first = torch.autograd.grad(out, operands, seed, create_graph=True)
        results.append((out, *first, *torch.autograd.grad(sum(g.square().sum() for g in first), [seed, x, weight])))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    out, sums = upsample_conv_add(x, weight, offset, skip)
    check(sums, sums_of(out), 1e-12)
