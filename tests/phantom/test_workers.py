# SPDX-License-Identifier: Apache-2.0
"""Worker processes end with the process that started them, however that one ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.process import run_python

ALONE = """
import sys, types, cardiac4d
phantom = types.ModuleType("cardiac4d.phantom")
phantom.__path__ = [f"{cardiac4d.__path__[0]}/phantom"]
sys.modules[phantom.__name__] = phantom
"""
"""The module without the rest of its package, which imports torch and MONAI, seconds in each process."""
PROGRAM = f"""{ALONE}
import os, sys, time
from cardiac4d.phantom.workers import run_in_processes

def note_and_wait(folder):
    open(os.path.join(folder, str(os.getpid())), "w").close()
    time.sleep(600)

if __name__ == "__main__":
    list(run_in_processes(note_and_wait, [sys.argv[1]] * 4, 2))
"""
KILLED = f"""{ALONE}
import os, signal
from cardiac4d.phantom.workers import run_in_processes

def end(_):
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    try:
        list(run_in_processes(end, [1, 2], 2))
    except RuntimeError as error:
        print(error)
"""
PATIENCE_S = 60.0


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
    return condition()


def lives(pid: int) -> bool:
    """A process that ended, and that nobody has asked about yet, is listed as a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path, repo_root: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(repo_root / "bundle")}
    parent = subprocess.Popen([sys.executable, str(tmp_path / "program.py"), str(notes)], env=environment)
    workers: list[int] = []
    try:
        assert until(lambda: len(list(notes.iterdir())) == 2), "no worker began"
        workers = [int(path.name) for path in notes.iterdir()]
        parent.kill()
        parent.wait()
        assert until(lambda: not any(map(lives, workers)))
    finally:
        parent.kill()
        parent.wait()
        for pid in filter(lives, workers):
            os.kill(pid, signal.SIGKILL)


def test_killed_worker_is_explained(tmp_path: Path, repo_root: Path) -> None:
    (tmp_path / "program.py").write_text(KILLED)
    printed = run_python("program.py", cwd=tmp_path, env={"PYTHONPATH": str(repo_root / "bundle")})
    assert "a worker process was killed, probably for want of memory" in printed
