# SPDX-License-Identifier: Apache-2.0
"""How much of the machine other processes used while something was timed (Linux)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

STAT = Path("/proc/stat")
LIMIT = 0.06
"""A repetition is clean if others used less than this share of one CPU."""
GRACE_S = 0.03
"""What is forgiven in any case: the kernel counts in steps of 10 ms."""


class Usage(NamedTuple):
    """CPU time since some moment in the past, in seconds: of the whole machine, and of this process."""

    machine_s: float
    own_s: float


def supported() -> bool:
    """Tell whether this system counts as needed."""
    return sys.platform == "linux" and STAT.exists()


def usage() -> Usage | None:
    """Read the counters now; ``None`` where there are none."""
    if not supported():
        return None
    times = os.times()
    return Usage(busy_seconds(STAT.read_text(encoding="ascii")), times.user + times.system)


def busy_seconds(stat: str, ticks_per_s: int | None = None) -> float:
    """Sum up the time that all CPUs together were not idle, from the text of ``/proc/stat``.

    Guests are counted within ``user`` already; time stolen by other machines on the same host is not ours either.
    """
    fields = [int(field) for field in stat.splitlines()[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, soft_irq, steal = (fields + [0] * 8)[:8]
    return (user + nice + system + irq + soft_irq + steal) / (ticks_per_s or os.sysconf("SC_CLK_TCK"))


def is_clean(before: Usage | None, after: Usage | None, elapsed_s: float) -> bool:
    """Tell whether other processes left the machine alone; True where nothing counts."""
    if before is None or after is None:
        return True
    others_s = (after.machine_s - before.machine_s) - (after.own_s - before.own_s)
    return others_s < max(GRACE_S, LIMIT * elapsed_s)
