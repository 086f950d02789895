# SPDX-License-Identifier: Apache-2.0
"""Everything that a run measured, to and from JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .accuracy import Errors
from .memory import Peak
from .rows import Row


@dataclass
class Results:
    """One run.

    Attributes:
        date: when it began, in UTC.
        command: what was called.
        size: H, W, D, T of the network's input.
        machine: what ran, see :func:`conv4d_benchmark.machine.describe`, and its measured limits.
        notes: what a reader must know, such as how quiet the machine was.
        layers, network, scaling: their sections.
        memory: the section on memory.
        accuracy: errors against float64.
        limited: layers again, by the instruction set that all methods were limited to.
        seconds: how long the run took.
    """

    date: str
    command: str
    size: tuple[int, ...]
    machine: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    layers: list[Row] = field(default_factory=list)
    network: list[Row] = field(default_factory=list)
    scaling: list[Row] = field(default_factory=list)
    memory: list[Peak] = field(default_factory=list)
    accuracy: list[Errors] = field(default_factory=list)
    limited: dict[str, list[Row]] = field(default_factory=dict)
    seconds: float = 0

    def all_rows(self) -> list[Row]:
        """Every row with timings."""
        return [*self.layers, *self.network, *self.scaling, *(row for rows in self.limited.values() for row in rows)]

    def to_json(self) -> str:
        """Write all of it as JSON."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Results:
        """Read what :meth:`to_json` wrote."""
        content: dict[str, Any] = json.loads(text)
        rows: Mapping[str, Any] = {
            name: [Row.from_json(row) for row in content[name]] for name in ("layers", "network", "scaling")
        }
        limited = {isa: [Row.from_json(row) for row in found] for isa, found in content["limited"].items()}
        peaks = [Peak(**{**peak, "size": tuple(peak["size"])}) for peak in content["memory"]]
        accuracy = [Errors(**errors) for errors in content["accuracy"]]
        size = tuple(content["size"])
        return cls(**{**content, **rows, "limited": limited, "memory": peaks, "accuracy": accuracy, "size": size})


def quietness(results: Results, counted: bool) -> str:
    """Say how many repetitions were undisturbed, and what to think of the numbers if not all were."""
    if not counted:
        return "Whether the machine was quiet is unknown: this system does not count what other processes use."
    timings = [row.timings[name] for row in results.all_rows() for name in row.alternated]
    clean, total = sum(len(t.clean_s) for t in timings), sum(len(t.clean_s) + len(t.dirty_s) for t in timings)
    text = f"{clean} of {total} alternating repetitions were clean: other processes used less than 6 % of one CPU."
    if any(not timing.clean_s for timing in timings):
        text += " **The machine was not quiet**: cells marked ~ have no clean repetition and are no basis for a claim."
    return text
