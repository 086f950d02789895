# SPDX-License-Identifier: Apache-2.0
"""The C++ CPU kernels against float64, called through their C interface.

With the sanitizers (on Linux, g++)::

    CARDIAC4D_TEST_CXXFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all -g" ASAN_OPTIONS=detect_leaks=0 \
    LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)" \
    python -m pytest tests/ops/test_cpu_kernels.py
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.conv4d_cases import CASES
from tests.helpers.cpu_kernels import DTYPES, OPERATIONS, Kernels, Shape, build, load, reference
from tests.helpers.tolerances import assert_near

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return build(tmp_path_factory.mktemp("cpu_kernels"))


@pytest.fixture(scope="session")
def kernels(library: Any) -> Kernels:
    """What the machine can do best."""
    return load(library, "avx512")


GENERAL = {name: Shape(batch=2, **case) for name, case in CASES.items()}


def draw(operation: str, shape: Shape, dtype: torch.dtype, *, with_bias: bool = True) -> list[Tensor | None]:
    """The operands of an operation."""
    generator = torch.Generator().manual_seed(sum(shape.size))

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, dtype=torch.float64, generator=generator).to(dtype)

    x, w, dy = normal(*shape.x_shape), normal(*shape.w_shape), normal(*shape.y_shape)
    bias = normal(shape.channels[1]) if with_bias else None
    return {"forward": [x, w, bias], "grad_input": [dy, w], "grad_weight": [x, dy]}[operation]


def check(kernels: Kernels, operation: str, shape: Shape, dtype: torch.dtype, precision: str = "fast") -> None:
    operands = draw(operation, shape, dtype)
    actual = kernels.run(operation, shape, *operands, precision=precision)
    assert_near(actual, reference(operation, shape, *operands))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", GENERAL)
def test_every_problem_is_the_reference(kernels: Kernels, name: str, operation: str, dtype: torch.dtype) -> None:
    check(kernels, operation, GENERAL[name], dtype)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_empty_batch(kernels: Kernels, operation: str) -> None:
    shape = replace(GENERAL["cube"], batch=0)
    result = kernels.run(operation, shape, *draw(operation, shape, torch.float32))
    assert (result == 0).all()


def test_without_bias(kernels: Kernels) -> None:
    operands = draw("forward", GENERAL["cube"], torch.float32, with_bias=False)
    assert_near(kernels.run("forward", GENERAL["cube"], *operands), reference("forward", GENERAL["cube"], *operands))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", ["cube", "groups_strided_dilated"])
def test_any_number_of_threads_gives_the_same_bits(kernels: Kernels, name: str, operation: str) -> None:
    operands = draw(operation, GENERAL[name], torch.float32)
    one, two, three = (kernels.run(operation, GENERAL[name], *operands, num_threads=n) for n in (1, 2, 3))
    assert torch.equal(one, two)
    assert torch.equal(one, three)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_sizes_that_do_not_fit_are_refused(kernels: Kernels, operation: str) -> None:
    problem = GENERAL["cube"].to_c(torch.float32, "fast")
    problem.out[2] += 1
    status = kernels.status(operation, problem, None, None, None, *([None] if operation == "forward" else []))
    assert "do not describe a convolution" in kernels.error(status)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_types_are_rounded_to_nearest_even(kernels: Kernels, dtype: torch.dtype) -> None:
    """A sum of two values, over all exponents, is what torch makes of the exact sum."""
    generator = torch.Generator().manual_seed(1)
    patterns = torch.randint(-(2**15), 2**15, (2, 1 << 14), generator=generator, dtype=torch.int32)
    x = patterns.to(torch.int16).view(dtype).reshape(1, 2, 1, 1, 1, -1)
    shape = Shape((1, 1, 1, x.shape[-1]), (2, 1), kernel=1)
    result = kernels.run("forward", shape, x, torch.ones(shape.w_shape, dtype=dtype), None)
    expected = (x[:, :1].float() + x[:, 1:].float()).to(dtype)
    assert torch.equal(result.isnan(), expected.isnan())
    assert torch.equal(result.nan_to_num(), expected.nan_to_num())
