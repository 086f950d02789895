# SPDX-License-Identifier: Apache-2.0
"""The guards around operands and results in the check of a GPU."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.helpers.backends import needs_native


@pytest.fixture
def guards(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(repo_root / "scripts"))
    return importlib.import_module("conv4d_benchmark.gpu_guards")


@pytest.mark.parametrize(("layout", "neighbours"), [("frames", [1]), ("plain", [5]), ("every second", [])])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_operand_keeps_its_numbers_between_nan(
    guards: Any, layout: str, neighbours: list[int], dtype: torch.dtype
) -> None:
    x = torch.randn(2, 3, 4, 5, 6, 7).to(dtype)
    laid = guards.lay_between_nan(x, layout)
    assert torch.equal(laid, x)
    assert [axis for axis, stride in enumerate(laid.stride()) if stride == 1] == neighbours
    assert laid.data_ptr() % 16 == 0
    around = torch.empty(0, dtype=dtype).set_(laid.untyped_storage())
    assert int(around.isnan().sum()) == around.numel() - x.numel()
    assert around[: guards.MARGIN].isnan().all()
    assert around[-guards.MARGIN :].isnan().all()


def test_zone_that_was_written_to_is_noticed(guards: Any) -> None:
    zones = guards.GuardZones("cpu", [140, 0, 6])
    zones.check()
    assert len(zones._zones) == 3 * guards.COPIES + 1
    zones._zones[2][-1] = 0
    with pytest.raises(AssertionError, match="1 of 10 guard zones were written to"):
        zones.check()


def test_results_in_the_places_are_counted(guards: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an allocator that puts one result where a place was."""
    made: list[Tensor] = []

    def keep(*arguments: Any) -> Tensor:
        made.append(make(*arguments))
        return made[-1]

    make = guards._bytes
    monkeypatch.setattr(guards, "_bytes", keep)
    zones = guards.GuardZones("cpu", [140])
    place = made[1].view(torch.float32)
    assert place.isnan().all()
    assert zones.count([place, place[3:], torch.zeros(5, 7)]) == 2


@needs_native
def test_touched_zone_fails_the_check_and_the_problem_is_named(guards: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def touch(zones: Any) -> None:
        raise AssertionError("1 of 13 guard zones were written to")

    monkeypatch.setattr(guards.GuardZones, "check", touch)
    checks = importlib.import_module("conv4d_benchmark.gpu_checks")
    outcome = checks.run("values", lambda device: checks.check_values(device, 1), "cpu")
    assert not outcome.passed
    assert outcome.detail.startswith("AssertionError: torch.float64, {'stride': [1, 1, 1, 1], ")
    assert outcome.detail.endswith("('frames', 'plain'): 1 of 13 guard zones were written to")
