# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels of the layer that reads an image: float32, and the sums that the next norm needs. Without a GPU.

See ``test_cuda_kernels.py``; what the kernel for half types computes is tested in ``test_cuda_layers.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from tests.helpers.backends import needs_compiler
from tests.helpers.comparison import check, sums_of
from tests.helpers.cpu_kernels import Shape, reference
from tests.helpers.cuda_kernels import EmulatedKernels, draw, emulation_of
from tests.helpers.fused_cuda_kernels import EmulatedFusedKernels
from tests.helpers.planted_bugs import AssertCaught
from tests.helpers.tolerances import assert_near

pytestmark = needs_compiler

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
SMALL = Shape((3, 4, 5, 3), (1, 8), batch=2, padding=1)
SHAPES = {
    "small": SMALL,
    "to_16": Shape((5, 3, 7, 4), (1, 16), batch=2, padding=(1, 0, 2, 1)),
    "one_voxel": Shape((1, 1, 1, 1), (1, 8), padding=1),
    "many_tiles": Shape((12, 19, 35, 6), (1, 8), padding=(1, 0, 2, 1)),
    "many_groups": Shape((9, 18, 19, 5), (1, 24), batch=2, padding=(0, 1, 1, 2)),
}
"""Ragged problems; the last two have more tiles than blocks, cut on every axis, and walks round all planes."""
LEVEL_0 = Shape((96, 96, 64, 16), (1, 8), padding=1)
"""The first layer of the network at the full crop."""


class Kernels(NamedTuple):
    library: Path
    single: EmulatedKernels
    fused: EmulatedFusedKernels


def load(library: Path) -> Kernels:
    return Kernels(library, EmulatedKernels(library), EmulatedFusedKernels(library))


@pytest.fixture(scope="module")
def kernels(cuda_library: Path) -> Kernels:
    return load(cuda_library)


def with_sums(kernels: Kernels, shape: Shape, operands: list[Tensor | None], *, reverse: bool) -> tuple[Tensor, Tensor]:
    with emulation_of(kernels.library, reverse=reverse, eager=reverse):
        return kernels.fused.conv4d_sums(shape, *operands)


def check_layer(kernels: Kernels, shape: Shape, dtype: torch.dtype) -> None:
    """The layer alone, and with its sums; threads in either order."""
    operands = draw("forward", shape, dtype)
    alone = kernels.single.run("forward", shape, *operands)
    if dtype == torch.float32:
        assert_near(alone, reference("forward", shape, *operands))
        assert torch.equal(alone, kernels.single.run("forward", shape, *operands, reverse=True))
    (y, sums), (y_back, sums_back) = (with_sums(kernels, shape, operands, reverse=r) for r in (False, True))
    assert torch.equal(y, alone)
    assert torch.equal(y_back, alone)
    assert torch.equal(sums, sums_back)
    check(sums, sums_of(y), 1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layer_and_its_sums(kernels: Kernels, dtype: torch.dtype) -> None:
    check_layer(kernels, SMALL, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SHAPES)
def test_ragged_layers_and_their_sums(kernels: Kernels, name: str, dtype: torch.dtype) -> None:
    check_layer(kernels, SHAPES[name], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_bias_and_in_an_empty_batch(kernels: Kernels, dtype: torch.dtype) -> None:
    x, weight, _ = draw("forward", SMALL, dtype)
    y, sums = with_sums(kernels, SMALL, [x, weight, None], reverse=False)
    right = reference("forward", SMALL, x, weight, None)
    check(y, right, 4 * torch.finfo(dtype).eps)
    check(sums, sums_of(y), 1e-6)
    y, sums = with_sums(kernels, replace(SMALL, batch=0), [x[:0], weight, None], reverse=False)
    assert y.numel() == sums.numel() == 0


@pytest.mark.parametrize("precision", ["exact", "direct", "fast", "tf32"])
def test_float32_is_never_rounded(kernels: Kernels, precision: str) -> None:
    x, weight, bias = draw("forward", SMALL, torch.float32)
    for architecture in (75, 90):
        assert kernels.single.algorithm("forward", LEVEL_0, torch.float32, architecture, precision) == "tiled_image"
    y = kernels.single.run("forward", SMALL, x, weight, bias, architecture=75, precision=precision)
    assert_near(y, reference("forward", SMALL, x, weight, bias))


def test_what_is_left_to_the_plain_path(kernels: Kernels) -> None:
    for change in ({"channels": (1, 4)}, {"channels": (2, 8)}, {"padding": 3}, {"stride": 2}, {"kernel": 5}):
        assert kernels.single.algorithm("forward", replace(LEVEL_0, **change), torch.float32) == "plain"
    assert kernels.single.algorithm("grad_input", LEVEL_0, torch.float32) == "plain"
    assert kernels.single.algorithm("forward", LEVEL_0, torch.float64) == "plain"


def test_a_voxel_without_a_number_reaches_no_further_than_its_taps(kernels: Kernels) -> None:
    shape = Shape((1, 1, 9, 1), (1, 8), padding=1)
    x, weight, bias = draw("forward", shape, torch.float32)
    x[..., 4, :] = torch.inf
    reached = ~kernels.single.run("forward", shape, x, weight, bias).isfinite()[0, 0, 0, 0, :, 0]
    assert reached.nonzero().flatten().tolist() == [3, 4, 5]


TILED, SUMS = "tiled_image.cu", "image_sums.h"
MUTANTS = {
    "no barrier behind the copies": (TILED, "__syncthreads();  // now the planes", "// now the planes"),
    "no barrier before the next job": (TILED, "__syncthreads();  // before the next job overwrites the planes", "//"),
    "no barrier before the next job's sums": (
        TILED,
        "__syncthreads();  // before the next job overwrites the sums",
        "",
    ),
    "a slot too few": (TILED, "kSlots = 4,", "kSlots = 3,"),
    "slots that do not go round": (TILED, "(step + i / 9) % kSlots", "i / 9"),
    "the first plane for all": (TILED, "(step + i / 9) % kSlots", "step % kSlots"),
    "the last plane left out": (TILED, "if (step + 1 < steps)", "if (step + 2 < steps)"),
    "a plane behind the input": (TILED, "is_on(h, from[kH])", "h >= 0 && h <= from[kH]"),
    "a row behind the input": (TILED, "is_on(w, from[kW])", "w >= 0 && w <= from[kW]"),
    "a voxel before the row": (TILED, "is_on(d, from[kD])", "d < from[kD]"),
    "a voxel behind the row": (TILED, "is_on(d, from[kD])", "d >= 0 && d <= from[kD]"),
    "a frame behind the input": (TILED, "is_on(t + j, from[kT])", "t + j >= 0 && t + j <= from[kT]"),
    "the last rows left out": (TILED, "i < kSpanW; i +=", "i < kTileW; i +="),
    "threads that copy nothing": (TILED, "if (first >= kRowsAtOnce) return;", "if (first + 1 >= kRowsAtOnce) return;"),
    "taps in another order": (TILED, "* 3 + kd) * 3 + kt]", "* 3 + kt) * 3 + kd]"),
    "the first weights for all": (TILED, "int64_t(group) * kBlock + i", "int64_t(group * 0) * kBlock + i"),
    "the first tap for all": (TILED, "voxels[i / kQuad + tap]", "voxels[i / kQuad]"),
    "the first channels twice": (TILED, "taps = planes + kSlots * kPlane + quad", "taps = planes + kSlots * kPlane"),
    "one bias for four": (TILED, "work.bias[channel + i % kQuad]", "work.bias[channel]"),
    "a row too many": (TILED, "|| w >= size[kW]", "|| w > size[kW]"),
    "a voxel too many": (TILED, "tile.d + i >= size[kD]", "tile.d + i > size[kD]"),
    "a frame left out": (TILED, "if (t >= size[kT] ||", "if (t + 1 >= size[kT] ||"),
    "one piece for all": (TILED, "work.pieces + job * kSumsOfBlock", "work.pieces"),
    "sums that grow from job to job": (
        TILED,
        "    Totals totals = {};\n    walk",
        "    static Totals totals = {};\n    walk",
    ),
    "sums of what is not stored": (SUMS, "rounded<Storage>(quad[i])", "quad[i]"),
    "totals that nobody waits for": (SUMS, "__syncthreads();  // now the totals", "// now the totals"),
    "parts that nobody waits for": (SUMS, "__syncthreads();  // now the parts", "// now the parts"),
    "half of the totals": (SUMS, "i < kThreads / 2; i +=", "i < kThreads / 4; i +="),
    "a part left out": (SUMS, "for (int i = 0; i < kParts; ++i)", "for (int i = 1; i < kParts; ++i)"),
    "channels of the neighbour": (SUMS, "kThreads + channel / kQuad", "kThreads + 1 - channel / kQuad"),
    "squares in the place of sums": (SUMS, "(square * kQuad + channel", "((1 - square) * kQuad + channel"),
    "sums on tensor cores that the next job overwrites": (
        "mma_image.cu",
        "__syncthreads();  // before the next job overwrites the sums",
        "",
    ),
    "one piece for all on tensor cores": ("mma_image.cu", "work.pieces + job * kSumsOfBlock", "work.pieces"),
}
"""Planted bugs: file, what stands there, what shall stand there."""


def check_large(library: Path, dtype: torch.dtype) -> None:
    for name in ("many_tiles", "many_groups"):
        check_layer(load(library), SHAPES[name], dtype)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bug_is_caught(mutant: str, assert_caught: AssertCaught) -> None:
    dtype = torch.float32 if MUTANTS[mutant][0] == TILED else torch.bfloat16
    assert_caught(MUTANTS[mutant], lambda library: check_large(library, dtype))
