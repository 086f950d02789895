# SPDX-License-Identifier: Apache-2.0
"""The two transposes of ``conv4d`` on every backend, and gradients of any order through all three."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from cardiac4d.ops import conv4d, conv4d_input, conv4d_weight, use_backend
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.backends import BACKENDS
from tests.helpers.conv4d_cases import CASES, make_problem
from tests.helpers.tolerances import assert_near

TINY = {"stride": (1, 2, 1, 1), "padding": (1, 0, 1, 1), "dilation": (1, 1, 2, 1), "groups": 2}


@pytest.fixture(autouse=True, params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run every test on every backend; a fallback is an error."""
    with use_backend(request.param):
        yield request.param


def _tiny_problem() -> tuple[Tensor, Tensor, Tensor]:
    """Input, weight and an output gradient of TINY: few and odd extents, so that finite differences take a moment."""
    x, weight = torch.randn(1, 2, 2, 3, 3, 3, dtype=torch.float64), torch.randn(2, 1, 2, 1, 2, 3, dtype=torch.float64)
    grad = torch.randn(conv4d_reference(x, weight, **TINY).shape, dtype=torch.float64)
    return x.requires_grad_(), weight.requires_grad_(), grad.requires_grad_()


@pytest.mark.parametrize("batch", [0, 2])
@pytest.mark.parametrize("name", CASES)
def test_transposes_are_the_gradients_of_the_reference(name: str, batch: int) -> None:
    x, weight, _, options = make_problem(name, batch=batch, requires_grad=True)
    expected = conv4d_reference(x, weight, **options)
    grad = torch.randn(expected.shape, dtype=torch.float64)
    to_input, to_weight = torch.autograd.grad(expected, (x, weight), grad)
    assert_near(conv4d_input(x.shape, weight.detach(), grad, **options), to_input)
    assert_near(conv4d_weight(x.detach(), weight.shape, grad, **options), to_weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["cube", "stride_2_odd_frames", "groups"])
def test_transposes_in_other_dtypes(name: str, dtype: torch.dtype) -> None:
    x, weight, _, options = make_problem(name)
    x, weight = x.to(dtype).requires_grad_(), weight.to(dtype).requires_grad_()
    expected = conv4d_reference(x, weight, **options)
    grad = torch.randn(expected.shape).to(dtype)
    to_input, to_weight = torch.autograd.grad(expected, (x, weight), grad.double())
    actual = conv4d_input(x.shape, weight.detach(), grad, **options)
    assert actual.dtype == dtype
    assert_near(actual, to_input, dtype)
    assert_near(conv4d_weight(x.detach(), weight.shape, grad, **options), to_weight, dtype)


def test_forward_agrees_with_finite_differences_to_second_order() -> None:
    x, weight, _ = _tiny_problem()
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return conv4d(x, weight, bias, **TINY)

    assert torch.autograd.gradcheck(function, (x, weight, bias))
    assert torch.autograd.gradgradcheck(function, (x, weight, bias))


def test_transposes_agree_with_finite_differences_to_second_order() -> None:
    x, weight, grad = _tiny_problem()

    def to_input(weight: Tensor, grad: Tensor) -> Tensor:
        return conv4d_input(x.shape, weight, grad, **TINY)

    def to_weight(x: Tensor, grad: Tensor) -> Tensor:
        return conv4d_weight(x, weight.shape, grad, **TINY)

    for function, arguments in ((to_input, (weight, grad)), (to_weight, (x, grad))):
        assert torch.autograd.gradcheck(function, arguments)
        assert torch.autograd.gradgradcheck(function, arguments)


def test_third_derivative_is_that_of_the_reference() -> None:
    x, weight, _ = _tiny_problem()

    def third(convolve) -> Tensor:
        value = convolve(x, weight, **TINY).pow(4).sum()
        for _ in range(2):
            (gradient,) = torch.autograd.grad(value, x, create_graph=True)
            value = gradient.pow(2).sum()
        return torch.autograd.grad(value, weight)[0]

    assert_near(third(conv4d), third(conv4d_reference), torch.float32)


def test_strided_and_expanded_tensors_are_taken() -> None:
    x, weight, _, options = make_problem("cube")
    grad = torch.randn(1, 1, 4, 5, 3, 6, dtype=torch.float64).expand(2, 3, -1, -1, -1, -1)
    for view in (grad, grad.transpose(0, 5).contiguous().transpose(0, 5)):
        assert_near(
            conv4d_input(x.shape, weight, view, **options),
            conv4d_input(x.shape, weight, grad.contiguous(), **options),
        )
        assert_near(
            conv4d_weight(x.transpose(2, 3).contiguous().transpose(2, 3), weight.shape, view, **options),
            conv4d_weight(x, weight.shape, grad.contiguous(), **options),
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_computes_in_its_dtype(dtype: torch.dtype) -> None:
    x, weight, _, options = make_problem("cube")
    grad = torch.randn(2, 3, 4, 5, 3, 6)
    with torch.autocast("cpu", dtype):
        assert conv4d_input(x.shape, weight.float(), grad, **options).dtype == dtype
        assert conv4d_weight(x.float(), weight.shape, grad, **options).dtype == dtype
        assert conv4d_input(x.shape, weight, grad.double(), **options).dtype == torch.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_size": [1, 2, 4, 4, 4]}, r"`input_size` \(=\[1, 2, 4, 4, 4\]\) must be six integers"),
        ({"input_size": [1, 2, 4, 4, 4, 4.0]}, r"`input_size` \(=.*4.0\]\) must be six integers"),
        ({"input_size": 4}, r"`input_size` \(=4\) must be six integers"),
        ({"grad_output": torch.zeros(1, 3, 2, 2, 2, 2).double()}, "`grad_output` is .*64 on cpu, but `weight` is .*32"),
        ({"input_size": [1, 3, 4, 4, 4, 4]}, r"`input` has 3 channels, but `weight`"),
        (
            {"input_size": [1, 2, 4, 4, 5, 4]},
            r"`grad_output` must have shape \[1, 3, 2, 2, 3, 2\], got \[1, 3, 2, 2, 2",
        ),
        ({"stride": 0}, r"`stride` \(=0\) must be"),
        ({"groups": 2}, r"`groups` \(=2\) must be positive and divide the output channels"),
    ],
)
def test_bad_argument_is_named(arguments: dict, message: str) -> None:
    valid = {
        "input_size": [1, 2, 4, 4, 4, 4],
        "weight": torch.zeros(3, 2, 3, 3, 3, 3),
        "grad_output": torch.zeros(1, 3, 2, 2, 2, 2),
    }
    with pytest.raises(ValueError, match=message):
        conv4d_input(**{**valid, **arguments})


def test_what_is_no_tensor_is_named() -> None:
    x, weight, grad = torch.zeros(1, 2, 4, 4, 4, 4), torch.zeros(3, 2, 3, 3, 3, 3), torch.zeros(1, 3, 2, 2, 2, 2)
    for function, arguments, name in (
        (conv4d_input, (x.shape, weight.numpy(), grad), "weight"),
        (conv4d_input, (x.shape, weight, grad.numpy()), "grad_output"),
        (conv4d_weight, (x.numpy(), weight.shape, grad), "input"),
        (conv4d_weight, (x, weight.shape, None), "grad_output"),
    ):
        with pytest.raises(TypeError, match=f"`{name}` must be a torch.Tensor, got (ndarray|NoneType)"):
            function(*arguments)


def test_gradient_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`grad_output` must have shape \[1, 3, 2, 2, 2, 2\]"):
        conv4d_weight(torch.zeros(1, 2, 4, 4, 4, 4), [3, 2, 3, 3, 3, 3], torch.zeros(1, 3, 2, 2, 2, 1))
