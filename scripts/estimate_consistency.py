# SPDX-License-Identifier: Apache-2.0
"""Estimate the thresholds of temporal consistency from the phantom: ``python scripts/estimate_consistency.py``.

Writes the table that ``cardiac4d.metrics.temporal_consistency`` reads; some minutes on one core.
"""

from __future__ import annotations

from pathlib import Path

from cardiac4d.command_line import run
from cardiac4d.workflows.consistency_table import write_consistency

TABLE = Path(__file__).resolve().parents[1] / "bundle" / "cardiac4d" / "metrics" / "consistency.json"


def estimate(num_laptop: int = 40, num_small: int = 8, seed: int = 1000, path: str = str(TABLE)) -> str:
    """Estimate ranges and thresholds, and write them.

    Args:
        num_laptop: hearts on the grid of this preset, 2.3 to 2.6 mm and slices of 3.5 mm.
        num_small: hearts on the grid of this preset, 1.1 to 1.3 mm and slices of 2 mm.
        seed: of the hearts; the phantom's data sets use small ones.
        path: of the JSON file; replaced.
    """
    return f"table: {write_consistency(path, {'laptop': num_laptop, 'small': num_small}, seed)}"


if __name__ == "__main__":
    run(estimate)
