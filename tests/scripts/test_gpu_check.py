# SPDX-License-Identifier: Apache-2.0
"""The check of a GPU: what it says without one, and its parts that any device runs, on the CPU."""

from __future__ import annotations

import importlib
import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from cardiac4d.ops import conv4d
from tests.helpers.backends import needs_native


@pytest.fixture
def script(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(repo_root / "scripts"))
    return runpy.run_path(str(repo_root / "scripts" / "gpu_check.py"))


@pytest.fixture
def checks(script: dict[str, Any]) -> Any:
    return importlib.import_module("conv4d_benchmark.gpu_checks")


def test_without_a_gpu_it_says_so_and_checks_nothing(
    script: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert script["main"]([]) == 2
    said = f"no GPU: torch {torch.__version__} finds no CUDA device. Nothing was checked.\n"
    assert capsys.readouterr().out == said


@pytest.fixture
def small(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = checks._operands(0, (1, 8, 5, 4, 3, 5), (8, 8, 3, 3, 3, 3))
    fixed = lambda device, dtype: (tuple(tensor.to(dtype) for tensor in tensors), {"padding": 1})  # noqa: E731
    monkeypatch.setattr(checks, "_fixed", fixed)
    monkeypatch.setattr(checks, "NUM_RANDOM", 16)


@needs_native
@pytest.mark.usefixtures("small")
def test_checks_that_any_device_runs_pass_on_the_cpu(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LIMITS", {**checks.LIMITS, torch.float32: 2e-5})  # Winograd
    outcomes = list(checks.run_all("cpu", small=True))
    assert [(outcome.name, outcome.passed) for outcome in outcomes] == [
        ("values and gradients", True),
        ("same bits again", True),
    ], outcomes
    assert "2 problems" in outcomes[0].detail


@needs_native
def test_wrong_kernel_fails(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(x: torch.Tensor, *others: Any, **options: Any) -> torch.Tensor:
        return conv4d(x, *others, **options) * (1 if x.dtype == torch.float64 else 1.02)

    monkeypatch.setattr(checks, "conv4d", wrong)
    outcome = next(checks.run_all("cpu", small=True))
    assert not outcome.passed
    assert "value in torch.float32 is off by 2.0e-02" in outcome.detail


@needs_native
@pytest.mark.usefixtures("small")
def test_autocast_is_checked(checks: Any) -> None:
    assert checks.check_autocast("cpu") == "bfloat16 and float16"


@needs_native
@pytest.mark.slow
def test_registration_is_checked(checks: Any) -> None:
    assert checks.check_registration("cpu") == "conv4d with gradients"


@needs_native
def test_layers_agree_and_make_a_table(script: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    layers = importlib.import_module("conv4d_benchmark.gpu_layers")
    monkeypatch.setattr(layers, "time_ms", lambda run, device: run() or 1.0)
    flags = torch.backends.cudnn.allow_tf32
    rows = list(layers.measure("cpu", (4, 4, 4, 4)))
    torch.backends.cudnn.allow_tf32 = flags
    assert len(rows) == 9 * 3 * 2
    assert json.loads(json.dumps([vars(row) for row in rows]))[0]["milliseconds"]["native"] == 1.0
    assert layers.to_table(rows).count(" 1.0x |") == len(rows)
