# SPDX-License-Identifier: Apache-2.0
"""Layers that hand the sums of their output on: the same results, whatever stands among them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cardiac4d.layers import Chain, Conv4d, GroupNorm, ResidualBlock, UpsampleAdd, blocks, chain
from cardiac4d.layers.chain import convolve_and_upsample
from cardiac4d.ops import use_backend
from tests.helpers.backends import needs_native

pytestmark = needs_native


def _chain(stride: int = 2, *, recompute: bool = False, **options: object) -> Chain:
    first = Conv4d(4, 8, 3, stride=stride, padding=1, **options)
    return Chain(first, *(ResidualBlock(4, 8, 4, recompute=recompute) for _ in range(2)))


def _input() -> Tensor:
    return torch.randn(2, 4, 7, 6, 5, 6)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For every block that runs fused whether it knew the sums of its input."""
    known: list[bool] = []

    def spy(function: Callable[..., object]) -> Callable[..., object]:
        return lambda x, *others: (known.append(others[-1] is not None), function(x, *others))[1]

    for name in ("residual_block", "residual_block_"):
        monkeypatch.setattr(blocks, name, spy(getattr(blocks, name)))
    return known


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("recompute", [False, True])
def test_values_and_gradients_are_those_of_the_layers(stride: int, recompute: bool, passes: list[bool]) -> None:
    layers, x = _chain(stride, recompute=recompute), _input().requires_grad_()
    with use_backend("native", precision="exact", fused=True):
        fused = layers(x)
        ours = torch.autograd.grad(fused.square().mean(), [x, *layers.parameters()])
    assert passes[:2] == [True, True]
    with use_backend("native", precision="exact", fused=False):
        expected = layers(x)
        theirs = torch.autograd.grad(expected.square().mean(), [x, *layers.parameters()])
    for actual, wanted in zip((fused, *ours), (expected, *theirs), strict=True):
        assert (actual - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_inference_overwrites_nothing_but_its_own(passes: list[bool]) -> None:
    layers, x = _chain(1), _input()
    before = x.clone()
    with use_backend("native", fused=True):
        expected = layers(x).detach()
        kept: list[Tensor] = []
        with torch.inference_mode():
            assert torch.equal(layers(x), expected)
            assert torch.equal(x, before)
            layers[0].register_forward_hook(lambda _, __, out: kept.append(out))
            layers[1].register_forward_hook(lambda _, __, out: kept.append(out))
            assert (layers(x) - expected).abs().max() <= 1e-4 * expected.abs().max()
            assert torch.equal(kept[0], layers[0].forward(x))
            assert torch.equal(kept[1], layers[1].forward(kept[0]))
            y = before.clone().repeat(1, 2, 1, 1, 1, 1)
            Chain(layers[2])(y)
    assert torch.equal(y, before.repeat(1, 2, 1, 1, 1, 1))
    # With a hook a layer is called as a module, and nothing is known of its output.
    assert passes[:6] == [True, True, True, True, False, False]


def test_hooks_of_all_modules_see_every_layer() -> None:
    layers, seen = _chain(1), []
    handle = nn.modules.module.register_module_forward_hook(lambda layer, *_: seen.append(layer))
    try:
        with use_backend("native", fused=True):
            layers(_input())
    finally:
        handle.remove()
    assert set(layers.modules()) <= set(seen)


@pytest.mark.parametrize(
    "first",
    [
        Conv4d(4, 8, 3, padding=1, time_padding_mode="circular"),
        Conv4d(4, 8, 3, padding=1, groups=2),
        Conv4d(4, 8, 3, padding=2, dilation=2),
        nn.Sequential(GroupNorm(2, 4), Conv4d(4, 8, 1)),
    ],
    ids=["circular", "groups", "dilation", "other_layer"],
)
def test_layers_without_sums_pass_as_they_are(first: nn.Module, passes: list[bool]) -> None:
    layers, x = Chain(first, ResidualBlock(4, 8, 4), ResidualBlock(4, 8, 4)), _input()
    with use_backend("native", fused=True):
        out = layers(x)
        assert torch.equal(first(x), Chain(first)(x))
    assert passes == [False, True]
    with use_backend("native", fused=False):
        expected = layers(x)
    assert (out - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_wrong_shapes_get_the_messages_of_the_convolution() -> None:
    with pytest.raises(ValueError, match="channels"):
        _chain()(torch.randn(1, 3, 7, 6, 5, 6))
    with pytest.raises(ValueError, match="does not fit"):
        Chain(Conv4d(4, 8, 3))(torch.randn(1, 4, 7, 2, 5, 6))


@pytest.mark.parametrize(
    ("conv", "is_fused"),
    [
        (Conv4d(8, 4, 1, bias=False), True),
        (Conv4d(8, 4, 1, padding="same"), True),
        (Conv4d(8, 4, 3, padding=1), False),
        (Conv4d(8, 4, 1, groups=2), False),
    ],
    ids=["pointwise", "same", "kernel", "groups"],
)
def test_upsampling_takes_a_pointwise_convolution_along(
    conv: Conv4d, is_fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    inner = chain.upsample_conv_add
    monkeypatch.setattr(chain, "upsample_conv_add", lambda *tensors: (calls.append(1), inner(*tensors))[1])
    x, skip, up = torch.randn(2, 8, 3, 3, 2, 4), torch.randn(2, 4, 5, 6, 4, 7), UpsampleAdd()
    with use_backend("native", fused=True):
        out, sums = convolve_and_upsample(conv, up, x, skip)
        assert (sums is not None) == is_fused == bool(calls)
        assert torch.equal(out, up(conv(x), skip))
        for module in (conv, up):
            handle = module.register_forward_hook(lambda *_: None)
            assert convolve_and_upsample(conv, up, x, skip)[1] is None
            handle.remove()
    with use_backend("native", fused=False):
        assert convolve_and_upsample(conv, up, x, skip)[1] is None
