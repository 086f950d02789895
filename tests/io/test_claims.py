# SPDX-License-Identifier: Apache-2.0
"""One process writes a file at a time, and its end, even a violent one, lets the next one do it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cardiac4d.io import claims
from cardiac4d.io.claims import claimed, remove_abandoned

HOLD = """
import fcntl, sys, time
lock = open(".a.pt.lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
open(".0123abcd-a.pt", "w").write("half")
print("ready", flush=True)
time.sleep(60)
"""


def hidden(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.name.startswith(".")]


def test_killed_process_leaves_a_file_that_is_removed_only_after_its_death(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, cwd=tmp_path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"
        assert remove_abandoned(tmp_path) == 0
        with claimed(tmp_path / "a.pt") as is_ours:
            assert not is_ours
        assert len(hidden(tmp_path)) == 2  # half a file and its claim
        other.kill()
    assert remove_abandoned(tmp_path) == 1
    assert hidden(tmp_path) == []


def test_who_waits_gets_the_claim_when_it_is_released(tmp_path: Path) -> None:
    order = []

    def wait() -> None:
        with claimed(tmp_path / "a", wait=True) as is_ours:
            order.append(f"second {is_ours}")

    with claimed(tmp_path / "a"):
        second = threading.Thread(target=wait)
        second.start()
        second.join(0.05)
        order.append("first")
    second.join()
    assert order == ["first", "second True"]
    assert hidden(tmp_path) == []


def test_files_that_are_no_halves_stay(tmp_path: Path) -> None:
    names = [".hidden", ".0123-a.pt", ".0123456x-a.pt", "0123abcd-a.pt", "a.pt"]
    for name in names:
        (tmp_path / name).touch()
    assert remove_abandoned(tmp_path) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)


def test_without_locks_all_may_write_and_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(claims.fcntl, "flock", refuse)
    (tmp_path / ".0123abcd-a.pt").touch()
    with claimed(tmp_path / "a.pt") as one, claimed(tmp_path / "a.pt") as other:
        assert one
        assert other
    assert remove_abandoned(tmp_path) == 0
    assert hidden(tmp_path) == [tmp_path / ".0123abcd-a.pt"]
