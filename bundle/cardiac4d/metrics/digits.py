# SPDX-License-Identifier: Apache-2.0
"""How many digits of a number are written to a file: those that a count of voxels supports, and one to spare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DECIMALS = {"ml": 2, "g": 2, "percent": 2, "points": 2, "mm": 3, "ms": 1}
"""By the unit in a column's name: a voxel of cardiac CT is 0.001 to 0.03 ml and 0.3 to 3 mm."""
OTHER_DECIMALS = 4
"""Of numbers without such a unit: Dice, L2, sensitivity."""


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Round every ``float`` by the unit in its name; NaN, whole numbers and text stay.

    Args:
        row: from :func:`~cardiac4d.metrics.evaluate_case` or :func:`~cardiac4d.metrics.summarize_cases`.

    Example:
        >>> rounded({"case_id": "a", "edv_ml_mean": 118.12946498, "dice_lv": 0.912345, "num_frames": 20})
        {'case_id': 'a', 'edv_ml_mean': 118.13, 'dice_lv': 0.9123, 'num_frames': 20}
    """
    return {name: round(value, decimals(name)) if isinstance(value, float) else value for name, value in row.items()}


def decimals(name: str) -> int:
    """Decimal places of the column ``name``."""
    return next((DECIMALS[part] for part in name.split("_") if part in DECIMALS), OTHER_DECIMALS)
