# SPDX-License-Identifier: Apache-2.0
"""Markdown tables, and how numbers are written in them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .rows import Row
from .timing import Timing

EMPTY = "–"  # noqa: RUF001 - a dash, for a cell without a number


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table; the first column is text, the others are numbers.

    Raises:
        ValueError: if a row has another number of cells than the head.
    """
    for cells in body:
        if len(cells) != len(head):
            raise ValueError(f"`body` has a row of {len(cells)} cells under a head of {len(head)}: {cells}")
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def number(value: float, digits: int = 3) -> str:
    """Write a value with so many significant digits, and never as a power of ten."""
    if not math.isfinite(value):
        return EMPTY
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def milliseconds(timing: Timing) -> str:
    """Write the median, marked ``~`` if no repetition was clean, and the spread of several repetitions."""
    mark = "" if timing.clean_s else "~"
    spread = f" ± {50 * timing.spread:.0f} %" if len(timing.used_s) > 1 else ""
    return f"{mark}{number(1e3 * timing.median_s)}{spread}"


def seconds(timing: Timing) -> str:
    """As :func:`milliseconds`, in seconds."""
    scaled = Timing([1e-3 * s for s in timing.clean_s], [1e-3 * s for s in timing.dirty_s])
    return milliseconds(scaled)


def times(ratio: float) -> str:
    """Write a ratio."""
    return f"{number(ratio, 2 if ratio < 10 else 3)}x"


def cell(row: Row, name: str) -> str:
    """Write the milliseconds of one method; empty if it was not timed."""
    return milliseconds(row.timings[name]) if name in row.timings else EMPTY


def ratio_cell(row: Row, ours: str, theirs: str) -> str:
    """Write how many times faster ours is; empty if one of them was not timed."""
    return times(row.ratio(ours, theirs)) if ours in row.timings and theirs in row.timings else EMPTY
