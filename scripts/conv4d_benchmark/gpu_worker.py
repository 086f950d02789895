# SPDX-License-Identifier: Apache-2.0
"""Runs the pieces of the check in a process of their own, and goes on with a fresh one where a piece takes it along.

A kernel that writes where it must not breaks all that its process has of the GPU, and one that never ends stops it.
Neither costs more than its own piece.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

import torch

from .gpu_device import describe, is_broken, is_cuda
from .gpu_items import Found, Item, Scale, items

START_S = 90.0
"""For a process to import torch and reach its first piece."""
FAREWELL_S = 5.0
"""For a process that has done everything, to end by itself."""
GRACE_S = 30
"""So long after the end a process ends itself, should nobody be left to end it."""
BROKEN = "it left the GPU broken for its process"
Send = Callable[[tuple[str, Any]], None]


class Keeper(Protocol):
    """What keeps results, see :class:`.gpu_report.Report`."""

    def add(self, found: Found) -> None:
        """Keep a row."""

    def fail(self, name: str, detail: str) -> None:
        """Keep that a piece failed."""

    def done(self, name: str, seconds: float) -> None:
        """Keep how long a piece took."""

    def leave_out(self, name: str) -> None:
        """Keep that there was no time for a piece."""


@dataclass(frozen=True)
class Job:
    """What a worker is to do: the arguments of :func:`.gpu_items.items`, since its pieces cannot be sent."""

    device: str
    scale: Scale
    end: float
    benchmark: bool
    script: str

    def items(self) -> list[Item]:
        """List the pieces."""
        return items(self.device, self.scale, self.end, benchmark=self.benchmark, script=self.script)


def carry_out(pieces: Sequence[Item], device: str, send: Send) -> None:
    """Run pieces one after the other, and send what they find as it comes; stops where the device is broken."""
    for item in pieces:
        send(("begin", item.name))
        failed = False
        try:
            for found in item.find():
                send(("found", found))
        except Exception as error:  # is what the piece found
            failed = True
            send(("failed", describe(error)))
        gc.collect()
        if is_broken(device):  # also by a piece that kept its errors to itself, as checks do
            if not failed:
                send(("failed", BROKEN))
            return
        if is_cuda(device):
            torch.cuda.empty_cache()
        send(("end", item.name))


def _work(connection: Connection, job: Job, names: Sequence[str]) -> None:
    """The worker; leads a group of processes, so that what it starts can be ended with it."""
    os.setpgid(0, 0)
    signal.alarm(max(1, int(job.end - time.time()) + GRACE_S))
    carry_out([item for item in job.items() if item.name in set(names)], job.device, connection.send)


def run(job: Job, keeper: Keeper) -> None:
    """Carry out a job as long as there is time, in as many processes as that takes."""
    limits = {item.name: item.seconds for item in job.items()}
    left = list(limits)
    while left and time.time() < job.end:
        left = _one_worker(job, left, limits, keeper)
    for name in left:
        keeper.leave_out(name)


def _one_worker(job: Job, left: list[str], limits: dict[str, float], keeper: Keeper) -> list[str]:
    """Let one process work until it has done everything, or ends, or takes too long; what is left to do."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(there, job, left))
    process.start()
    there.close()
    try:
        left = _listen(here, left, limits, job.end, keeper)
        process.join(0 if left else FAREWELL_S)  # a broken device can keep it for ever
        return left
    finally:
        _end(process)


def _listen(here: Connection, left: list[str], limits: dict[str, float], end: float, keeper: Keeper) -> list[str]:
    """Keep what a worker sends; what is left to do when it has ended, or must be."""
    begun, limit = time.time(), START_S
    has_begun = is_told = False
    while left:
        if not here.poll(max(0.0, min(begun + limit, end) - time.time())):
            if end <= begun + limit:
                return left
            keeper.fail(left[0], f"not finished in {limit:.0f} s, and ended")
            return _rest(left, has_begun, keeper)
        try:
            kind, content = here.recv()
        except (EOFError, OSError):
            if not is_told:
                keeper.fail(left[0], "its process ended without a word, as after a fault in memory")
            return _rest(left, has_begun, keeper)
        if kind == "begin":
            begun, limit, has_begun = time.time(), limits[content], True
        elif kind == "found":
            keeper.add(content)
        elif kind == "failed":
            is_told = True
            keeper.fail(left[0], content)
        else:
            is_told = False
            keeper.done(content, time.time() - begun)
            left = left[1:]
    return left


def _rest(left: list[str], has_begun: bool, keeper: Keeper) -> list[str]:
    """What a fresh process goes on with; nothing where this one could not even begin, for another could not, either."""
    if has_begun:
        return left[1:]
    for name in left[1:]:
        keeper.leave_out(name)
    return []


def _end(process: Any) -> None:
    """End a process and what it started, whether it still runs or not."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # it has not come to lead its group, or nobody is left in it
        process.kill()
    process.join()
