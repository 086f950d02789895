# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels of stride 2 on tensor cores against float64, without a GPU; see ``test_cuda_kernels.py``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.backends import needs_compiler
from tests.helpers.comparison import check as check_sums
from tests.helpers.comparison import sums_of
from tests.helpers.cpu_kernels import Shape, reference
from tests.helpers.cuda_kernels import EmulatedKernels, draw
from tests.helpers.cuda_layers import HALF, Layer, assert_right, check
from tests.helpers.cuda_strided import NETWORK, OPERATIONS, SMALL, UNEQUAL, Case, check_case
from tests.helpers.fused_cuda_kernels import EmulatedFusedKernels
from tests.helpers.planted_bugs import AssertCaught, mutants_in

pytestmark = needs_compiler

RAGGED = {
    "16_to_32": ("forward", Shape((5, 3, 7, 4), (16, 32), **UNEQUAL)),
    "24_to_8": ("forward", Shape((3, 3, 5, 3), (24, 8), padding=1, stride=2)),
    "32_to_24": ("forward", Shape((3, 3, 5, 3), (32, 24), padding=2, stride=2)),
    "40_to_8": ("forward", Shape((5, 3, 5, 3), (40, 8), batch=2, **UNEQUAL)),
    "one_voxel": ("forward", Shape((1, 1, 1, 1), (8, 8), padding=1, stride=2)),
    "gradient_32_to_16": ("grad_input", Shape((5, 3, 7, 4), (16, 32), **UNEQUAL)),
    "gradient_24_to_8": ("grad_input", Shape((3, 3, 5, 3), (8, 24), stride=2)),
    "gradient_64_to_8": ("grad_input", Shape((2, 3, 5, 3), (8, 64), padding=2, stride=2)),
    "gradient_136_to_8": ("grad_input", Shape((5, 3, 5, 3), (8, 136), batch=2, **UNEQUAL)),
    "gradient_one_voxel": ("grad_input", Shape((1, 1, 1, 1), (8, 8), padding=1, stride=2)),
}
MANY_TILES = {
    "forward": Case("forward", Shape((9, 7, 33, 9), (8, 16), **UNEQUAL)),
    "uneven_pairs": Case("forward", Shape((3, 11, 33, 9), (8, 24), **UNEQUAL)),
    "32_to_72": Case("forward", Shape((3, 5, 33, 5), (32, 72), **UNEQUAL)),
    "in_parts": Case("forward", Shape((9, 5, 33, 5), (56, 16), **UNEQUAL)),
    "in_small_parts": Case("forward", Shape((9, 9, 33, 5), (40, 24), **UNEQUAL), architecture=86),
    "tf32": Case("forward", Shape((9, 7, 33, 5), (8, 16), **UNEQUAL), "tf32"),
    "tf32_in_parts": Case("forward", Shape((5, 5, 33, 5), (24, 16), **UNEQUAL), "tf32"),
    "sums": Case("forward", Shape((9, 7, 33, 9), (8, 40), batch=2, **UNEQUAL), has_sums=True),
    "sums_in_parts": Case("forward", Shape((5, 5, 33, 5), (40, 72), **UNEQUAL), has_sums=True),
    "tf32_sums": Case("forward", Shape((5, 5, 33, 5), (16, 24), batch=2, **UNEQUAL), "tf32", has_sums=True),
    "gradient": Case("grad_input", Shape((24, 9, 33, 5), (8, 24), **UNEQUAL)),
    "gradient_frames": Case("grad_input", Shape((1, 5, 33, 6), (16, 8), **UNEQUAL)),
    "gradient_in_parts": Case("grad_input", Shape((17, 5, 33, 5), (8, 136), **UNEQUAL)),
    "tf32_gradient": Case("grad_input", Shape((24, 9, 32, 5), (8, 16), **UNEQUAL), "tf32"),
    "tf32_gradient_in_parts": Case("grad_input", Shape((9, 5, 33, 5), (8, 40), **UNEQUAL), "tf32"),
}
"""More tiles than blocks, cut on every axis, and walks that go round all slots of shared memory."""


@pytest.mark.parametrize("precision", ["fast", "tf32"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_layer_is_the_reference(cuda_library: Path, operation: str, precision: str) -> None:
    check_case(cuda_library, Case(operation, SMALL, precision))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [*HALF, torch.float32])
@pytest.mark.parametrize("name", RAGGED)
def test_ragged_layers_have_the_same_bits_on_small_gpus(
    cuda_kernels: EmulatedKernels, name: str, dtype: torch.dtype
) -> None:
    precision = "tf32" if dtype == torch.float32 else "fast"
    layer = Layer(RAGGED[name][0], "mma_strided", RAGGED[name][1])
    large, small = (check(cuda_kernels, layer, dtype, precision, architecture) for architecture in (90, 86))
    assert torch.equal(large, small)


@pytest.mark.slow
@pytest.mark.parametrize("name", MANY_TILES)
def test_many_tiles_in_any_order(cuda_library: Path, name: str) -> None:
    check_case(cuda_library, MANY_TILES[name])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_without_bias_and_in_an_empty_batch(cuda_kernels: EmulatedKernels, operation: str) -> None:
    operands = draw(operation, SMALL, torch.bfloat16)
    if operation == "forward":
        operands[2] = None
        assert_right(cuda_kernels.run(operation, SMALL, *operands), reference(operation, SMALL, *operands))
    assert cuda_kernels.run(operation, replace(SMALL, batch=0), operands[0][:0], *operands[1:]).numel() == 0


def test_sums_of_a_small_layer_and_of_an_empty_batch(cuda_library: Path) -> None:
    kernels, shape = EmulatedFusedKernels(cuda_library), replace(SMALL, batch=2)
    x, weight, bias = draw("forward", shape, torch.bfloat16)
    y, sums = kernels.conv4d_sums(shape, x, weight, bias)
    check_sums(sums, sums_of(y), 1e-6)
    y, sums = kernels.conv4d_sums(replace(shape, batch=0), x[:0], weight, bias)
    assert y.numel() == sums.numel() == 0


@pytest.mark.parametrize(
    ("change", "algorithm"),
    [
        ({}, "mma_strided"),
        ({"channels": (8, 3)}, "plain"),
        ({"padding": 3}, "plain"),
        ({"dilation": 2}, "plain"),
        ({"stride": (2, 2, 2, 1)}, "plain"),
        ({"channels": (1, 8)}, "plain"),
    ],
)
def test_algorithm(cuda_kernels: EmulatedKernels, change: dict[str, Any], algorithm: str) -> None:
    shape = replace(NETWORK, **change)
    for dtype in HALF:
        assert {cuda_kernels.algorithm(operation, shape, dtype) for operation in OPERATIONS} == {algorithm}
    assert cuda_kernels.algorithm("forward", shape, torch.float64) == "plain"


@pytest.mark.parametrize("channels", [(8, 16), (16, 32), (24, 24), (32, 64), (40, 72), (1024, 8), (8, 1024)])
def test_channels_in_eights_run_on_tensor_cores(cuda_kernels: EmulatedKernels, channels: tuple[int, int]) -> None:
    shape = replace(NETWORK, channels=channels)
    for operation in OPERATIONS:
        for architecture, name in ((75, "plain"), (80, "mma_strided"), (86, "mma_strided")):
            for dtype in HALF:
                assert cuda_kernels.algorithm(operation, shape, dtype, architecture) == name
            assert cuda_kernels.algorithm(operation, shape, torch.float32, architecture, "tf32") == name


STRIDED, PLANE = "mma_strided_kernels.h", "mma_strided_plane.h"
GRADIENT, GRADIENT_PLANE = "mma_strided_gradient.cu", "mma_strided_gradient_plane.h"
MUTANTS = {
    ("forward", STRIDED): {
        "no barrier before the next job": ("__syncthreads();  // before the next job overwrites the planes", "//"),
        "the second tap twice": ("place_of(2 * voxel + 2)", "place_of(2 * voxel + 1)"),
        "rows that no tap joins": ("to_w % 2 != 0 ||", ""),
        "a voxel behind the row": ("d + 8 * half >= size[kD]", "d + 8 * half > size[kD]"),
        "a row too many": ("w + j >= size[kW]", "w + j > size[kW]"),
        "one bias for two blocks": ("first[i / 4 % kPair * 2 + i % 2]", "first[i % 2]"),
        "instructions that some lanes leave out": (
            "  load_blocks(third, b);",
            "  if (threadIdx.x % 32 != 5) load_blocks(third, b);",
        ),
    },
    ("forward", "mma_strided_weights.h"): {
        "taps in the order of torch": ("tap % 3 * 3 + tap / 3 % 3;  // W", "tap % 9;  // W"),
        "channels that are not dealt out": ("column / 2 * 4 + block * 2", "column / 2 * 2 + block * 8"),
    },
    ("forward", PLANE): {
        "copies that nobody waits for": ("      wait_for_copies();\n", ""),
        "no barrier behind the copies": ("__syncthreads();  // now this stage", "// now this stage"),
        "the last plane left out": ("2 * steps + 1;", "2 * steps;"),
        "a slot too few": ("kSlots = 2;", "kSlots = 1;"),
        "odd positions turned too far": ("(d / 2 + 3) % kVoxels", "(d / 2 + 3) % kEven"),
        "the last voxel of the rows left out": ("i < Work::kRowsOfPlane * Work::kBlocks;", "i < 0;"),
        "a plane behind the input": ("h < from[kH]", "h <= from[kH]"),
        "a frame behind the input": ("t + in_t < from[kT];", "t + in_t <= from[kT];"),
    },
    ("uneven_pairs", STRIDED): {
        "channels behind the last": ("if (channel >= work.out_channels) return;", ""),
        "the weights of the first channels for all": ("int64_t(part.pair) * 3 *", "int64_t(0) * 3 *"),
    },
    ("32_to_72", STRIDED): {
        "a block of channels in the place of another": ("= (block * Work::kPlane + (t", "= (0 * Work::kPlane + (t"),
        "the last few pairs left out": ("(pairs + Work::kWarpsOut - 1) / Work::kWarpsOut", "pairs / Work::kWarpsOut"),
    },
    ("in_parts", STRIDED): {
        "the weights of the first part for all": ("turn % work.parts() * Work::kBlocks;", "0;"),
        "blocks behind the last": ("Work::kInParts && rest < Work::kBlocks ? rest", "false ? rest"),
    },
    ("in_parts", PLANE): {
        "the first part for all": ("part * Work::kBlocks),\n", "part * 0),\n"),
        "voxels beside each other as in a part": ("voxel * int64_t(work.in_blocks) +", "voxel * Work::kBlocks +"),
        "the planes of the first step for all": ("(3 * work.parts()) * 2 + stage", "(3 * work.parts()) * 0 + stage"),
        "the last part left out": ("(in_blocks + kBlocks - 1) / kBlocks", "in_blocks / kBlocks"),
        "the last stage left out": ("if (stage + 1 < count)", "if (stage + 2 < count)"),
    },
    ("in_small_parts", PLANE): {
        "parts that nobody copies": ("if (Work::kInParts || stage == 0", "if (stage == 0"),
    },
    ("tf32", PLANE): {
        "planes that are not prepared": ("PlaneCopy<Work>(work, tile, stage).prepare();", ""),
        "operands that are cut off": ("        round_to_tf32(words);\n", ""),
    },
    ("tf32", "packed_words.h"): {"weights that are cut off": ("      round_to_tf32(word);\n", "")},
    ("sums", STRIDED): {
        "totals that nobody waits for": ("    __syncthreads();  // now the totals are there\n", ""),
        "totals of the next job": ("    __syncthreads();  // before the next job overwrites the totals\n", ""),
        "totals of the job before": ("Totals totals = {};", "static thread_local Totals totals = {};"),
        "totals of one warp": ("i < kWarpsOfPair * 8", "i < 8"),
        "totals of a neighbour": ("channel / kChannels;", "0;"),
        "sums of what is not stored": ("stored = rounded<S>(four[i]);", "stored = four[i];"),
        "totals of pairs that are not there": ("&& out < work.out_channels", ""),
        "pieces of another tile": ("(job / work.grid.groups * work.out", "(job % work.grid.groups * work.out"),
        "pieces of another sample": ("jobs / work.grid.groups / p.batch", "jobs / work.grid.groups"),
    },
    ("sums_in_parts", STRIDED): {
        "totals of the first pair for all": ("place * kWarpsOfPair * 32 +", "0 * kWarpsOfPair * 32 +"),
    },
    ("gradient", GRADIENT): {
        "no barrier before the next job": ("__syncthreads();  // before the next job", "//"),
        "weights behind the last": ("return source < out_channels ?", "return true ?"),
        "a voxel before the row": ("at < 0 || ", ""),
        "a voxel behind the row": ("at >= size)", "at > size)"),
        "a row too many": ("at_w < size[kW]", "at_w <= size[kW]"),
        "channels of another neighbour": ("pairs[0] : pairs[1], 1)", "pairs[0] : pairs[1], 2)"),
        "instructions that some lanes leave out": (
            "const uint32_t other = __shfl",
            "const uint32_t other = lane == 5 ? 0 : __shfl",
        ),
    },
    ("gradient", GRADIENT_PLANE): {
        "copies that nobody waits for": ("      wait_for_copies();\n", ""),
        "no barrier behind the copies": ("__syncthreads();  // now these stages", "// now these stages"),
        "cells that do not move": ("padding % 2 == 0 ? 1 : 0", "0"),
        "cells that read what lies before": ("(padding + 1) / 2 - 1", "padding / 2 - 1"),
        "half a cell left out": ("work.shift[axis] + 1) / 2", "work.shift[axis]) / 2"),
        "taps in the wrong direction": ("(source == 0 ? 2 : 0)", "(source == 0 ? 0 : 2)"),
        "a slot too few": ("kInParts ? 2 : 3;", "kInParts ? 2 : 2;"),
        "slots that do not go round": ("slot(stage % Work::kSlots *", "slot(stage / 8 % Work::kSlots *"),
        "a plane behind the source": ("h < from[kH]", "h <= from[kH]"),
        "channels of the next voxel": ("block < work.from_blocks &&", ""),
    },
    ("gradient_frames", GRADIENT): {
        "a frame too many": ("at_t < size[kT]", "at_t <= size[kT]"),
        "the first channels for all": (" + tile.group * kBlock;", ";"),
    },
    ("gradient_in_parts", GRADIENT): {
        "the weights of the first part for all": ("stage.part * int64_t(kMost", "0 * int64_t(kMost"),
    },
    ("gradient_in_parts", GRADIENT_PLANE): {
        "parts that nobody copies": ("if (Work::kInParts || voxel == 0)", "if (voxel == 0)"),
        "turns of the first voxel for both": ("(step * kTurns + voxel)", "(step * kTurns)"),
        "a slot too few for parts": ("kInParts ? 2 : 3;", "kInParts ? 1 : 3;"),
        "the first part for all": ("to.part * kMostProducts * kProduct", "0 * kMostProducts * kProduct"),
        "products behind the last": ("rest > kMostProducts ? kMostProducts : rest", "true ? kMostProducts : rest"),
        "the first plane for both turns": ("% kTurns / 2", "% kTurns / 3"),
    },
    ("tf32_gradient", GRADIENT): {
        "a voxel before the row of numbers": ("d >= 1 && d - 1 < size", "d - 1 < size"),
        "a voxel behind the row of numbers": ("is_inside && d < size", "is_inside && d <= size"),
    },
    ("tf32_gradient", GRADIENT_PLANE): {
        "operands that are cut off": ("      round_to_tf32(words);\n", ""),
        "one plane of the first two that is not prepared": ("stage == 0 ? 0 : last;", "last;"),
    },
}
"""Planted bugs by the problem that must find them and the file: what stands there, what shall stand there."""


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "file", "mutant"), mutants_in(MUTANTS))
def test_planted_bug_is_caught(problem: str, file: str, mutant: str, assert_caught: AssertCaught) -> None:
    bug = file, *MUTANTS[problem, file][mutant]
    assert_caught(bug, lambda library: check_case(library, MANY_TILES[problem]))
