# SPDX-License-Identifier: Apache-2.0
"""Timing several methods alternately, so that a drift of the machine hits all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from . import quiet


@dataclass
class Timing:
    """The repetitions of one method.

    Attributes:
        clean_s: seconds per call of the repetitions that nothing disturbed.
        dirty_s: of the others.
    """

    clean_s: list[float] = field(default_factory=list)
    dirty_s: list[float] = field(default_factory=list)

    @property
    def used_s(self) -> list[float]:
        """The repetitions that count: the clean ones, or all if there is none."""
        return self.clean_s or self.dirty_s

    @property
    def median_s(self) -> float:
        """Median of the repetitions that count."""
        return statistics.median(self.used_s)

    @property
    def spread(self) -> float:
        """Largest minus smallest, relative to the median."""
        return (max(self.used_s) - min(self.used_s)) / self.median_s

    def add(self, seconds: float, clean: bool) -> None:
        """Count one repetition."""
        (self.clean_s if clean else self.dirty_s).append(seconds)


def repeat(function: Callable[[], object], calls: int, timing: Timing) -> None:
    """Time one repetition of so many calls."""
    before, start = quiet.usage(), time.perf_counter()
    for _ in range(calls):
        function()
    elapsed = time.perf_counter() - start
    timing.add(elapsed / calls, quiet.is_clean(before, quiet.usage(), elapsed))


def calls_per_repetition(seconds: float, shortest_s: float) -> int:
    """How many calls of a function that takes so long make a repetition that is not too short to be timed."""
    return max(1, int(shortest_s / max(seconds, 1e-6)))


def first_look(function: Callable[[], object], patience_s: float, shortest_s: float) -> Timing:
    """Warm a function up, and time it once; the warm-up alone has to do if it takes longer than the patience."""
    start = time.perf_counter()
    function()
    cold = time.perf_counter() - start
    timing = Timing()
    if cold > patience_s:
        timing.add(cold, clean=False)
    else:
        repeat(function, calls_per_repetition(cold, shortest_s), timing)
    return timing


def alternate(
    functions: Mapping[str, Callable[[], object]], calls: Mapping[str, int], budget_s: float, repetitions: int
) -> dict[str, Timing]:
    """Time warm functions in turn, round after round.

    Args:
        functions: what to time, by name.
        calls: how many calls make a repetition, by name.
        budget_s: no further round starts that would exceed this time; two are always run.
        repetitions: clean rounds to aim for; at most twice as many are run.

    Returns:
        The repetitions of each function.
    """
    timings = {name: Timing() for name in functions}
    start = time.perf_counter()
    for rounds in range(1, 2 * repetitions + 1):
        for name, function in functions.items():
            repeat(function, calls[name], timings[name])
        enough = min(len(timing.clean_s) for timing in timings.values()) >= repetitions
        if enough or (rounds > 1 and (time.perf_counter() - start) * (1 + 1 / rounds) > budget_s):
            break
    return timings
