# SPDX-License-Identifier: Apache-2.0
"""What the native kernels are meant to reach on a machine with two AVX-512 cores, and what a run measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .accuracy import LEAST_OF_TORCH, Errors
from .layers import LEVELS, MODES
from .memory import Peak
from .results import Results
from .rows import Row

ONE_SUM, SEVERAL_SUMS = "PyTorch, one sum (s2l)", "PyTorch, composed backend"
"""How the sum over channels and taps is formed: by a single convolution, or in parts that are then added."""
FAST, EXACT = "native, fast", "native, exact"


@dataclass(frozen=True)
class Target:
    """One line of the table.

    Attributes:
        case: what is measured.
        least: the bound that counts.
        aim: what would be better still; 0 if nothing is named.
        value: reads it from the results; ``None`` if the run did not measure it.
        unit: behind the numbers; ``x`` for ratios, which shall be large. All else shall be small.
    """

    case: str
    least: float
    aim: float
    value: Callable[[Results], float | None]
    unit: str = "x"

    def met(self, value: float) -> bool:
        """Tell whether a measured value reaches the bound."""
        return value >= self.least if self.unit == "x" else value <= self.least


def layer_ratio(level: str, mode: str, *, limited: str = "") -> Callable[[Results], float | None]:
    """Ratio of the fast kernels to the best formulation, for one layer; ``limited`` to an instruction set."""

    def value(results: Results) -> float | None:
        row = find(results.limited.get(limited, []) if limited else results.layers, level, mode)
        return row.ratio(FAST, row.best("torch")) if row else None

    return value


def network_ratio(mode: str, theirs: str) -> Callable[[Results], float | None]:
    """Ratio of the native network to another variant."""

    def value(results: Results) -> float | None:
        row = find(results.network, "whole network", mode)
        return row.ratio("native", theirs) if row and theirs in row.timings else None

    return value


def memory_peak(mode: str, *, whole_scan: bool = False) -> Callable[[Results], float | None]:
    """Peak of the native network's resident set, in GB."""

    def value(results: Results) -> float | None:
        found: list[Peak] = [peak for peak in results.memory if (peak.variant, peak.mode) == ("native", mode)]
        found = [peak for peak in found if (tuple(peak.size) != tuple(results.size)) == whole_scan]
        return found[0].peak_gb if found else None

    return value


def worst_error(method: str, against: str = "") -> Callable[[Results], float | None]:
    """Largest error of the forward pass; with ``against`` as a multiple of that method's."""

    def value(results: Results) -> float | None:
        ours, theirs = (_forward_errors(results.accuracy, name) for name in (method, against))
        if not ours or (against and not theirs):
            return None
        return max(ours) / max(theirs) if against else max(ours)

    return value


def worst_ratio(method: str, against: str) -> Callable[[Results], float | None]:
    """Largest ratio of two methods' errors on the same problem, of the output and of both gradients."""

    def value(results: Results) -> float | None:
        theirs = {entry.case: entry for entry in results.accuracy if entry.method == against}
        pairs = [(entry, theirs[entry.case]) for entry in results.accuracy if entry.method == method and theirs]
        names = ("forward", "grad_input", "grad_weight")
        return max((getattr(a, name) / getattr(b, name) for a, b in pairs for name in names), default=None)

    return value


def _forward_errors(errors: Sequence[Errors], method: str) -> list[float]:
    return [entry.forward for entry in errors if entry.method == method]


def find(rows: Sequence[Row], case: str, mode: str) -> Row | None:
    """Find a row by its case and mode."""
    return next((row for row in rows if (row.case, row.mode) == (case, mode)), None)


TARGETS = (
    Target("level 0, forward", 3, 4, layer_ratio(LEVELS[0], MODES[0])),
    Target("level 0, forward + backward", 4, 5.5, layer_ratio(LEVELS[0], MODES[1])),
    Target("level 1, forward", 2.2, 2.6, layer_ratio(LEVELS[1], MODES[0])),
    Target("level 1, forward + backward", 2.2, 2.7, layer_ratio(LEVELS[1], MODES[1])),
    Target("level 2, forward", 2.3, 3, layer_ratio(LEVELS[2], MODES[0])),
    Target("level 2, forward + backward", 2, 2.5, layer_ratio(LEVELS[2], MODES[1])),
    Target("whole network, inference", 3, 4, network_ratio("inference", "composed")),
    Target("whole network, inference, peak memory", 1.6, 1.3, memory_peak("inference"), "GB"),
    Target("whole network, training step", 4, 6, network_ratio("training step", "composed")),
    Target(
        "whole network, inference, against pvjosue/pytorch_convNd",
        6,
        9,
        network_ratio("inference", "pvjosue/pytorch_convNd"),
    ),
    Target("training step on a whole scan, peak memory", 16, 0, memory_peak("training step", whole_scan=True), "GB"),
    Target("limited to AVX2, level 0, forward", 1.5, 0, layer_ratio(LEVELS[0], MODES[0], limited="avx2")),
    Target("error of F(4x4) against float64", 2e-5, 0, worst_error(FAST), "of the largest output"),
    Target("error of F(2x2), relative to PyTorch's in one sum", 1, 0, worst_error(EXACT, ONE_SUM), "times"),
    Target("error of F(2x2), relative to PyTorch's in several sums", 1, 0, worst_error(EXACT, SEVERAL_SUMS), "times"),
    Target(
        "error of F(2x2) and its gradients, relative to the least of all formulations",
        1,
        0,
        worst_ratio(EXACT, LEAST_OF_TORCH),
        "times",
    ),
)
