# SPDX-License-Identifier: Apache-2.0
"""What the check of a GPU says of all its checks together, and its exit code."""

from __future__ import annotations

import importlib
import json
import runpy
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def script(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(repo_root / "scripts"))
    return runpy.run_path(str(repo_root / "scripts" / "gpu_check.py"))


def _row(name: str, passed: bool | None) -> tuple[str, dict[str, Any]]:
    return "checks", {"name": name, "passed": passed, "detail": "found"}


@pytest.fixture
def run(script: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs the script with a worker that finds and leaves out what it is told; exit code, JSON and Markdown."""

    def run_script(outcomes: dict[str, bool | None], left_out: list[str]) -> tuple[int, dict[str, Any], str]:
        def find(job: Any, report: Any) -> None:
            for name, passed in outcomes.items():
                report.add(_row(name, passed))
                assert json.loads(files[0].read_text())["complete"] is False  # should it be killed here
            for name in left_out:
                report.leave_out(name)

        monkeypatch.setattr(importlib.import_module("conv4d_benchmark.gpu_worker"), "run", find)
        code = script["main"](["--dry_run", "--json", str(files[0]), "--table", str(files[1])])
        return code, json.loads(files[0].read_text()), files[1].read_text()

    files = tmp_path / "a.json", tmp_path / "a.md"
    return run_script


def test_run_that_checked_nothing_has_not_passed(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, found, shown = run({}, ["check: values and gradients", "ceiling"])
    assert (code, found["passed"], found["complete"]) == (1, False, False)
    text = "0 of 0 checks passed\nnothing was checked\nincomplete: 1 checks left out: check: values and gradients\n"
    assert text in shown
    assert text in capsys.readouterr().out
    code, found, _ = run({"second device": None}, [])
    assert (code, found["passed"], found["complete"]) == (1, False, True)


@pytest.mark.parametrize("missing", ["check: torch.compile of conv4d", "sanitizer: memcheck"])
def test_run_without_some_checks_is_incomplete(run: Any, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, found, shown = run({"values": True}, [missing, "ceiling"])
    assert (code, found["passed"], found["complete"]) == (0, True, False)
    for text in (shown, capsys.readouterr().out):
        assert f"1 of 1 checks passed\nincomplete: 1 checks left out: {missing}\n" in text


def test_run_without_some_benchmarks_is_complete(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, found, shown = run({"values": True}, ["ceiling"])
    assert (code, found["passed"], found["complete"]) == (0, True, True)
    assert "incomplete" not in shown + capsys.readouterr().out


def test_what_could_not_be_checked_is_counted_by_itself(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, found, shown = run({"values": True, "second device": None, "memcheck": None}, [])
    assert (code, found["passed"]) == (0, True)
    assert [row["passed"] for row in found["checks"]] == [True, None, None]
    for text in (shown, capsys.readouterr().out):
        assert "- passed values: found\n- NOT CHECKED second device: found\n" in text
        assert "1 of 1 checks passed, 2 not checked: second device, memcheck\n" in text
    code, found, shown = run({"values": True, "second device": None, "fused": False}, [])
    assert (code, found["passed"]) == (1, False)
    assert "1 of 2 checks passed, 1 not checked: second device\n- FAILED fused\n" in shown


def test_profile_of_nothing_is_not_checked(script: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    items = importlib.import_module("conv4d_benchmark.gpu_items")

    def record_nothing(*_: Any) -> Any:
        raise items.gpu_profile.NothingRecordedError("no counters")

    monkeypatch.setattr(items.gpu_profile, "measure", record_nothing)
    found = list(items._profile("cuda", "bfloat16", (8, 6, 5, 4)))
    assert found == [("checks", {"name": "profile of a step", "passed": None, "detail": "no counters"})]
