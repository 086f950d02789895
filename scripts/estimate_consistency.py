# SPDX-License-Identifier: Apache-2.0
"""Estimate the thresholds of temporal consistency from the phantom: ``python scripts/estimate_consistency.py``.

Writes the table that ``cardiac4d.metrics.temporal_consistency`` reads; some minutes on one core.
"""

from __future__ import annotations

import json
from pathlib import Path

from cardiac4d.command_line import run
from cardiac4d.io.whole_file import whole_file
from cardiac4d.workflows.consistency_table import estimate_consistency

TABLE = Path(__file__).resolve().parents[1] / "bundle" / "cardiac4d" / "metrics" / "consistency.json"


def estimate(num_laptop: int = 40, num_small: int = 8, seed: int = 1000, path: str = str(TABLE)) -> str:
    """Estimate ranges and thresholds, and write them.

    Args:
        num_laptop: hearts on the grid of this preset, 2.3 to 2.6 mm and slices of 3.5 mm.
        num_small: hearts on the grid of this preset, 1.1 to 1.3 mm and slices of 2 mm.
        seed: of the hearts; the phantom's data sets use small ones.
        path: of the JSON file; replaced.
    """
    table = estimate_consistency({"laptop": num_laptop, "small": num_small}, seed)
    with whole_file(Path(path)) as partial:
        partial.write_text(json.dumps(table, indent=4) + "\n", encoding="utf-8")
    return f"table: {path}"


if __name__ == "__main__":
    run(estimate)
