# SPDX-License-Identifier: Apache-2.0
"""The kernels compiled by themselves, once for all tests that call their C interfaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import cuda_kernels
from tests.helpers.cpu_kernels import Kernels, build, build_or_reuse, load


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The CPU kernels; pytest's cache keeps them for later runs, and ``--cache-clear`` compiles them anew."""
    cache = request.config.cache
    folder = tmp_path_factory.mktemp("cpu_kernels")
    return build(folder) if cache is None else build_or_reuse(folder, cache.mkdir("cpu_kernels"))


@pytest.fixture(scope="session")
def kernels(library: Path) -> Kernels:
    """What the machine can do best."""
    return load(library, "avx512")


@pytest.fixture(scope="session")
def cuda_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The CUDA kernels for the emulation."""
    return cuda_kernels.build(tmp_path_factory.mktemp("cuda_kernels"))


@pytest.fixture(scope="session")
def cuda_binding(cuda_library: Path) -> Path:
    """The CUDA binding, with emulated kernels behind it."""
    library = cuda_kernels.build_binding(cuda_library)
    torch.ops.load_library(str(library))
    return library


@pytest.fixture(scope="session")
def operators(cuda_binding: Path) -> Any:
    """The operators of the CUDA binding on tensors of the CPU."""
    return torch.ops.cardiac4d_emulated
