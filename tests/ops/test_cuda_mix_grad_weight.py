# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernel for the weight gradient of 1x1x1x1 against float64, without a GPU; see ``test_cuda_kernels.py``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.backends import needs_compiler
from tests.helpers.cpu_kernels import DTYPES, Shape, reference
from tests.helpers.cuda_kernels import EmulatedKernels, assert_rounded_once, draw
from tests.helpers.planted_bugs import AssertCaught
from tests.helpers.tolerances import assert_near

pytestmark = needs_compiler

OPERATION = "grad_weight"
SMALL = {
    "8_to_3": Shape((3, 4, 2, 5), (8, 3), kernel=1, batch=2),
    "16_to_8": Shape((3, 4, 2, 5), (16, 8), kernel=1),
    "12_to_17": Shape((3, 4, 2, 5), (12, 17), kernel=1),
    "one_voxel": Shape((1, 1, 1, 1), (1, 1), kernel=1),
}
MANY = {
    "8_to_3": Shape((11, 9, 13, 7), (8, 3), kernel=1),
    "16_to_8": Shape((11, 9, 7, 3), (16, 8), kernel=1, batch=2),
    "28_to_20": Shape((9, 7, 5, 3), (28, 20), kernel=1),
    "72_to_40": Shape((7, 5, 3, 2), (72, 40), kernel=1, batch=2),
}
"""More pieces than blocks, the last of them shorter; more tiles than lie side by side in a block."""
LEVEL_0 = Shape((96, 96, 64, 16), (8, 3), kernel=1)
"""The last layer of the network at the full crop."""


def check(kernels: EmulatedKernels, shape: Shape, dtype: torch.dtype) -> None:
    """Compute with threads in either order."""
    operands = draw(OPERATION, shape, dtype)
    assert kernels.algorithm(OPERATION, shape, dtype) == "channel_mix"
    there, back = (kernels.run(OPERATION, shape, *operands, reverse=reverse) for reverse in (False, True))
    assert torch.equal(there, back)
    is_half = dtype in (torch.bfloat16, torch.float16)
    (assert_rounded_once if is_half else assert_near)(there, reference(OPERATION, shape, *operands))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SMALL)
def test_weight_gradient_is_the_reference(cuda_kernels: EmulatedKernels, name: str, dtype: torch.dtype) -> None:
    check(cuda_kernels, SMALL[name], dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MANY)
def test_many_pieces_are_the_reference(cuda_kernels: EmulatedKernels, name: str, dtype: torch.dtype) -> None:
    check(cuda_kernels, MANY[name], dtype)


def test_empty_batch_has_a_gradient_of_zero(cuda_kernels: EmulatedKernels) -> None:
    shape = replace(SMALL["8_to_3"], batch=0)
    assert cuda_kernels.run(OPERATION, shape, torch.empty(shape.x_shape), torch.empty(shape.y_shape)).eq(0).all()


def test_sums_of_many_voxels_lose_nothing_to_a_mean(cuda_kernels: EmulatedKernels) -> None:
    shape = Shape((40, 40, 40, 3), (1, 1), kernel=1)
    x, dy = (torch.randn(shape.x_shape, generator=torch.Generator().manual_seed(0)) + 100 for _ in range(2))
    right = (x.double() * dy.double()).sum()
    assert abs(cuda_kernels.run(OPERATION, shape, x, dy).item() - right) <= 1e-6 * right


@pytest.mark.parametrize("architecture", [75, 86, 90])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_gpu_and_dtype_is_served(cuda_kernels: EmulatedKernels, dtype: torch.dtype, architecture: int) -> None:
    for channels in ((8, 3), (16, 8), (2048, 1024)):
        shape = replace(LEVEL_0, channels=channels)
        assert cuda_kernels.algorithm(OPERATION, shape, dtype, architecture) == "channel_mix"
    for change in ({"groups": 8, "channels": (8, 8)}, {"stride": 2}, {"padding": 1}):
        assert cuda_kernels.algorithm(OPERATION, replace(LEVEL_0, **change), dtype, architecture) == "plain"


def test_working_memory_is_bounded(cuda_kernels: EmulatedKernels) -> None:
    for batch, pieces in ((1, 512), (64, 9216)):  # of many voxels a thread still adds no more than 512
        shape = replace(LEVEL_0, batch=batch)
        assert cuda_kernels.workspace(OPERATION, shape, torch.bfloat16) == pieces * 8 * 3 * 4
    wide = Shape((9, 9, 9, 9), (512, 512), kernel=1, batch=64)
    assert cuda_kernels.workspace(OPERATION, wide, torch.float64) <= 64 << 20
    wider = Shape((9, 9, 9, 9), (4096, 4096), kernel=1, batch=64)
    one_piece = 4096 * 4096 * 8  # however many voxels
    assert cuda_kernels.workspace(OPERATION, wider, torch.float64) == one_piece


FILE = "channel_mix_grad_weight.cu"
MUTANTS = {
    "no barrier behind the sums": ("  __syncthreads();  // now the sums", "// now the sums"),
    "no barrier before the next job": ("    __syncthreads();  // before the next job", "// before the next job"),
    "a barrier for some of the threads": (
        "  __syncthreads();  // now the sums",
        "  if (threadIdx.x < 32) __syncthreads();  // now the sums",
    ),
    "a piece too long": ("rest < work.share ? rest : work.share;", "rest < work.share ? rest : work.share + 1;"),
    "the last piece as long as the others": ("rest < work.share ? rest", "rest < 0 ? rest"),
    "the last few voxels left out": ("for (; i < count; i += rows)", "for (; i < 0; i += rows)"),
    "a voxel of several left out": ("i += Work::kAtOnce * rows)", "i += (Work::kAtOnce + 1) * rows)"),
    "voxels twice": ("voxel + int64_t(i) * step", "voxel + int64_t(i / 2) * step"),
    "a channel too few": ("    if (i < count) numbers", "    if (i + 1 < count) numbers"),
    "weights that are not there": ("in >= work.ins || ", ""),
    "input channels in the place of output channels": ("first_in = tile % work.in_tiles()", "first_in = tile"),
    "tiles in another order": ("int64_t out = tile / work", "int64_t out = tile % work"),
    "the first tiles for all": ("first_tile = job % work.parts() * columns", "first_tile = job * 0 * columns"),
    "columns beside each other": ("(row * columns + column) * Work::kRow", "(column * rows + row) * Work::kRow"),
    "a row left out": ("for (int row = 0; row < rows; ++row)", "for (int row = 1; row < rows; ++row)"),
    "one piece in the place of another": ("work.sums[piece * work.weights()", "work.sums[piece * 0 * work.weights()"),
    "too little shared memory": ("kBytes = kThreads * Work::kRow", "kBytes = kThreads * Work::kPairs"),
    "jobs of one round alone": ("job += gridDim.x", "job += work.pieces * work.parts()"),
    "pairs that are exchanged": ("value(out[i][pair / kIns]) *", "value(out[i][pair % Work::kOuts]) *"),
}
"""Planted bugs: what stands in the kernel, what shall stand there."""


def check_many(library: Path) -> None:
    for name in ("8_to_3", "28_to_20", "72_to_40"):
        check(EmulatedKernels(library), MANY[name], torch.bfloat16)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bug_is_caught(mutant: str, assert_caught: AssertCaught) -> None:
    assert_caught((FILE, *MUTANTS[mutant]), check_many)
