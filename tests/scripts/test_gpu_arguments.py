# SPDX-License-Identifier: Apache-2.0
"""What the check of a GPU refuses at once, and how it ends where a call hangs."""

from __future__ import annotations

import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def script(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(str(repo_root / "scripts"))
    return runpy.run_path(str(repo_root / "scripts" / "gpu_check.py"))


def _refusal(script: dict[str, Any], arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        script["main"](["--dry_run", *arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("minutes", ["nan", "inf", "-inf", "-1", "0", "0.09", "1441", "1e12", "ten", ""])
def test_minutes_out_of_range_are_refused(
    script: dict[str, Any], minutes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = _refusal(script, [f"--minutes={minutes}"], capsys)
    assert f"argument --minutes: {minutes} must be a number from 0.1 to 1440\n" in said


@pytest.mark.parametrize("minutes", [0.1, 9.5, 1440.0])
def test_minutes_in_range_are_taken(script: dict[str, Any], minutes: float) -> None:
    assert script["parse"](["--minutes", str(minutes)]).minutes == minutes


@pytest.mark.parametrize("option", ["--json", "--table"])
def test_output_that_cannot_be_written_is_refused_at_once(
    script: dict[str, Any], option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, long = tmp_path / "none" / "a", tmp_path / ("a" * 300)
    refused = {
        missing: f"{missing}: there is no folder {missing.parent}; create it, or name another",
        tmp_path: f"{tmp_path} is a folder; name a file in it",
        Path("/dev/null"): "/dev/null is no regular file, and would be replaced; name another",
        long: f"{long} cannot be written: File name too long; name another place",
    }
    for path, reason in refused.items():
        assert f"argument {option}: {reason}\n" in _refusal(script, [option, str(path)], capsys)
    assert not list(tmp_path.iterdir())


def test_folder_without_permission_is_refused(
    script: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a file system that says so, for whoever may do everything is stopped by no permission."""

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    said = _refusal(script, ["--json", str(tmp_path / "a.json")], capsys)
    assert f"argument --json: {tmp_path / 'a.json'} cannot be written: Permission denied; name another place" in said


def test_results_and_table_are_two_files(
    script: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "a")
    assert f"both are {path}; name two files" in _refusal(script, ["--json", path, "--table", path], capsys)


def test_file_that_exists_is_kept_until_it_is_replaced(script: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("of before")
    assert script["parse"](["--json", str(path)]).json == path
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("a.json", "of before")]


@pytest.mark.parametrize(
    ("hang", "code", "said"), [("time.sleep(60)", 3, "over\n"), ("ctypes.PyDLL(None).sleep(60)", -14, "")]
)
def test_process_that_hangs_is_ended(repo_root: Path, hang: str, code: int, said: str) -> None:
    """The second call keeps Python to itself, so that nothing of it can run."""
    program = f"""
import ctypes, sys, time
sys.path[:0] = {[str(repo_root / "bundle"), str(repo_root / "scripts")]!r}
from conv4d_benchmark import gpu_deadline
gpu_deadline.GRACE_S = 1
with gpu_deadline.ended_after(0.5, lambda: print("over")):
    {hang}
"""
    start = time.time()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout) == (code, said), done.stderr
    assert time.time() - start < 40


def test_small_checks_whose_time_is_over_say_so_and_name_what_is_left(repo_root: Path, tmp_path: Path) -> None:
    program = f"""
import sys, time
sys.path[:0] = {[str(repo_root / "bundle"), str(repo_root / "scripts")]!r}
import gpu_check
gpu_check.minutes = float
gpu_check.gpu_checks.small_checks = lambda: {{"good": lambda d: "fine", "hangs": lambda d: time.sleep(60), "last": 0}}
gpu_check.main(["--small", "--dry_run", "--minutes", "0.02", "--json", {str(tmp_path / "a.json")!r}])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.returncode == 3, done.stderr
    assert "the time is over: 1 s\n1 of 1 checks passed\n" in done.stdout
    assert "incomplete: 2 checks left out: check: hangs, check: last\n" in done.stdout
    assert '"complete": false' in (tmp_path / "a.json").read_text()
