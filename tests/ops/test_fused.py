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
from cardiac4d.ops import conv4d, use_backend
from cardiac4d.ops.fused import HalfBlock, pointwise_softmax, residual_block, upsample_add, upsample_conv_add
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.backends import needs_native

pytestmark = needs_native

LIMITS = {"fast": 3e-5, "exact": 3e-6}
"""The largest error relative to the largest value, as the docstring of ``residual_block`` promises."""
EPS = 1e-5
OPTIONS = 2, EPS, 1
"""Groups, eps and precision (exact) of the calls below the door."""


@pytest.fixture(autouse=True)
def _on_the_native_backend() -> Iterator[None]:
    with use_backend("native", fused=True):
        yield


def _tensors(shape: tuple[int, ...], *, bias: bool = True) -> list[Tensor | None]:
    """An input and the parameters of both halves."""
    channels = shape[1]
    tensors: list[Tensor | None] = [torch.randn(shape) + 0.5]
    for _ in range(2):
        tensors += [torch.rand(channels) + 0.5, torch.randn(channels) * 0.3]
        tensors += [torch.randn(channels, channels, 3, 3, 3, 3) / 9, torch.randn(channels) if bias else None]
    return [None if tensor is None else tensor.requires_grad_() for tensor in tensors]


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


def _doubles(tensors: list[Tensor | None]) -> list[Tensor | None]:
    return [None if tensor is None else tensor.detach().double().requires_grad_() for tensor in tensors]


def _given(tensors: list[Tensor | None]) -> list[Tensor]:
    return [tensor for tensor in tensors if tensor is not None]


def _sums(x: Tensor) -> Tensor:
    wide = x.detach().double()
    return torch.stack([wide.sum((2, 3, 4, 5)), wide.square().sum((2, 3, 4, 5))], -1)


def _check(actual: tuple[Tensor, ...], expected: tuple[Tensor, ...], limit: float) -> None:
    for i, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        error = (ours.double() - theirs).abs().max().item()
        assert error <= limit * theirs.abs().max().clamp(min=1e-2).item(), f"tensor {i}: error {error:.2e}"


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("precision", LIMITS)
@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("size", [(7, 5, 6, 5), (4, 8, 2, 9), (1, 3, 2, 3)], ids=str)
def test_block_and_its_gradients_are_the_layers(size: tuple[int, ...], groups: int, precision: str, bias: bool) -> None:
    # Small volumes: of some hundred thousand voxels one is so near zero that rounding decides its ReLU.
    tensors = _tensors((2, 8, *size), bias=bias)
    exact = _doubles(tensors)
    with use_backend(precision=precision):
        actual, expected = _fused(tensors, groups), _layers(exact, groups)
        seed = torch.randn_like(actual)
        ours = torch.autograd.grad(actual, _given(tensors), seed)
    theirs = torch.autograd.grad(expected, _given(exact), seed.double())
    _check((actual, *ours), (expected, *theirs), LIMITS[precision])


def test_gradient_of_the_gradient_is_that_of_the_layers() -> None:
    tensors = _tensors((2, 4, 3, 4, 3, 5))
    exact = _doubles(tensors)
    seed = torch.randn_like(tensors[0])
    results = []
    with use_backend(precision="exact"):
        for function, operands in ((_fused, tensors), (_layers, exact)):
            start = seed.to(operands[0].dtype).requires_grad_()
            first = torch.autograd.grad(function(operands, 2), operands[:-1], start, create_graph=True)
            number = sum((g * g).sum() for g in first)
            results.append(torch.autograd.grad(number, [start, *operands[:-1]]))
    _check(*results, 1e-4)


@pytest.mark.parametrize("wanted", [(0,), (3,), (7,), (8,), (0, 7), (2, 5), (4,), (6, 3), (1, 2, 4, 5, 6)], ids=str)
def test_gradients_come_only_for_what_needs_them(wanted: tuple[int, ...]) -> None:
    tensors = [tensor.detach() for tensor in _given(_tensors((1, 4, 3, 4, 3, 5)))]
    assert not _fused(tensors, 2).requires_grad
    exact = [tensor.double() for tensor in tensors]
    leaves = [[operands[i].requires_grad_() for i in wanted] for operands in (tensors, exact)]
    seed = torch.randn_like(tensors[0]).requires_grad_()
    ours = torch.autograd.grad(_fused(tensors, 2), leaves[0], seed, create_graph=True)
    wide = seed.detach().double().requires_grad_()
    theirs = torch.autograd.grad(_layers(exact, 2), leaves[1], wide, create_graph=True)
    _check(ours, theirs, LIMITS["fast"])
    if wanted != (8,):  # of the second bias: the sum of the seed
        second = torch.autograd.grad(sum(g.square().sum() for g in ours), seed)
        _check(second, torch.autograd.grad(sum(g.square().sum() for g in theirs), wide), 1e-4)


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
    tensors = [tensor.detach() for tensor in _given(_tensors((1, 4, 3, 4, 3, 5)))]
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
    tensors = _tensors((1, 8, 6, 5, 4, 6), bias=False)
    saved: dict[int, int] = {}
    own = {tensor.data_ptr() for tensor in _given(tensors)[1:]}

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
    tensors, before = _tensors((1, 8, 16, 17, 9, 8)), torch.get_num_threads()
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
    tensors = _tensors((2, 4, 5, 4, 3, 5))
    with torch.no_grad():
        tensors[0][1, 2, 2, 2, 1, 1] = torch.nan
    out = _fused(tensors, 2)
    assert torch.equal(out.isnan(), _layers(_doubles(tensors), 2).isnan())
    assert out[0].isfinite().all()
    grad = torch.autograd.grad(out[1].sum(), tensors[0])[0]
    assert grad[1].isnan().all()


def _block_call() -> tuple[Any, ...]:
    x, *parameters = _tensors((2, 4, 3, 4, 3, 5))
    return (x, _sums(x), *parameters, *OPTIONS)


def _gradient_call() -> tuple[Any, ...]:
    tensors = [tensor.detach() for tensor in _given(_tensors((2, 4, 3, 4, 3, 5)))]
    _, *saved, _ = torch.ops.cardiac4d.residual_block(tensors[0], None, *tensors[1:], *OPTIONS)
    x, *parameters = (tensor.requires_grad_() for tensor in tensors[:-1])
    return (torch.randn_like(x).requires_grad_(), x, *saved, *parameters, *OPTIONS, 255)


def _skip() -> Tensor:
    return torch.randn(2, 3, 4, 5, 1, 3).requires_grad_()


def _upsample_conv_call() -> tuple[Any, ...]:
    x, weight = torch.randn(2, 5, 2, 3, 1, 2).requires_grad_(), torch.randn(3, 5, 1, 1, 1, 1).requires_grad_()
    return x, weight, torch.randn(3).requires_grad_(), _skip()


def _convolution_call(stride: int = 2) -> tuple[Any, ...]:
    x, weight = torch.randn(2, 4, 4, 3, 3, 5).requires_grad_(), torch.randn(6, 4, 3, 3, 3, 3).requires_grad_()
    return x, weight, torch.randn(6).requires_grad_(), [stride] * 4, [1] * 4, [1] * 4, 1, 1


def _inference_call() -> tuple[Any, ...]:
    return tuple(a.detach() if isinstance(a, Tensor) else a for a in _block_call())


CALLS = {
    "residual_block_": _inference_call,
    "pointwise_softmax": lambda: (torch.randn(2, 5, 3, 4, 1, 3), torch.randn(3, 5, 1, 1, 1, 1), torch.randn(3)),
    "conv4d_sums": _convolution_call,
    "upsample_conv_add": _upsample_conv_call,
    "residual_block": _block_call,
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
    of_text = {"conv4d_algorithm", "cpu_isa"}
    assert names == {name.split()[0] for name in CALLS} | {"conv4d", "conv4d_input", "conv4d_weight"} | of_text


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
    arguments = [a.detach() if isinstance(a, Tensor) else a for a in _block_call()]
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
        torch.ops.cardiac4d.upsample_conv_add(*_upsample_conv_call()[:1], torch.zeros(3, 5, 3, 1, 1, 1), None, _skip())
    with pytest.raises(RuntimeError, match="do not describe"):
        torch.ops.cardiac4d.upsample_backward(torch.zeros(1, 1, 2, 2, 2, 2, dtype=torch.float64))


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_with_sums_is_the_convolution(stride: int) -> None:
    x, weight, bias, *options = arguments = _convolution_call(stride)
    y, sums = torch.ops.cardiac4d.conv4d_sums(*arguments)
    expected = torch.ops.cardiac4d.conv4d(*arguments)
    assert torch.equal(y, expected)
    assert not sums.requires_grad
    _check((sums,), (_sums(expected),), 1e-12)
    seed = torch.randn_like(y)
    ours, theirs = (torch.autograd.grad(out, [x, weight, bias], seed) for out in (y, expected))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_known_sums_change_nothing() -> None:
    x, sums, *parameters = _block_call()
    known = torch.ops.cardiac4d.residual_block(x, sums, *parameters)
    computed = torch.ops.cardiac4d.residual_block(x, None, *parameters)
    _check(known, tuple(tensor.double() for tensor in computed), 1e-6)
    _check(known[2:3] + known[4:], (_sums(x), _sums(known[0])), 1e-12)


def test_block_in_the_memory_of_its_input_has_the_same_bits() -> None:
    for sums in (True, False):
        x, known, *others = _inference_call()
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
    operands, seed = _given([x, weight, offset, skip]), torch.randn_like(skip).requires_grad_()
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
    _check((sums,), (_sums(out),), 1e-12)


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
    _check(results[0], results[1], 1e-6)
