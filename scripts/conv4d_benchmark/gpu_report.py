# SPDX-License-Identifier: Apache-2.0
"""What the check of a GPU found: printed and written as it comes, so that nothing is lost where a run breaks off."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .gpu_checks import Outcome
from .gpu_network import describe
from .gpu_sections import Section


class Report:
    """Collects results, prints them, and keeps two files up to date.

    Args:
        machine: what the results belong to.
        json_file: where to write all results; ``None`` for nowhere.
        table_file: where to write them as Markdown.
    """

    def __init__(self, machine: Mapping[str, str], json_file: Path | None, table_file: Path | None) -> None:
        self.json_file, self.table_file = json_file, table_file
        self.content: dict[str, Any] = {"machine": dict(machine), "checks": [], "left_out": [], "seconds": {}}
        self.texts: list[str] = []
        self.passed = True
        print("\n".join(f"{name:20}{value}" for name, value in machine.items()))
        self._say("\n".join(f"- {name}: {value}" for name, value in machine.items()) + "\n", shown=False)

    def check(self, outcomes: Iterable[Outcome]) -> None:
        """Take up checks, and say what each found as soon as it is there."""
        for outcome in outcomes:
            self.passed = self.passed and outcome.passed
            self.content["checks"].append(outcome._asdict())
            self._say(f"- {'passed' if outcome.passed else 'FAILED'} {outcome.name}: {outcome.detail}")

    def run(self, sections: Mapping[str, Section], end: float) -> None:
        """Run parts one after the other; one that fails does not stop the others, none starts after ``end``."""
        for name, section in sections.items():
            if time.time() >= end:
                self.content["left_out"].append(name)
                self._say(f"- left out: {name}, no time was left")
                continue
            start = time.perf_counter()
            try:
                self.content[name], text = section()
            except Exception as error:  # is what the part found
                self.check([Outcome(name, False, describe(error))])
            else:
                self._say(f"\n{text}")
            self.content["seconds"][name] = round(time.perf_counter() - start, 1)
        self._write()

    def _say(self, text: str, *, shown: bool = True) -> None:
        if shown:
            print(text, flush=True)
        self.texts.append(text)
        self._write()

    def _write(self) -> None:
        if self.json_file:
            self.json_file.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        if self.table_file:
            self.table_file.write_text("\n".join(self.texts) + "\n", encoding="utf-8")
