# SPDX-License-Identifier: Apache-2.0
"""The fused operators as citizens of PyTorch: values, gradients of any order, the compiler, threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import group_norm
from torch.utils._python_dispatch import TorchDispatchMode

from cardiac4d.layers import UpsampleAdd
from cardiac4d.ops import use_backend
from cardiac4d.ops.fused import HalfBlock, residual_block, upsample_add
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.backends import needs_native
from tests.helpers.comparison import check_each
from tests.helpers.fused_calls import (
    EPS,
    OPTIONS,
    block_call,
    block_tensors,
    convolution_call,
    doubles,
    given,
    inference_call,
    skip_tensor,
    upsample_conv_call,
)

pytestmark = needs_native

LIMITS = {"fast": 3e-5, "exact": 3e-6}
"""The largest error relative to the largest value, as the docstring of ``residual_block`` promises."""


@pytest.fixture(autouse=True)
def _on_the_native_backend() -> Iterator[None]:
    with use_backend("native", fused=True):
        yield


def _fused(tensors: list[Tensor | None], groups: int) -> Tensor:
    x, *parameters = tensors
    return residual_block(x, HalfBlock(*parameters[:4]), HalfBlock(*parameters[4:]), groups, EPS)[0]


def _layers(tensors: list[Tensor | None], groups: int) -> Tensor:
    """The block from its definition."""
    x, *parameters = tensors
    y = x
    for norm_weight, norm_bias, weight, bias in (parameters[:4], parameters[4:]):
        y = conv4d_reference(group_norm(y, groups, norm_weight, norm_bias, EPS).relu(), weight, bias, padding=1)
    return y + x


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("precision", LIMITS)
@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("size", [(7, 5, 6, 5), (4, 8, 2, 9), (1, 3, 2, 3)], ids=str)
def test_block_and_its_gradients_are_the_layers(size: tuple[int, ...], groups: int, precision: str, bias: bool) -> None:
    # Small volumes: of some hundred thousand voxels one is so near zero that rounding decides its ReLU.
    tensors = block_tensors((2, 8, *size), bias=bias)
    exact = doubles(tensors)
    with use_backend(precision=precision):
        actual, expected = _fused(tensors, groups), _layers(exact, groups)
        seed = torch.randn_like(actual)
        ours = torch.autograd.grad(actual, given(tensors), seed)
    theirs = torch.autograd.grad(expected, given(exact), seed.double())
    check_each((actual, *ours), (expected, *theirs), LIMITS[precision])


def test_gradient_of_the_gradient_is_that_of_the_layers() -> None:
    tensors = block_tensors((2, 4, 3, 4, 3, 5))
    exact = doubles(tensors)
    seed = torch.randn_like(tensors[0])
    results = []
    with use_backend(precision="exact"):
        for function, operands in ((_fused, tensors), (_layers, exact)):
            start = seed.to(operands[0].dtype).requires_grad_()
            first = torch.autograd.grad(function(operands, 2), operands[:-1], start, create_graph=True)
            number = sum((g * g).sum() for g in first)
            results.append(torch.autograd.grad(number, [start, *operands[:-1]]))
    check_each(*results, 1e-4)


@pytest.mark.parametrize("wanted", [(0,), (3,), (7,), (8,), (0, 7), (2, 5), (4,), (6, 3), (1, 2, 4, 5, 6)], ids=str)
def test_gradients_come_only_for_what_needs_them(wanted: tuple[int, ...]) -> None:
    tensors = [tensor.detach() for tensor in given(block_tensors((1, 4, 3, 4, 3, 5)))]
    assert not _fused(tensors, 2).requires_grad
    exact = [tensor.double() for tensor in tensors]
    leaves = [[operands[i].requires_grad_() for i in wanted] for operands in (tensors, exact)]
    seed = torch.randn_like(tensors[0]).requires_grad_()
    ours = torch.autograd.grad(_fused(tensors, 2), leaves[0], seed, create_graph=True)
    wide = seed.detach().double().requires_grad_()
    theirs = torch.autograd.grad(_layers(exact, 2), leaves[1], wide, create_graph=True)
    check_each(ours, theirs, LIMITS["fast"])
    if wanted != (8,):  # of the second bias: the sum of the seed
        second = torch.autograd.grad(sum(g.square().sum() for g in ours), seed)
        check_each(second, torch.autograd.grad(sum(g.square().sum() for g in theirs), wide), 1e-4)


class _Calls(TorchDispatchMode):
    """Notes what the fused gradient was asked for, and the sizes that it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, list[int]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.cardiac4d.residual_block_backward.default:
            self.seen.append((args[-1], [tensor.numel() for tensor in result]))
        return result


def test_frozen_weights_cost_nothing() -> None:
    tensors = [tensor.detach() for tensor in given(block_tensors((1, 4, 3, 4, 3, 5)))]
    tensors[0].requires_grad_()
    with _Calls() as calls:
        _fused(tensors, 2).sum().backward()
    assert calls.seen == [(1, [tensors[0].numel(), *[0] * 7])]
    bias = [tensor.detach() for tensor in tensors]
    bias[8].requires_grad_()
    with _Calls() as calls:
        _fused(bias, 2).sum().backward()
    assert calls.seen == []


def test_only_the_two_inputs_of_the_norms_are_saved() -> None:
    tensors = block_tensors((1, 8, 6, 5, 4, 6), bias=False)
    saved: dict[int, int] = {}
    own = {tensor.data_ptr() for tensor in given(tensors)[1:]}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            saved[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _fused(tensors, 2)
    assert sorted(saved.values()) == [16, 16, tensors[0].numel(), tensors[0].numel()]
    assert tensors[0].data_ptr() in saved


@pytest.mark.parametrize("threads", [2, 3])
def test_bits_do_not_depend_on_threads(threads: int) -> None:
    tensors, before = block_tensors((1, 8, 16, 17, 9, 8)), torch.get_num_threads()
    results = []
    try:
        for count in (1, threads):
            torch.set_num_threads(count)
            out = _fused(tensors, 2)
            results.append([out, *torch.autograd.grad(out, tensors, torch.ones_like(out))])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, many) for one, many in zip(*results, strict=True))


def test_nan_spreads_as_it_does_through_the_layers() -> None:
    tensors = block_tensors((2, 4, 5, 4, 3, 5))
    with torch.no_grad():
        tensors[0][1, 2, 2, 2, 1, 1] = torch.nan
    out = _fused(tensors, 2)
    assert torch.equal(out.isnan(), _layers(doubles(tensors), 2).isnan())
    assert out[0].isfinite().all()
    grad = torch.autograd.grad(out[1].sum(), tensors[0])[0]
    assert grad[1].isnan().all()


def _gradient_call() -> tuple[Any, ...]:
    tensors = [tensor.detach() for tensor in given(block_tensors((2, 4, 3, 4, 3, 5)))]
    _, *saved, _ = torch.ops.cardiac4d.residual_block(tensors[0], None, *tensors[1:], *OPTIONS)
    x, *parameters = (tensor.requires_grad_() for tensor in tensors[:-1])
    return (torch.randn_like(x).requires_grad_(), x, *saved, *parameters, *OPTIONS, 255)


CALLS = {
    "residual_block_": inference_call,
    "pointwise_softmax": lambda: (torch.randn(2, 5, 3, 4, 1, 3), torch.randn(3, 5, 1, 1, 1, 1), torch.randn(3)),
    "conv4d_sums": convolution_call,
    "upsample_conv_add": upsample_conv_call,
    "residual_block": block_call,
    "residual_block_backward": _gradient_call,
    "residual_block_backward of some": lambda: (*_gradient_call()[:-1], 1 + 2 + 128),
    "upsample_add": lambda: (
        torch.randn(2, 3, 2, 3, 1, 2).requires_grad_(),
        torch.randn(2, 3, 4, 5, 1, 3).requires_grad_(),
    ),
    "upsample_backward": lambda: (torch.randn(2, 3, 4, 5, 1, 3).requires_grad_(),),
}


def test_every_operator_that_gives_tensors_is_checked() -> None:
    names = {
        name.partition("::")[2] for name in torch._C._dispatch_get_all_op_names() if name.startswith("cardiac4d::")
    }
    elsewhere = {"conv4d", "conv4d_input", "conv4d_weight", "softmax_sums", "softmax_sums_backward"}
    of_text = {"conv4d_algorithm", "cpu_isa"}
    assert names == {name.split()[0] for name in CALLS} | elsewhere | of_text


@pytest.mark.parametrize("name", CALLS)
def test_opcheck(name: str) -> None:
    operator = getattr(torch.ops.cardiac4d, name.split()[0]).default
    torch.library.opcheck(operator, CALLS[name](), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [name for name in CALLS if name != "residual_block_"])  # takes no other strides
def test_fake_results_are_like_the_real_ones_whatever_the_strides(name: str) -> None:
    def turned(tensor: Any) -> Any:
        is_volume = isinstance(tensor, Tensor) and tensor.dim() == 6
        return tensor.detach().transpose(2, 5).contiguous().transpose(2, 5) if is_volume else tensor

    arguments = [turned(argument) for argument in CALLS[name]()]
    operator = getattr(torch.ops.cardiac4d, name.split()[0])
    real = operator(*arguments)
    with torch._subclasses.FakeTensorMode() as mode:
        fake = operator(*(mode.from_tensor(a) if isinstance(a, Tensor) else a for a in arguments))
    pairs = zip(*([result] if isinstance(result, Tensor) else result for result in (real, fake)), strict=True)
    assert all((a.shape, a.stride(), a.dtype) == (b.shape, b.stride(), b.dtype) for a, b in pairs)


def test_operators_called_past_the_door_check_what_guards_memory() -> None:
    arguments = [a.detach() if isinstance(a, Tensor) else a for a in block_call()]
    for place, value, message in (
        (0, torch.zeros(2, 4, 3, 4, 3), "must have 6 axes"),
        (0, arguments[0].double(), "input must be on the CPU and have the dtype"),
        (1, torch.zeros(2, 4), "input_sums must be on the CPU and have the dtype"),
        (1, torch.zeros(2, 4).double(), "input_sums has the wrong size"),
        (2, torch.zeros(5), "norm weight has the wrong size"),
        (4, torch.zeros(4, 4, 3, 3, 3, 1), "weight has the wrong size"),
        (10, 3, r"groups \(3\) must be positive and divide the channels \(4\)"),
        (12, 2, "do not describe a convolution"),
    ):
        with pytest.raises(RuntimeError, match=message):
            torch.ops.cardiac4d.residual_block(*arguments[:place], value, *arguments[place + 1 :])
    with pytest.raises(RuntimeError, match="input has the wrong size"):
        torch.ops.cardiac4d.upsample_add(torch.zeros(1, 1, 2, 2, 2, 2), torch.zeros(1, 1, 4, 4, 4, 5))
    with pytest.raises(RuntimeError, match="weight has the wrong size"):
        torch.ops.cardiac4d.upsample_conv_add(
            *upsample_conv_call()[:1], torch.zeros(3, 5, 3, 1, 1, 1), None, skip_tensor()
        )
    with pytest.raises(RuntimeError, match="do not describe"):
        torch.ops.cardiac4d.upsample_backward(torch.zeros(1, 1, 2, 2, 2, 2, dtype=torch.float64))


@pytest.mark.parametrize("size", [(7, 6, 5, 3), (1, 2, 3, 1), (8, 4, 2, 6)], ids=str)
def test_upsampling_and_its_gradients_of_both_orders_are_the_layers(size: tuple[int, ...]) -> None:
    skip = torch.randn(2, 3, *size).requires_grad_()
    x = torch.randn(2, 3, *((extent + 1) // 2 for extent in size)).requires_grad_()
    seed = torch.randn_like(skip).requires_grad_()
    results = []
    for function in (upsample_add, UpsampleAdd()):
        with use_backend(fused=False):
            out = function(x, skip)
        first = torch.autograd.grad(out, [x, skip], seed, create_graph=True)
        results.append((out, *first, *torch.autograd.grad(sum(g.square().sum() for g in first), seed)))
    assert torch.equal(results[0][0], results[1][0])
    check_each(results[0], results[1], 1e-6)
