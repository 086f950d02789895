# SPDX-License-Identifier: Apache-2.0
"""The table of coverage counts what it says, on hearts whose intervals are known; the network is left out."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from cardiac4d.measure import Intervals, MeasureOptions, measure_study, quantities
from tests.helpers.studies import AFFINE, beating_ball


def test_table_counts_intervals_that_hold_the_truth(repo_root: Path, tmp_path: Path) -> None:
    measure = runpy.run_path(str(repo_root / "scripts" / "measure_interval_coverage.py"))["measure_interval_coverage"]
    found = measure_study(beating_ball()[1], AFFINE, options=MeasureOptions(wall_thickness=False))
    edv_ml = found.function.edv_ml
    narrow = Intervals(0.9, "samples", edv_ml=(edv_ml - 1, edv_ml + 1))
    wide = Intervals(0.9, "probabilities", edv_ml=(edv_ml - 5, edv_ml + 5))
    given = {"samples": narrow, "probabilities": wide}
    truths = [{**quantities(found), "edv_ml": edv_ml + k * 7 % 25 / 2} for k in range(25)]  # the last: 7.5 11 2 5.5 9
    measure.__globals__["_studies"] = lambda *_: iter([(found, truth, given) for truth in truths])
    table = measure(25, 20, output_json=str(tmp_path / "record.json"))
    rows = {
        tuple(cells[:2]): cells[2:]
        for cells in ([c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines())
    }
    assert rows[("samples", "edv_ml")] == ["0/5", "2.0", "-7.0"]
    assert rows[("probabilities", "edv_ml")] == ["1/5", "10.0", "-7.0"]
    assert rows[("errors", "edv_ml")][0] == "5/5", "errors of the first twenty span those of the last"
    assert rows[("samples", "ef_percent")] == ["-", "-", "+0.0"]
    record = json.loads((tmp_path / "record.json").read_text())
    assert record[0]["true"]["edv_ml"] == pytest.approx(edv_ml + 7.5)
    with pytest.raises(SystemExit, match="num_calibration"):
        measure(5, 5)
