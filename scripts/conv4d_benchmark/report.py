# SPDX-License-Identifier: Apache-2.0
"""The page that a run writes: ``docs/benchmarks.md``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .accuracy import Errors
from .memory import Peak
from .peers import CORRECTIONS, LEFT_OUT, PEERS
from .plan import PAPER_SIZE
from .results import Results
from .rows import Row
from .tables import EMPTY, cell, milliseconds, number, ratio_cell, seconds, table, times
from .targets import EXACT, FAST, TARGETS, Target

HALF, DIRECT = "native, bfloat16", "native, direct"

INTRODUCTION = """\
# Benchmarks of the 4D convolution

This page is written by `scripts/benchmark_conv4d.py`; every number in it comes from the run named below. To repeat it
on your machine, build the native kernels (`make native`) and call

    {command}

How to read it:

- **Ratios carry over to other machines, absolute times do not.** A ratio says how many times faster the native kernels
  are than the *fastest* formulation of that layer in pure PyTorch found in the same run. Both are timed in turn, round
  by round, so that a drift of the machine hits both.
- All methods run in the layout of memory that suits them best, no conversion charged, with allocator settings that help
  torch more than the native kernels (`scripts/conv4d_benchmark/environment.py`). Memory is measured without them.
- A cell is the median, ± half the distance between the fastest and the slowest repetition; a single number was timed
  once. `~` marks a cell without any repetition during which other processes used less than 6 % of one CPU.
- Forward + backward computes the gradients of input and weight; of the first layer that of the weight alone.
- GFLOP/s are nominal: a product and a sum per weight and output, products with the padding included. A Winograd
  algorithm needs fewer, so it can exceed the machine's peak.
- Before anything is timed, every method is compared with float64, values and gradients.
"""

FORMULATIONS_NOTE = """\
The formulations: one axis of the sequence goes into the batch of `conv3d`. s1 convolves once per tap of that axis and
adds; s2 puts the frames that an output reads side by side as input channels; s3 computes all taps side by side as
output channels, then shifts and adds. "l" is `channels_last_3d`; s42l and s43l are s2 and s3 with H in the batch in
place of time. Large layers leave out the plain layout, which is the slower one there, and the composed backend, which
takes one of these forms. Each was timed once, after a warm-up unless that showed it to be behind, and the fastest two,
marked *, in turn with the native kernels.
"""


def render(results: Results) -> str:
    """Write the page; sections that the run left out do not appear."""
    parts = [INTRODUCTION.format(command=results.command), run_section(results), targets_section(results)]
    sections: list[tuple[Sequence[object], Callable[[Results], str]]] = [
        (results.layers, layers_section),
        (results.network, network_section),
        (results.memory, memory_section),
        (results.scaling, scaling_section),
        (list(results.limited), limited_section),
        (results.accuracy, accuracy_section),
    ]
    parts += [write(results) for content, write in sections if content]
    return "\n".join(parts)


def run_section(results: Results) -> str:
    """Say when, where and with what it was run."""
    entries = [["date", results.date], *map(list, results.machine.items())]
    entries += [["network input", "x".join(map(str, results.size))], ["took", f"{results.seconds / 60:.1f} minutes"]]
    notes = "".join(f"\n{note}\n" for note in results.notes)
    return f"## The run\n\n{table(['', ''], entries)}{notes}"


def targets_section(results: Results) -> str:
    """Compare with the targets, met or not."""
    body = [_target_cells(target, target.value(results)) for target in TARGETS]
    text = (
        "Set for a machine with two AVX-512 cores and an input of 96x96x64x16. The network is compared with itself on "
        "the composed backend."
    )
    if tuple(results.size) != PAPER_SIZE:
        text += f" **This run had an input of {'x'.join(map(str, results.size))}, for which they were not made.**"
    return f"## Targets\n\n{text}\n\n{table(['Case', 'At least (most)', 'Aim', 'Measured', ''], body)}"


def _target_cells(target: Target, value: float | None) -> list[str]:
    if value is None:
        return [target.case, _with_unit(target.least, target), _with_unit(target.aim, target), EMPTY, "not measured"]
    verdict = "met" if target.met(value) else "**not met**"
    bounds = [_with_unit(bound, target) for bound in (target.least, target.aim, value)]
    return [target.case, *bounds, verdict]


def _with_unit(value: float, target: Target) -> str:
    if not value:
        return EMPTY
    if math.isnan(value):
        return "failed"
    if target.unit == "x":
        return times(value)
    return f"{value:.1e} {target.unit}" if value < 1e-3 else f"{value:.3g} {target.unit}"


def layers_section(results: Results) -> str:
    """Write three tables: against the best formulation, against published code, and all formulations."""
    full = [row for row in results.layers if "bfloat16" not in row.mode]
    half = [row for row in results.layers if "bfloat16" in row.mode]
    text = f"## Layers\n\nMilliseconds, float32.\n\n{_native_table(full)}"
    if half:
        text += f"\nIn bfloat16, against the best formulation in bfloat16:\n\n{_half_table(half)}"
    if any(row.names("peer") for row in full):
        text += f"\n{_peers_text(full)}"
    return f"{text}\n### All formulations\n\n{FORMULATIONS_NOTE}\n{_formulations_table(full + half)}"


def _native_table(rows: Sequence[Row]) -> str:
    head = ["Layer", "Best PyTorch", "Which", "Native, fast", "GFLOP/s", "Ratio", "Exact", "Ratio", "Direct", "Ratio"]
    body = []
    for row in rows:
        best = row.best("torch")
        cells = [_title(row), cell(row, best), _short(best), cell(row, FAST)]
        cells += [number(row.work / row.timings[FAST].median_s), f"**{ratio_cell(row, FAST, best)}**"]
        for name in (EXACT, DIRECT):
            cells += [cell(row, name), ratio_cell(row, name, best)]
        body.append(cells)
    return table(head, body)


def _half_table(rows: Sequence[Row]) -> str:
    body = []
    for row in rows:
        best = row.best("torch")
        cells = [_title(row), cell(row, best), _short(best), cell(row, HALF), ratio_cell(row, HALF, best)]
        body.append(cells)
    return table(["Layer", "Best PyTorch", "Which", "Native", "Ratio"], body)


def _peers_text(rows: Sequence[Row]) -> str:
    rows = [row for row in rows if row.names("peer")]
    names = [peer.name for peer in PEERS]
    body = [[_title(row), *(f"{cell(row, name)} ({ratio_cell(row, FAST, name)})" for name in names)] for row in rows]
    empty = f"{EMPTY} ({EMPTY})"
    body = [[EMPTY if text == empty else text for text in cells] for cells in body]
    faults = "".join(f"- {name} {fault}.\n" for name, fault in CORRECTIONS.items())
    return (
        "### Published algorithms\n\nWritten anew from the published code, time as the axis that they loop over. In "
        f"brackets how many times faster the native kernels are. {EMPTY}: no stride, or no time was left.\n\n"
        f"{table(['Layer', *names], body)}\n{faults}- {LEFT_OUT}\n"
    )


def _formulations_table(rows: Sequence[Row]) -> str:
    body = []
    for row in rows:
        names = sorted(row.names("torch"), key=lambda name: row.timings[name].median_s)
        body.append([_title(row), ", ".join(_formulation(row, name) for name in names)])
    return table(["Layer", "ms, the fastest first"], body)


def _formulation(row: Row, name: str) -> str:
    return f"{_short(name)}{'*' if name in row.alternated else ''} {cell(row, name)}"


def _short(name: str) -> str:
    """Cut the explanation off the name of a formulation."""
    return name.partition(":")[0]


def _title(row: Row) -> str:
    return f"{row.case}; {row.mode}"


def network_section(results: Results) -> str:
    """Write seconds per variant and how many times faster the native one is."""
    names = list(dict.fromkeys(name for row in results.network for name in row.timings))
    others = [name for name in names if name != "native"]
    body = []
    for row in results.network:
        cells = [seconds(row.timings[name]) if name in row.timings else EMPTY for name in names]
        body.append([row.mode, *cells, *(ratio_cell(row, "native", name) for name in others)])
    head = ["Seconds", *names, *(f"native against {name}" for name in others)]
    text = "`EncoderDecoder`, the paper's table, one sample. A training step: forward, mean square, backward and Adam."
    return f"## Whole network\n\n{text}\n\n{table(head, body)}"


def memory_section(results: Results) -> str:
    """Write the peaks."""
    text = (
        "Resident set of a fresh process with the default allocator, in GB (10^9 bytes): the peak with Python and "
        "torch, and how far it lies above network and image."
    )
    body = [_peak_cells(peak) for peak in results.memory]
    return f"## Memory\n\n{text}\n\n{table(['Case', 'Peak', 'Rise'], body)}"


def _peak_cells(peak: Peak) -> list[str]:
    case = f"{peak.mode}, {'x'.join(map(str, peak.size))}; {peak.variant}"
    if peak.problem:
        return [case, "failed", peak.problem.replace("|", "/")]
    return [case, number(peak.peak_gb), number(peak.rise_gb)]


def scaling_section(results: Results) -> str:
    """Write time, and time per voxel, of the native kernels and the composed backend."""
    body = []
    for row in results.scaling:
        ours, theirs = row.alternated
        per_voxel = number(1e9 * row.timings[ours].median_s / row.work)
        times_ms = [milliseconds(row.timings[name]) for name in (ours, theirs)]
        body.append([row.case, *times_ms, per_voxel, times(row.ratio(ours, theirs))])
    head = ["Case", "Native, ms", "Composed, ms", "Native, ns per voxel", "Ratio"]
    text = (
        "Forward, 3x3x3x3, HxWxDxT. The arithmetic is linear in frames and volume, and quadratic in channels. "
        "Composed: the backend in pure PyTorch."
    )
    return f"## Scaling\n\n{text}\n\n{table(head, body)}"


def limited_section(results: Results) -> str:
    """Write the layers again, for every instruction set that all methods were limited to."""
    parts = [
        f"## Limited to {isa.upper()}\n\n{LIMITED_NOTE}\n\n{_native_table(rows)}"
        for isa, rows in results.limited.items()
    ]
    return "\n".join(parts)


LIMITED_NOTE = "The same machine; the native kernels, torch and oneDNN all limited to this instruction set."


def accuracy_section(results: Results) -> str:
    """Write the errors against float64."""
    body = [[f"{e.case}; {e.method}", *_error_cells(e)] for e in results.accuracy]
    text = "Largest difference from float64, relative to the largest value of each result; random normal data."
    head = ["Channels; method", "Forward", "Input gradient", "Weight gradient"]
    return f"## Accuracy\n\n{text}\n\n{table(head, body)}"


def _error_cells(errors: Errors) -> list[str]:
    return [f"{value:.1e}" for value in (errors.forward, errors.grad_input, errors.grad_weight)]
