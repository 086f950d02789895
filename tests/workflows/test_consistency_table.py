# SPDX-License-Identifier: Apache-2.0
"""The estimate of ranges and thresholds on a few small hearts, and the table that is shipped."""

from __future__ import annotations

import json

import numpy as np

from cardiac4d.metrics.attributes import ATTRIBUTES, CENTRE
from cardiac4d.metrics.consistency import consistency_table, second_difference
from cardiac4d.workflows.consistency_table import (
    FRAME_COUNTS,
    MARGIN,
    estimate_consistency,
    phantom_attributes,
    write_consistency,
)


def test_estimate_is_what_the_hearts_show() -> None:
    hearts = list(phantom_attributes({"laptop": 2}, 5, 8))
    table = estimate_consistency({"laptop": 2}, 5, frame_counts=(8,))
    for name in ATTRIBUTES:
        curves = [heart[name] - (heart[name].mean() if name in CENTRE else 0) for heart in hearts]
        low, high = np.min(curves), np.max(curves)
        np.testing.assert_allclose(table["ranges"][name], [low, high], rtol=0.01)
        largest = max(np.abs(second_difference(heart[name], True)).max() for heart in hearts)
        np.testing.assert_allclose(table["thresholds"]["8"][name], MARGIN * largest / (high - low), rtol=0.01)


def test_shipped_table_says_where_it_is_from(tmp_path, monkeypatch) -> None:
    shipped = consistency_table()
    assert list(shipped["thresholds"]) == [str(frames) for frames in FRAME_COUNTS]
    assert shipped["provenance"]["command"] == "python scripts/estimate_consistency.py"
    stand_in = "cardiac4d.workflows.consistency_table.estimate_consistency"
    monkeypatch.setattr(stand_in, lambda hearts, seed: {"hearts": hearts, "seed": seed})
    path = write_consistency(tmp_path / "table.json", {"laptop": 1}, 3)
    assert json.loads(path.read_text()) == {"hearts": {"laptop": 1}, "seed": 3}
