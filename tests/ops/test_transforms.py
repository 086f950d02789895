# SPDX-License-Identifier: Apache-2.0
"""Derivatives that the native operators do not have: computed another way, or an error, never a silent zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from cardiac4d.layers import Chain, Conv4d, ResidualBlock
from cardiac4d.ops import BackendError, conv4d, use_backend
from tests.helpers.backends import needs_native
from tests.helpers.comparison import sums_of
from tests.helpers.fused_calls import block_call, convolution_call, inference_call, upsample_conv_call
from tests.helpers.tolerances import assert_near

pytestmark = [needs_native, pytest.mark.filterwarnings("ignore:cardiac4d computes on the composed backend")]

OPTIONS = [1] * 4, [1] * 4, [1] * 4, 1, 0
"""Stride, padding, dilation, groups and precision."""


def _block_gradient_call() -> tuple[Any, ...]:
    x, sums, *parameters = inference_call()
    return x, x, x, sums, sums, *parameters[:7], *parameters[8:], 255


CALLS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "conv4d": lambda: (torch.randn(1, 2, 3, 3, 3, 3), torch.randn(2, 2, 3, 3, 3, 3), None, *OPTIONS),
    "conv4d_input": lambda: ([1, 2] + [3] * 4, torch.randn(2, 2, 3, 3, 3, 3), torch.randn(1, 2, 3, 3, 3, 3), *OPTIONS),
    "conv4d_weight": lambda: (torch.randn(1, 2, 3, 3, 3, 3), [2, 2] + [3] * 4, torch.randn(1, 2, 3, 3, 3, 3), *OPTIONS),
    "conv4d_sums": convolution_call,
    "residual_block": block_call,
    "residual_block_": inference_call,
    "residual_block_backward": _block_gradient_call,
    "upsample_conv_add": upsample_conv_call,
    "upsample_add": lambda: (torch.randn(1, 2, 2, 2, 2, 2), torch.randn(1, 2, 3, 4, 3, 4)),
    "upsample_backward": lambda: (torch.randn(1, 2, 3, 4, 3, 4),),
    "pointwise_softmax": lambda: (torch.randn(1, 5, 3, 4, 1, 3), torch.randn(3, 5, 1, 1, 1, 1), None),
}


def _along_first_tensor(name: str) -> tuple[Callable[[Tensor], Any], Tensor]:
    """An operator as a function of its first tensor, and that tensor."""
    arguments = [a.detach() if isinstance(a, Tensor) else a for a in CALLS[name]()]
    place = next(i for i, argument in enumerate(arguments) if isinstance(argument, Tensor))
    operator = getattr(torch.ops.cardiac4d, name)
    return lambda x: operator(*arguments[:place], x, *arguments[place + 1 :]), arguments[place]


@pytest.mark.parametrize("name", CALLS)
def test_operator_called_past_the_door_refuses_forward_mode(name: str) -> None:
    function, x = _along_first_tensor(name)
    with pytest.raises(NotImplementedError, match=f"cardiac4d::{name} has no forward-mode derivative"):
        torch.func.jvp(function, (x.clone(),), (torch.ones_like(x),))
    for leaf in (x.clone(), x.clone().requires_grad_()):
        with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="no forward-mode derivative"):
            function(forward_ad.make_dual(leaf, torch.ones_like(x)))
        with forward_ad.dual_level(), torch.no_grad():
            function(leaf)  # has no tangent


def test_gradient_that_is_given_a_tangent_refuses_it() -> None:
    x, weight = torch.randn(1, 2, 3, 3, 3, 3).requires_grad_(), torch.randn(2, 2, 3, 3, 3, 3)
    out = conv4d(x, weight, padding=1)
    with forward_ad.dual_level():
        seed = forward_ad.make_dual(torch.ones_like(out), torch.ones_like(out))
        with pytest.raises(NotImplementedError, match="conv4d_input has no forward-mode derivative"):
            torch.autograd.grad(out, x, seed)


def test_operators_for_inference_refuse_gradients() -> None:
    softmax, x = _along_first_tensor("pointwise_softmax")
    with pytest.raises(RuntimeError, match="pointwise_softmax has no derivative"):
        softmax(x.requires_grad_()).sum().backward()
    block, x = _along_first_tensor("residual_block_")
    with pytest.raises(RuntimeError, match="residual_block_ has no derivative"):
        block(x.clone().requires_grad_())


def test_block_in_place_tells_autograd_that_it_wrote() -> None:
    block, x = _along_first_tensor("residual_block_")
    leaf = x.clone().requires_grad_()
    saved = leaf.exp()
    with torch.no_grad():
        assert_near(block(saved), sums_of(saved), torch.float32)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        saved.sum().backward()


def _functions() -> dict[str, tuple[Callable[[Tensor], Tensor], Tensor]]:
    weight, layers = torch.randn(4, 4, 3, 3, 3, 3), Chain(Conv4d(4, 4, 3, padding=1), ResidualBlock(4, 4, num_groups=2))
    x = torch.randn(1, 4, 4, 3, 4, 3)
    return {"convolution": (lambda x: conv4d(x, weight, padding=1), x), "layers": (lambda x: layers(x), x)}


TRANSFORMS: dict[str, Callable[..., Callable[[Tensor], Tensor]]] = {
    "jvp": lambda f: lambda x: torch.func.jvp(f, (x,), (x.cos(),))[1],
    "grad": lambda f: torch.func.grad(lambda x: f(x).square().sum()),
    "vmap": lambda f: torch.vmap(f, in_dims=4, out_dims=4),
    "hessian product": lambda f: lambda x: torch.func.jvp(torch.func.grad(lambda x: f(x).sin().sum()), (x,), (x,))[1],
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", ["convolution", "layers"])
def test_transforms_inside_compiled_code_are_those_outside(name: str, transform: str) -> None:
    function, x = _functions()[name]
    x = x[..., None, :] if transform == "vmap" else x
    transformed = TRANSFORMS[transform](function)
    torch.compiler.reset()
    compiled = torch.compile(transformed, fullgraph=True, backend="eager")
    assert_near(compiled(x), transformed(x), torch.float16)


def test_function_compiled_before_refuses_a_tangent_or_computes_it() -> None:
    function, x = _functions()["convolution"]
    expected = torch.func.jvp(function, (x,), (x,))[1]
    compiled = torch.compile(function, backend="eager")
    with forward_ad.dual_level():
        assert_near(forward_ad.unpack_dual(compiled(forward_ad.make_dual(x, x))).tangent, expected)
    torch.compiler.reset()
    compiled(x)
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="no forward-mode derivative"):
        compiled(forward_ad.make_dual(x, x))


def test_native_backend_alone_is_an_error_in_a_compiled_transform() -> None:
    function, x = _functions()["convolution"]
    torch.compiler.reset()
    compiled = torch.compile(TRANSFORMS["jvp"](function), backend="eager")
    with use_backend("native"), pytest.raises((BackendError, torch._dynamo.exc.TorchDynamoException)):
        compiled(x)
