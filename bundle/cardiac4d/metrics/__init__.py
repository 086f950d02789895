# SPDX-License-Identifier: Apache-2.0
"""How good a segmented sequence is: Dice where annotated, smoothness over time, error of the ejection fraction."""

from __future__ import annotations

from .case import evaluate_case
from .dice import SparseDice, dice_per_frame
from .digits import rounded
from .ejection_fraction import EjectionFractionError
from .smoothness import TemporalSmoothness, changed_volumes_ml, temporal_l2
from .summary import format_cases, format_table, summarize_cases
from .surface import surface_distances_mm, temporal_surface_distance

__all__ = [
    "EjectionFractionError",
    "SparseDice",
    "TemporalSmoothness",
    "changed_volumes_ml",
    "dice_per_frame",
    "evaluate_case",
    "format_cases",
    "format_table",
    "rounded",
    "summarize_cases",
    "surface_distances_mm",
    "temporal_l2",
    "temporal_surface_distance",
]
