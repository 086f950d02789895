# SPDX-License-Identifier: Apache-2.0
"""Jobs for the worker of ``scripts/gpu_check.py`` that go wrong, in a module that its processes can import."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from conv4d_benchmark.gpu_items import Found, Item
from conv4d_benchmark.gpu_worker import Job


def row(name: str) -> Found:
    return "checks", {"name": name, "passed": True, "detail": "found"}


class JobThatFails(Job):
    """One piece raises, one dies, one hangs and leaves a process behind, whose number it writes to ``script``."""

    def items(self) -> list[Item]:
        return [
            Item("good", lambda: [row("good")]),
            Item("raises", self._raises),
            Item("after an error", lambda: [row("after an error")]),
            Item("dies", self._dies),
            Item("hangs", self._hangs, 1.0),
            Item("last", lambda: [row("last")]),
        ]

    def _raises(self) -> Iterator[Found]:
        yield row("before the error")
        raise RuntimeError("an error")

    def _dies(self) -> Iterator[Any]:
        yield row("before the end")
        os.kill(os.getpid(), signal.SIGSEGV)

    def _hangs(self) -> Iterator[Any]:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(self.script).write_text(str(child.pid))
        time.sleep(600)
        yield row("never")


class JobWithoutEnd(Job):
    """Its first piece hangs, and time ends before that piece's does."""

    def items(self) -> list[Item]:
        return [Item("hangs", lambda: [time.sleep(600)], 500.0), Item("never begun", lambda: [row("never")])]
