# SPDX-License-Identifier: Apache-2.0
"""Run ``python -m module`` in processes forked from one that has imported MONAI already.

A command of the bundle spends most of its seconds on these imports. The forked process is otherwise what the command
line gives: its own memory, working directory, environment, ``sys.path`` and exit code, and cardiac4d is not imported.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The server says so when cardiac4d came in with MONAI: then the processes would no longer be those of a user.
_SERVER = """
import json, os, runpy, signal, sys
from pathlib import Path
import monai.bundle
assert "cardiac4d" not in sys.modules

def become(job):
    signal.alarm(job["timeout_s"])
    for name, fd in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), fd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    sys.path[0] = job["cwd"]
    if job["isolated"]:
        sys.path[1:] = [p for p in sys.path[1:] if not (Path(p) / "cardiac4d" / "__init__.py").is_file()]
    sys.argv = job["argv"]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

for line in sys.stdin:
    order = json.loads(line)
    if "wait" in order:
        answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
    else:
        answer = os.fork()
        if answer == 0:
            become(order)
            sys.exit(0)
    print(answer, flush=True)
"""


@functools.cache
def _server() -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _SERVER]
    server = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(server.kill)
    return server


@functools.cache
def _streams() -> str:
    """The folder of what all processes print, which goes with this one."""
    folder = tempfile.mkdtemp(prefix="cardiac4d-test-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _ask(order: dict[str, Any]) -> int:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(order) + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())


@dataclass(frozen=True)
class WarmProcess:
    """A running process: ``pid`` takes signals, :meth:`wait` ends it."""

    pid: int
    streams: Path

    def wait(self) -> tuple[int, str, str]:
        """Wait for the end: exit code (negative: the signal that killed it), stdout and stderr."""
        code = _ask({"wait": self.pid})
        texts = [(self.streams / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err")]
        return code, texts[0], texts[1]


def start_module(
    *args: str | Path, cwd: Path, env: dict[str, str] | None = None, isolated: bool = False, timeout_s: int = 300
) -> WarmProcess:
    """Start what ``python -m args`` starts; arguments as those of :func:`tests.helpers.process.run_python`."""
    streams = Path(tempfile.mkdtemp(dir=_streams()))
    order = {
        "argv": [str(arg) for arg in args],
        "cwd": str(cwd),
        "env": {**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        "isolated": isolated,
        "timeout_s": timeout_s,
        "stdout": str(streams / "out"),
        "stderr": str(streams / "err"),
    }
    return WarmProcess(_ask(order), streams)


def run_module(
    *args: str | Path, cwd: Path, env: dict[str, str] | None = None, isolated: bool = False, timeout_s: int = 300
) -> str:
    """Run what ``python -m args`` runs, as :func:`tests.helpers.process.run_python` does.

    Raises:
        AssertionError: if the process exits with another code than 0; the message holds both its streams.
    """
    return _printed(args, start_module(*args, cwd=cwd, env=env, isolated=isolated, timeout_s=timeout_s))


def run_module_twice(*args: str | Path, cwd: Path, timeout_s: int = 120) -> str:
    """Run it in two processes that find each other by the variables that ``torchrun`` sets.

    Nobody ends the one that waits for the other, if that has failed: its time does.

    Raises:
        AssertionError: if one of them exits with another code than 0; the message holds its streams.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        meeting = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1])}
    meeting |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    places = [{**meeting, "RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
    ranks = [start_module(*args, cwd=cwd, env=place, timeout_s=timeout_s) for place in places]
    return "".join([_printed(args, rank) for rank in ranks])


def _printed(args: tuple[str | Path, ...], process: WarmProcess) -> str:
    code, out, err = process.wait()
    assert code == 0, f"{args} exited with {code}\n{out[-4000:]}\n{err[-8000:]}"
    return out
