# SPDX-License-Identifier: Apache-2.0
"""The command line of the benchmark, and a run at tiny size."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from cardiac4d.ops import use_backend
from tests.helpers.backends import needs_native

TINY = ("--size", "4", "4", "4", "4", "--seconds", "0.01", "--repetitions", "1", "--threads", "1")


@pytest.fixture
def script(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    """Its names; ``main`` runs in this process, in the environment that it finds."""
    monkeypatch.syspath_prepend(str(repo_root / "scripts"))
    return runpy.run_path(str(repo_root / "scripts" / "benchmark_conv4d.py"))


def test_default_is_everything_at_the_size_of_the_paper(script: dict) -> None:
    plan = script["plan"](script["parse"]([]))
    assert plan.sections == ("layers", "network", "memory", "scaling")
    assert plan.size == (96, 96, 64, 16)
    assert plan.whole_scan == (112, 122, 80, 20)
    assert not plan.limits
    assert not plan.levels_only


def test_options_reach_the_plan(script: dict) -> None:
    line = "--sections memory layers --size 8 7 6 5 --seconds 2 --repetitions 3 --isa avx2 --levels_only --quick"
    plan = script["plan"](script["parse"](line.split()))
    assert (plan.sections, plan.size, plan.seconds, plan.repetitions) == (["memory", "layers"], (8, 7, 6, 5), 2, 3)
    assert (plan.limits, plan.levels_only) == (["avx2"], True)


def test_quick_is_smaller_and_shorter(script: dict) -> None:
    full, quick = (script["plan"](script["parse"](line)) for line in ([], ["--quick"]))
    assert quick.seconds < full.seconds
    assert all(small < large for small, large in zip(quick.size, full.size, strict=True))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--sections speed", "invalid choice: 'speed'"),
        ("--sections", "expected at least one argument"),
        ("--size 8 8 8", "expected 4 arguments"),
        ("--size 8 8 8 0", "must be positive, got 0"),
        ("--seconds -1", "must be positive, got -1"),
        ("--seconds nan", "must be positive, got nan"),
        ("--repetitions two", "invalid int value: 'two'"),
        ("--isa sse2", "invalid choice: 'sse2'"),
    ],
)
def test_wrong_argument_ends_with_a_message(
    script: dict, line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        script["parse"](line.split())
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def run(script: dict, monkeypatch: pytest.MonkeyPatch, *options: str | Path) -> int:
    """Run the command line; the threads of torch stay what they were."""
    threads = torch.get_num_threads()
    line = ["scripts/benchmark_conv4d.py", *TINY, "--default_allocator", *map(str, options)]
    monkeypatch.setattr(sys, "argv", line)
    try:
        return script["main"]()
    finally:
        torch.set_num_threads(threads)


@needs_native
def test_run_writes_a_page_with_every_section_and_json(
    script: dict, repo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(repo_root / "bundle"))  # of the process that is limited to AVX2
    page, data = tmp_path / "page.md", tmp_path / "results.json"
    options = ("--sections", "layers", "network", "scaling", "--isa", "avx2", "--output", page, "--json", data)
    assert run(script, monkeypatch, *options) == 0
    assert "multiply-add peak" in capfd.readouterr().out
    text, results = page.read_text(encoding="utf-8"), json.loads(data.read_text(encoding="utf-8"))
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    sections = ["The run", "Targets", "Layers", "Whole network", "Scaling", "Limited to AVX2", "Accuracy"]
    assert heads == [f"## {name}" for name in sections]
    assert "python scripts/benchmark_conv4d.py --size 4 4 4 4" in text
    assert len(results["layers"]) == 24
    assert len(results["limited"]["avx2"]) == 6
    assert [row["mode"] for row in results["network"]] == ["inference", "training step"]


def test_without_native_kernels_it_says_what_is_missing(
    script: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with use_backend("composed"):
        assert run(script, monkeypatch) == 1
    assert "benchmark_conv4d: there is nothing to compare" in capsys.readouterr().err
