# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels against float64, without a GPU: their sources run on the CPU (``tests/helpers/cuda_emulation``)."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch

from tests.helpers.backends import needs_compiler
from tests.helpers.conv4d_cases import CASES
from tests.helpers.conv4d_kernel_checks import check_problem_of_table
from tests.helpers.conv4d_table import TABLE
from tests.helpers.cpu_kernels import DTYPES, OPERATIONS, Shape, reference
from tests.helpers.cuda_kernels import EmulatedKernels, draw
from tests.helpers.planted_bugs import AssertCaught
from tests.helpers.tolerances import assert_near

pytestmark = needs_compiler

SHAPES = {name: Shape(batch=2, **case) for name, case in CASES.items()} | {
    "many_channels": Shape((3, 2, 3, 4), (19, 21), padding=1),
    "many_voxels": Shape((9, 8, 11, 13), (3, 2), batch=2, kernel=(2, 1, 2, 1)),
}
MANY_PIECES = replace(SHAPES["many_voxels"], channels=(8, 9))
"""More weights than blocks add up at once, each from several pieces."""
LEVEL_0 = Shape((96, 96, 64, 16), (8, 8), padding=1)
"""The widest layer of the network at the full crop."""


def check(kernels: EmulatedKernels, name: str, operation: str, dtype: torch.dtype, *, reverse: bool = False) -> None:
    operands = draw(operation, SHAPES[name], dtype)
    actual = kernels.run(operation, SHAPES[name], *operands, reverse=reverse)
    assert_near(actual, reference(operation, SHAPES[name], *operands))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", sorted(SHAPES.keys() - {"wide"}))
def test_every_problem_is_the_reference_in_float32(cuda_kernels: EmulatedKernels, name: str, operation: str) -> None:
    check(cuda_kernels, name, operation, torch.float32)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != torch.float32])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", ["cube", "groups_strided_dilated"])
def test_every_dtype(cuda_kernels: EmulatedKernels, name: str, operation: str, dtype: torch.dtype) -> None:
    check(cuda_kernels, name, operation, dtype)


@pytest.mark.parametrize(
    ("change", "algorithms"),
    [
        ({}, ["mma"] * 3),
        ({"padding": 0}, ["mma"] * 3),
        ({"channels": (32, 64)}, ["mma"] * 3),
        ({"channels": (40, 8)}, ["mma"] * 3),
        ({"channels": (1, 8)}, ["mma_image", "plain", "mma"]),
        ({"stride": 2}, ["mma_strided", "mma_strided", "mma"]),
        ({"channels": (1, 8), "stride": 2}, ["plain"] * 3),
        ({"channels": (4, 8)}, ["plain"] * 3),
        ({"channels": (8, 3)}, ["plain"] * 3),
        ({"stride": (1, 1, 1, 2)}, ["plain"] * 3),
        ({"dilation": (1, 2, 1, 1)}, ["plain"] * 3),
        ({"kernel": (3, 3, 3, 1)}, ["plain"] * 3),
        ({"padding": (1, 1, 3, 1)}, ["plain"] * 3),
        ({"groups": 8}, ["plain"] * 3),
    ],
)
def test_algorithm(cuda_kernels: EmulatedKernels, change: dict[str, Any], algorithms: list[str]) -> None:
    shape = replace(LEVEL_0, **change)
    for dtype in (torch.bfloat16, torch.float16):
        assert [cuda_kernels.algorithm(operation, shape, dtype) for operation in OPERATIONS] == algorithms
    assert {cuda_kernels.algorithm(operation, shape, torch.float64) for operation in OPERATIONS} == {"plain"}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", SHAPES)
def test_every_problem_in_every_dtype_with_threads_reversed(
    cuda_kernels: EmulatedKernels, name: str, operation: str, dtype: torch.dtype
) -> None:
    check(cuda_kernels, name, operation, dtype, reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_whole_table_in_float32(cuda_kernels: EmulatedKernels, name: str) -> None:
    check_problem_of_table(cuda_kernels, name)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", ["many_channels", "many_voxels"])
def test_order_of_threads_and_blocks_does_not_change_a_bit(
    cuda_kernels: EmulatedKernels, name: str, operation: str
) -> None:
    operands = draw(operation, SHAPES[name], torch.float32)
    there, back = (cuda_kernels.run(operation, SHAPES[name], *operands, reverse=reverse) for reverse in (False, True))
    assert torch.equal(there, back)


def test_without_bias(cuda_kernels: EmulatedKernels) -> None:
    x, w, _ = draw("forward", SHAPES["cube"], torch.float32)
    result = cuda_kernels.run("forward", SHAPES["cube"], x, w, None)
    assert_near(result, reference("forward", SHAPES["cube"], x, w, None))


def test_empty_batch_has_a_weight_gradient_of_zero(cuda_kernels: EmulatedKernels) -> None:
    shape = Shape((4, 4, 4, 4), (2, 3), batch=0)
    assert cuda_kernels.run("grad_weight", shape, torch.empty(shape.x_shape), torch.empty(shape.y_shape)).eq(0).all()
    assert cuda_kernels.run("forward", shape, torch.empty(shape.x_shape), torch.ones(shape.w_shape), None).numel() == 0


def test_half_types_sum_in_float32_and_round_once(cuda_kernels: EmulatedKernels) -> None:
    """A thousand small numbers beside a large one: a half type would lose each of them."""
    shape = Shape((1, 1, 1, 1), (1001, 1), kernel=1)
    x = torch.full(shape.x_shape, 0.25)
    x[0, 0] = 512
    for dtype in (torch.bfloat16, torch.float16):
        result = cuda_kernels.run("forward", shape, x.to(dtype), torch.ones(shape.w_shape, dtype=dtype), None)
        assert result.item() == torch.tensor(762.0, dtype=dtype).item()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_sizes_that_do_not_fit_are_refused(cuda_kernels: EmulatedKernels, operation: str) -> None:
    problem = SHAPES["cube"].to_c(torch.float32, "fast")
    problem.out[2] += 1
    status = cuda_kernels.status(operation, problem, *[None] * (5 if operation == "forward" else 4))
    assert "do not describe a convolution" in cuda_kernels.error(status)


def test_working_memory_is_bounded(cuda_kernels: EmulatedKernels) -> None:
    weights = 8 * 8 * 81 * 8
    pieces = cuda_kernels.workspace("grad_weight", LEVEL_0, torch.float64) / weights
    assert 1 < pieces == int(pieces) <= 64
    wide = Shape((9, 9, 9, 9), (1024, 1024), batch=64, padding=1)
    one_piece = 1024 * 1024 * 81 * 8  # however many voxels
    assert cuda_kernels.workspace("grad_weight", wide, torch.float64) == one_piece


@pytest.mark.parametrize(("architecture", "name"), [(75, "plain"), (80, "mma"), (86, "mma"), (90, "mma")])
def test_tensor_cores_need_code_for_them(cuda_kernels: EmulatedKernels, architecture: int, name: str) -> None:
    assert cuda_kernels.algorithm("forward", LEVEL_0, torch.bfloat16, architecture) == name


MUTANTS = {
    "no barrier before the sums are read": (
        "plain_grad_weight.cu",
        "    __syncthreads();\n    const int pair",
        "    const int pair",
    ),
    "no barrier before the sums are overwritten": (
        "plain_grad_weight.cu",
        "    __syncthreads();  // before the next job",
        "    // before the next job",
    ),
    "a barrier for some of the threads": (
        "plain_grad_weight.cu",
        "    __syncthreads();\n    const int pair",
        "    if (threadIdx.x < kPairs) __syncthreads();\n    const int pair",
    ),
    "too little shared memory": ("plain_grad_weight.cu", "bytes = kThreads * kRow", "bytes = kThreads * kPairs"),
    "a piece too long": ("plain_grad_weight.cu", "? job.begin + share : voxels", "? job.begin + share + 1 : voxels"),
    "a piece left out": ("add_pieces.h", "int64_t piece = slice; piece <", "int64_t piece = slice + 1; piece <"),
    "a slice left out": ("add_pieces.h", "int other = 1; other <", "int other = 2; other <"),
    "no barrier behind the slices": (
        "add_pieces.h",
        "    shared[threadIdx.x] = sum;\n    __syncthreads();",
        "    shared[threadIdx.x] = sum;",
    ),
    "no barrier before the next weights": ("add_pieces.h", "    __syncthreads();  // before the next weights", "//"),
    "a tile beyond the channels": ("plain_grad_weight.cu", "out < work.outs() && in < work.ins()", "out < work.outs()"),
    "a voxel too many": ("plain_correlate.cu", "position < work.voxels()", "position <= work.voxels()"),
    "a channel too many": ("plain_correlate.cu", "      if (t < count) store(", "      store("),
    "the first group for all": ("plain_correlate.cu", "channel = group * targets() + first", "channel = first"),
    "the voxel behind the input": ("frames.h", "return i < p.in[axis]", "return i <= p.in[axis]"),
    "the voxel behind the output": ("frames.h", "o < p.out[axis] ?", "o <= p.out[axis] ?"),
    "a stride that is not looked at": ("frames.h", "return o * stride == reach &&", "return"),
    "jobs of one round alone": ("plain_correlate.cu", "job += gridDim.x", "job += work.jobs()"),
}
"""Planted bugs: file, what stands there, what shall stand there."""


def check_file(kernels: EmulatedKernels, file: str) -> None:
    """Compute what finds a bug in a file."""
    problems = [SHAPES[name] for name in ("groups_strided_dilated", "many_channels", "many_voxels", "cube")]
    computed = list(product(problems, OPERATIONS))
    if file == "add_pieces.h":
        computed.append((MANY_PIECES, "grad_weight"))
    for shape, operation in computed:
        operands = draw(operation, shape, torch.float32)
        right = reference(operation, shape, *operands)
        for backwards in (False, True):
            assert_near(kernels.run(operation, shape, *operands, reverse=backwards, eager=backwards), right)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bug_is_caught(mutant: str, assert_caught: AssertCaught) -> None:
    bug = MUTANTS[mutant]
    assert_caught(bug, lambda library: check_file(EmulatedKernels(library), bug[0]))
