# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels against float64, without a GPU: their sources run on the CPU (``tests/helpers/cuda_emulation``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.backends import needs_compiler
from tests.helpers.conv4d_cases import CASES
from tests.helpers.conv4d_kernel_checks import check_problem_of_table
from tests.helpers.conv4d_table import TABLE
from tests.helpers.cpu_kernels import DTYPES, OPERATIONS, Shape, reference
from tests.helpers.cuda_kernels import EmulatedKernels, assert_rounded_once, build_with_bug, draw, rounded_to_tf32
from tests.helpers.tolerances import assert_near

pytestmark = needs_compiler

SHAPES = {name: Shape(batch=2, **case) for name, case in CASES.items()} | {
    "many_channels": Shape((3, 2, 3, 4), (19, 21), padding=1),
    "many_voxels": Shape((9, 8, 11, 13), (3, 2), batch=2, kernel=(2, 1, 2, 1)),
}
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
MANY_PIECES = replace(SHAPES["many_voxels"], channels=(8, 9))
"""More weights than blocks add up at once, each from several pieces."""
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("operation", ["forward", "grad_input"])
@pytest.mark.parametrize("name", MMA)
def test_tensor_cores_compute_the_reference(
    kernels: EmulatedKernels, name: str, operation: str, dtype: torch.dtype
) -> None:
    operands = draw(operation, MMA[name], dtype)
    right = reference(operation, MMA[name], *operands)
    assert kernels.algorithm(operation, MMA[name], dtype) == "mma"
    late, eager = (kernels.run(operation, MMA[name], *operands, reverse=e, eager=e) for e in (False, True))
    assert torch.equal(late, eager)
    assert_rounded_once(late, right)


@pytest.mark.parametrize("operation", ["forward", "grad_input"])
@pytest.mark.parametrize("name", ["8_to_24_unequal_padding", "32_to_8"])
def test_tf32_rounds_the_operands_and_nothing_else(kernels: EmulatedKernels, name: str, operation: str) -> None:
    operands = draw(operation, MMA[name], torch.float32)
    right = reference(operation, MMA[name], *map(rounded_to_tf32, operands[:2]), *operands[2:])
    assert kernels.algorithm(operation, MMA[name], torch.float32, precision="tf32") == "mma"
    late, eager = (
        kernels.run(operation, MMA[name], *operands, reverse=e, eager=e, precision="tf32") for e in (False, True)
    )
    assert torch.equal(late, eager)
    assert (late.double() - right).abs().max() <= 2e-6 * right.abs().max()


def test_planes_that_do_not_fit_are_read_in_pieces_with_the_same_bits(kernels: EmulatedKernels) -> None:
    """sm_86 has less than half of the shared memory."""
    for channels in ((8, 8), (16, 8), (24, 8)):
        shape = replace(MMA["8_to_8"], channels=channels, size=(2, 5, 18, 5))
        operands = draw("forward", shape, torch.bfloat16)
        assert kernels.algorithm("forward", shape, torch.bfloat16, 86) == "mma"
        whole, pieces = (kernels.run("forward", shape, *operands, architecture=number) for number in (90, 86))
        assert torch.equal(whole, pieces)


@pytest.mark.slow
@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("operation", ["forward", "grad_input"])
@pytest.mark.parametrize("precision", ["fast", "tf32"])
def test_any_number_of_channels_runs_on_tensor_cores(
    kernels: EmulatedKernels, precision: str, operation: str, eager: bool
) -> None:
    dtype = torch.float32 if precision == "tf32" else torch.bfloat16
    shape = replace(MANY_TILES, channels=(64, 40), size=(3, 5, 18, 5))
    operands = draw(operation, shape, dtype)
    assert kernels.algorithm(operation, shape, dtype, precision=precision) == "mma"
    actual = kernels.run(operation, shape, *operands, eager=eager, reverse=eager, precision=precision)
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
    kernels: EmulatedKernels, channels: tuple[int, int], operation: str, reverse: bool, eager: bool
) -> None:
    shape = replace(MANY_TILES, channels=channels)
    operands = draw(operation, shape, torch.bfloat16)
    actual = kernels.run(operation, shape, *operands, reverse=reverse, eager=eager)
    assert_rounded_once(actual, reference(operation, shape, *operands))


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
def test_algorithm(kernels: EmulatedKernels, change: dict[str, Any], algorithms: list[str]) -> None:
    shape = replace(LEVEL_0, **change)
    for dtype in (torch.bfloat16, torch.float16):
        assert [kernels.algorithm(operation, shape, dtype) for operation in OPERATIONS] == algorithms
    assert {kernels.algorithm(operation, shape, torch.float64) for operation in OPERATIONS} == {"plain"}


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
    check_problem_of_table(kernels, name)


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
    status = kernels.status(operation, problem, *[None] * (5 if operation == "forward" else 4))
    assert "do not describe a convolution" in kernels.error(status)


def test_working_memory_is_bounded(kernels: EmulatedKernels) -> None:
    weights = 8 * 8 * 81 * 8
    pieces = kernels.workspace("grad_weight", LEVEL_0, torch.float64) / weights
    assert 1 < pieces == int(pieces) <= 64
    wide = Shape((9, 9, 9, 9), (1024, 1024), batch=64, padding=1)
    one_piece = 1024 * 1024 * 81 * 8  # however many voxels
    assert kernels.workspace("grad_weight", wide, torch.float64) == one_piece


@pytest.mark.parametrize(("architecture", "name"), [(75, "plain"), (80, "mma"), (86, "mma"), (90, "mma")])
def test_tensor_cores_need_code_for_them(kernels: EmulatedKernels, architecture: int, name: str) -> None:
    assert kernels.algorithm("forward", LEVEL_0, torch.bfloat16, architecture) == name


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
}
MUTANTS |= {
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


def _checks_of(file: str) -> Iterator[tuple[str, Shape, torch.dtype]]:
    """What is computed to find a bug in a file."""
    if file.startswith("mma_"):
        for shape in (MANY_TILES, replace(MANY_TILES, channels=(40, 40), size=(3, 5, 18, 5))):
            yield from ((operation, shape, torch.bfloat16) for operation in ("forward", "grad_input"))
        yield "forward", replace(MMA["8_to_8"], channels=(16, 8)), torch.float32
    else:
        for name in ("groups_strided_dilated", "many_channels", "many_voxels", "cube"):
            yield from ((operation, SHAPES[name], torch.float32) for operation in OPERATIONS)
        if file == "add_pieces.h":
            yield "grad_weight", MANY_PIECES, torch.float32


def _catches(kernels: EmulatedKernels, file: str) -> bool:
    for operation, shape, dtype in _checks_of(file):
        operands = draw(operation, shape, dtype)
        is_tf32 = file.startswith("mma_") and dtype == torch.float32
        if is_tf32:
            right = reference(operation, shape, *map(rounded_to_tf32, operands[:2]), *operands[2:])
        else:
            right = reference(operation, shape, *operands)
        for backwards in (False, True):
            options: dict[str, Any] = {"reverse": backwards, "eager": backwards}
            try:
                actual = kernels.run(operation, shape, *operands, precision="tf32" if is_tf32 else "fast", **options)
                (assert_near if dtype == torch.float32 else assert_rounded_once)(actual, right)
            except AssertionError:
                return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bug_is_caught(mutant: str, cuda_library: Path, tmp_path: Path) -> None:
    file = MUTANTS[mutant][0]
    assert _catches(EmulatedKernels(build_with_bug(tmp_path, cuda_library, *MUTANTS[mutant])), file)
