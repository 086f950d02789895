# SPDX-License-Identifier: Apache-2.0
"""What a section measures: one row per case, with the timings of all methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .timing import Timing, alternate, calls_per_repetition, first_look

Runner = Callable[[], object]
Contestant = tuple[str, Callable[[], Runner]]
"""A name, and what makes its function: operands are made when its turn comes, and go afterwards."""


@dataclass(frozen=True)
class Budget:
    """How long a row may take.

    Attributes:
        seconds: for the alternating repetitions; looking at all methods once comes on top.
        repetitions: of each method, if time allows.
    """

    seconds: float
    repetitions: int = 5

    def patience_s(self, fastest_s: float) -> float:
        """A method whose first call takes longer is not called again to be looked at, unless it may be the fastest.

        A first call includes what is done once, but where it takes seconds that is a small part of it.
        """
        return max(1.3 * fastest_s, min(self.seconds / 8, 10 * fastest_s))

    @property
    def shortest_s(self) -> float:
        """A repetition calls a quick function so often that it takes this long: clocks and counters are coarse."""
        return min(0.1, self.seconds / 50)


@dataclass
class Row:
    """One case.

    Attributes:
        case: the layer, or what else was measured.
        mode: ``forward``, ``forward + backward``, ``inference`` or ``training step``.
        work: nominal GFLOP or voxels of one call, whatever the section counts.
        timings: by method.
        kinds: ``native``, ``torch`` or ``peer``, by method.
        alternated: the methods that were timed in turn; all others were looked at once.
    """

    case: str
    mode: str
    work: float
    timings: dict[str, Timing] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    alternated: list[str] = field(default_factory=list)

    def names(self, kind: str) -> list[str]:
        """The methods of one kind, in the order of timing."""
        return [name for name in self.timings if self.kinds[name] == kind]

    def best(self, kind: str) -> str:
        """Find the fastest method of one kind among those timed in turn; "" if there is none."""
        names = [name for name in self.names(kind) if name in self.alternated]
        return min(names, key=lambda name: self.timings[name].median_s, default="")

    def ratio(self, ours: str, theirs: str) -> float:
        """How many times faster our method is than theirs, by their medians."""
        return self.timings[theirs].median_s / self.timings[ours].median_s

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Row:
        """Read what :func:`dataclasses.asdict` wrote."""
        timings = {name: Timing(**timing) for name, timing in content["timings"].items()}
        return cls(**{**content, "timings": timings})


def look(row: Row, kind: str, contestants: Sequence[Contestant], budget: Budget) -> list[str]:
    """Time each contestant once, after a warm-up; returns their names, the fastest first."""
    fastest = min((timing.median_s for timing in row.timings.values()), default=float("inf"))
    for name, make in contestants:
        row.timings[name] = first_look(make(), budget.patience_s(fastest), budget.shortest_s)
        row.kinds[name] = kind
        fastest = min(fastest, row.timings[name].median_s)
    return sorted((name for name, _ in contestants), key=lambda name: row.timings[name].median_s)


def compete(row: Row, contestants: Mapping[str, Callable[[], Runner]], budget: Budget) -> None:
    """Time contestants that have been looked at in turn, and put that in place of the look."""
    runners = {name: make() for name, make in contestants.items()}
    calls = {name: calls_per_repetition(row.timings[name].median_s, budget.shortest_s) for name in runners}
    row.timings.update(alternate(runners, calls, budget.seconds, budget.repetitions))
    row.alternated = list(runners)
