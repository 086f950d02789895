# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels of single layers - one input channel, 1x1x1x1 - against float64, without a GPU.

See ``test_cuda_kernels.py``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.helpers.backends import needs_compiler
from tests.helpers.cpu_kernels import DTYPES, Shape, reference
from tests.helpers.cuda_kernels import EmulatedKernels, draw
from tests.helpers.cuda_layers import HALF, Layer, assert_right, check
from tests.helpers.planted_bugs import AssertCaught, mutants_in

pytestmark = needs_compiler


SMALL = Shape((4, 5, 6, 5), (1, 8), padding=1)
"""An image of less than a tile."""
IMAGES = {
    "image": SMALL,
    "image_to_16": Shape((5, 3, 7, 4), (1, 16), batch=2, padding=(1, 0, 2, 1)),
    "image_one_voxel": Shape((1, 1, 1, 1), (1, 8), padding=1),
}
MANY_TILES = Layer("forward", "mma_image", Shape((12, 11, 35, 6), (1, 8), padding=(1, 0, 2, 1)))
"""More tiles than blocks, cut on every axis, and walks that go round all slots of shared memory."""
POINTWISE = {
    "16_to_8": Shape((3, 4, 2, 5), (16, 8), kernel=1, batch=2),
    "8_to_3": Shape((7, 5, 11, 6), (8, 3), kernel=1),
    "12_to_17": Shape((7, 9, 5, 2), (12, 17), kernel=1),
}
OPERATIONS = ["forward", "grad_input"]
LEVEL_0 = Shape((96, 96, 64, 16), (8, 16), padding=1)
"""As many voxels as the full crop has."""


def test_image_is_the_reference(cuda_kernels: EmulatedKernels) -> None:
    check(cuda_kernels, Layer("forward", "mma_image", SMALL), torch.bfloat16)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise_is_the_reference(
    cuda_kernels: EmulatedKernels, name: str, operation: str, dtype: torch.dtype
) -> None:
    check(cuda_kernels, Layer(operation, "channel_mix", POINTWISE[name]), dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", IMAGES)
def test_ragged_images_in_both_half_types(cuda_kernels: EmulatedKernels, name: str, dtype: torch.dtype) -> None:
    check(cuda_kernels, Layer("forward", "mma_image", IMAGES[name]), dtype)


@pytest.mark.slow
def test_many_tiles_in_any_order(cuda_kernels: EmulatedKernels) -> None:
    check(cuda_kernels, MANY_TILES, torch.bfloat16)


def test_without_bias_and_in_an_empty_batch(cuda_kernels: EmulatedKernels) -> None:
    x, weight, _ = draw("forward", SMALL, torch.bfloat16)
    assert_right(cuda_kernels.run("forward", SMALL, x, weight, None), reference("forward", SMALL, x, weight, None))
    assert cuda_kernels.run("forward", replace(SMALL, batch=0), x[:0], weight, None).numel() == 0


@pytest.mark.parametrize(
    ("change", "algorithms"),
    [
        ({"channels": (1, 8)}, ["mma_image", "plain"]),
        ({"channels": (1, 5)}, ["plain", "plain"]),
        ({"channels": (1, 8), "size": (2048, 2048, 128, 4)}, ["plain", "plain"]),
        ({"kernel": 1, "padding": 0}, ["channel_mix", "channel_mix"]),
        ({"kernel": 1, "padding": 0, "groups": 2}, ["plain", "plain"]),
        ({"kernel": 1, "padding": 0, "stride": 2}, ["plain", "plain"]),
        ({"kernel": 1}, ["plain", "plain"]),
        ({"kernel": 1, "padding": 0, "channels": (2048, 1024)}, ["plain", "plain"]),
    ],
)
def test_algorithm(cuda_kernels: EmulatedKernels, change: dict[str, Any], algorithms: list[str]) -> None:
    shape = replace(LEVEL_0, **change)
    for dtype in HALF:
        assert [cuda_kernels.algorithm(operation, shape, dtype) for operation in OPERATIONS] == algorithms
    if algorithms[0] != "channel_mix":
        assert cuda_kernels.algorithm("forward", shape, torch.float64) == "plain"


@pytest.mark.parametrize(("architecture", "image"), [(75, "plain"), (80, "mma_image"), (86, "mma_image")])
def test_tensor_cores_need_code_for_them(cuda_kernels: EmulatedKernels, architecture: int, image: str) -> None:
    network = replace(LEVEL_0, channels=(1, 8))
    assert cuda_kernels.algorithm("forward", network, torch.bfloat16, architecture) == image
    for operation in OPERATIONS:
        mixed = cuda_kernels.algorithm(operation, POINTWISE["8_to_3"], torch.bfloat16, architecture)
        assert mixed == "channel_mix"


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


def check_problem(kernels: EmulatedKernels, problem: str) -> None:
    layers = [MANY_TILES]
    if problem in POINTWISE:
        layers = [Layer(operation, "channel_mix", POINTWISE[problem]) for operation in OPERATIONS]
    for layer in layers:
        check(kernels, layer, torch.bfloat16)


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "file", "mutant"), mutants_in(MUTANTS))
def test_planted_bug_is_caught(problem: str, file: str, mutant: str, assert_caught: AssertCaught) -> None:
    bug = file, *MUTANTS[problem, file][mutant]
    assert_caught(bug, lambda library: check_problem(EmulatedKernels(library), problem))
