# SPDX-License-Identifier: Apache-2.0
"""The native operators as citizens of PyTorch: dispatcher, compiler, exporter, transforms, threads."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cardiac4d import Conv4d
from cardiac4d.ops import conv4d, use_backend
from cardiac4d.ops.call import call, call_operator
from cardiac4d.ops.layout import from_frames, to_frames
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.backends import needs_native
from tests.helpers.conv4d_cases import CASES, make_problem
from tests.helpers.tolerances import assert_near

pytestmark = needs_native

OPTIONS = ([1, 2, 1, 2], [1, 1, 1, 1], [1, 1, 2, 1], 2, 0)
"""Stride, padding, dilation, groups and precision of the tensors below."""
KEYWORDS = dict(zip(("stride", "padding", "dilation", "groups"), OPTIONS, strict=False))


@pytest.fixture(autouse=True)
def _on_the_native_backend() -> Iterator[None]:
    with use_backend("native", precision="fast"):
        yield


def _tensors(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    shapes = (2, 4, 4, 3, 5, 4), (6, 2, 2, 3, 2, 3), (6,)
    x, weight, bias = (torch.randn(shape, dtype=dtype).requires_grad_() for shape in shapes)
    return x, weight, bias


def _calls() -> dict[str, tuple[Any, ...]]:
    """One call of every operator."""
    x, weight, bias = _tensors()
    grad = torch.randn(conv4d_reference(x, weight, **KEYWORDS).shape, dtype=torch.float64).requires_grad_()
    return {
        "conv4d": (x, weight, bias, *OPTIONS),
        "conv4d_input": (list(x.shape), weight, grad, *OPTIONS),
        "conv4d_weight": (x, list(weight.shape), grad, *OPTIONS),
    }


OPERATORS = ["conv4d", "conv4d_input", "conv4d_weight"]


@pytest.mark.parametrize("name", OPERATORS)
def test_opcheck(name: str) -> None:
    torch.library.opcheck(getattr(torch.ops.cardiac4d, name).default, _calls()[name])


def test_opcheck_without_bias_and_with_strided_tensors() -> None:
    x, weight, _ = _tensors(torch.float32)
    strided = from_frames(to_frames(x.detach())), weight.detach().transpose(2, 4)
    arguments = *(tensor.requires_grad_() for tensor in strided), None, *OPTIONS
    torch.library.opcheck(torch.ops.cardiac4d.conv4d.default, arguments)


@pytest.mark.parametrize("layout", ["plain", "frames"])
@pytest.mark.parametrize("name", CASES)
def test_fake_results_have_the_sizes_and_strides_of_the_real_ones(name: str, layout: str) -> None:
    x, weight, bias, options = make_problem(name)
    x = from_frames(to_frames(x)) if layout == "frames" else x
    real = conv4d(x, weight, bias, **options)
    with torch._subclasses.FakeTensorMode() as mode:
        fake = conv4d(*(mode.from_tensor(tensor) for tensor in (x, weight, bias)), **options)
    assert (fake.shape, fake.stride(), fake.dtype) == (real.shape, real.stride(), real.dtype)


@pytest.mark.parametrize("precision", ["exact", "direct"])
@pytest.mark.parametrize("name", CASES)
def test_exact_precisions_are_near_the_reference_in_float32(name: str, precision: str) -> None:
    x, weight, bias, options = make_problem(name)
    with use_backend(precision=precision):
        actual = conv4d(x.float(), weight.float(), bias.float(), **options)
        assert_near(actual, conv4d_reference(x.float(), weight.float(), bias.float(), **options))


def test_precision_of_the_forward_holds_in_the_backward() -> None:
    x, weight, bias = _tensors(torch.float32)
    with use_backend(precision="direct"):
        out = conv4d(x, weight, bias, **KEYWORDS)
    assert out.grad_fn.options[-1] == 2


@pytest.mark.parametrize("num_threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["cube", "wide", "stride_2_odd_frames", "groups"])
def test_number_of_threads_does_not_change_a_bit(name: str, num_threads: int) -> None:
    x, weight, bias, options = make_problem(name)
    leaves = [tensor.float().requires_grad_() for tensor in (x, weight, bias)]

    def run() -> list[Tensor]:
        out = conv4d(*leaves, **options)
        return [out, *torch.autograd.grad(out.square().sum(), leaves)]

    before = torch.get_num_threads()
    expected = run()
    try:
        torch.set_num_threads(num_threads)
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(run(), expected, strict=True))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_into_one_graph(dynamic: bool) -> None:
    x, weight, bias = _tensors()
    compiled = torch.compile(
        lambda x, weight, bias: conv4d(x, weight, bias, **KEYWORDS).relu(),
        fullgraph=True,
        backend="aot_eager",
        dynamic=dynamic,
    )
    for batch in (x, x.detach()[:1, :, :, :, :3].requires_grad_()):
        expected = conv4d_reference(batch, weight, bias, **KEYWORDS).relu()
        actual = compiled(batch, weight, bias)
        assert_near(actual, expected)
        seed = torch.randn_like(expected)
        for ours, theirs in zip(
            torch.autograd.grad(actual, (batch, weight, bias), seed),
            torch.autograd.grad(expected, (batch, weight, bias), seed),
            strict=True,
        ):
            assert_near(ours, theirs)


def test_compiled_code_follows_the_backend() -> None:
    x, weight, _ = _tensors()
    compiled = torch.compile(lambda x: conv4d(x, weight, **KEYWORDS), fullgraph=True, backend="eager")
    assert compiled(x).is_contiguous()
    with use_backend("composed"):
        out = compiled(x)
        assert to_frames(out).data_ptr() == out.data_ptr()
    assert compiled(x).is_contiguous()


@pytest.mark.slow
def test_compiles_with_the_default_compiler() -> None:
    conv = Conv4d(2, 4, 3, padding=1, time_padding_mode="circular")
    x = torch.randn(1, 2, 4, 4, 4, 5)
    compiled = torch.compile(conv, fullgraph=True)
    out = compiled(x)
    assert_near(out, conv(x))
    ours = torch.autograd.grad(out.sum(), conv.parameters())
    for ours_, theirs in zip(ours, torch.autograd.grad(conv(x).sum(), conv.parameters()), strict=True):
        assert_near(ours_, theirs)


def test_exports_with_any_batch_size() -> None:
    conv, x = Conv4d(4, 6, 3, padding=1, stride=2).double().eval(), _tensors()[0].detach()
    program = torch.export.export(conv, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert "cardiac4d.conv4d.default" in {str(node.target) for node in program.graph.nodes}
    more = torch.randn(5, *x.shape[1:], dtype=torch.float64)
    assert torch.equal(program.module()(more), conv(more))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    assert torch.equal(torch.export.load(file).module()(more), conv(more))


def _loop(function: Callable[..., Tensor], count: int, *mapped: tuple[Tensor, int | None]) -> Tensor:
    """What vmap must agree with."""
    return torch.stack(
        [function(*(x if axis is None else x.select(axis, i) for x, axis in mapped)) for i in range(count)]
    )


@pytest.mark.parametrize(
    "axes",
    [(0, None, None), (3, None, None), (None, 1, None), (0, 0, 0), (None, None, 0), (2, 0, None)],
    ids=str,
)
def test_vmap_is_a_loop(axes: tuple[int | None, ...]) -> None:
    tensors = [
        x.detach() if axis is None else torch.randn(*x.shape[:axis], 3, *x.shape[axis:], dtype=x.dtype)
        for x, axis in zip(_tensors(), axes, strict=True)
    ]

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return conv4d(x, weight, bias, **KEYWORDS)

    assert_near(torch.vmap(function, axes)(*tensors), _loop(function, 3, *zip(tensors, axes, strict=True)))


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (1, 2)], ids=str)
@pytest.mark.parametrize("operate", [call, call_operator])
@pytest.mark.parametrize("name", ["conv4d_input", "conv4d_weight"])
def test_vmap_of_the_transposes_is_a_loop(
    name: str, operate: Callable[..., Tensor], axes: tuple[int | None, int | None]
) -> None:
    call = [x.detach() if isinstance(x, Tensor) else x for x in _calls()[name]]
    places = [place for place in range(3) if isinstance(call[place], Tensor)]
    for place, axis in zip(places, axes, strict=True):
        shape = call[place].shape
        call[place] = call[place] if axis is None else torch.randn(*shape[:axis], 3, *shape[axis:]).double()

    def function(first: Tensor, second: Tensor) -> Tensor:
        arguments = list(call)
        arguments[places[0]], arguments[places[1]] = first, second
        return operate(name, *arguments)

    tensors = [call[place] for place in places]
    assert_near(torch.vmap(function, axes)(*tensors), _loop(function, 3, *zip(tensors, axes, strict=True)))


def test_gradient_per_example() -> None:
    x, weight, bias = (tensor.detach() for tensor in _tensors())

    def loss(weight: Tensor, example: Tensor) -> Tensor:
        return conv4d(example[None], weight, bias, **KEYWORDS).square().sum()

    gradient = torch.func.grad(loss)
    assert_near(torch.vmap(gradient, (None, 0))(weight, x), torch.stack([gradient(weight, example) for example in x]))


def test_only_what_a_gradient_needs_is_saved() -> None:
    x, weight, bias = _tensors()
    saved: list[torch.Size] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (saved.append(t.shape), t)[1], lambda t: t):
        conv4d(x, weight.detach(), bias.detach(), **KEYWORDS)
        assert saved == [weight.shape]
        conv4d(x.detach(), weight, bias, **KEYWORDS)
        assert saved == [weight.shape, x.shape]
        conv4d(x.detach(), weight.detach(), bias, **KEYWORDS)
        assert saved == [weight.shape, x.shape]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({0: torch.zeros(2, 4, 4, 3, 5).double()}, "must have 6 axes"),
        ({0: torch.zeros(2, 3, 4, 3, 5, 4).double()}, "do not fit groups"),
        ({1: torch.zeros(6, 2, 9, 3, 2, 3).double()}, "does not fit on axis 0"),
        ({1: torch.zeros(6, 2, 2, 3, 2, 3)}, "weight must be on the CPU and have the dtype"),
        ({2: torch.zeros(5).double()}, "bias has the wrong size"),
        ({0: torch.zeros(2, 4, 4, 3, 5, 4, dtype=torch.int64)}, "the dtype must be float64, float32"),
        ({3: [1, 0, 1, 1]}, "must be positive"),
        ({4: [1, -1, 1, 1]}, "must not be negative"),
        ({5: [1, 1, 2**63 - 1, 1]}, r"must be below 2\*\*31"),
        ({6: 4}, "do not fit groups"),
        ({7: 4}, "precision must be 0, 1, 2 or 3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_operator_called_past_the_door_checks_what_guards_memory(changed: dict[int, Any], message: str) -> None:
    arguments = [x.detach() if isinstance(x, Tensor) else x for x in _calls()["conv4d"]]
    for place, value in changed.items():
        arguments[place] = value
    with pytest.raises(RuntimeError, match=message):
        torch.ops.cardiac4d.conv4d(*arguments)


def test_gradient_of_the_wrong_size_is_refused() -> None:
    calls = _calls()
    for name, place in (("conv4d_input", 2), ("conv4d_weight", 2)):
        arguments = [x.detach() if isinstance(x, Tensor) else x for x in calls[name]]
        arguments[place] = arguments[place][..., :1]
        with pytest.raises(RuntimeError, match="grad_output has the wrong size"):
            getattr(torch.ops.cardiac4d, name)(*arguments)


def test_algorithm_is_named() -> None:
    x, weight, _ = (tensor.detach() for tensor in _tensors())
    names = [torch.ops.cardiac4d.conv4d_algorithm(x, weight, *OPTIONS, operation) for operation in range(3)]
    assert all(names)


def test_module_trains_and_copies() -> None:
    net = nn.Sequential(Conv4d(1, 4, 3, padding=1), nn.ReLU(), Conv4d(4, 1, 1))
    optimizer, x = torch.optim.SGD(net.parameters(), lr=0.05), torch.randn(2, 1, 4, 4, 4, 4)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = (net(x) - x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
