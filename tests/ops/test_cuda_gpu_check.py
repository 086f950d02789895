# SPDX-License-Identifier: Apache-2.0
"""The checks that ``scripts/gpu_check.py`` runs on a GPU, on the emulated kernels: their limits must let these pass."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from cardiac4d.ops import functional, fused, gradients, use_backend
from cardiac4d.ops.backend import precision_code
from tests.helpers.backends import needs_compiler, needs_native

pytestmark = [
    needs_compiler,
    needs_native,
    pytest.mark.slow,
    pytest.mark.usefixtures("as_on_cuda", "_precision_as_on_cuda"),
]


@pytest.fixture
def _precision_as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch's flags choose TF32 for tensors of the CPU."""

    def code(like: Tensor) -> int:
        return precision_code(SimpleNamespace(device=torch.device("cuda"), dtype=like.dtype))  # type: ignore[arg-type]

    for module in (functional, fused, gradients):
        monkeypatch.setattr(module, "precision_code", code)


@pytest.fixture
def part(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a module of the benchmarks by the end of its name."""
    monkeypatch.syspath_prepend(str(repo_root / "scripts"))
    return lambda name: importlib.import_module(f"conv4d_benchmark.gpu_{name}")


@pytest.mark.parametrize("size", ["LARGE", "SMALL"])
def test_fused_layers_pass_in_every_dtype(part: Any, monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    layers = part("fused")
    problems = getattr(layers, size)
    if size == "LARGE":
        problems = replace(problems, blocks=(((2, 8, 3, 5, 9, 3), 8), layers.BLOCKS[-1]))
    monkeypatch.setattr(layers, "lay_out", lambda x, device: layers.lay_between_nan(x, "frames"))
    monkeypatch.setattr(layers, "precisions_of", lambda device: tuple(layers.LIMITS))
    found = layers.check_fused("cpu", problems).partition(": ")[2].split(", ")
    assert [error.split()[0] for error in found] == ["float32", "tf32", "float16", "bfloat16"]
    errors = [float(error.split()[1]) for error in found]
    assert errors[0] < 1e-2 * errors[1]  # TF32 is what was computed


class _Small(random.Random):
    """Draws the smallest extents, for an emulation is slow."""

    def randint(self, a: int, b: int) -> int:
        return super().randint(a, min(a + 2, b))


@pytest.mark.parametrize("name", ["check_values", "check_tf32"])
def test_values_pass_in_every_precision(part: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    checks = part("checks")
    monkeypatch.setattr(part("problems").random, "Random", _Small)
    with use_backend("native"):
        found = getattr(checks, name)("cpu", 10)
    assert found.startswith("10 problems, largest errors: ")
    error = float(found.partition("float32 ")[2].partition(";")[0].partition(",")[0])
    assert (error > 1e-5) == (name == "check_tf32")
