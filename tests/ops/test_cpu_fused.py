# SPDX-License-Identifier: Apache-2.0
"""The fused CPU kernels against float64 formulas, called through their C interface."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import group_norm as torch_group_norm

from cardiac4d.layers import UpsampleAdd
from cardiac4d.ops import use_backend
from cardiac4d.ops.reference import conv4d_reference
from tests.helpers.backends import needs_compiler
from tests.helpers.cpu_kernels import Kernels, Shape, load
from tests.helpers.fused_kernels import call, call_norm, group_norm, tensor_struct

pytestmark = needs_compiler

AXES = (2, 3, 4, 5)
SHAPES = {
    "odd": Shape((7, 5, 3, 5), (5, 9), batch=2, padding=1),
    "tiles_share_a_row": Shape((8, 12, 4, 4), (8, 8), batch=2, padding=1),
    "slabs_of_slices": Shape((5, 6, 40, 16), (4, 8), padding=1),
    "one_voxel": Shape((1, 1, 1, 3), (4, 4), batch=2, padding=1),
    "one_frame": Shape((6, 7, 5, 1), (4, 4), batch=2, padding=1),
    "unpadded": Shape((9, 6, 4, 5), (4, 6), padding=(0, 2, 0, 1)),
}
LIMITS = {"fast": 2e-5, "exact": 8e-7}
"""The largest error in float32, relative to the largest value of the result."""
HALF_LIMITS = {torch.float32: 0.0, torch.bfloat16: 8e-3, torch.float16: 1e-3}
"""What rounding a result to its dtype adds."""
DTYPES = list(HALF_LIMITS)


def _assert_near(actual: Tensor, expected: Tensor, limit: float) -> None:
    error = (actual.double() - expected.double()).abs().max().item()
    assert error <= limit * expected.abs().max().item(), f"error {error:.2e}"


def _sums(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([a.double().sum(AXES), (a.double() * b.double()).sum(AXES)], -1)


class Problem:
    """A normalisation, a ReLU and a convolution, their numbers and what they compute in float64."""

    def __init__(self, shape: Shape, dtype: torch.dtype = torch.float32) -> None:
        self.shape = shape
        self.x = (torch.randn(shape.x_shape) + 0.4).to(dtype)
        self.w = (torch.randn(shape.w_shape) / 9).to(dtype)
        self.bias, self.residual = torch.randn(shape.channels[1]).to(dtype), torch.randn(shape.y_shape).to(dtype)
        self.scale, self.shift = torch.randn(self.x.shape[:2]) + 0.5, torch.randn(self.x.shape[:2])
        self.dy = torch.randn(shape.y_shape).to(dtype)

    @cached_property
    def exact(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """In float64: behind the norm, behind the convolution, gradients of the first and of the weight."""
        x, w = (t.double().requires_grad_() for t in (self.x, self.w))
        v = x * self.scale[..., None, None, None, None] + self.shift[..., None, None, None, None]
        y = conv4d_reference(v.relu(), w, padding=self.shape.padding)
        return v, y, *torch.autograd.grad(y, [v, w], self.dy.double())

    v = property(lambda self: self.exact[0])
    y = property(lambda self: self.exact[1])
    g = property(lambda self: self.exact[2])
    dw = property(lambda self: self.exact[3])

    def forward(self, kernels: Kernels, precision: str, num_threads: int = 1) -> list[Tensor]:
        inputs = self.x, self.scale, self.shift, self.w, self.bias, self.residual
        return self._call(
            kernels, "norm_relu_forward", precision, inputs, [self.dy, _sums(self.dy, self.dy)], num_threads
        )

    def grad_input(self, kernels: Kernels, precision: str, num_threads: int = 1) -> list[Tensor]:
        inputs = self.dy, self.w, self.x, self.scale, self.shift
        results = [self.x, _sums(self.x, self.x)]
        return self._call(kernels, "norm_relu_grad_input", precision, inputs, results, num_threads)

    def grad_weight(self, kernels: Kernels, precision: str, num_threads: int = 1) -> list[Tensor]:
        inputs = self.x, self.scale, self.shift, self.dy
        return self._call(kernels, "norm_relu_grad_weight", precision, inputs, [self.w], num_threads)

    def _call(
        self, kernels: Kernels, name: str, precision: str, inputs: Any, results: Any, threads: int
    ) -> list[Tensor]:
        return call(kernels, name, self.shape.to_c(self.x.dtype, precision), inputs, results, threads)


OPERATIONS: list[Callable[..., list[Tensor]]] = [Problem.forward, Problem.grad_input, Problem.grad_weight]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("precision", LIMITS)
@pytest.mark.parametrize("name", SHAPES)
def test_convolution_takes_norm_relu_residual_and_sums_along(
    kernels: Kernels, name: str, precision: str, dtype: torch.dtype
) -> None:
    problem = Problem(SHAPES[name], dtype)
    limit = LIMITS[precision] + HALF_LIMITS[dtype]
    y, sums = problem.forward(kernels, precision)
    expected = problem.y + problem.bias.double().view(1, -1, 1, 1, 1, 1) + problem.residual.double()
    _assert_near(y, expected, limit)
    _assert_near(sums, _sums(expected, expected), limit)
    g, sums = problem.grad_input(kernels, precision)
    _assert_near(g, problem.g, limit)
    _assert_near(sums, _sums(problem.g, problem.x), limit * 10)
    _assert_near(problem.grad_weight(kernels, precision)[0], problem.dw, limit)


@pytest.mark.parametrize("isa", ["avx2", "portable"])
def test_other_instruction_sets_agree(library: Path, isa: str) -> None:
    problem = Problem(SHAPES["odd"])
    lower = load(library, isa)
    y, sums = problem.forward(lower, "exact")
    expected = problem.y + problem.bias.double().view(1, -1, 1, 1, 1, 1) + problem.residual.double()
    _assert_near(y, expected, LIMITS["exact"])
    _assert_near(sums, _sums(y, y), 1e-14)
    _assert_near(problem.grad_input(lower, "exact")[0], problem.g, LIMITS["exact"])
    _assert_near(problem.grad_weight(lower, "exact")[0], problem.dw, LIMITS["exact"])
    x = torch.randn(2, 3, 5, 4, 3, 7)
    _assert_near(call(lower, "channel_sums", tensor_struct(x), [x], [_sums(x, x)])[0], _sums(x, x), 1e-14)


@pytest.mark.parametrize("num_threads", [2, 3])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_bits_do_not_depend_on_threads(
    kernels: Kernels, operation: Callable[..., list[Tensor]], num_threads: int
) -> None:
    problem = Problem(Shape((9, 21, 9, 16), (8, 8), batch=2, padding=1))
    one, many = operation(problem, kernels, "fast"), operation(problem, kernels, "fast", num_threads)
    assert all(torch.equal(a, b) for a, b in zip(one, many, strict=True))


def test_nothing_but_the_convolution_is_optional(kernels: Kernels) -> None:
    problem = Problem(SHAPES["odd"])
    struct = problem.shape.to_c(torch.float32, "exact")
    y = torch.empty(problem.shape.y_shape)
    pointers = [t.data_ptr() for t in (problem.x, problem.scale, problem.shift, problem.w)]
    assert kernels.status("norm_relu_forward", struct, *pointers, None, None, y.data_ptr(), None) == 0
    _assert_near(y, problem.y, LIMITS["exact"])


def test_nan_passes_the_relu_and_its_gradient(kernels: Kernels) -> None:
    problem = Problem(SHAPES["odd"])
    problem.x[1, 2, 3, 2, 1, 2] = torch.nan
    problem.w[:, 2] = problem.w[:, 2].abs() + 0.1
    y, sums = problem.forward(kernels, "exact")
    assert y[1, :, 3, 2, 1, 2].isnan().all()
    assert sums[1].isnan().all()
    assert y[0].isfinite().all()
    g, sums = problem.grad_input(kernels, "exact")
    assert g[1, 2, 3, 2, 1, 2].isfinite()
    assert sums[1, 2, 1].isnan()
    assert problem.grad_weight(kernels, "exact")[0][:, 2].isnan().any()


@pytest.mark.parametrize(
    "shape",
    [
        Shape((7, 5, 3, 5), (8, 8), padding=1, stride=2),
        Shape((7, 5, 3, 5), (8, 8), padding=0),
        Shape((7, 5, 3, 5), (8, 8), padding=1, groups=2),
        Shape((7, 5, 3, 5), (3, 8), padding=1),
        Shape((7, 5, 3, 5), (8, 8), kernel=1),
    ],
    ids=["stride", "no_padding_in_time", "groups", "few_channels", "kernel"],
)
def test_problems_without_a_fused_kernel_are_refused(kernels: Kernels, shape: Shape) -> None:
    struct = shape.to_c(torch.float32, "fast")
    assert kernels.status("norm_relu_forward", struct, *[None] * 8) == 1
    assert kernels.status("norm_relu_grad_input", struct, *[None] * 7) == 1
    assert kernels.status("norm_relu_grad_weight", struct, *[None] * 5) == 1


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, "fast"), (torch.float32, "direct")])
def test_dtypes_and_precisions_without_a_fused_kernel_are_refused(
    kernels: Kernels, dtype: torch.dtype, precision: str
) -> None:
    assert kernels.status("norm_relu_forward", SHAPES["odd"].to_c(dtype, precision), *[None] * 8) == 1
    assert kernels.status("channel_sums", tensor_struct(torch.empty(1, 1, 2, 2, 2, 2, dtype=torch.float64)), 0, 0) == 1


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_channel_sums_are_in_double_precision_and_of_one_order(kernels: Kernels, dtype: torch.dtype) -> None:
    x = (torch.randn(2, 3, 21, 20, 19, 11) + 100).to(dtype)  # more than one job per channel
    sums = [call(kernels, "channel_sums", tensor_struct(x), [x], [_sums(x, x)], threads)[0] for threads in (1, 2, 3)]
    _assert_near(sums[0], _sums(x, x), 1e-14)
    assert torch.equal(sums[0], sums[1])
    assert torch.equal(sums[0], sums[2])


@pytest.mark.parametrize("mean", [0.3, 300.0])
@pytest.mark.parametrize("groups", [1, 2, 8])
def test_numbers_per_channel_give_norm_and_gradients(kernels: Kernels, groups: int, mean: float) -> None:
    x, g = torch.randn(2, 8, 5, 4, 3, 7) + mean, torch.randn(2, 8, 5, 4, 3, 7)
    weight, bias = torch.rand(8) + 0.5, torch.randn(8)
    exact = [t.double().requires_grad_() for t in (x, weight, bias)]
    normal = torch_group_norm(exact[0], groups, *exact[1:])
    dx, dweight, dbias = torch.autograd.grad(normal, exact, g.double())
    struct, _alive = group_norm(groups, 1e-5, weight, bias, x)
    scale, shift = torch.empty(2, 2, 8)
    call_norm(kernels, "norm_scale_shift", struct, [], [scale, shift])
    # Scale and shift are rounded to float: an error of the order of mean / spread, as in torch's own kernel.
    expand = (..., None, None, None, None)
    _assert_near(x.double() * scale.double()[expand] + shift.double()[expand], normal, 1e-6 * max(1, mean / 4))
    abc, results = torch.empty(2, 8, 3), [torch.empty(8) for _ in range(3)]
    call_norm(kernels, "norm_gradients", struct, [_sums(g, x)], [abc, *results])
    _assert_near(results[0], dweight, 1e-6)
    _assert_near(results[1], dbias, 1e-6)
    assert (results[2].double() - dx.sum((0, *AXES))).abs().max() <= 1e-6 * dx.abs().sum((0, *AXES)).max()
    (actual,) = call(kernels, "norm_input_grad", tensor_struct(x), [g, x, abc, None], [x])
    _assert_near(actual, dx, 1e-6 * max(1, mean / 10))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradient_of_the_norm_adds_and_works_in_place(kernels: Kernels, dtype: torch.dtype) -> None:
    g, x, add = torch.randn(3, 2, 3, 21, 20, 19, 11).to(dtype)
    abc = torch.randn(2, 3, 3)
    a, b, c = (abc[..., i, None, None, None, None].double() for i in range(3))
    expected = a * g.double() + b * x.double() + c + add.double()
    pointers = [t.data_ptr() for t in (g, x, abc, add, g)]
    assert kernels.status("norm_input_grad", tensor_struct(x), *pointers, num_threads=2) == 0
    _assert_near(g, expected, 1e-6 + HALF_LIMITS[dtype])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("size", [(7, 6, 5, 3), (1, 2, 3, 1), (8, 4, 2, 6), (3, 3, 40, 33)], ids=str)
def test_upsampling_adds_the_skip_and_its_gradient_sums_the_copies(
    kernels: Kernels, size: tuple[int, ...], dtype: torch.dtype
) -> None:
    skip = torch.randn(2, 3, *size).to(dtype)
    x = torch.randn(2, 3, *((extent + 1) // 2 for extent in size)).to(dtype)
    struct, exact = tensor_struct(skip), x.double().requires_grad_()
    with use_backend(fused=False):
        assert torch.equal(call(kernels, "upsample_add", struct, [x, skip], [skip], 2)[0], UpsampleAdd()(x, skip))
        (expected,) = torch.autograd.grad(UpsampleAdd()(exact, skip.double()), exact, skip.double())
    _assert_near(call(kernels, "upsample_grad", struct, [skip], [x], 2)[0], expected, 1e-6 + HALF_LIMITS[dtype])
