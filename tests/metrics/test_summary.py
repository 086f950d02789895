# SPDX-License-Identifier: Apache-2.0
"""Study summary: values worked out by hand, undefined groups, rows that went through a CSV file."""

from __future__ import annotations

import csv
import io
import math

import pytest

from cardiac4d.metrics import evaluate_case, summarize_cases
from cardiac4d.metrics.summary import AVERAGED, UNMATCHED

NAN = float("nan")


def case(predicted: float, reference: float, **columns: float) -> dict[str, float | str]:
    """A row with these ejection fractions; every other number is 1 unless given."""
    efs = {"ef_percent": predicted, "ef_reference_percent": reference, "ef_error_points": predicted - reference}
    return {"case_id": "a", **dict.fromkeys((*AVERAGED, *UNMATCHED), 1.0), **efs, **columns}


ROWS = [
    case(60.0, 64.0, dice_lv=0.9),  # normal, found
    case(50.0, 58.0, dice_lv=0.8),  # normal, missed
    case(40.0, 30.0, dice_lv=NAN),  # reduced, found
    case(NAN, 20.0, dice_lv=0.4),  # reduced, no measurement
    case(70.0, NAN, dice_lv=0.7),  # no reference
]


def test_moments_leave_out_undefined_cases() -> None:
    summary = summarize_cases(ROWS)
    assert summary["num_cases"] == 5
    assert summary["dice_lv_count"] == 4
    assert summary["dice_lv_mean"] == pytest.approx(0.7)
    assert summary["dice_lv_sd"] == pytest.approx(math.sqrt((0.04 + 0.01 + 0.09 + 0) / 3))


def test_ejection_fraction_errors_are_the_ones_worked_out_by_hand() -> None:
    summary = summarize_cases(ROWS)  # errors -4, -8, +10
    assert summary["ef_mae_points"] == pytest.approx(22 / 3)
    assert summary["ef_bias_points"] == pytest.approx(-2 / 3)
    assert summary["ef_error_sd_points"] == pytest.approx(math.sqrt((100 + 484 + 1024) / 9 / 2))
    assert summary["ef_error_count"] == 3
    half = 1.96 * summary["ef_error_sd_points"]
    limits = (summary["ef_limit_low_points"], summary["ef_limit_high_points"])
    assert limits == pytest.approx((-2 / 3 - half, -2 / 3 + half))
    assert math.isnan(summarize_cases(ROWS[:2])["ef_limit_low_points"]), "two cases give no limits"


def test_frames_without_distance_are_summed() -> None:
    rows = [case(60.0, 64.0, num_unmatched_frames_lv=2, num_unmatched_frames_lvm=1), case(50.0, 58.0)]
    assert summarize_cases(rows)["num_unmatched_frames"] == 5


def test_screening_counts_a_failed_measurement_as_missed() -> None:
    summary = summarize_cases(ROWS)
    assert (summary["num_reduced"], summary["num_reduced_found"], summary["sensitivity"]) == (2, 1, 0.5)
    assert (summary["num_normal"], summary["num_normal_found"], summary["specificity"]) == (2, 1, 0.5)
    assert summary["num_ef_undefined"] == 1
    failed = summarize_cases([case(NAN, 64.0)])
    assert (failed["specificity"], failed["num_ef_undefined"]) == (0, 1)


def test_55_percent_is_normal_and_the_threshold_can_be_moved() -> None:
    rows = [case(55.0, 55.0)]
    assert summarize_cases(rows)["num_normal_found"] == 1
    assert summarize_cases(rows, reduced_below_percent=60.0)["num_reduced_found"] == 1


def test_missing_groups_and_single_cases_are_undefined() -> None:
    summary = summarize_cases([case(60.0, 64.0)])
    assert math.isnan(summary["sensitivity"])
    assert summary["specificity"] == 1
    assert math.isnan(summary["dice_lv_sd"])
    assert math.isnan(summarize_cases([case(60.0, NAN)])["ef_mae_points"])


def test_rows_read_back_from_csv_give_the_same(pred, label, truth, affine) -> None:
    rows = [evaluate_case("a", pred, label, truth, affine=affine), evaluate_case("b", truth, label, affine=affine)]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    text.seek(0)
    assert summarize_cases(list(csv.DictReader(text))) == pytest.approx(summarize_cases(rows), nan_ok=True)


def test_none_and_empty_cells_of_a_file_are_undefined() -> None:
    rows = [case(60.0, 64.0), case(50.0, 58.0)]
    expected = summarize_cases([{**rows[0], "dice_lv": NAN}, {**rows[1], "dice_lv": NAN}])
    assert summarize_cases([{**rows[0], "dice_lv": None}, {**rows[1], "dice_lv": ""}]) == pytest.approx(
        expected, nan_ok=True
    )


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one case"):
        summarize_cases([])
