# SPDX-License-Identifier: Apache-2.0
"""What the check of a GPU found: printed and written as it comes, so that nothing is lost where a run breaks off."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import gpu_floor, gpu_graph, gpu_layers, gpu_network, gpu_profile, gpu_training
from .gpu_arguments import beside
from .gpu_items import KINDS_OF_CHECKS, Found
from .gpu_precision import PRECISIONS
from .plan import PAPER_SIZE, Size
from .tables import number

KEYS = {
    "checks": ("name",),
    "ceiling": (),
    "network": ("mode", "precision"),
    "graph": ("precision",),
    "training": (),
    "profile": ("precision",),
    "layers": ("layer", "dtype", "mode"),
}
"""The parts of the results, as a table has them, and what tells their rows apart: rows that agree are put together."""
WORDS = {True: "passed", False: "FAILED", None: "NOT CHECKED"}
"""What a check came to."""


class Report:
    """Collects results, prints them, and keeps two files up to date.

    Args:
        machine: what the results belong to.
        json_file: where to write all results; ``None`` for nowhere.
        table_file: where to write them as Markdown.
        crop: H, W, D, T of the network's input, for the floors.
    """

    def __init__(
        self, machine: Mapping[str, str], json_file: Path | None, table_file: Path | None, crop: Size = PAPER_SIZE
    ) -> None:
        self.json_file, self.table_file, self.crop = json_file, table_file, crop
        self.rows: dict[str, list[dict[str, Any]]] = {part: [] for part in KEYS}
        self.machine, self.left_out, self.seconds = dict(machine), list[str](), dict[str, float]()
        self.finished = False
        print("\n".join(f"{name:20}{value}" for name, value in machine.items()), flush=True)
        self._write()

    @property
    def passed(self) -> bool:
        """Whether something was checked, and nothing failed of what was done."""
        return bool(self.names_of(True)) and not self.names_of(False)

    @property
    def complete(self) -> bool:
        """Whether everything is over, and no check was left out; what was to be measured may have been."""
        return self.finished and not self._checks_left_out()

    def names_of(self, passed: bool | None) -> list[str]:
        """The checks that passed, failed, or could not be checked (``None``)."""
        return [row["name"] for row in self.rows["checks"] if row["passed"] is passed]

    def _checks_left_out(self) -> list[str]:
        return [name for name in self.left_out if name.startswith(KINDS_OF_CHECKS)]

    def verdict(self) -> str:
        """Say in a few lines what all checks together came to."""
        passed, failed, unchecked = (self.names_of(state) for state in WORDS)
        first = f"{len(passed)} of {len(passed) + len(failed)} checks passed"
        if unchecked:
            first += f", {len(unchecked)} not checked: {', '.join(unchecked)}"
        lines = [first, *(f"- {WORDS[False]} {name}" for name in failed)]
        if not passed and not failed:
            lines.append("nothing was checked")
        if missing := self._checks_left_out():
            lines.append(f"incomplete: {len(missing)} checks left out: {', '.join(missing)}")
        return "\n".join(lines)

    def finish(self) -> None:
        """Take up that nothing else comes."""
        self.finished = True
        self._write()

    def add(self, found: Found) -> None:
        """Take up a row, print it, and write everything that there is."""
        part, row = found
        same = [old for old in self.rows[part] if all(old[key] == row[key] for key in KEYS[part])]
        if same:
            _merge(same[0], row)
        else:
            self.rows[part].append(row)
        print(_line(part, row), flush=True)
        self._write()
        problem = row.get("problems", {}).get(gpu_network.NATIVE)
        if problem:
            self.fail(" ".join([part, *(row[key] for key in KEYS[part])]), problem)

    def fail(self, name: str, detail: str) -> None:
        """Take up that a piece failed."""
        self.add(("checks", {"name": name, "passed": False, "detail": detail}))

    def done(self, name: str, seconds: float) -> None:
        """Take up how long a piece took."""
        self.seconds[name] = round(seconds, 1)
        self._write()

    def leave_out(self, name: str) -> None:
        """Take up that there was no time for a piece, or not enough."""
        self.left_out.append(name)
        self._write()

    def to_json(self) -> dict[str, Any]:
        """All results, the floors beside them."""
        content = {"machine": self.machine, "passed": self.passed, "complete": self.complete, **self.rows}
        floors = [asdict(floor) for floor in self._floors()]
        return {**content, "floor": floors, "left_out": self.left_out, "seconds": self.seconds}

    def to_markdown(self) -> str:
        """All results as tables, those that are there."""
        ceiling = self._ceiling()
        rows = {part: rows for part, rows in self.rows.items() if rows}
        texts = ["\n".join(f"- {name}: {value}" for name, value in self.machine.items())]
        texts += ["\n".join(_line("checks", row) for row in rows.get("checks", [])), self.verdict()]
        if ceiling is not None:
            texts += [gpu_floor.ceiling_to_table(ceiling), gpu_floor.to_table(self._floors(every_layer=False))]
        if "network" in rows:
            times = [gpu_network.NetworkTimes(**row) for row in rows["network"]]
            texts.append(gpu_network.to_table(times, self.crop, ceiling))
        if "graph" in rows:
            texts.append(gpu_graph.to_table([gpu_graph.GraphTimes(**row) for row in rows["graph"]]))
        texts += [gpu_training.to_table(gpu_training.TrainingRun(**row)) for row in rows.get("training", [])]
        if "profile" in rows:
            texts.append(gpu_profile.to_table([gpu_profile.StepProfile.of(row) for row in rows["profile"]]))
        if "layers" in rows:
            layers = [gpu_layers.LayerTimes(**row) for row in rows["layers"]]
            texts.append(gpu_layers.to_table(layers, self.crop, ceiling))
        if self.left_out:
            names = "\n".join(f"- {name}" for name in self.left_out)
            texts.append(f"Left out or broken off, for no time was left:\n\n{names}")
        return "\n\n".join(text.strip() for text in texts if text) + "\n"

    def _ceiling(self) -> gpu_floor.Ceiling | None:
        return gpu_floor.Ceiling(**self.rows["ceiling"][0]) if self.rows["ceiling"] else None

    def _floors(self, *, every_layer: bool = True) -> list[gpu_floor.Floor]:
        """Of every kind of layer and their sums; without ``every_layer`` the layers of a step in bfloat16 alone."""
        ceiling = self._ceiling()
        if ceiling is None:
            return []
        return [
            floor
            for name in PRECISIONS
            for mode in gpu_floor.MODES
            for floor in gpu_floor.network_floors(self.crop, name, mode, ceiling)
            if every_layer or floor.layer == gpu_floor.ALL or (name, mode) == ("bfloat16", gpu_floor.MODES[1])
        ]

    def _write(self) -> None:
        if self.json_file:
            _replace(self.json_file, json.dumps(_finite(self.to_json()), indent=1) + "\n")
        if self.table_file:
            _replace(self.table_file, self.to_markdown())


def _merge(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Put a row into an older one of the same kind: what both have by name comes together."""
    for key, value in new.items():
        old[key] = {**old[key], **value} if isinstance(value, dict) else value


def _line(part: str, row: dict[str, Any]) -> str:
    """Say in a line what came."""
    if part == "checks":
        return f"- {WORDS[row['passed']]} {row['name']}: {row['detail']}"
    values = dict(_numbers(row))
    said = ", ".join(f"{name} {number(value)}" for name, value in values.items() if math.isfinite(value))
    noted = "".join(f"; {way}: {text}" for way, text in row.get("problems", {}).items())
    return f"{', '.join([part, *(str(row[key]) for key in KEYS[part])])}: {said}{noted}"


def _numbers(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a row by name, those of its dictionaries too."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{prefix}{name} ")
        elif isinstance(value, float):
            yield f"{prefix}{name}", value


def _finite(value: Any) -> Any:
    """The same with ``None`` for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _replace(path: Path, text: str) -> None:
    """Write a file that is whole at any time: the old one, or the new one."""
    new = beside(path)
    new.write_text(text, encoding="utf-8")
    new.replace(path)
