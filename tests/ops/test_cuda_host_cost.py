# SPDX-License-Identifier: Apache-2.0
"""How often the CUDA kernels ask the driver about themselves, in the emulation: every question costs the host time."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.backends import needs_compiler
from tests.helpers.cpu_kernels import OPERATIONS, Shape
from tests.helpers.cuda_kernels import EmulatedKernels, build_with_bug, draw

pytestmark = needs_compiler

SMALL = Shape((1, 2, 3, 2), (8, 8), padding=1)
QUESTIONS = 3
"""About one kernel on one device: its code, the device's shared memory, and to be allowed that."""


@pytest.fixture
def library(cuda_library: Path) -> Iterator[Any]:
    functions = ctypes.CDLL(str(cuda_library))
    functions.c4d_emulation_questions.restype = ctypes.c_int64
    yield functions
    functions.c4d_emulation_fail_questions(0)


def questions(library: Any, run: Callable[[], object]) -> int:
    before = library.c4d_emulation_questions()
    run()
    return library.c4d_emulation_questions() - before


@pytest.mark.parametrize("operation", OPERATIONS)
def test_second_call_asks_the_driver_nothing(cuda_library: Path, library: Any, operation: str) -> None:
    kernels = EmulatedKernels(cuda_library)
    operands = draw(operation, SMALL, torch.bfloat16)
    first, second = (kernels.run(operation, SMALL, *operands) for _ in range(2))
    assert torch.equal(first, second)
    assert questions(library, lambda: kernels.run(operation, SMALL, *operands)) == 0


def choices(kernels: EmulatedKernels, architecture: int) -> list[bool]:
    """Whether tensor cores serve on a device: a forward pass, and a weight gradient that needs 109 KiB of memory."""
    strided = Shape((4, 4, 4, 4), (8, 8), padding=1, stride=2)
    forward = kernels.algorithm("forward", SMALL, torch.bfloat16, architecture)
    return [
        name == "mma"
        for name in (forward, kernels.algorithm("grad_weight", strided, torch.float32, architecture, "tf32"))
    ]


RIGHT = {75: [False, False], 80: [True, True], 86: [True, False], 90: [True, True]}


def test_every_device_answers_for_itself(cuda_library: Path, library: Any) -> None:
    kernels = EmulatedKernels(cuda_library)
    for _ in range(2):
        assert {number: choices(kernels, number) for number in RIGHT} == RIGHT
    assert questions(library, lambda: [choices(kernels, number) for number in RIGHT]) == 0


def test_many_threads_may_ask_at_once(cuda_library: Path, library: Any) -> None:
    """The first calls for a device come from all of them; each kernel is asked about once."""
    kernels = EmulatedKernels(cuda_library)
    library.c4d_emulation_architecture(103)  # no other test has it
    problem = SMALL.to_c(torch.bfloat16, "fast")

    def choose(_: int) -> str:
        return kernels._library.c4d_cuda_algorithm(ctypes.byref(problem), OPERATIONS["forward"]).decode()

    def all_at_once() -> None:
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(choose, range(200))) == {"mma"}

    try:
        assert questions(library, all_at_once) in (QUESTIONS, 2 * QUESTIONS)  # of one tile, or of two
        assert questions(library, all_at_once) == 0
    finally:
        library.c4d_emulation_architecture(90)


def test_question_that_fails_is_asked_again(cuda_library: Path, library: Any) -> None:
    kernels = EmulatedKernels(cuda_library)
    library.c4d_emulation_fail_questions(1)
    for _ in range(2):
        assert kernels.algorithm("forward", SMALL, torch.bfloat16, 101) == "plain"
    library.c4d_emulation_fail_questions(0)
    assert kernels.algorithm("forward", SMALL, torch.bfloat16, 101) == "mma"


MUTANTS = {
    "one answer for all devices": (
        "kernel_on_device.cu",
        "known.find({kernel, device})",
        "known.lower_bound({kernel, 0})",
    ),
    "memory that is not asked for": (
        "kernel_on_device.cu",
        "  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);",
        "  return cudaSuccess;",
    ),
    "an answer that is not kept": (
        "kernel_on_device.cu",
        "if (status == cudaSuccess) known.emplace",
        "if (status != cudaSuccess) known.emplace",
    ),
    "code that is too old": ("tensor_cores.h", "there.code >= 80", "there.code >= 70"),
    "memory that is not there": ("tensor_cores.h", "shared_bytes <= there.shared_bytes", "shared_bytes >= 0"),
}
"""Planted bugs: file, what stands there, what shall stand there."""


def _catches(library: Path) -> bool:
    kernels, functions = EmulatedKernels(library), ctypes.CDLL(str(library))
    functions.c4d_emulation_questions.restype = ctypes.c_int64
    if any({number: choices(kernels, number) for number in RIGHT} != RIGHT for _ in range(2)):
        return True
    try:
        kernels.run("forward", SMALL, *draw("forward", SMALL, torch.bfloat16))
    except AssertionError:
        return True
    return questions(functions, lambda: choices(kernels, 90)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bug_is_caught(mutant: str, cuda_library: Path, tmp_path: Path) -> None:
    assert _catches(build_with_bug(tmp_path, cuda_library, *MUTANTS[mutant]))


@pytest.mark.slow
def test_right_kernels_raise_no_alarm(cuda_library: Path) -> None:
    assert not _catches(cuda_library)
