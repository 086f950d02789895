# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels against float64, without a GPU: their sources run on the CPU (``tests/helpers/cuda_emulation``)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.helpers.conv4d_cases import CASES
from tests.helpers.conv4d_table import TABLE, expected
from tests.helpers.cpu_kernels import DTYPES, OPERATIONS, Shape, reference
from tests.helpers.cuda_kernels import CSRC, EmulatedKernels, build, draw
from tests.helpers.tolerances import assert_near

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

SHAPES = {name: Shape(batch=2, **case) for name, case in CASES.items()} | {
    "many_channels": Shape((3, 2, 3, 4), (19, 21), padding=1),
    "many_voxels": Shape((9, 8, 11, 13), (3, 2), batch=2, kernel=(2, 1, 2, 1)),
}
LEVEL_0 = Shape((96, 96, 64, 16), (8, 8), padding=1)
"""The widest layer of the network at the full crop."""


@pytest.fixture(scope="module")
def kernels(cuda_library: Path) -> EmulatedKernels:
    return EmulatedKernels(cuda_library)


def check(kernels: EmulatedKernels, name: str, operation: str, dtype: torch.dtype, *, reverse: bool = False) -> None:
    operands = draw(operation, SHAPES[name], dtype)
    actual = kernels.run(operation, SHAPES[name], *operands, reverse=reverse)
    assert_near(actual, reference(operation, SHAPES[name], *operands))


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", sorted(SHAPES.keys() - {"wide"}))
def test_every_problem_is_the_reference_in_float32(kernels: EmulatedKernels, name: str, operation: str) -> None:
    check(kernels, name, operation, torch.float32)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != torch.float32])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", ["cube", "groups_strided_dilated"])
def test_every_dtype(kernels: EmulatedKernels, name: str, operation: str, dtype: torch.dtype) -> None:
    check(kernels, name, operation, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", SHAPES)
def test_every_problem_in_every_dtype_with_threads_reversed(
    kernels: EmulatedKernels, name: str, operation: str, dtype: torch.dtype
) -> None:
    check(kernels, name, operation, dtype, reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_whole_table_in_float32(kernels: EmulatedKernels, name: str) -> None:
    problem = expected(name)
    shape = Shape(**{"batch": 2, **TABLE[name]})
    x, w, bias = (operand.float() for operand in problem.operands)
    dy, by_x, by_w = problem.seed.float(), *problem.gradients[:2]
    assert_near(kernels.run("forward", shape, x, w, bias), problem.result)
    assert_near(kernels.run("grad_input", shape, dy, w), by_x)
    assert_near(kernels.run("grad_weight", shape, x, dy), by_w)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", ["many_channels", "many_voxels"])
def test_order_of_threads_and_blocks_does_not_change_a_bit(kernels: EmulatedKernels, name: str, operation: str) -> None:
    operands = draw(operation, SHAPES[name], torch.float32)
    there, back = (kernels.run(operation, SHAPES[name], *operands, reverse=reverse) for reverse in (False, True))
    assert torch.equal(there, back)


def test_without_bias(kernels: EmulatedKernels) -> None:
    x, w, _ = draw("forward", SHAPES["cube"], torch.float32)
    result = kernels.run("forward", SHAPES["cube"], x, w, None)
    assert_near(result, reference("forward", SHAPES["cube"], x, w, None))


def test_empty_batch_has_a_weight_gradient_of_zero(kernels: EmulatedKernels) -> None:
    shape = Shape((4, 4, 4, 4), (2, 3), batch=0)
    assert kernels.run("grad_weight", shape, torch.empty(shape.x_shape), torch.empty(shape.y_shape)).eq(0).all()
    assert kernels.run("forward", shape, torch.empty(shape.x_shape), torch.ones(shape.w_shape), None).numel() == 0


def test_half_types_sum_in_float32_and_round_once(kernels: EmulatedKernels) -> None:
    """A thousand small numbers beside a large one: a half type would lose each of them."""
    shape = Shape((1, 1, 1, 1), (1001, 1), kernel=1)
    x = torch.full(shape.x_shape, 0.25)
    x[0, 0] = 512
    for dtype in (torch.bfloat16, torch.float16):
        result = kernels.run("forward", shape, x.to(dtype), torch.ones(shape.w_shape, dtype=dtype), None)
        assert result.item() == torch.tensor(762.0, dtype=dtype).item()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_sizes_that_do_not_fit_are_refused(kernels: EmulatedKernels, operation: str) -> None:
    problem = SHAPES["cube"].to_c(torch.float32, "fast")
    problem.out[2] += 1
    status = kernels.status(operation, problem, *[None] * (3 if operation == "grad_input" else 4))
    assert "do not describe a convolution" in kernels.error(status)


def test_working_memory_is_bounded(kernels: EmulatedKernels) -> None:
    weights = 8 * 8 * 81 * 4
    pieces = kernels.workspace(LEVEL_0, torch.float32) / weights
    assert 1 < pieces == int(pieces) <= 64
    wide = Shape((9, 9, 9, 9), (1024, 1024), batch=64, padding=1)
    assert kernels.workspace(wide, torch.float32) == 1024 * 1024 * 81 * 4  # one piece, however many voxels


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
    "a piece left out": ("plain_grad_weight.cu", "int64_t piece = 0; piece <", "int64_t piece = 1; piece <"),
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


def _catches(kernels: EmulatedKernels) -> bool:
    for operation in OPERATIONS:
        for name in ("groups_strided_dilated", "many_channels", "many_voxels", "cube"):
            for reverse in (False, True):
                try:
                    check(kernels, name, operation, torch.float32, reverse=reverse)
                except AssertionError:
                    return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bug_is_caught(mutant: str, tmp_path: Path) -> None:
    file, right, wrong = MUTANTS[mutant]
    shutil.copytree(CSRC, tmp_path / "csrc")
    source = tmp_path / "csrc" / "cuda" / file
    text = source.read_text()
    assert text.count(right) == 1
    source.write_text(text.replace(right, wrong))
    assert _catches(EmulatedKernels(build(tmp_path, tmp_path / "csrc")))
