# SPDX-License-Identifier: Apache-2.0
"""One run of the benchmark: sections in order, progress on the way."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

import torch

from cardiac4d.ops import backend_info

from . import accuracy, layers, machine, memory, network, quiet, scaling
from .environment import LIMITED, for_child
from .plan import Plan
from .report import render
from .results import Results, quietness
from .rows import Budget, Row

NETWORK_SHARE = 4
"""The whole network gets so many times the budget of a layer, and a case of the scaling series a quarter of it."""
T = TypeVar("T")


def measure(plan: Plan, command: str) -> Results:
    """Check every method, then run the sections; prints each row as it comes.

    Raises:
        RuntimeError: if there are no native kernels, or a method gives wrong results.
    """
    start = time.perf_counter()
    if backend_info()["backend"] != "native":
        raise RuntimeError(f"there is nothing to compare: the native library is {backend_info()['native']}")
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    results = Results(now, command, plan.size, {**machine.describe(), **machine.calibrate()})
    for name, text in results.machine.items():
        print(f"{name}: {text}", flush=True)
    print(f"correct: {accuracy.check_all() + network.check_all()} comparisons with float64\n", flush=True)
    _run_sections(plan, results)
    results.notes.append(quietness(results, quiet.supported()))
    results.seconds = time.perf_counter() - start
    return results


def _run_sections(plan: Plan, results: Results) -> None:
    """Run what has processes of its own first: the tuned heap of this one never shrinks, and memory may be short."""
    budget = Budget(plan.seconds, plan.repetitions)
    if "memory" in plan.sections and memory.supported():
        results.memory = _shown(memory.measure(plan.size, plan.whole_scan, torch.get_num_threads()))
    elif "memory" in plan.sections:
        results.notes.append("Memory is measured on Linux only.")
    for limit in plan.limits:
        results.limited[limit] = measure_limited(plan, limit).layers
    if "layers" in plan.sections:
        results.layers = _shown(layers.measure(plan.size, budget, levels_only=plan.levels_only))
        results.accuracy = list(accuracy.measure(plan.size))
    if "network" in plan.sections:
        results.network = _shown(network.measure(plan.size, Budget(NETWORK_SHARE * plan.seconds, plan.repetitions)))
    if "scaling" in plan.sections:
        results.scaling = _shown(scaling.measure(plan.size, Budget(plan.seconds / NETWORK_SHARE, plan.repetitions)))


def measure_limited(plan: Plan, limit: str) -> Results:
    """Measure the three levels again, in a process in which all methods are limited to an instruction set."""
    print(f"\nlimited to {limit}:", flush=True)
    script = Path(__file__).resolve().parents[1] / "benchmark_conv4d.py"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.json"
        command = [sys.executable, str(script), "--sections", "layers", "--json", str(path), "--levels_only"]
        command += ["--size", *map(str, plan.size), "--seconds", str(plan.seconds)]
        command += ["--threads", str(torch.get_num_threads()), "--repetitions", str(plan.repetitions)]
        subprocess.run(command, env={**for_child(os.environ), **LIMITED[limit]}, check=True)
        return Results.from_json(path.read_text(encoding="utf-8"))


def _shown(items: Iterable[T]) -> list[T]:
    """Print each item when it comes; returns all."""
    kept = []
    for item in items:
        kept.append(item)
        print(_line(item) if isinstance(item, Row) else item, flush=True)
    return kept


def _line(row: Row) -> str:
    """Sum up a row: the medians of what was timed in turn, in milliseconds."""
    medians = ", ".join(f"{name} {1e3 * row.timings[name].median_s:.4g}" for name in row.alternated)
    return f"{row.case}; {row.mode}: {medians} ms"


def write(results: Results, output: Path | None, json_path: Path | None) -> None:
    """Write the page and the JSON, where asked for."""
    for path, text in ((output, render(results)), (json_path, results.to_json())):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
