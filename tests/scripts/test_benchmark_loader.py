# SPDX-License-Identifier: Apache-2.0
"""The loader benchmark measures four ways to feed a training, and prints what it measured."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from cardiac4d.transforms import LoadSequence
from tests.helpers.studies import write_small_dataset

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark_loader.py"


def test_rates_and_ratios_belong_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    load = LoadSequence.__call__
    monkeypatch.setattr(LoadSequence, "__call__", lambda self, *a, **o: (loaded.append(a), load(self, *a, **o))[1])
    benchmark = runpy.run_path(str(SCRIPT))["benchmark_loader"]
    found = benchmark(str(write_small_dataset(tmp_path)), ["quick"], crops_per_way=4, crops_on_the_fly=2)
    assert found["prepared_mb_per_study"] > 0
    assert len(loaded) == 2 + 4 + 2  # of two studies: to prepare them, for four crops, and into memory
    for way in ("in_memory", "prepared", "resident"):
        ratio = found[f"{way}_crops_per_s"] / found["on_the_fly_crops_per_s"]
        assert abs(found[f"{way}_times_on_the_fly"] / ratio - 1) < 0.1
