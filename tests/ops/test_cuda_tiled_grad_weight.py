# SPDX-License-Identifier: Apache-2.0
"""The weight gradient in float32 that stays float32, against float64, without a GPU; see ``test_cuda_kernels.py``."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.helpers.backends import needs_compiler
from tests.helpers.cpu_kernels import Shape, reference
from tests.helpers.cuda_kernels import EmulatedKernels, draw
from tests.helpers.cuda_layers import draw_shape
from tests.helpers.planted_bugs import AssertCaught

pytestmark = needs_compiler

SHAPES = {
    "8_to_8": Shape((2, 5, 18, 5), (8, 8), padding=1),
    "16_to_24_unequal_padding": Shape((3, 4, 5, 4), (16, 24), batch=2, padding=(1, 0, 2, 1)),
    "8_to_16_stride_2": Shape((5, 6, 11, 5), (8, 16), padding=1, stride=2),
    "16_to_8_stride_2": Shape((4, 7, 4, 6), (16, 8), batch=2, padding=(1, 2, 0, 1), stride=2),
    "1_to_8": Shape((2, 4, 18, 3), (1, 8), padding=1),
    "1_to_16": Shape((3, 3, 3, 3), (1, 16), batch=2),
    "one_voxel": Shape((1, 1, 1, 1), (8, 8), padding=1),
    "one_voxel_between_padding": Shape((1, 1, 1, 1), (8, 16), padding=2),
}
"""Small problems, all of them ragged."""
QUICK = {"8_to_8", "1_to_8"}
"""Those that every run of the tests computes."""
CASES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in SHAPES]
MANY_TILES = Shape((10, 9, 22, 9), (8, 8), padding=(1, 0, 2, 1))
MANY = {
    "8_to_8": MANY_TILES,
    "16_to_16": replace(MANY_TILES, channels=(16, 16), size=(9, 5, 18, 5), batch=2),
    "8_to_8_stride_2": Shape((17, 9, 11, 7), (8, 8), batch=2, padding=(1, 0, 2, 1), stride=2),
    "16_to_8_stride_2": Shape((9, 11, 19, 9), (16, 8), padding=(2, 1, 0, 1), stride=2),
    "1_to_8": replace(MANY_TILES, channels=(1, 8), batch=2),
    "1_to_16": Shape((7, 11, 33, 6), (1, 16), padding=(0, 1, 1, 2)),
}
"""Tiles cut on every axis, pieces that begin and end within a tile, more of them than blocks."""
LEVEL_0 = Shape((96, 96, 64, 16), (8, 8), padding=1)
"""The widest layer of the network at the full crop."""


def error_of(actual: Tensor, right: Tensor) -> float:
    """The root of the mean square error, relative to that of the numbers."""
    return ((actual.double() - right).norm() / right.norm()).item()


def check(kernels: EmulatedKernels, shape: Shape, **order: bool) -> Tensor:
    """Compute the weight gradient of a problem, and compare it with the reference."""
    operands = draw("grad_weight", shape, torch.float32)
    actual = kernels.run("grad_weight", shape, *operands, precision="exact", **order)
    assert error_of(actual, reference("grad_weight", shape, *operands)) <= 1e-6
    return actual


@pytest.mark.parametrize("name", CASES)
def test_tile_is_the_reference(cuda_kernels: EmulatedKernels, name: str) -> None:
    assert cuda_kernels.algorithm("grad_weight", SHAPES[name], torch.float32, precision="exact") == "tiled"
    late, eager = (check(cuda_kernels, SHAPES[name], reverse=e, eager=e) for e in (False, True))
    assert torch.equal(late, eager)


@pytest.mark.slow
@pytest.mark.parametrize("name", MANY)
def test_many_pieces_in_any_order_are_the_same_bits(cuda_kernels: EmulatedKernels, name: str) -> None:
    results = [check(cuda_kernels, MANY[name], reverse=r, eager=e) for r in (False, True) for e in (False, True)]
    assert all(torch.equal(results[0], other) for other in results)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16))
def test_random_problems(cuda_kernels: EmulatedKernels, seed: int) -> None:
    shape = draw_shape(seed)
    check(cuda_kernels, shape, reverse=seed % 2 == 0, eager=seed % 4 < 2)


def test_empty_batch_has_a_gradient_of_zero(cuda_kernels: EmulatedKernels) -> None:
    for channels in ((8, 8), (1, 8)):
        shape = Shape((3, 3, 3, 3), channels, batch=0)
        assert (
            cuda_kernels.run("grad_weight", shape, torch.empty(shape.x_shape), torch.empty(shape.y_shape)).eq(0).all()
        )


def test_working_memory_is_bounded(cuda_kernels: EmulatedKernels) -> None:
    weights = 8 * 8 * 81 * 4
    pieces = cuda_kernels.workspace("grad_weight", LEVEL_0, torch.float32) / weights
    assert 256 < pieces == int(pieces) <= 1024
    wide = Shape((9, 9, 9, 9), (256, 256), batch=64, padding=1)
    assert cuda_kernels.workspace("grad_weight", wide, torch.float32) <= 64 << 20
    wider = replace(wide, channels=(1024, 1024))
    assert cuda_kernels.workspace("grad_weight", wider, torch.float32) == 1024 * 1024 * 81 * 4  # one piece


@pytest.mark.parametrize(("architecture", "name"), [(75, "plain"), (80, "tiled"), (86, "tiled"), (90, "tiled")])
def test_every_gpu_with_asynchronous_copies_serves(cuda_kernels: EmulatedKernels, architecture: int, name: str) -> None:
    for shape in MANY.values():
        assert cuda_kernels.algorithm("grad_weight", shape, torch.float32, architecture, "exact") == name


def test_everything_else_is_left_to_the_plain_path(cuda_kernels: EmulatedKernels) -> None:
    for change in (
        {"channels": (4, 8)},
        {"channels": (8, 4)},
        {"channels": (1, 8), "stride": 2},
        {"stride": (2, 2, 2, 1)},
        {"dilation": 2},
        {"groups": 8},
        {"padding": 3},
        {"size": (1, 1, (1 << 31) - 64, 1)},
    ):
        assert cuda_kernels.algorithm("grad_weight", replace(LEVEL_0, **change), torch.float32) == "plain"
    assert cuda_kernels.algorithm("grad_weight", LEVEL_0, torch.float64) == "plain"


CU, NUMBERS = "tiled_grad_weight.cu", "tiled_grad_weight.h"
MUTANTS = {
    "copies that nobody waits for": (CU, "      wait_for_copies();\n", ""),
    "no barrier behind the copies": (CU, "__syncthreads();  // now the planes", "// now the planes"),
    "no barrier between the parts": (CU, "    __syncthreads();  // before the next part", "// before the next part"),
    "a barrier that some warps leave out": (
        CU,
        "__syncthreads();  // now the planes",
        "if (threadIdx.x < 96) __syncthreads();  // now the planes",
    ),
    "instructions that some lanes leave out": (
        CU,
        "sum += of_other_lane(sum, distance);",
        "if (threadIdx.x % 32 != 5) sum += of_other_lane(sum, distance);",
    ),
    "one part alone": (CU, "part < Work::kParts; ++part", "part < 1; ++part"),
    "every part begins": (CU, "is_first && part == 0 ?", "is_first ?"),
    "every chain begins": (CU, "add_up<Work>(count < Work::kStepsOfChain, sums)", "add_up<Work>(true, sums)"),
    "no chain begins": (CU, "add_up<Work>(count < Work::kStepsOfChain, sums)", "add_up<Work>(false, sums)"),
    "chains that go on": (CU, "sums[i / kQuad][i % kQuad] = 0;", "sums[i / kQuad][i % kQuad] += 0;"),
    "the last chain left out": (CU, " || count + 1 == steps", ""),
    "one group alone": (CU, "distance < 32; distance *= 2", "distance < 16; distance *= 2"),
    "taps along H that are taken twice": (CU, "return {thread / 32 % 3,", "return {thread / 64 % 3,"),
    "the first channel for all": (CU, "part, lane % Work::kIns,", "part, 0 * lane,"),
    "the first output channels for all": (CU, "lane / Work::kIns % 2 * kQuad", "0"),
    "runs that are taken twice": (CU, "kGroups + group}", "kGroups + 0 * group}"),
    "the first run alone": (CU, "i < Work::kRuns; ++i", "i < 1; ++i"),
    "a row for all": (CU, "w = run % Work::kTileW,", "w = 0,"),
    "a frame for all": (CU, "t = row / (Work::kTileD / kRun);", "t = 0;"),
    "taps in another order": (CU, "[row / 3 * 9 + tap * 3 + row % 3]", "[row * 3 + tap]"),
    "the first tap for all": (CU, "x[d * Work::kStride + tap]", "x[d * Work::kStride]"),
    "the plane of another tap": (CU, "if (!is_on(h - lag, work.dy.size[kH])) return;", ""),
    "a plane of the input that is not there": (CU, "if (!is_on(h * kStride + plane", "if (!is_on(1 + 0 * plane"),
    "the slot of another step": (CU, "(count + Work::kOutSlots - lag)", "(count + Work::kOutSlots - 1)"),
    "a step too many": (CU, "rest < work.share ? rest : work.share", "rest < work.share ? rest : work.share + 1"),
    "planes before a piece that are missing": (CU, "    copier.copy_earlier(next);\n", ""),
    "a slot too few for the gradient": (NUMBERS, "kOutSlots = kLag + 2", "kOutSlots = kLag + 1"),
    "too little shared memory": (NUMBERS, " + kSums * int64_t(sizeof(float))", " + kSums"),
    "the first block of channels for all": (CU, "static_cast<int>(channels % work.x.blocks)", "0"),
    "channels exchanged": (NUMBERS, "(out * x.blocks * kIns + in) * kTaps", "(in * x.blocks * kIns + out) * kTaps"),
    "numbers of another voxel": ("mma_grad_weight_copies.h", "source.place * sizeof(float)", "i / 2 * sizeof(float)"),
}
"""Planted bugs: file, what stands there, what shall stand there."""


def check_many(library: Path) -> None:
    for shape, backwards in product(MANY.values(), (False, True)):
        check(EmulatedKernels(library), shape, reverse=backwards, eager=backwards)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bug_is_caught(mutant: str, assert_caught: AssertCaught) -> None:
    assert_caught(MUTANTS[mutant], check_many)
