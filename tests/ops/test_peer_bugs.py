# SPDX-License-Identifier: Apache-2.0
"""Faults of published 4D convolutions, one test each, so that none of them comes back here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import cardiac4d
from cardiac4d import Conv4d
from cardiac4d.ops import conv4d, use_backend
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.backends import BACKENDS
from tests.helpers.conv4d_cases import make_problem
from tests.helpers.tolerances import assert_near


@pytest.fixture(autouse=True, params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run every test on every backend; a fallback is an error."""
    with use_backend(request.param):
        yield request.param


@pytest.mark.parametrize("channels", [1, 2, 32])
@pytest.mark.parametrize("stride", [1, 2])
def test_bias_is_added_once_and_not_once_per_tap(channels: int, stride: int) -> None:
    out = conv4d(
        torch.randn(2, channels, 3, 3, 3, 4),
        torch.zeros(channels, channels, 3, 3, 3, 3),
        torch.ones(channels),
        padding=1,
        stride=stride,
    )
    assert torch.equal(out, torch.ones_like(out))


@pytest.mark.parametrize(
    "changed",
    [
        {"stride": 2},
        {"padding": 1},
        {"dilation": 2},
        {"groups": 2},
        *({name: tuple(1 + (i == axis) for i in range(4))} for name in ("stride", "dilation") for axis in range(4)),
        *({"padding": tuple(int(i == axis) for i in range(4))} for axis in range(4)),
    ],
    ids=str,
)
def test_no_argument_is_ignored(changed: dict) -> None:
    x, weight = torch.randn(1, 4, 6, 6, 6, 6, dtype=torch.float64), torch.randn(2, 4, 3, 3, 3, 3, dtype=torch.float64)
    weight = weight[:, : 4 // changed.get("groups", 1)]
    expected = conv4d_reference(x, weight, **changed)
    assert_near(conv4d(x, weight, **changed), expected)
    plain = conv4d_reference(x[:, : weight.shape[1]], weight)
    assert expected.shape != plain.shape or not torch.allclose(expected, plain)


def test_no_hidden_limit_on_channels_times_kernel() -> None:
    x, weight = torch.randn(1, 48, 3, 3, 3, 3).double(), torch.randn(40, 48, 3, 3, 3, 3).double()
    assert_near(conv4d(x, weight, padding=1), conv4d_reference(x, weight, padding=1))


def test_bias_gradient_sums_batch_and_time() -> None:
    x, weight, bias, options = make_problem("cube", batch=3, requires_grad=True)
    out = conv4d(x, weight, bias, **options)
    (grad,) = torch.autograd.grad(out.sum(), bias)
    assert_near(grad, torch.full_like(grad, out[:, 0].numel()))


@pytest.mark.parametrize("name", ["cube", "one_input_channel", "stride_2_odd_frames", "wide"])
def test_results_and_gradients_are_the_same_bits_in_every_run(name: str) -> None:
    x, weight, bias, options = (
        part.detach().float().requires_grad_() if isinstance(part, torch.Tensor) else part
        for part in make_problem(name)
    )

    def run() -> list[torch.Tensor]:
        out = conv4d(x, weight, bias, **options)
        return [out, *torch.autograd.grad(out.square().sum(), (x, weight, bias))]

    assert all(torch.equal(first, second) for first, second in zip(run(), run(), strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_types_do_not_turn_into_float32(dtype: torch.dtype) -> None:
    conv = Conv4d(2, 3, 3, padding=1, dtype=dtype)
    x = torch.randn(1, 2, 3, 3, 3, 4, dtype=dtype, requires_grad=True)
    out = conv(x)
    out.sum().backward()
    assert {out.dtype, x.grad.dtype, conv.weight.grad.dtype, conv.bias.grad.dtype} == {dtype}


def test_parameters_are_registered() -> None:
    assert [name for name, _ in Conv4d(2, 3, 3).named_parameters()] == ["weight", "bias"]


def test_initial_weights_are_not_one_constant() -> None:
    weight = Conv4d(8, 8, 3).weight.detach()
    bound = (8 * 3**4) ** -0.5
    assert weight.abs().max() <= bound
    assert weight.std() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert weight.mean().abs() < 0.05 * bound


def test_every_module_compiles_and_none_uses_what_torch_has_removed() -> None:
    """One peer lacks a comma, another calls ``ctx.saved_variables`` and ``tensor.data<T>()``."""
    package = Path(cardiac4d.__file__).parent
    for path in package.rglob("*.py"):
        names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert not names & {"saved_variables", "Variable"}, path
    for path in (*package.rglob("*.cpp"), *package.rglob("*.h")):
        assert ".data<" not in path.read_text(), path


def test_input_that_is_a_leaf_gets_its_gradient() -> None:
    """Writing into views of the input, or of a result, breaks its graph."""
    x, weight, _, options = make_problem("cube")
    leaf = x.requires_grad_()
    conv4d(leaf, weight, **options).sum().backward()
    (expected,) = torch.autograd.grad(conv4d_reference(leaf, weight, **options).sum(), leaf)
    assert_near(leaf.grad, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_does_not_widen_to_the_dtype_of_a_buffer(dtype: torch.dtype) -> None:
    conv = Conv4d(2, 3, 3, padding=1)
    with torch.autocast("cpu", dtype):
        assert conv(torch.randn(1, 2, 3, 3, 3, 4)).dtype == dtype


@pytest.mark.parametrize("tap", range(3))
def test_every_time_tap_reads_its_own_frame(tap: int) -> None:
    """No 3D case tells: a loop that mixes up the taps, or flips them in time alone, is right for symmetric kernels."""
    x, weight = torch.randn(1, 1, 3, 3, 3, 7).double(), torch.zeros(1, 1, 3, 3, 3, 3).double()
    weight[..., 0, 2, 1, tap] = 1
    out, at = conv4d(x, weight, padding=1), conv4d_reference(x, weight, padding=1)
    assert_near(out, at)
    frames = slice(max(0, 1 - tap), 7 - max(0, tap - 1))
    assert torch.equal(out[0, 0, 1, 1, 1, frames], x[0, 0, 0, 2, 1].roll(1 - tap)[frames])
