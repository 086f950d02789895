# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels on tensor cores against float64, without a GPU; see ``test_cuda_kernels.py``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.backends import needs_compiler
from tests.helpers.cpu_kernels import Shape, reference
from tests.helpers.cuda_kernels import EmulatedKernels, assert_rounded_once, draw, rounded_to_tf32
from tests.helpers.planted_bugs import AssertCaught
from tests.helpers.tolerances import assert_near

pytestmark = needs_compiler

MMA = {
    "8_to_8": Shape((4, 5, 18, 6), (8, 8), padding=1),
    "16_to_8": Shape((3, 5, 20, 5), (16, 8), padding=1),
    "8_to_24_unequal_padding": Shape((3, 4, 5, 4), (8, 24), batch=2, padding=(1, 0, 2, 1)),
    "32_to_8": Shape((3, 3, 5, 2), (32, 8), padding=1),
    "one_voxel": Shape((1, 1, 1, 1), (8, 8), padding=1),
}
"""Small problems of the path on tensor cores, all of them ragged."""
MANY_TILES = Shape((10, 9, 22, 9), (8, 8), padding=(1, 0, 2, 1))
"""More tiles than blocks, cut on every axis; rows end in the first and in the second half of a tile."""


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("operation", ["forward", "grad_input"])
@pytest.mark.parametrize("name", MMA)
def test_tensor_cores_compute_the_reference(
    cuda_kernels: EmulatedKernels, name: str, operation: str, dtype: torch.dtype
) -> None:
    operands = draw(operation, MMA[name], dtype)
    right = reference(operation, MMA[name], *operands)
    assert cuda_kernels.algorithm(operation, MMA[name], dtype) == "mma"
    late, eager = (cuda_kernels.run(operation, MMA[name], *operands, reverse=e, eager=e) for e in (False, True))
    assert torch.equal(late, eager)
    assert_rounded_once(late, right)


@pytest.mark.parametrize("operation", ["forward", "grad_input"])
@pytest.mark.parametrize("name", ["8_to_24_unequal_padding", "32_to_8"])
def test_tf32_rounds_the_operands_and_nothing_else(cuda_kernels: EmulatedKernels, name: str, operation: str) -> None:
    operands = draw(operation, MMA[name], torch.float32)
    right = reference(operation, MMA[name], *map(rounded_to_tf32, operands[:2]), *operands[2:])
    assert cuda_kernels.algorithm(operation, MMA[name], torch.float32, precision="tf32") == "mma"
    late, eager = (
        cuda_kernels.run(operation, MMA[name], *operands, reverse=e, eager=e, precision="tf32") for e in (False, True)
    )
    assert torch.equal(late, eager)
    assert (late.double() - right).abs().max() <= 2e-6 * right.abs().max()


def test_planes_that_do_not_fit_are_read_in_pieces_with_the_same_bits(cuda_kernels: EmulatedKernels) -> None:
    """sm_86 has less than half of the shared memory."""
    for channels in ((8, 8), (16, 8), (24, 8)):
        shape = replace(MMA["8_to_8"], channels=channels, size=(2, 5, 18, 5))
        operands = draw("forward", shape, torch.bfloat16)
        assert cuda_kernels.algorithm("forward", shape, torch.bfloat16, 86) == "mma"
        whole, pieces = (cuda_kernels.run("forward", shape, *operands, architecture=number) for number in (90, 86))
        assert torch.equal(whole, pieces)


@pytest.mark.slow
@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("operation", ["forward", "grad_input"])
@pytest.mark.parametrize("precision", ["fast", "tf32"])
def test_any_number_of_channels_runs_on_tensor_cores(
    cuda_kernels: EmulatedKernels, precision: str, operation: str, eager: bool
) -> None:
    dtype = torch.float32 if precision == "tf32" else torch.bfloat16
    shape = replace(MANY_TILES, channels=(64, 40), size=(3, 5, 18, 5))
    operands = draw(operation, shape, dtype)
    assert cuda_kernels.algorithm(operation, shape, dtype, precision=precision) == "mma"
    actual = cuda_kernels.run(operation, shape, *operands, eager=eager, reverse=eager, precision=precision)
    operands = operands if dtype == torch.bfloat16 else [*map(rounded_to_tf32, operands[:2]), *operands[2:]]
    right = reference(operation, shape, *operands)
    if precision == "fast":
        assert_rounded_once(actual, right)
    else:
        assert (actual.double() - right).abs().max() <= 4e-6 * right.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("operation", ["forward", "grad_input"])
@pytest.mark.parametrize("channels", [(8, 8), (16, 32), (32, 16)])
def test_tensor_cores_compute_many_tiles_in_any_order(
    cuda_kernels: EmulatedKernels, channels: tuple[int, int], operation: str, reverse: bool, eager: bool
) -> None:
    shape = replace(MANY_TILES, channels=channels)
    operands = draw(operation, shape, torch.bfloat16)
    actual = cuda_kernels.run(operation, shape, *operands, reverse=reverse, eager=eager)
    assert_rounded_once(actual, reference(operation, shape, *operands))


MUTANTS = {
    "copies that nobody waits for": (
        "mma_kernels.h",
        "      wait_for_copies();\n      for (int plane = step",
        "      for (int plane = step",
    ),
    "no barrier behind the copies": ("mma_kernels.h", "__syncthreads();  // now the planes", "// now the planes"),
    "no barrier before the next job": (
        "mma_kernels.h",
        "__syncthreads();  // before the next job overwrites the planes",
        "//",
    ),
    "a barrier that some warps leave out": (
        "mma_kernels.h",
        "__syncthreads();  // now the planes",
        "if (part.w == 0) __syncthreads();  // now the planes",
    ),
    "a slot too few": ("mma_kernels.h", "kSlots = 4;", "kSlots = 3;"),
    "slots that do not go round": ("mma_kernels.h", "slot = (step + kh) % Work::kSlots", "slot = kh"),
    "a plane behind the source": ("mma_tile.h", "h < sizes.from[kH]", "h <= sizes.from[kH]"),
    "a frame behind the source": ("mma_tile.h", "t < sizes.from[kT]", "t <= sizes.from[kT]"),
    "a voxel behind the row": ("mma_tile.h", "(d < size[kD])", "(d <= size[kD])"),
    "a voxel behind the second half": ("mma_tile.h", "d + 8 < size[kD]", "d + 8 <= size[kD]"),
    "a row too many": ("mma_tile.h", "w + j >= size[kW]", "w + j > size[kW]"),
    "the first tap twice": ("mma_tile.h", "lane % 16 + lane / 16", "lane % 16"),
    "taps that are not flipped": ("mma_weights.h", "? kTaps - 1 - reordered : reordered", "? reordered : reordered"),
    "taps in the order of torch": ("mma_weights.h", "tap % 3 * 3 + tap / 3 % 3", "tap % 9"),
    "padding of the forward pass": ("mma_tile.h", "? 2 - p.padding[axis] :", "? p.padding[axis] :"),
    "one bias for two channels": ("mma_tile.h", "work.bias[channel + i % 2]", "work.bias[channel]"),
    "instructions that some lanes leave out": (
        "mma_tile.h",
        "      load_blocks(third + row, b);",
        "      if (lane != 5) load_blocks(third + row, b);",
    ),
    "pieces that nobody waits for": (
        "mma_kernels.h",
        "      wait_for_copies();\n      for (int kh = 0",
        "      for (int kh = 0",
    ),
    "no barrier behind the pieces": ("mma_kernels.h", "__syncthreads();  // now this stage", "// now this stage"),
    "no barrier before the next job's pieces": (
        "mma_kernels.h",
        "__syncthreads();  // before the next job overwrites the stages",
        "//",
    ),
    "a barrier that warps without channels leave out": (
        "mma_kernels.h",
        "      const int first = stage % 2 * 3,",
        "      if (out >= work.sizes.out_blocks) continue;\n      const int first = stage % 2 * 3,",
    ),
    "one stage for two": ("mma_kernels.h", "const int first = stage % 2 * 3,", "const int first = 0,"),
    "the sums of the last step": ("mma_kernels.h", "if (block == 0) begin_sums", "if (stage == 0) begin_sums"),
    "a block of outputs too many": ("mma_kernels.h", "if (out >= work.sizes.out_blocks) continue;", ""),
    "the first block for all": (
        "mma_tile.h",
        "in_blocks + first_block + block) *",
        "in_blocks + 0 * first_block + block) *",
    ),
    "operands that are cut off": ("mma_tile.h", "      if constexpr (kIsTf32) round_to_tf32(words);\n", ""),
    "planes that are not prepared": (
        "mma_kernels.h",
        "plane = step == 0 ? 0 : step + 2; plane",
        "plane = step + 2; plane",
    ),
    "weights that are cut off": ("mma_weights.h", "if constexpr (Work::kWord == 1) round_to_tf32(word);", ""),
}
"""Planted bugs: file, what stands there, what shall stand there."""


def check_order(kernels: EmulatedKernels, operation: str, shape: Shape, dtype: torch.dtype) -> None:
    """Compute with threads in either order; float32 as TF32."""
    is_tf32 = dtype == torch.float32
    operands = draw(operation, shape, dtype)
    rounded = [*map(rounded_to_tf32, operands[:2]), *operands[2:]] if is_tf32 else operands
    right, precision = reference(operation, shape, *rounded), "tf32" if is_tf32 else "fast"
    for backwards in (False, True):
        actual = kernels.run(operation, shape, *operands, precision=precision, reverse=backwards, eager=backwards)
        (assert_near if is_tf32 else assert_rounded_once)(actual, right)


def check_many(library: Path) -> None:
    kernels = EmulatedKernels(library)
    for shape in (MANY_TILES, replace(MANY_TILES, channels=(40, 40), size=(3, 5, 18, 5))):
        for operation in ("forward", "grad_input"):
            check_order(kernels, operation, shape, torch.bfloat16)
    check_order(kernels, "forward", replace(MMA["8_to_8"], channels=(16, 8)), torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bug_is_caught(mutant: str, assert_caught: AssertCaught) -> None:
    assert_caught(MUTANTS[mutant], check_many)
