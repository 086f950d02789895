# SPDX-License-Identifier: Apache-2.0
"""The six numbers, their ranges, and the tables that hold them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from cardiac4d.report.measures_csv import write_cohort_csv, write_measures_csv
from cardiac4d.report.numbers import check_document, six_numbers
from cardiac4d.report.reference_ranges import REFERENCE_RANGES, ReferenceRange
from tests.helpers.reports import complete, study


def test_numbers_are_those_of_the_document() -> None:
    document = complete(study()[0])
    found = {q.key: q for q in six_numbers(document)}
    assert list(found) == ["edv_ml", "esv_ml", "sv_ml", "ef_percent", "ed_mass_g", "ed_thickness_mm"]
    for key in ("edv_ml", "esv_ml", "sv_ml", "ef_percent"):
        assert found[key].value == document["volumes"][key]
        assert found[key].interval == tuple(document["intervals"][key])
    assert found["ed_mass_g"].value == document["mass"]["ed_mass_g"]
    assert found["ed_thickness_mm"].text == "6.8"
    assert found["ed_thickness_mm"].interval is None


def test_what_was_not_measured_is_a_dash() -> None:
    document = study()[0] | {"wall_thickness": None, "mass": {"ed_mass_g": None}}
    assert [q.text for q in six_numbers(document)[4:]] == ["\N{EN DASH}"] * 2


def test_ranges_are_those_of_the_publications() -> None:
    """Kang 2017 as in table 3 of doi 10.21037/cdt-20-530; Kawel 2012, abstract."""
    published = {key: [(r.mean, r.sd) for r in ranges.values()] for key, (_, ranges) in REFERENCE_RANGES.items()}
    assert published == {
        "edv_ml": [(98.2, 21.0), (112.9, 26.1)],
        "esv_ml": [(33.7, 12.2), (41.7, 14.7)],
        "sv_ml": [(64.9, 15.1), (71.4, 18.2)],
        "ef_percent": [(66.4, 7.6), (63.4, 7.7)],
        "ed_mass_g": [(107.9, 20.0), (145.0, 29.1)],
        "ed_thickness_mm": [(5.3, 0.9), (6.3, 1.1)],
    }


def test_place_in_a_range() -> None:
    found = ReferenceRange(100.0, 10.0)
    assert (found.low, found.high) == pytest.approx((80.4, 119.6))
    assert [found.place(v) for v in (80.0, 80.5, 119.5, 120.0)] == ["below", "within", "within", "above"]
    assert ReferenceRange(10.0, 10.0).low == 0


@pytest.mark.parametrize("change", [{"schema": "other"}, {"schema_version": "2.0"}])
def test_other_documents_are_refused(change: dict) -> None:
    with pytest.raises(ValueError, match="must be cardiac4d-measures version 1"):
        check_document(study()[0] | change)
    document = study()[0]
    del document["flags"]
    with pytest.raises(ValueError, match="must hold flags"):
        check_document(document)


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_table_of_a_study_holds_every_number(tmp_path: Path) -> None:
    document = study()[0]
    head, *rows = rows_of(write_measures_csv(document, tmp_path / "a.csv"))
    assert head == ["name", "index", "value"]
    found = {(name, index): value for name, index, value in rows}
    assert float(found["volumes.ef_percent", ""]) == document["volumes"]["ef_percent"]
    assert [float(found["volumes.lv_ml", str(t)]) for t in range(6)] == document["volumes"]["lv_ml"]
    assert found["intervals", ""] == ""


def test_table_of_a_cohort_has_a_row_per_study_and_no_formulas(tmp_path: Path) -> None:
    documents = [complete(study("=1+1")[0]), study("b")[0]]
    head, *rows = rows_of(write_cohort_csv(documents, tmp_path / "a.csv"))
    first = dict(zip(head, rows[0], strict=True))
    assert first["case_id"] == "'=1+1"
    assert first["flags"] == "a_info a_warning a_error"
    assert float(first["ed_thickness_mm"]) == 6.81
    assert len(rows) == 2
