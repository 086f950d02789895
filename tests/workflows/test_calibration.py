# SPDX-License-Identifier: Apache-2.0
"""Intervals from the table of an evaluation hold what that evaluation says they hold; a wrong table is refused."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.measure import QUANTITIES, MeasureOptions, StudyMeasures, measure_study, quantities
from cardiac4d.workflows.calibration import Calibration
from tests.helpers.studies import AFFINE, beating_ball

WEIGHTS = "a" * 64


@pytest.fixture(scope="module")
def measures() -> StudyMeasures:
    return measure_study(beating_ball()[1], AFFINE, options=MeasureOptions(wall_thickness=False))


def rows(count: int) -> list[dict[str, Any]]:
    """Cases that a network measured: volumes and wall too small by 2 to 20 %, mass too large."""
    shares = np.linspace(0.80, 0.98, count)
    return [
        {
            "case_id": f"c{k}",
            "edv_ml": 100 * share,
            "edv_reference_ml": 100.0,
            "esv_ml": 40.0,
            "esv_reference_ml": 40 + k,
            "ef_percent": 100 * (1 - 40 / (100 * share)),
            "ef_reference_percent": 60.0 - k,
            "ed_mass_g": 100.0 + k,
            "ed_mass_reference_g": 100.0,
            "ed_thickness_mm": 8 * share,
            "ed_thickness_reference_mm": 8.0,
            "weights_sha256": WEIGHTS,
        }
        for k, share in enumerate(shares)
    ]


def write_table(path: Path, cases: list[dict[str, Any]], encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(cases[0]))
        writer.writeheader()
        writer.writerows(cases)
    return path


def test_intervals_undo_the_errors_of_the_table(tmp_path: Path, measures: StudyMeasures) -> None:
    cases = rows(19)
    found = Calibration(write_table(tmp_path / "cases.csv", cases), WEIGHTS)(measures).intervals
    assert found is not None
    assert (found.level, found.method, found.num_studies) == (0.9, "errors", 19)
    function = measures.function
    assert found.edv_ml == pytest.approx((function.edv_ml / 0.98, function.edv_ml / 0.80))
    assert found.esv_ml == pytest.approx((function.esv_ml, function.esv_ml * 58 / 40))
    assert found.ed_mass_g == pytest.approx((function.ed_mass_g / 1.18, function.ed_mass_g))
    errors = [case["ef_percent"] - case["ef_reference_percent"] for case in cases]
    assert found.ef_percent == pytest.approx((function.ef_percent - max(errors), function.ef_percent - min(errors)))
    assert found.ed_thickness_mm is None, "the wall of this study was not measured"


def test_study_of_the_table_is_left_out_of_its_own_interval(tmp_path: Path, measures: StudyMeasures) -> None:
    calibration = Calibration(write_table(tmp_path / "cases.csv", rows(20)), WEIGHTS)
    own = calibration(measures, "c19").intervals
    assert own is not None
    assert own.num_studies == 19
    assert own.edv_ml[0] > calibration(measures, "c0").intervals.edv_ml[0], "its own error was the largest ratio"
    assert calibration(measures, "another").intervals.num_studies == 20


def test_too_few_cases_are_said_number_by_number(
    tmp_path: Path, measures: StudyMeasures, caplog: pytest.LogCaptureFixture
) -> None:
    cases = rows(19)
    cases[3]["edv_reference_ml"] = ""  # only its ejection fraction is known
    cases[4]["ed_mass_reference_g"] = "nan"
    with caplog.at_level(logging.WARNING):
        found = Calibration(write_table(tmp_path / "cases.csv", cases), WEIGHTS)(measures).intervals
    assert found is not None
    assert (found.edv_ml, found.sv_ml, found.ed_mass_g) == (None, None, None)
    assert found.ef_percent is not None
    assert "for an interval of edv_ml (18), ed_mass_g (18), sv_ml (18); 90 % need 19" in caplog.text


def test_table_of_an_older_version_knows_no_mass_and_no_weights(
    tmp_path: Path, measures: StudyMeasures, caplog: pytest.LogCaptureFixture
) -> None:
    new = ("ed_mass_reference_g", "ed_thickness_mm", "ed_thickness_reference_mm", "weights_sha256")
    cases = [{name: value for name, value in case.items() if name not in new} for case in rows(19)]
    found = Calibration(write_table(tmp_path / "cases.csv", cases, "utf-8-sig"), WEIGHTS)(measures).intervals
    assert found is not None
    assert found.edv_ml is not None
    assert found.ed_mass_g is None
    assert "does not say which weights were evaluated" in caplog.text


def test_lost_structures_leave_the_truth_without_upper_bound(tmp_path: Path, measures: StudyMeasures) -> None:
    cases = rows(19)
    cases[5] |= {"esv_ml": 0.0, "ef_percent": 100.0}
    found = Calibration(write_table(tmp_path / "cases.csv", cases), WEIGHTS)(measures).intervals
    assert found is not None
    assert found.esv_ml is None
    assert found.ef_percent is not None
    assert 0 <= found.ef_percent[0] <= found.ef_percent[1] <= 100


def test_study_that_was_not_measured_has_no_interval(tmp_path: Path) -> None:
    nothing = measure_study(np.zeros((4, 4, 4, 2), np.uint8), AFFINE)
    found = Calibration(write_table(tmp_path / "cases.csv", rows(19)), WEIGHTS)(nothing).intervals
    assert found is not None
    assert np.isnan(quantities(nothing)["ef_percent"])
    assert (found.ef_percent, found.ed_thickness_mm) == (None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edv_ml": 0.09, "esv_ml": 0.04}, r"case c2: edv_ml is 0\.09 and edv_reference_ml 100, which are not of one"),
        ({"ef_percent": 0.55}, r"case c2: ef_percent is 0\.55, but its volumes give 5"),
        ({"edv_ml": "90,5"}, r"case c2: edv_ml is '90,5', which is no number"),
        ({"case_id": "c1"}, r"the case c1 stands in it more than once"),
        ({"weights_sha256": "b" * 64}, r"of other weights \(aaaaaaaaaaaa, bbbbbbbbbbbb; now aaaaaaaaaaaa\)"),
    ],
    ids=["litres", "fraction", "decimal comma", "twice", "other weights"],
)
def test_damaged_row_is_refused_by_case_and_column(tmp_path: Path, change: Mapping[str, Any], message: str) -> None:
    cases = rows(19)
    cases[2] |= change
    with pytest.raises(InputError, match=message):
        Calibration(write_table(tmp_path / "cases.csv", cases), WEIGHTS)


def test_other_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    with pytest.raises(InputError, match="there is no such table"):
        Calibration(path)
    path.write_bytes(b"\xff\xfe\x00PNG")
    with pytest.raises(InputError, match="no table of comma-separated text"):
        Calibration(path)
    with pytest.raises(InputError, match="no column edv_reference_ml, esv_reference_ml"):
        Calibration(write_table(path, [{"case_id": "a", "edv_ml": 1, "esv_ml": 1, "ef_percent": 1}]))
    path.write_text(",".join(rows(1)[0]) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="it holds no case"):
        Calibration(path)
    unknown = [{k: "" if "reference" in k else v for k, v in case.items()} for case in rows(2)]
    with pytest.raises(InputError, match="no case has a reference"):
        Calibration(write_table(path, unknown))
    same = [{**rows(1)[0], "case_id": f"c{k}"} for k in range(19)]
    with pytest.raises(InputError, match=r"every case has the same error of edv_ml \(0\.8\)"):
        Calibration(write_table(path, same))


def test_every_number_of_a_report_can_have_an_interval(tmp_path: Path) -> None:
    thick = measure_study(beating_ball()[1][..., [0, 3]], AFFINE)
    found = Calibration(write_table(tmp_path / "cases.csv", rows(40)), WEIGHTS)(thick).intervals
    assert all(getattr(found, name) is not None for name in QUANTITIES)
