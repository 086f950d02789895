# SPDX-License-Identifier: Apache-2.0
"""What every test shares: a clean process state before and after, no network, and the CUDA rule."""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

collect_ignore = ["helpers/gpu_jobs.py"]
"""Imports what lies in scripts/, which only the tests of scripts put on the path."""
MAX_THREADS = 2
"""More threads than this make small tensors slower, and two cores are what CI has."""


def pytest_configure() -> None:
    torch.set_num_threads(min(MAX_THREADS, torch.get_num_threads()))
    os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip ``needs_cuda`` tests without a CUDA device, unless FAIL_WITHOUT_CUDA=1 says that there must be one."""
    if item.get_closest_marker("needs_cuda") is None or torch.cuda.is_available():
        return
    if os.environ.get("FAIL_WITHOUT_CUDA") == "1":
        pytest.fail("FAIL_WITHOUT_CUDA=1, but torch finds no CUDA device", pytrace=False)
    pytest.skip("needs a CUDA device")


@pytest.fixture(autouse=True)
def _restore_process_state() -> Iterator[None]:
    """Give every test the same random state, and undo what MONAI configs change: RNGs, ``sys.path``, determinism."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - MONAI uses the global one
    flags = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    deterministic, path = torch.are_deterministic_algorithms_enabled(), list(sys.path)
    _seed_all(0)
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    torch.set_rng_state(states[2])
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = flags
    if torch.are_deterministic_algorithms_enabled() != deterministic:  # the call alone imports torch's compiler
        torch.use_deterministic_algorithms(deterministic)
    sys.path[:] = path


def _seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that reaches for another machine; local sockets (data-loader workers, gloo) stay open."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in {"localhost", "127.0.0.1", "::1"}:
            pytest.fail(f"a test tried to connect to {host}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def repo_root() -> Path:
    """The bundle root: the folder that holds ``configs/``, ``bundle/`` and ``pyproject.toml``."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator, the same for every test."""
    return np.random.default_rng(0)
