# SPDX-License-Identifier: Apache-2.0
"""Intervals from the table of an evaluation hold what that evaluation says they hold."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.measure import StudyMeasures, measure_study
from cardiac4d.workflows.calibration import Calibration
from tests.helpers.studies import AFFINE, beating_ball

COLUMNS = ("case_id", "edv_ml", "edv_reference_ml", "esv_ml", "esv_reference_ml", "ef_error_points")


@pytest.fixture(scope="module")
def measures() -> StudyMeasures:
    return measure_study(beating_ball()[1], AFFINE)


def write_table(path: Path, rows: list[tuple[float | str, ...]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([(f"c{i}", *row) for i, row in enumerate(rows)])
    return path


def test_intervals_undo_the_errors_of_the_table(tmp_path: Path, measures: StudyMeasures) -> None:
    errors = np.linspace(-6, 3, 19)  # of the ejection fraction, in points
    table = write_table(tmp_path / "cases.csv", [(90.0, 100.0, 44.0, 40.0, float(e)) for e in errors])
    found = Calibration(table)(measures).intervals
    function = measures.function
    assert found is not None
    assert found.level == 0.9
    assert found.ef_percent == pytest.approx((function.ef_percent - 3, function.ef_percent + 6))
    assert found.edv_ml == pytest.approx([function.edv_ml / 0.9] * 2)
    assert found.esv_ml == pytest.approx([function.esv_ml / 1.1] * 2)
    assert found.sv_ml == pytest.approx([function.sv_ml * 60 / 46] * 2)
    assert found.ed_mass_g is None  # a table of an evaluation knows no true mass


def test_too_few_cases_are_said_and_give_no_interval(
    tmp_path: Path, measures: StudyMeasures, caplog: pytest.LogCaptureFixture
) -> None:
    table = write_table(tmp_path / "cases.csv", [(90, 100, 44, 40, 1)] * 18)
    with caplog.at_level(logging.WARNING):
        found = Calibration(table)(measures).intervals
    assert found is not None
    assert found.ef_percent is None
    assert "18 cases with a reference give no interval; 90 % need 19" in caplog.text


def test_cases_without_reference_do_not_count(tmp_path: Path) -> None:
    table = write_table(tmp_path / "cases.csv", [(90, 100, 44, 40, 1), (90, "", 44, "", "")])
    assert {name: len(values) for name, values in Calibration(table).errors.items()} == dict.fromkeys(
        ("edv_ml", "esv_ml", "sv_ml", "ef_percent"), 1
    )
    with pytest.raises(InputError, match="no case has a reference"):
        Calibration(write_table(tmp_path / "other.csv", [(90, "", 44, "", "")]))


def test_other_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the table does not exist"):
        Calibration(tmp_path / "cases.csv")
    (tmp_path / "a.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"not cases\.csv of an evaluation"):
        Calibration(tmp_path / "a.csv")
