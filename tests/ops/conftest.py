# SPDX-License-Identifier: Apache-2.0
"""The kernels compiled by themselves, once for all tests that call their C interfaces."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cardiac4d.ops import fusion, layout, use_backend
from tests.helpers import cpu_kernels
from tests.helpers.cuda_kernels import OPERATORS, EmulatedKernels, build, build_binding, build_with_bug
from tests.helpers.planted_bugs import AssertCaught, Bug


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The CPU kernels; pytest's cache keeps them for later runs, and ``--cache-clear`` compiles them anew."""
    cache = getattr(request.config, "cache", None)
    folder = tmp_path_factory.mktemp("cpu_kernels")
    if cache is None:
        return cpu_kernels.build(folder)
    return cpu_kernels.build_or_reuse(folder, cache.mkdir("cpu_kernels"))


@pytest.fixture(scope="session")
def kernels(library: Path) -> cpu_kernels.Kernels:
    """What the machine can do best."""
    return cpu_kernels.load(library, "avx512")


@pytest.fixture(scope="session")
def cuda_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CUDA kernels for the emulation."""
    return build(tmp_path_factory.mktemp("cuda_kernels"))


@pytest.fixture(scope="session")
def cuda_kernels(cuda_library: Path) -> EmulatedKernels:
    """The kernels in it that compute a convolution."""
    return EmulatedKernels(cuda_library)


@pytest.fixture
def assert_caught(cuda_library: Path, tmp_path: Path) -> AssertCaught:
    """Plants a bug, and fails where a check of the library does not find it."""

    def plant(bug: Bug, check: Callable[[Path], object]) -> None:
        library = build_with_bug(tmp_path, cuda_library, *bug)
        with pytest.raises(AssertionError):
            check(library)

    return plant


@pytest.fixture(scope="session")
def cuda_binding(cuda_library: Path) -> Path:
    """The CUDA binding, with emulated kernels behind it."""
    library = build_binding(cuda_library)
    torch.ops.load_library(str(library))
    return library


@pytest.fixture(scope="session")
def operators(cuda_binding: Path) -> Any:
    """The operators of the CUDA binding on tensors of the CPU."""
    return torch.ops.cardiac4d_emulated


@pytest.fixture
def as_on_cuda(operators: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the emulated kernels in the place of the CPU's, and give them tensors as CUDA's want them."""
    for module in (layout, fusion):
        monkeypatch.setattr(module, "kernels_want_frames", lambda x: True)
    with torch.library._scoped_library("cardiac4d", "IMPL") as library, use_backend("native", fused=True):
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of kernels that are overridden
            for name in OPERATORS:
                library.impl(name, getattr(operators, name).default, "CPU", allow_override=True)
        yield
