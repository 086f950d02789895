# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernel for float32 that stays float32, against float64, without a GPU; see ``test_cuda_kernels.py``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.backends import needs_compiler
from tests.helpers.cpu_kernels import OPERATIONS, Shape, reference
from tests.helpers.cuda_kernels import EmulatedKernels, draw
from tests.helpers.planted_bugs import AssertCaught
from tests.helpers.tolerances import assert_near

pytestmark = needs_compiler

SMALL = Shape((2, 5, 18, 5), (8, 8), padding=(1, 0, 2, 1))
LARGE = {
    "many_tiles": Shape((10, 9, 22, 9), (16, 8), padding=(1, 0, 2, 1)),
    "many_channels": Shape((3, 5, 18, 5), (24, 40), batch=2, padding=2),
    "one_voxel": Shape((1, 1, 1, 1), (8, 8), padding=1),
}
LEVEL_0 = Shape((96, 96, 64, 16), (8, 8), padding=1)


def check(kernels: EmulatedKernels, shape: Shape, operation: str) -> None:
    """Compute with threads in either order, and copies as late and as early as may be."""
    operands = draw(operation, shape, torch.float32)
    late, eager = (kernels.run(operation, shape, *operands, reverse=e, eager=e) for e in (False, True))
    assert torch.equal(late, eager)
    assert_near(late, reference(operation, shape, *operands))


@pytest.mark.parametrize("operation", ["forward", "grad_input"])
def test_tile_is_the_reference(cuda_kernels: EmulatedKernels, operation: str) -> None:
    check(cuda_kernels, SMALL, operation)


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["forward", "grad_input"])
@pytest.mark.parametrize("name", LARGE)
def test_many_tiles_are_the_reference(cuda_kernels: EmulatedKernels, name: str, operation: str) -> None:
    check(cuda_kernels, LARGE[name], operation)


def test_without_bias_and_in_an_empty_batch(cuda_kernels: EmulatedKernels) -> None:
    x, weight, _ = draw("forward", SMALL, torch.float32)
    assert_near(cuda_kernels.run("forward", SMALL, x, weight, None), reference("forward", SMALL, x, weight, None))
    assert cuda_kernels.run("forward", replace(SMALL, batch=0), x[:0], weight, None).numel() == 0


@pytest.mark.parametrize("precision", ["exact", "direct", "fast"])
def test_float32_is_rounded_to_tf32_only_where_that_was_asked_for(
    cuda_kernels: EmulatedKernels, precision: str
) -> None:
    names = [cuda_kernels.algorithm(operation, LEVEL_0, torch.float32, precision=precision) for operation in OPERATIONS]
    assert names == ["tiled", "tiled", "tiled"]
    on_turing = cuda_kernels.algorithm("forward", LEVEL_0, torch.float32, 75, precision)
    of_few = cuda_kernels.algorithm("forward", replace(LEVEL_0, channels=(8, 4)), torch.float32, precision=precision)
    assert (on_turing, of_few) == ("plain", "plain")
    assert cuda_kernels.algorithm("forward", LEVEL_0, torch.float32, precision="tf32") == "mma"


CU = "tiled_correlate.cu"
MUTANTS = {
    "copies that nobody waits for": (CU, "      wait_for_copies();\n", ""),
    "no barrier behind the copies": (CU, "__syncthreads();  // now this stage", "// now this stage"),
    "one stage for two": (CU, "stage % 2 * Work::kStage + kh", "kh"),
    "the sums of the last step": (CU, "if (block == 0) begin_run", "if (stage == 0) begin_run"),
    "a row too many": (CU, "if (w >= size[kW]", "if (w > size[kW]"),
    "a voxel behind the row": (CU, "if (d + i < size[kD])", "if (d + i <= size[kD])"),
    "the first tap for all": (CU, "voxels[i / kOut + tap][c]", "voxels[i / kOut][c]"),
    "the first plane for all": (CU, "stage + i / 9 * Work::kPlane", "stage + 0 * Work::kPlane"),
    "one bias for all": (CU, "work.bias[out * kOut + i % kOut]", "work.bias[out * kOut]"),
    "lanes in each other's runs": (CU, "lane / kRows % 2 * kRun", "lane / kRows % 2 * (kRun - 1)"),
    "channels in another order": ("tiled_weights.cu", "i / kOut % kIn, out =", "(i / kOut + 1) % kIn, out ="),
}
"""Planted bugs: file, what stands there, what shall stand there."""


def check_large(library: Path) -> None:
    for name, operation in (("many_tiles", "forward"), ("many_channels", "grad_input")):
        check(EmulatedKernels(library), LARGE[name], operation)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bug_is_caught(mutant: str, assert_caught: AssertCaught) -> None:
    assert_caught(MUTANTS[mutant], check_large)
