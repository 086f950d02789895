# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's memcheck and racecheck on the small checks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from .gpu_checks import Outcome
from .gpu_device import OURS

TOOLS = ("memcheck", "racecheck")
MARK = "========="
"""Begins every line of a tool."""
SHOWN = 12
"""So many lines of a report are kept from its start."""


def run_sanitizer(tool: str, script: str, seconds: float) -> Outcome:
    """Run the script's small checks under a tool of ``compute-sanitizer``, so long at most.

    What could not be checked, or not in time, has neither passed nor failed.
    """
    name = f"compute-sanitizer {tool}"
    program = find_program()
    if program is None:
        return Outcome(name, None, "there is no compute-sanitizer on the PATH or in the CUDA toolkit")
    command = [program, "--tool", tool, "--error-exitcode", "9", sys.executable, script, "--small"]
    said, code = run_for([*command, "--minutes", f"{seconds / 60 + 1:.1f}"], seconds)
    if code is None:
        return Outcome(name, None, f"not finished in {seconds:.0f} s; by itself: {' '.join(command)}")
    if "Device not supported" in said:  # in some virtual machines
        return Outcome(name, None, "compute-sanitizer does not support the device here")
    return Outcome(name, code == 0, said[-300:] if code == 0 else excerpt(said))


def excerpt(said: str) -> str:
    """Cut a report of errors down to its first ones and its sum, and say whether it names kernels of ours."""
    lines = [line.removeprefix(MARK).strip() for line in said.splitlines() if line.startswith(MARK)]
    if not lines:
        return said[-300:]
    named = f"{'names' if OURS in said else 'does not name'} kernels of {OURS}"
    return " | ".join([f"the report {named}", *lines[1 : 1 + SHOWN], lines[-1]])


def find_program() -> str | None:
    """Find the tool on the PATH, or where toolkits have it."""
    toolkit = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    beside = os.pathsep.join(str(toolkit / folder) for folder in ("bin", "compute-sanitizer"))
    return shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path=beside)


def run_for(command: list[str], seconds: float) -> tuple[str, int | None]:
    """Run a command and all that it starts, so long at most; what it said, and its code or ``None`` if it was ended."""
    # Else torch gives tensors parts of large pieces of memory, and no access next to a tensor is out of bounds.
    environment = {**os.environ, "PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    # A session of its own: a tool that is killed by itself would leave its program behind, on the GPU.
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=max(seconds, 1.0))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0].strip(), None
    return said.strip(), process.returncode
