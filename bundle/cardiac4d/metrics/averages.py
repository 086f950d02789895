# SPDX-License-Identifier: Apache-2.0
"""Averages in which NaN means "not defined here" and is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..conventions import STRUCTURES


def mean_of_defined(values: Iterable[float]) -> float:
    """Mean of the finite values; NaN if there is none.

    Example:
        >>> mean_of_defined([1.0, float("nan"), 2.0])
        1.5
    """
    array = np.asarray(list(values), dtype=np.float64)
    defined = array[np.isfinite(array)]
    return float(defined.mean()) if len(defined) else float("nan")


def with_mean(by_structure: Mapping[str, float]) -> dict[str, float]:
    """Add ``"mean"`` over the structures; NaN if one of them is not defined, so that cases stay comparable."""
    return {**by_structure, "mean": sum(by_structure[name] for name in STRUCTURES) / len(STRUCTURES)}
