# SPDX-License-Identifier: Apache-2.0
"""Bugs planted in the sources of the CUDA kernels, each of which a check must find; see ``assert_caught``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Bug = Sequence[str]
"""The file, what stands there, what shall stand there."""
AssertCaught = Callable[[Bug, Callable[[Path], object]], None]


def mutants_in(tables: Mapping[tuple[str, str], Mapping[str, Bug]]) -> list[tuple[str, str, str]]:
    """Problem, file and name of each bug in tables by problem and file."""
    return [(*where, mutant) for where, mutants in tables.items() for mutant in mutants]
