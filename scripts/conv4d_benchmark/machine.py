# SPDX-License-Identifier: Apache-2.0
"""What the machine is, and how fast it could be: the peak of its multiply-adds, and its memory bandwidth."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from cardiac4d.ops import backend_info

PEAK_SOURCE = Path(__file__).with_name("peak.cpp")
TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
ISA_FLAGS = {"avx512": ("-mavx512f", "-mfma"), "avx2": ("-mavx2", "-mfma")}
"""Flags of the instruction sets that can be named; others compile for the machine at hand."""
SHARED_BELOW = 1.3
"""Threads that together reach less than this multiple of one thread's peak share one core's arithmetic."""


def describe() -> dict[str, str]:
    """Say what ran: processor, instruction sets, threads, versions, and what ``backend_info()`` says."""
    info = backend_info()
    return {
        "processor": cpu_model(),
        "logical CPUs": f"{len(usable_cpus())} usable of {os.cpu_count()}; {sibling_text()}",
        "threads": str(torch.get_num_threads()),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "torch": f"{torch.__version__}, computing with {torch.backends.cpu.get_cpu_capability()}",
        "cardiac4d": ", ".join(f"{key} {info[key]}" for key in ("backend", "instruction_set", "precision", "native")),
    }


def usable_cpus() -> list[int]:
    """Return the numbers of the logical CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cpu_model(path: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name as the system knows it."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def sibling_text() -> str:
    """Say which of the usable logical CPUs share a core, as far as the system knows; a virtual machine may not."""
    files = {cpu: Path(TOPOLOGY.format(cpu)) for cpu in usable_cpus()}
    if not all(file.exists() for file in files.values()):
        return "the system does not say which of them share a core"
    groups = {file.read_text(encoding="ascii").strip() for file in files.values()}
    shared = sorted(group for group in groups if not group.isdigit())
    return f"sharing a core: {'; '.join(shared)}" if shared else "none share a core, says the system"


def calibrate() -> dict[str, str]:
    """Measure the peak and the bandwidth, for the tables; see :func:`fma_peak` and :func:`copy_bandwidth`."""
    threads = torch.get_num_threads()
    single, together, how = fma_peak(threads)
    text = f"{single:.0f} GFLOP/s with 1 thread, {together:.0f} with {threads} ({how})"
    if threads > 1 and together < SHARED_BELOW * single:
        text += "; the threads share the arithmetic of one core, whatever the system says"
    return {"multiply-add peak, float32": text, "memory": f"copies {copy_bandwidth():.1f} GB/s (read and written)"}


def fma_peak(threads: int) -> tuple[float, float, str]:
    """Measure the multiply-add peak with one thread and with several.

    Returns:
        Both in GFLOP/s, and how they were measured: by a loop of multiply-adds, compiled now, or where no compiler is
        found by torch's matrix product, which may stay far below.
    """
    compiler = shutil.which(os.environ.get("CXX") or "g++")
    if compiler is not None:
        try:
            return (*_compiled_peak(compiler, threads), f"loop compiled by {Path(compiler).name}")
        except (OSError, subprocess.SubprocessError, ValueError):
            pass  # a compiler that cannot do this is as good as none
    return _matmul_peak(1), _matmul_peak(threads), "torch.matmul, for want of a compiler"


def _compiled_peak(compiler: str, threads: int) -> tuple[float, float]:
    flags = ISA_FLAGS.get(os.environ.get("CARDIAC4D_CPU_ISA", ""), ("-march=native",))
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "peak")
        command = [compiler, "-std=c++17", "-O3", *flags, "-pthread", str(PEAK_SOURCE), "-o", program]
        subprocess.run(command, check=True, capture_output=True)
        printed = subprocess.run([program, str(threads)], check=True, capture_output=True, text=True).stdout
    single, together = (float(line) for line in printed.split())
    return single, together


def _matmul_peak(threads: int, size: int = 2048) -> float:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    matrix = torch.ones(size, size)
    seconds = _best_seconds(lambda: matrix @ matrix)
    torch.set_num_threads(before)
    return 2e-9 * size**3 / seconds


def copy_bandwidth(num_bytes: int = 2**28) -> float:
    """Measure how fast memory is copied, in GB/s, what is read and what is written both counted."""
    source = torch.ones(num_bytes // 4)
    target = torch.empty_like(source)
    return 2e-9 * num_bytes / _best_seconds(lambda: target.copy_(source))


def _best_seconds(function: Callable[[], object], repetitions: int = 5) -> float:
    function()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)
