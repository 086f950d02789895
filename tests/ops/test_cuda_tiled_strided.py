# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels of stride 2 for float32 that stays float32, against float64, without a GPU.

See ``test_cuda_kernels.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.backends import needs_compiler
from tests.helpers.cpu_kernels import Shape
from tests.helpers.cuda_kernels import EmulatedKernels
from tests.helpers.cuda_strided import NETWORK, OPERATIONS, SMALL, UNEQUAL, Case, check_case
from tests.helpers.planted_bugs import AssertCaught, mutants_in

pytestmark = needs_compiler

LARGE = {
    "forward": Case("forward", Shape((9, 7, 33, 9), (16, 24), **UNEQUAL), "exact"),
    "gradient": Case("grad_input", Shape((23, 5, 32, 6), (16, 8), **UNEQUAL), "exact"),
    "gradient_in_parts": Case("grad_input", Shape((9, 5, 33, 5), (8, 40), **UNEQUAL), "exact"),
    "many_channels": Case("forward", Shape((3, 3, 5, 3), (40, 24), batch=2, padding=2, stride=2), "exact", 86),
    "one_voxel": Case("forward", Shape((1, 1, 1, 1), (8, 8), padding=1, stride=2), "exact"),
    "gradient_of_one_voxel": Case("grad_input", Shape((1, 1, 1, 1), (8, 8), padding=1, stride=2), "exact"),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_tile_is_the_reference(cuda_library: Path, operation: str) -> None:
    check_case(cuda_library, Case(operation, SMALL, "exact"))


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_many_tiles_are_the_reference(cuda_library: Path, name: str) -> None:
    check_case(cuda_library, LARGE[name])


@pytest.mark.parametrize("precision", ["fast", "exact", "direct"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_float32_stays_float32_unless_torch_allows_tf32(cuda_library: Path, operation: str, precision: str) -> None:
    kernels = EmulatedKernels(cuda_library)
    for architecture, name in ((75, "plain"), (80, "tiled_strided"), (86, "tiled_strided")):
        assert kernels.algorithm(operation, NETWORK, torch.float32, architecture, precision) == name
    odd = replace(NETWORK, channels=(8, 12))
    assert kernels.algorithm(operation, odd, torch.float32, precision=precision) == "plain"
    assert kernels.algorithm(operation, NETWORK, torch.float64, precision="tf32") == "plain"


MUTANTS = {
    ("forward", "tiled_strided.cu"): {
        "operands that are rounded": ("kIsTf32 = false;", "kIsTf32 = true;"),
        "the first tap twice": ("i / kOut * 2 + tap][c]", "i / kOut * 2][c]"),
        "rows beside each other": ("2 * run.w + i / 3;", "run.w + i / 3;"),
        "a row too many": ("w >= size[kW] ||", "w > size[kW] ||"),
        "a voxel behind the row": ("if (d + i < size[kD])", "if (d + i <= size[kD])"),
        "channels behind the last": (" || run.out * kOut >= work.out_channels) return;", ") return;"),
        "the last few channels left out": ("(p.out_channels + kOfJob - 1) / kOfJob", "p.out_channels / kOfJob"),
        "the weights of one block for all": ("+ turn % in_blocks;", "+ 0;"),
        "one bias for all": ("work.bias[run.out * kOut + i % kOut]", "work.bias[i % kOut]"),
    },
    ("gradient", "tiled_strided_gradient.cu"): {
        "no barrier before the next job": ("__syncthreads();  // before the next job", "//"),
        "operands that are rounded": ("kIsTf32 = false;", "kIsTf32 = true;"),
        "taps that are not flipped": ("kTaps - tap_of(voxel", "kTaps - 2 * kTapsOfPlane + tap_of(voxel"),
        "the first voxel twice": ("load_vectors(row + 1, from[1])", "load_vectors(row, from[1])"),
        "a row too many": ("w >= size[kW] ||", "w > size[kW] ||"),
        "a voxel behind the row": ("d >= size[kD]) continue", "d > size[kD]) continue"),
        "the first channels for all": ("work.to_channels + tile.group * kOut", "work.to_channels"),
        "planes behind the target": ("h >= size[kH]) return", "h > size[kH]) return"),
    },
    ("gradient_in_parts", "tiled_strided_gradient.cu"): {
        "the weights of the first part for all": ("stage.part * int64_t(kMost", "0 * int64_t(kMost"),
    },
}
"""Planted bugs by the problem that must find them and the file: what stands there, what shall stand there."""


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "file", "mutant"), mutants_in(MUTANTS))
def test_planted_bug_is_caught(problem: str, file: str, mutant: str, assert_caught: AssertCaught) -> None:
    bug = file, *MUTANTS[problem, file][mutant]
    assert_caught(bug, lambda library: check_case(library, LARGE[problem]))
