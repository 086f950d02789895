# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import group_norm

from cardiac4d.layers import Conv3d, Conv4d, GroupNorm, ResidualBlock, blocks
from cardiac4d.layers.blocks import make_conv
from cardiac4d.ops import use_backend
from cardiac4d.ops.fused import residual_block
from cardiac4d.ops.layout import from_frames, to_frames
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.backends import BACKENDS, needs_native
from tests.helpers.tolerances import assert_near


def test_block_is_norm_relu_conv_twice_plus_identity() -> None:
    block = ResidualBlock(4, 4, num_groups=2, bias=False).double()
    x = torch.randn(2, 4, 3, 4, 3, 5, dtype=torch.float64)
    expected = x
    for conv in (block.conv1, block.conv2):
        expected = conv4d_reference(group_norm(expected, 2).relu(), conv.weight, padding=1)
    assert_near(block(x), expected + x)


@pytest.mark.parametrize(("spatial_dims", "conv"), [(4, Conv4d), (3, Conv3d)])
def test_block_and_convolution_have_the_rank_asked_for(spatial_dims: int, conv: type[nn.Module]) -> None:
    block = ResidualBlock(spatial_dims, 8, num_groups=4, bias=True)
    assert type(block.conv1) is type(block.conv2) is conv
    x = torch.randn(1, 8, *range(3, 3 + spatial_dims))
    assert block(x).shape == x.shape
    assert make_conv(spatial_dims, 8, 4, 1)(x).shape == (1, 4, *x.shape[2:])


def test_options_reach_both_convolutions() -> None:
    block = ResidualBlock(4, 8, num_groups=8, bias=False, time_padding_mode="circular")
    assert [(conv.bias, conv.time_padding_mode) for conv in (block.conv1, block.conv2)] == [(None, "circular")] * 2


def test_other_ranks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`spatial_dims` \(=2\) must be 3 or 4"):
        ResidualBlock(2, 8, num_groups=8)


@pytest.fixture
def fused_calls(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shapes that the fused operator was called with, on the backend that the machine chooses by itself."""
    calls: list[torch.Size] = []

    def count(x: Tensor, *others: Any) -> Tensor:
        calls.append(x.shape)
        return residual_block(x, *others)

    monkeypatch.setattr(blocks, "residual_block", count)
    return calls


@pytest.fixture
def _auto() -> Iterator[None]:
    with use_backend("auto", precision="fast", fused=True):
        yield


X = torch.randn(1, 8, 4, 3, 4, 5, generator=torch.Generator().manual_seed(1))


@needs_native
@pytest.mark.usefixtures("_auto")
@pytest.mark.parametrize("bias", [True, False])
def test_fused_block_is_the_layers(fused_calls: list[torch.Size], bias: bool) -> None:
    block, x = ResidualBlock(4, 8, num_groups=2, bias=bias), X.clone().requires_grad_()
    names = [name for name, _ in block.named_parameters()]
    results = []
    for fused in (True, False):
        with use_backend(fused=fused):
            out = block(x)
        results.append([out, *torch.autograd.grad(out.square().mean(), [x, *block.parameters()])])
    assert fused_calls == [x.shape]
    assert names == [name for name, _ in block.named_parameters()]
    for ours, theirs in zip(*results, strict=True):
        assert_near(ours, theirs)


@needs_native
@pytest.mark.usefixtures("_auto")
def test_fused_block_compiles_to_one_graph(fused_calls: list[torch.Size]) -> None:
    block, x = ResidualBlock(4, 8, num_groups=2), X.clone().requires_grad_()
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    out, expected = compiled(x), block(x)
    assert torch.equal(out, expected)
    ours, theirs = (torch.autograd.grad(y.sum(), [x, *block.parameters()]) for y in (out, expected))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert len(fused_calls) == 2  # one of them while compiling


@needs_native
@pytest.mark.usefixtures("_auto")
@pytest.mark.parametrize(
    "change",
    [
        lambda block, x: (block.double(), x.double()),
        lambda block, x: (block, from_frames(to_frames(x))),
        lambda block, x: (block, x[:0]),
        lambda block, x: (ResidualBlock(4, 8, num_groups=2, time_padding_mode="circular"), x),
        lambda block, x: (ResidualBlock(4, 2, num_groups=2), x[:, :2].contiguous()),
        lambda block, x: (ResidualBlock(3, 8, num_groups=2), x[..., 0]),
        lambda block, x: (block.norm2.register_forward_hook(lambda *_: None) and block, x),
        lambda block, x: (setattr(block.norm2, "forward", block.norm2.forward) or block, x),
        lambda block, x: (setattr(block.norm2, "eps", 1e-3) or block, x),
        lambda block, x: (setattr(block, "norm1", GroupNorm(2, 8, affine=False)) or block, x),
        lambda block, x: (setattr(block.norm2, "bias", None) or block, x),
        lambda block, x: (block.to("meta"), x.to("meta")),
    ],
    ids=[
        "float64",
        "frames",
        "empty",
        "circular",
        "few_channels",
        "3d",
        "hook",
        "forward",
        "eps",
        "no_affine",
        "no_norm_bias",
        "meta",
    ],
)
def test_block_runs_layer_by_layer_for_other_tensors_and_modules(
    change: Callable[..., Any], fused_calls: list[torch.Size]
) -> None:
    block, x = change(ResidualBlock(4, 8, num_groups=2), X)
    assert block(x).shape == x.shape
    assert not fused_calls


@needs_native
@pytest.mark.usefixtures("_auto")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.jit")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_block_runs_layer_by_layer_where_it_is_recorded_or_transformed(fused_calls: list[torch.Size]) -> None:
    block = ResidualBlock(4, 8, num_groups=2).eval().requires_grad_(False)
    expected = block(X)
    assert len(fused_calls) == 1
    assert "cardiac4d::" not in str(torch.jit.trace(block, X, check_trace=False).graph)
    assert_near(torch.jit.script(block)(X), expected)
    assert "cardiac4d.residual_block.default" not in str(torch.export.export(block, (X,)).graph)
    assert_near(torch.vmap(block)(X[None])[0], expected)
    for context in (
        torch.autocast("cpu", torch.bfloat16),
        use_backend("composed"),
        use_backend(precision="direct"),
        use_backend(fused=False),
    ):
        with context:
            block(X)
    assert len(fused_calls) == 1


@needs_native
@pytest.mark.usefixtures("_auto")
@pytest.mark.parametrize("order", [2, 3])
def test_higher_derivatives_of_the_fused_block_are_right(order: int) -> None:
    block, x = ResidualBlock(4, 4, num_groups=2, bias=True), torch.randn(1, 4, 2, 3, 2, 2).requires_grad_()
    results = []
    for net, at in ((block, x), (copy.deepcopy(block).double(), x.detach().double().requires_grad_())):
        with use_backend(precision="exact"):
            number = net(at).pow(3).sum()
            for _ in range(order - 1):
                number = torch.autograd.grad(number, at, create_graph=True)[0].square().sum()
            results.append(torch.autograd.grad(number, [at, *net.parameters()]))
    for ours, theirs in zip(*results, strict=True):
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max().clamp(min=1e-2)


@needs_native
@pytest.mark.parametrize(
    "choice",
    [{"backend": "composed"}, {"fused": False}, {"precision": "direct"}],
    ids=lambda choice: next(iter(choice)),
)
def test_recomputed_block_runs_again_as_it_ran(choice: dict[str, Any]) -> None:
    """The choice holds for the gradients, too, which come after it has ended."""
    block, x = ResidualBlock(4, 8, num_groups=2, recompute=True), X.clone().requires_grad_()
    with use_backend("auto", precision="fast", fused=True):
        with use_backend(**choice):
            out = block(x)
            (expected,) = torch.autograd.grad(block(x).sum(), x)
        assert torch.equal(torch.autograd.grad(out.sum(), x)[0], expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_recomputed_block_can_be_differentiated_again(backend: str) -> None:
    """Every backward computes the block once more: the second of one graph, and the one that a penalty needs."""
    block, x = ResidualBlock(4, 8, num_groups=2, recompute=True), X.clone().requires_grad_()
    with use_backend(backend):
        loss = block(x).square().sum()
    first, again = (torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, again)
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    penalty = torch.autograd.grad(slope.square().sum(), block.conv1.weight)[0]
    block.recompute = False
    with use_backend(backend):
        (slope,) = torch.autograd.grad(block(x).square().sum(), x, create_graph=True)
    assert torch.equal(penalty, torch.autograd.grad(slope.square().sum(), block.conv1.weight)[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_recomputed_block_compiles_to_one_graph(backend: str) -> None:
    block, x = ResidualBlock(4, 8, num_groups=2, recompute=True), X.clone().requires_grad_()
    torch.compiler.reset()
    with use_backend(backend):
        outs = torch.compile(block, fullgraph=True, backend="aot_eager")(x), block(x)
    ours, theirs = (torch.autograd.grad(out.sum(), [x, *block.parameters()]) for out in outs)
    assert all(torch.equal(a, b) for a, b in zip((outs[0], *ours), (outs[1], *theirs), strict=True))


@needs_native
def test_double_precision_passes_gradgradcheck() -> None:
    block = ResidualBlock(4, 4, num_groups=2).double()
    x = torch.randn(1, 4, 2, 2, 1, 2, dtype=torch.float64).requires_grad_()
    with use_backend("native"):
        assert torch.autograd.gradgradcheck(block, (x,), atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_wrong_number_of_channels_is_refused(backend: str) -> None:
    with use_backend(backend), pytest.raises((RuntimeError, ValueError), match="channels"):
        ResidualBlock(4, 8, num_groups=2)(X[:, :4].contiguous())
