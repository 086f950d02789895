# SPDX-License-Identifier: Apache-2.0
"""The check of a GPU as a whole: the order of its pieces, what a broken one costs, and what is kept in any case."""

from __future__ import annotations

import importlib
import itertools
import json
import math
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.backends import needs_native


@pytest.fixture
def part(repo_root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a module of the benchmarks by the end of its name."""
    monkeypatch.syspath_prepend(str(repo_root / "scripts"))
    return lambda name: importlib.import_module(f"conv4d_benchmark.gpu_{name}")


@pytest.fixture
def names(part: Any) -> list[str]:
    """The pieces in their order, on a GPU."""
    gpu_items = part("items")
    return [item.name for item in gpu_items.items("cuda", gpu_items.Scale(), math.inf)]


def test_what_matters_most_comes_first(names: list[str]) -> None:
    """Where time is short, what stands last is left out."""
    stages = [
        ["check: values and gradients", "check: fused layers", "check: CUDA graph"],
        ["ceiling"],
        ["whole network: bfloat16, native"],  # step and memory
        ["CUDA graph of a step: bfloat16"],
        ["training with loading"],
        ["profile of a step"],
        [name for name in names if name.startswith("layer:") and name.endswith("bfloat16, native")],
        ["whole network: bfloat16, cat", "whole network: bfloat16, composed"],
        [name for name in names if name.startswith("layer:") and name.endswith("bfloat16, on cuDNN")],
        ["sanitizer: memcheck", "sanitizer: racecheck"],
        ["whole network: tf32, native", "whole network: float32, native", "CUDA graph of a step: float32"],
        ["layer: first, 1 -> 8, tf32, native", "layer: 1x1, 8 -> 3, float32, native"],
        ["check: opcheck of conv4d", "check: torch.compile of fused layers"],
        ["whole network: tf32, cat", "whole network: float32, composed"],
        ["layer: first, 1 -> 8, tf32, on cuDNN", "layer: 1x1, 8 -> 3, float32, on cuDNN"],
    ]
    places = [[names.index(name) for name in stage] for stage in stages]
    assert all(max(before) < min(after) for before, after in itertools.pairwise(places))
    assert len(set(names)) == len(names) == 8 + 1 + 3 * (1 + 1 + 4 + 9 + 9) + 2 + 2 + 4


def test_checks_alone_and_what_a_cpu_can_do(part: Any, names: list[str]) -> None:
    gpu_items = part("items")
    checks = gpu_items.items("cuda", gpu_items.Scale(), math.inf, benchmark=False)
    assert [item.name for item in checks] == [n for n in names if n.startswith("check")] + [
        name for name in names if name.startswith("sanitizer")
    ]
    on_cpu = {item.name for item in gpu_items.items("cpu", gpu_items.Scale.tiny(), math.inf)}
    assert {name.split(":")[0] for name in set(names) - on_cpu} == {"check", "sanitizer", "CUDA graph of a step"}


class Notebook:
    """Keeps what a worker sends, as one list."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, ...]] = []

    def add(self, found: Any) -> None:
        self.notes.append(("found", found[1]["name"]))

    def fail(self, name: str, detail: str) -> None:
        self.notes.append(("failed", name, detail))

    def done(self, name: str, seconds: float) -> None:
        self.notes.append(("done", name))

    def leave_out(self, name: str) -> None:
        self.notes.append(("left out", name))


@pytest.mark.slow
def test_broken_piece_costs_no_other(part: Any, tmp_path: Path) -> None:
    gpu_jobs = importlib.import_module("tests.helpers.gpu_jobs")
    notebook, left_behind = Notebook(), tmp_path / "pid"
    job = gpu_jobs.JobThatFails("cpu", part("items").Scale.tiny(), time.time() + 300, True, str(left_behind))
    part("worker").run(job, notebook)
    assert notebook.notes == [
        ("found", "good"),
        ("done", "good"),
        ("found", "before the error"),
        ("failed", "raises", "RuntimeError: an error"),
        ("done", "raises"),
        ("found", "after an error"),
        ("done", "after an error"),
        ("found", "before the end"),
        ("failed", "dies", "its process ended without a word, as after a fault in memory"),
        ("failed", "hangs", "not finished in 1 s, and ended"),
        ("found", "last"),
        ("done", "last"),
    ]
    assert _ends(int(left_behind.read_text()))


def _ends(process: int) -> bool:
    """Whether a process that was killed ends soon; a zombie has."""
    for _ in range(100):
        try:
            if ") Z" in Path(f"/proc/{process}/stat").read_text():
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_all_ends_when_the_time_is_over(part: Any) -> None:
    gpu_jobs = importlib.import_module("tests.helpers.gpu_jobs")
    notebook, end = Notebook(), time.time() + 12
    part("worker").run(gpu_jobs.JobWithoutEnd("cpu", part("items").Scale.tiny(), end, True, ""), notebook)
    assert end <= time.time() < end + 5
    assert notebook.notes == [("left out", "hangs"), ("left out", "never begun")]


def _listen(
    part: Any, messages: list[tuple[str, Any]], *, ends: bool = True, end: float = math.inf
) -> tuple[list[str], list[Any]]:
    """What is left of three pieces after messages of a process that ends or goes on, and what was kept."""
    here, there = multiprocessing.Pipe(duplex=False)
    for message in messages:
        there.send(message)
    if ends:
        there.close()
    notebook = Notebook()
    return part("worker")._listen(here, ["a", "b", "c"], dict.fromkeys("abc", 0.1), end, notebook), notebook.notes


def test_fresh_process_goes_on_behind_the_piece_that_broke_one(part: Any) -> None:
    done_a: list[tuple[str, Any]] = [("begin", "a"), ("end", "a")]
    left, notes = _listen(part, [*done_a, ("begin", "b"), ("failed", "illegal address")])
    assert (left, notes[1:]) == (["c"], [("failed", "b", "illegal address")])
    left, notes = _listen(part, [*done_a, ("begin", "b")])
    assert (left, notes[1:]) == (
        ["c"],
        [("failed", "b", "its process ended without a word, as after a fault in memory")],
    )
    left, notes = _listen(part, [*done_a, ("begin", "b")], ends=False)
    assert (left, notes[1:]) == (["c"], [("failed", "b", "not finished in 0 s, and ended")])
    left, notes = _listen(part, [*done_a, ("begin", "b")], ends=False, end=0.0)
    assert (left, notes[1:]) == (["b", "c"], [])  # there is no time for a fresh one, either


def test_process_that_cannot_even_begin_is_not_started_again(part: Any) -> None:
    left, notes = _listen(part, [])
    assert (left, [note[:2] for note in notes]) == ([], [("failed", "a"), ("left out", "b"), ("left out", "c")])


def test_worker_stops_where_the_device_is_broken(part: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, item = part("worker"), part("items").Item

    def fail() -> Any:
        raise RuntimeError("an illegal memory access\nwas encountered")

    pieces = [item("bad", fail), item("good", lambda: [("checks", {})])]
    sent: list[tuple[str, Any]] = []
    worker.carry_out(pieces, "cpu", sent.append)
    failed = ("failed", "RuntimeError: an illegal memory access was encountered")
    good = [("begin", "good"), ("found", ("checks", {})), ("end", "good")]
    assert sent == [("begin", "bad"), failed, ("end", "bad"), *good]
    monkeypatch.setattr(worker, "is_broken", lambda device: True)
    sent.clear()
    worker.carry_out(pieces, "cpu", sent.append)
    assert sent == [("begin", "bad"), failed]
    sent.clear()
    worker.carry_out(pieces[1:], "cpu", sent.append)  # it keeps its errors to itself, as checks do
    assert sent == [*good[:2], ("failed", worker.BROKEN)]


def _network_row(way: str, **values: Any) -> tuple[str, dict[str, Any]]:
    row = {"mode": "inference", "precision": "bfloat16", "milliseconds": {}, "gigabytes": {}, "problems": {}}
    return "network", {**row, **{name: {way: value} for name, value in values.items()}}


def test_report_is_written_with_every_row_and_rows_of_a_kind_come_together(
    part: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = tmp_path / "a.json", tmp_path / "a.md"
    report = part("report").Report({"gpu": "none"}, *files)
    report.add(_network_row("native", milliseconds=2.0, gigabytes=math.nan))
    (row,) = json.loads(files[0].read_text())["network"]
    assert (row["milliseconds"], row["gigabytes"]) == ({"native": 2.0}, {"native": None})
    report.add(_network_row("cat", milliseconds=6.0))
    assert "| inference, bfloat16 | 2.00 |" in files[1].read_text()
    assert "| 3.0x |" in files[1].read_text()
    report.add(_network_row("cat", problems="no memory"))  # on cuDNN: noted, and no fault of ours
    assert not report.rows["checks"]
    report.add(_network_row("native", problems="other probabilities"))
    report.leave_out("check: torch.compile")
    report.done("ceiling", 1.23)
    found = json.loads(files[0].read_text())
    assert (found["passed"], found["left_out"], found["seconds"]) == (False, ["check: torch.compile"], {"ceiling": 1.2})
    assert found["checks"] == [{"name": "network inference bfloat16", "passed": False, "detail": "other probabilities"}]
    shown = capsys.readouterr().out
    for text in ("FAILED network inference bfloat16: other probabilities", "cat: no memory"):
        assert text in shown
        assert text in files[1].read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.md"]  # nothing half-written


def test_profile_sums_up_kernels_and_what_lies_between_them(part: Any) -> None:
    profile = part("profile")
    native = "void c4d_cuda::(anonymous namespace)::conv<c4d_cuda::Work<float> >(c4d_cuda::Work<float>)"
    events = [(native, 0.0, 30.0), ("fill", 20.0, 40.0), (native, 60.0, 80.0), ("fill", 90.0, 100.0)]
    row = profile.sum_up("bfloat16", events, 2)
    assert (row.span_ms, row.busy_ms, row.launches) == pytest.approx((0.05, 0.035, 2))
    assert (row.idle_share, row.native_share) == pytest.approx((0.3, 50 / 80))
    assert [(k.calls, k.microseconds, k.share) for k in row.kernels] == [(1, 25, 50 / 80), (1, 15, 30 / 80)]
    shown = profile.to_table([row])
    assert "| c4d_cuda::conv<Work<float> > | 1.00 | 25.0 | 62.5% |" in shown
    assert "idle, waiting for the host: 30.0%" in shown
    with pytest.raises(RuntimeError, match="recorded nothing"):
        profile.sum_up("bfloat16", [], 1)


def test_sanitizer_that_takes_too_long_is_ended_with_all_that_it_started(part: Any, tmp_path: Path) -> None:
    """A tool whose program hangs, as compute-sanitizer starts one."""
    child = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    code = f"import subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', {child!r}])"
    said, status = part("sanitizers").run_for([sys.executable, "-c", code], 1.0)
    assert (said, status) == ("begun", None)
    assert _ends(int((tmp_path / "pid").read_text()))


def test_sanitizer_that_is_missing_or_not_supported_or_fails(
    part: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sanitizers = part("sanitizers")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    missing = sanitizers.run_sanitizer("memcheck", "gpu_check.py", 7.0)
    assert missing.passed is None
    assert missing.detail == "there is no compute-sanitizer on the PATH or in the CUDA toolkit"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "compute-sanitizer").touch(mode=0o755)
    assert sanitizers.find_program() == str(tmp_path / "bin" / "compute-sanitizer")
    results = {(0, "fine"): True, (9, "an invalid write"): False, (1, "Device not supported"): None, (None, ""): None}
    for (code, said), passed in results.items():
        monkeypatch.setattr(sanitizers, "run_for", lambda command, seconds, found=(said, code): found)
        assert sanitizers.run_sanitizer("memcheck", "gpu_check.py", 7.0).passed is passed
    lines = ["COMPUTE-SANITIZER", "Invalid __global__ write", "    at c4d_cuda::conv+0x10", *["more"] * 40, "2 errors"]
    report = "\n".join(["printed", *(f"{sanitizers.MARK} {line}" for line in lines)])
    shown = sanitizers.excerpt(report)
    assert shown.startswith(
        "the report names kernels of c4d_cuda | Invalid __global__ write | at c4d_cuda::conv+0x10 |"
    )
    assert shown.endswith("more | 2 errors")
    assert len(shown) < 300
    assert sanitizers.excerpt("it never began") == "it never began"
    monkeypatch.setattr(sanitizers, "run_for", lambda command, seconds: (" ".join(command), 0))
    assert sanitizers.run_sanitizer("memcheck", "gpu_check.py", 7.0).detail.endswith(
        "gpu_check.py --small --minutes 1.1"
    )


@needs_native
@pytest.mark.slow
def test_dry_run_holds_its_time_and_leaves_whole_files(repo_root: Path, tmp_path: Path) -> None:
    """As a user starts it; how far it comes depends on the machine."""
    files = tmp_path / "gpu.json", tmp_path / "gpu.md"
    command = [sys.executable, "scripts/gpu_check.py", "--dry_run", "--minutes", "0.6"]
    command += ["--json", str(files[0]), "--table", str(files[1])]
    environment = {**os.environ, "PYTHONPATH": str(repo_root / "bundle")}
    start = time.time()
    done = subprocess.run(command, cwd=repo_root, env=environment, capture_output=True, text=True, timeout=120)
    assert time.time() - start < 36 + 10
    found = json.loads(files[0].read_text())
    assert done.returncode == (0 if found["checks"] else 1), done.stderr
    assert (found["passed"], found["complete"]) == (bool(found["checks"]), "incomplete: " not in done.stdout)
    job_names = [*found["seconds"], *found["left_out"]]
    assert job_names[0] == "check: values and gradients"
    assert job_names[-1] == "layer: 1x1, 8 -> 3, float32, on cuDNN"
    shown = files[1].read_text()
    assert ("Left out or broken off, for no time was left:" in shown) == bool(found["left_out"])
