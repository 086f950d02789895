# SPDX-License-Identifier: Apache-2.0
"""The weight gradient on tensor cores against float64, without a GPU, as in ``test_cuda_kernels.py``."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.helpers.backends import needs_compiler
from tests.helpers.cpu_kernels import Shape, reference
from tests.helpers.cuda_kernels import EmulatedKernels, assert_rounded_once, draw, rounded_to_tf32
from tests.helpers.cuda_layers import draw_shape
from tests.helpers.planted_bugs import AssertCaught

pytestmark = needs_compiler

DTYPES = [torch.bfloat16, torch.float16, torch.float32]
"""float32 is computed as TF32."""
SHAPES = {
    "8_to_8": Shape((2, 5, 18, 6), (8, 8), padding=1),
    "16_to_16": Shape((2, 5, 5, 5), (16, 16), padding=1),
    "8_to_24_unequal_padding": Shape((3, 4, 5, 4), (8, 24), batch=2, padding=(1, 0, 2, 1)),
    "8_to_16_stride_2": Shape((5, 6, 35, 5), (8, 16), padding=1, stride=2),
    "16_to_8_stride_2": Shape((4, 7, 4, 6), (16, 8), batch=2, padding=(1, 2, 0, 1), stride=2),
    "1_to_8": Shape((2, 4, 18, 3), (1, 8), padding=1),
    "1_to_16": Shape((3, 3, 3, 3), (1, 16), batch=2),
    "one_voxel": Shape((1, 1, 1, 1), (8, 8), padding=1),
    "one_voxel_between_padding": Shape((1, 1, 1, 1), (8, 16), padding=2),
}
"""Small problems, all of them ragged."""
QUICK = {("8_to_8", torch.bfloat16), ("8_to_16_stride_2", torch.float16), ("1_to_8", torch.float32)}
"""Those that every run of the tests computes."""
CASES = [pytest.param(n, t, marks=() if (n, t) in QUICK else pytest.mark.slow) for n in SHAPES for t in DTYPES]
MANY_TILES = Shape((10, 9, 22, 9), (8, 8), padding=(1, 0, 2, 1))
"""Tiles cut on every axis, and pieces that begin and end within a tile, more of them than blocks."""
MANY = {
    "8_to_8": MANY_TILES,
    "16_to_16": replace(MANY_TILES, channels=(16, 16)),
    "8_to_8_stride_2": Shape((17, 9, 35, 7), (8, 8), batch=2, padding=(1, 0, 2, 1), stride=2),
    "8_to_16_stride_2": Shape((17, 9, 35, 7), (8, 16), batch=2, padding=(1, 0, 2, 1), stride=2),
    "1_to_8": replace(MANY_TILES, channels=(1, 8)),
}
LEVEL_0 = Shape((96, 96, 64, 16), (8, 8), padding=1)
"""The widest layer of the network at the full crop."""


def precision_of(dtype: torch.dtype) -> str:
    return "tf32" if dtype == torch.float32 else "fast"


def check(kernels: EmulatedKernels, shape: Shape, dtype: torch.dtype, **order: bool) -> Tensor:
    """Compute the weight gradient of a problem, and compare it with the reference."""
    operands = draw("grad_weight", shape, dtype)
    actual = kernels.run("grad_weight", shape, *operands, precision=precision_of(dtype), **order)
    if dtype == torch.float32:
        right = reference("grad_weight", shape, *map(rounded_to_tf32, operands))
        assert (actual.double() - right).abs().max() <= 4e-6 * right.abs().max()
    else:
        assert_rounded_once(actual, reference("grad_weight", shape, *operands))
    return actual


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_tensor_cores_compute_the_reference(cuda_kernels: EmulatedKernels, name: str, dtype: torch.dtype) -> None:
    assert cuda_kernels.algorithm("grad_weight", SHAPES[name], dtype, precision=precision_of(dtype)) == "mma"
    late = check(cuda_kernels, SHAPES[name], dtype)
    eager = check(cuda_kernels, SHAPES[name], dtype, reverse=True, eager=True)
    assert torch.equal(late, eager)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", MANY)
def test_many_pieces_in_any_order_are_the_same_bits(
    cuda_kernels: EmulatedKernels, name: str, dtype: torch.dtype
) -> None:
    results = [check(cuda_kernels, MANY[name], dtype, reverse=r, eager=e) for r in (False, True) for e in (False, True)]
    assert all(torch.equal(results[0], other) for other in results)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_random_problems(cuda_kernels: EmulatedKernels, seed: int) -> None:
    shape = draw_shape(seed)
    for dtype in (torch.bfloat16, torch.float32):
        assert cuda_kernels.algorithm("grad_weight", shape, dtype, precision=precision_of(dtype)) == "mma"
        check(cuda_kernels, shape, dtype, reverse=seed % 2 == 0, eager=seed % 4 < 2)


def test_empty_batch_has_a_gradient_of_zero(cuda_kernels: EmulatedKernels) -> None:
    for channels in ((8, 8), (1, 8), (8, 16)):
        shape = Shape((3, 3, 3, 3), channels, batch=0)
        empty = [torch.empty(size, dtype=torch.bfloat16) for size in (shape.x_shape, shape.y_shape)]
        assert cuda_kernels.run("grad_weight", shape, *empty).eq(0).all()


def test_working_memory_is_bounded(cuda_kernels: EmulatedKernels) -> None:
    weights = 8 * 8 * 81 * 4
    pieces = cuda_kernels.workspace("grad_weight", LEVEL_0, torch.bfloat16) / weights
    assert 256 < pieces == int(pieces) <= 1024
    assert cuda_kernels.workspace("grad_weight", replace(LEVEL_0, batch=64), torch.bfloat16) <= 1024 * weights
    wide = Shape((9, 9, 9, 9), (256, 256), batch=64, padding=1)
    assert cuda_kernels.workspace("grad_weight", wide, torch.bfloat16) <= 64 << 20
    wider = Shape((9, 9, 9, 9), (1024, 1024), batch=64, padding=1)
    one_piece = 1024 * 1024 * 81 * 4  # however many voxels
    assert cuda_kernels.workspace("grad_weight", wider, torch.bfloat16) == one_piece


@pytest.mark.parametrize(("architecture", "name"), [(75, "plain"), (80, "mma"), (86, "mma"), (90, "mma")])
def test_every_gpu_with_tensor_cores_for_half_types_serves(
    cuda_kernels: EmulatedKernels, architecture: int, name: str
) -> None:
    for shape in MANY.values():
        assert cuda_kernels.algorithm("grad_weight", shape, torch.bfloat16, architecture) == name


def test_large_axes_are_left_to_the_plain_path(cuda_kernels: EmulatedKernels) -> None:
    for size, name in (((1 << 31) - 65, "mma"), ((1 << 31) - 64, "plain")):
        assert cuda_kernels.algorithm("grad_weight", Shape((1, 1, size, 1), (8, 8), padding=1), torch.float16) == name


CU, COPIES, LOADS, NUMBERS = (f"mma_grad_weight{end}" for end in (".cu", "_copies.h", "_loads.h", ".h"))
MUTANTS = {
    "copies that nobody waits for": (CU, "      wait_for_copies();\n", ""),
    "no barrier behind the copies": (CU, "__syncthreads();  // now the planes", "// now the planes"),
    "a barrier that some warps leave out": (
        CU,
        "__syncthreads();  // now the planes",
        "if (threadIdx.x < 96) __syncthreads();  // now the planes",
    ),
    "no barrier before the next job": (CU, "__syncthreads();  // before the next job", "// before the next job"),
    "no barrier before the sums of the parts": (CU, "__syncthreads();  // before the planes", "// before the planes"),
    "no barrier behind the sums of the parts": (CU, "    __syncthreads();\n#pragma", "#pragma"),
    "one part alone": (CU, "int other = 1; other < Work::kParts", "int other = 1; other < 1"),
    "taps along H that are taken twice": (CU, "thread / 32 % 3, thread % 32", "thread / 64 % 3, thread % 32"),
    "the rows of the first part for all": (CU, "(part.index * Work::kRounds + i / Work::kWide)", "(i / Work::kWide)"),
    "the first round alone": (CU, "i < Work::kRounds * Work::kWide", "i < Work::kWide"),
    "the first half of the depth alone": (CU, "i < Work::kRounds * Work::kWide", "i < Work::kRounds"),
    "the first half of the depth twice": (CU, "d = i % Work::kWide * Work::kDepth", "d = 0"),
    "the plane of another tap": (CU, "if (!is_on(h - lag, work.dy.size[kH])) return;", ""),
    "a plane of the input that is not there": (CU, "if (!is_on(h * Work::kStride + plane", "if (!is_on(1 + 0 * plane"),
    "the first tap twice": (LOADS, "voxel * kStride + eight :", "voxel * kStride :"),
    "the first tap twice, of 16": (LOADS, "kStride + lane / 16;", "kStride;"),
    "the first eight of 16 channels twice": (LOADS, "eight * Work::Out::kVectors + voxel", "voxel"),
    "the row before along T is this one": (CU, "t > 0 ? t - 1 : 0", "t"),
    "the row before along W is this one": (CU, "rows[(w + 1) % 2][t]", "row"),
    "the tap that is alone in the other half": (
        CU,
        "{row.third[0], 0, row.third[1], 0}",
        "{0, row.third[0], 0, row.third[1]}",
    ),
    "a step too many": (CU, "rest < work.share ? rest : work.share", "rest < work.share ? rest : work.share + 1"),
    "the last piece as long as the others": (CU, "rest < work.share ? rest", "rest < 1 ? rest"),
    "pieces in the order of channels": (CU, "first = job / work.jobs_of_a_piece", "first = job % work.pieces"),
    "the first block of channels for all": (CU, "static_cast<int>(channels % work.x.blocks)", "0"),
    "instructions that some lanes leave out": (
        LOADS,
        "    load_transposed(third + ",
        "    if (threadIdx.x % 32 != 5) load_transposed(third + ",
    ),
    "half of the words twice": (LOADS, "const int d = half * 4 * Work::kStride;", "const int d = half * 0;"),
    "the word of the next voxel": (
        LOADS,
        "in[Work::In::place(w, d + 1, t) * 4]",
        "in[Work::In::place(w, d, t) * 4 + 8]",
    ),
    "the channel of another lane": (LOADS, "place(0, lane % 4, 0)) * 4 + lane / 4", "place(0, lane % 4, 0)) * 4"),
    "operands that are cut off": (CU, "      copier.prepare_step(next, count);\n", ""),
    "rounded before it is there": (
        CU,
        "      wait_for_copies();\n      copier.prepare_step(next, count);\n",
        "      copier.prepare_step(next, count);\n      wait_for_copies();\n",
    ),
    "planes before a piece that are cut off": (COPIES, "count == 0 && back", "count == -1 && back"),
    "one channel that is cut off": (COPIES, "      round_to_tf32(word);\n", ""),
    "the first four channels twice": (COPIES, "channel = block * kBlock + part", "channel = block * kBlock + 0 * part"),
    "a slot too few for the gradient": (NUMBERS, "kOutSlots = kLag + 2", "kOutSlots = kLag + 1"),
    "a slot too few for the input": (COPIES, "int to = count % 2 *", "int to = count % 1 *"),
    "too little shared memory": (
        NUMBERS,
        "kOutVectors * kOutSlots) * kVector",
        "kOutVectors * (kOutSlots - 1)) * kVector",
    ),
    "planes before a piece that are missing": (CU, "    copier.copy_earlier(next);\n", ""),
    "one plane before a piece": (COPIES, "back <= Work::kLag; ++back) copy_out", "back <= 1; ++back) copy_out"),
    "a voxel behind the row": (
        COPIES,
        "is_on(first[kD] + d, from.size[kD])",
        "first[kD] + d <= from.size[kD]",
    ),
    "a voxel before the row": (COPIES, "is_on(first[kD] + d, from.size[kD])", "(first[kD] + d < from.size[kD])"),
    "a row behind the plane": (
        COPIES,
        "is_on(first[kW] + w, from.size[kW])",
        "first[kW] + w <= from.size[kW]",
    ),
    "a frame behind the last": (
        COPIES,
        "is_on(first[kT] + t, from.size[kT])",
        "first[kT] + t <= from.size[kT]",
    ),
    "the first half for both": (COPIES, "out_block + half,", "out_block,"),
    "one channel beyond its plane": (COPIES, "    if (i >= kVoxelsOfPlane) continue;\n", ""),
    "padding that is forgotten": (COPIES, "* Work::kStride - work.padding[axis]", "* Work::kStride"),
    "steps that stay in the tile": (NUMBERS, "(step.at[kD] += Work::kTileD)", "(step.at[kD] += 0)"),
    "frames that do not go on": (NUMBERS, "(step.at[kT] += Work::kTileT)", "(step.at[kT] += 2 * Work::kTileT)"),
    "a batch that does not go on": (NUMBERS, "  ++step.n;\n", ""),
    "taps in another order": (NUMBERS, "half * 3 + product % 3) * 64", "product % 3 * 3 + half) * 64"),
    "taps of 16 channels in another order": (NUMBERS, "product % 3 * 3 + product / 3 % 3", "product % 9"),
    "channels exchanged": (NUMBERS, "in = kOuts == 8 ? row : column;", "in = kOuts == 8 ? column : row % 8;"),
    "weights of channels that are not there": (NUMBERS, "return in < kIns ? (out", "return true ? (out"),
}
"""Planted bugs: file, what stands there, what shall stand there."""


def check_many(library: Path) -> None:
    for dtype, shape, backwards in product((torch.bfloat16, torch.float32), MANY.values(), (False, True)):
        check(EmulatedKernels(library), shape, dtype, reverse=backwards, eager=backwards)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bug_is_caught(mutant: str, assert_caught: AssertCaught) -> None:
    assert_caught(MUTANTS[mutant], check_many)
