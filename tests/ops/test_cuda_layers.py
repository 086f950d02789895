# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels of single layers - one input channel, 1x1x1x1 - against float64, without a GPU.

See ``test_cuda_kernels.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.backends import needs_compiler
from tests.helpers.cpu_kernels import DTYPES, Shape, reference
from tests.helpers.cuda_kernels import EmulatedKernels, build_with_bug, draw
from tests.helpers.cuda_layers import HALF, Layer, assert_right, check

pytestmark = needs_compiler


SMALL = {
    "image": Layer("forward", "mma_image", Shape((4, 5, 6, 5), (1, 8), padding=1)),
}
"""One problem for each kernel on tensor cores, of less than a tile."""
RAGGED = {
    "image_to_16": Layer("forward", "mma_image", Shape((5, 3, 7, 4), (1, 16), batch=2, padding=(1, 0, 2, 1))),
    "image_one_voxel": Layer("forward", "mma_image", Shape((1, 1, 1, 1), (1, 8), padding=1)),
}
MANY_TILES = {
    "image": Layer("forward", "mma_image", Shape((12, 11, 35, 6), (1, 8), padding=(1, 0, 2, 1))),
}
"""More tiles than blocks, cut on every axis, and walks that go round all slots of shared memory."""
POINTWISE = {
    "16_to_8": Shape((3, 4, 2, 5), (16, 8), kernel=1, batch=2),
    "8_to_3": Shape((7, 5, 11, 6), (8, 3), kernel=1),
    "12_to_17": Shape((7, 9, 5, 2), (12, 17), kernel=1),
}
NETWORK = Shape((96, 96, 64, 16), (8, 16), padding=1, stride=2)
"""The first layer of stride 2 at the full crop."""


@pytest.fixture(scope="module")
def kernels(cuda_library: Path) -> EmulatedKernels:
    return EmulatedKernels(cuda_library)


@pytest.mark.parametrize("name", SMALL)
def test_layer_is_the_reference(kernels: EmulatedKernels, name: str) -> None:
    check(kernels, SMALL[name], torch.bfloat16)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", ["forward", "grad_input"])
@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise_is_the_reference(kernels: EmulatedKernels, name: str, operation: str, dtype: torch.dtype) -> None:
    check(kernels, Layer(operation, "channel_mix", POINTWISE[name]), dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", [*SMALL, *RAGGED])
def test_ragged_layers_in_both_half_types(kernels: EmulatedKernels, name: str, dtype: torch.dtype) -> None:
    check(kernels, (SMALL | RAGGED)[name], dtype)


@pytest.mark.slow
@pytest.mark.parametrize("name", MANY_TILES)
def test_many_tiles_in_any_order(kernels: EmulatedKernels, name: str) -> None:
    check(kernels, MANY_TILES[name], torch.bfloat16)


@pytest.mark.parametrize("name", SMALL)
def test_without_bias_and_in_an_empty_batch(kernels: EmulatedKernels, name: str) -> None:
    operation, _, shape = SMALL[name]
    operands = draw(operation, shape, torch.bfloat16)
    if operation == "forward":
        operands[2] = None
        assert_right(kernels.run(operation, shape, *operands), reference(operation, shape, *operands))
    nothing = replace(shape, batch=0)
    assert kernels.run(operation, nothing, operands[0][:0], *operands[1:]).numel() == 0


@pytest.mark.parametrize(
    ("change", "algorithms"),
    [
        ({}, ["mma_strided", "mma_strided"]),
        ({"channels": (8, 3)}, ["plain", "plain"]),
        ({"padding": 3}, ["plain", "plain"]),
        ({"dilation": 2}, ["plain", "plain"]),
        ({"stride": (2, 2, 2, 1)}, ["plain", "plain"]),
        ({"channels": (1, 8)}, ["plain", "plain"]),
        ({"channels": (1, 8), "stride": 1}, ["mma_image", "plain"]),
        ({"channels": (1, 5), "stride": 1}, ["plain", "plain"]),
        ({"channels": (1, 8), "stride": 1, "size": (2048, 2048, 128, 4)}, ["plain", "plain"]),
        ({"kernel": 1, "padding": 0, "stride": 1}, ["channel_mix", "channel_mix"]),
        ({"kernel": 1, "padding": 0, "stride": 1, "groups": 2}, ["plain", "plain"]),
        ({"kernel": 1, "padding": 0}, ["plain", "plain"]),
        ({"kernel": 1, "stride": 1}, ["plain", "plain"]),
        ({"kernel": 1, "padding": 0, "stride": 1, "channels": (2048, 1024)}, ["plain", "plain"]),
    ],
)
def test_algorithm(kernels: EmulatedKernels, change: dict[str, Any], algorithms: list[str]) -> None:
    shape = replace(NETWORK, **change)
    for dtype in HALF:
        assert [kernels.algorithm(operation, shape, dtype) for operation in ("forward", "grad_input")] == algorithms
    if algorithms[0] != "channel_mix":
        assert kernels.algorithm("forward", shape, torch.float64) == "plain"


@pytest.mark.parametrize(("architecture", "strided"), [(75, "plain"), (80, "mma_strided"), (86, "mma_strided")])
def test_tensor_cores_need_code_for_them_and_shared_memory(
    kernels: EmulatedKernels, architecture: int, strided: str
) -> None:
    image, pointwise = replace(NETWORK, channels=(1, 8), stride=1), replace(POINTWISE["8_to_3"])
    for operation in ("forward", "grad_input"):
        assert kernels.algorithm(operation, NETWORK, torch.bfloat16, architecture) == strided
        assert kernels.algorithm(operation, pointwise, torch.bfloat16, architecture) == "channel_mix"
    assert kernels.algorithm("forward", image, torch.bfloat16, architecture) == strided.replace("strided", "image")


MUTANTS = {
    ("image", "mma_image.cu"): {
        "no barrier behind the copies": ("__syncthreads();  // now the planes", "// now the planes"),
        "no barrier before the next job": ("__syncthreads();  // before the next job overwrites the planes", "//"),
        "slots that do not go round": ("(step + row.kh) % kSlots", "row.kh"),
        "the last plane left out": ("has_next = step + 1 < steps", "has_next = step + 2 < steps"),
        "a plane twice": ("words, step + 3, fetched", "words, step + 2, fetched"),
        "the first voxel of the pair twice": ("place - column / 4;", "place;"),
        "a row of the input twice": ("row.is_repeated || ", ""),
        "a row too many": ("w - 2 >= rows_inside", "w - 2 > rows_inside"),
        "a voxel too many": ("half * kTileD / 2 >= room", "half * kTileD / 2 > room"),
        "one bias for two pairs": ("first[i / 4 * 2 + i % 2]", "first[i % 2]"),
        "channels that are not dealt out": (
            "column / 2 % 2 * 4 + part * 2 +",
            "column / 2 % 2 * 2 + part * 4 +",
        ),
    },
    ("image", "mma_image_planes.h"): {
        "a slot too few": ("kSlots = 4,", "kSlots = 3,"),
        "a plane behind the input": ("h < work.from[kH]", "h <= work.from[kH]"),
        "a voxel before the row": ("d + 1 >= 0 &&", ""),
        "a voxel behind the row": ("d + 1 < from[kD]", "d + 1 <= from[kD]"),
    },
    ("8_to_3", "channel_mix.cu"): {
        "no barrier behind the matrix": ("__syncthreads();  // now the matrix", "// now the matrix"),
        "no barrier behind the results": ("__syncthreads();  // now the results", "// now the results"),
        "no barrier before the next job": ("__syncthreads();  // before the next job", "//"),
        "more results than voxels": ("(rest < kVoxelsOfJob ? rest", "(rest < 0 ? rest"),
        "the last few results left out": ("i < count; i += kThreads) to[i]", "i < 0; i += kThreads) to[i]"),
        "a channel too many": ("if (first + t < work.targets) results", "results"),
        "a voxel too many": ("if (voxel < work.voxels) store_vectors", "store_vectors"),
        "the matrix as it is": ("is_gradient ? p.in_channels : 1;", "is_gradient ? 1 : p.in_channels;"),
        "jobs of one round alone": ("job += gridDim.x", "job += work.jobs()"),
    },
    ("12_to_17", "channel_mix.cu"): {
        "the first channels again": ("(first + i) * Work::kTargets", "i * Work::kTargets"),
        "the matrix of the first part for all": ("part * work.sources * Work::kTargets", "0"),
    },
}
"""Planted bugs by the problem that must find them and the file: what stands there, what shall stand there."""


def _catches(kernels: EmulatedKernels, problem: str) -> bool:
    layers = [MANY_TILES[problem]] if problem in MANY_TILES else []
    if problem in POINTWISE:
        layers = [Layer(operation, "channel_mix", POINTWISE[problem]) for operation in ("forward", "grad_input")]
    for layer in layers:
        try:
            check(kernels, layer, torch.bfloat16)
        except AssertionError:
            return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "file", "mutant"), [(*where, mutant) for where, mutants in MUTANTS.items() for mutant in mutants]
)
def test_planted_bug_is_caught(problem: str, file: str, mutant: str, cuda_library: Path, tmp_path: Path) -> None:
    library = build_with_bug(tmp_path, cuda_library, file, *MUTANTS[problem, file][mutant])
    assert _catches(EmulatedKernels(library), problem)
