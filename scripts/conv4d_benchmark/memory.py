# SPDX-License-Identifier: Apache-2.0
"""Peak memory of the whole network, each case in a fresh process with the default allocator (Linux).

The allocator settings of the timings keep all memory that was ever used, in pieces; under them a peak says little.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .environment import for_child, untuned
from .network import MODES, VARIANTS, make_runner

GIGABYTE = 1e9
PROBE = "import sys, json; from {module} import probe; print(json.dumps(probe(*json.loads(sys.argv[1]))))"


@dataclass(frozen=True)
class Peak:
    """Memory of one run of the network.

    Attributes:
        variant: see :data:`conv4d_benchmark.network.VARIANTS`.
        mode: inference or training step.
        size: H, W, D, T.
        peak_gb: largest resident set of the whole process, Python and torch included; NaN if the run failed.
        rise_gb: how far it lies above what was resident with network and image before the run.
        problem: why it failed; "" if it did not.
    """

    variant: str
    mode: str
    size: tuple[int, ...]
    peak_gb: float
    rise_gb: float
    problem: str = ""


def supported() -> bool:
    """Tell whether this system counts as needed."""
    return Path("/proc/self/clear_refs").exists()


def cases(size: Sequence[int], whole_scan: Sequence[int]) -> list[tuple[str, str, tuple[int, ...]]]:
    """List what is measured: every variant at ``size``, and a training step on a whole scan by the native ones."""
    found = [(name, mode, tuple(size)) for mode in MODES for name, v in VARIANTS.items() if mode in v.modes]
    return found + [(name, MODES[1], tuple(whole_scan)) for name, v in VARIANTS.items() if v.kind == "native"]


def measure(size: Sequence[int], whole_scan: Sequence[int], threads: int) -> Iterator[Peak]:
    """Measure every case in a process of its own."""
    for name, mode, extent in cases(size, whole_scan):
        yield in_fresh_process(name, mode, extent, threads)


def in_fresh_process(name: str, mode: str, size: Sequence[int], threads: int) -> Peak:
    """Run :func:`probe` in a new process; a process that dies, for want of memory perhaps, is a result as well."""
    code = PROBE.format(module=__name__)
    command = [sys.executable, "-c", code, json.dumps([name, mode, list(size), threads])]
    done = subprocess.run(command, env=for_child(untuned(os.environ)), capture_output=True, text=True)
    if done.returncode != 0:
        problem = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Peak(name, mode, tuple(size), float("nan"), float("nan"), f"exit code {done.returncode}: {problem}")
    peak, before = json.loads(done.stdout)
    return Peak(name, mode, tuple(size), peak / GIGABYTE, (peak - before) / GIGABYTE)


def probe(name: str, mode: str, size: Sequence[int], threads: int) -> tuple[int, int]:
    """Run a variant once in this process.

    Returns:
        The peak of the resident set, and what was resident before, in bytes.
    """
    import torch

    torch.set_num_threads(threads)
    run = make_runner(name, mode, size)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew from what is resident now
    before = status_bytes(Path("/proc/self/status").read_text(encoding="ascii"), "VmRSS")
    run()
    return status_bytes(Path("/proc/self/status").read_text(encoding="ascii"), "VmHWM"), before


def status_bytes(status: str, field: str) -> int:
    """Read one field of ``/proc/self/status``, which counts in KiB."""
    return 1024 * int(next(line for line in status.splitlines() if line.startswith(f"{field}:")).split()[1])
