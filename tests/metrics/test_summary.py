# SPDX-License-Identifier: Apache-2.0
"""Study summary and table: values worked out by hand, undefined groups, rows that went through a CSV file."""

from __future__ import annotations

import csv
import io
import math

import pytest

from cardiac4d.metrics import evaluate_case, format_cases, format_table, summarize_cases
from cardiac4d.metrics.summary import AVERAGED

NAN = float("nan")


def case(predicted: float, reference: float, **columns: float) -> dict[str, float | str]:
    """A row with these ejection fractions; every other number is 1 unless given."""
    efs = {"ef_percent": predicted, "ef_reference_percent": reference, "ef_error_points": predicted - reference}
    return {"case_id": "a", **dict.fromkeys(AVERAGED, 1.0), **efs, **columns}


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
    from_json = {key: None if math.isnan(value) else value for key, value in expected.items()}
    assert format_table({"4D": from_json}) == format_table({"4D": expected})


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one case"):
        summarize_cases([])
    with pytest.raises(ValueError, match="at least one model"):
        format_table({})


def test_table_sets_models_side_by_side() -> None:
    sparse = {name: NAN for name in AVERAGED if "all" in name or ("reference" in name and not name.startswith("ef"))}
    rows_4d = [case(60.0, 64.0, **sparse | {"dice_lvm": 0.85, "dice_lv": 0.9, "l2": 1.05, "surf_mm": 0.59})]
    rows_3d = [case(40.0, 50.0, **sparse | {"dice_lvm": 0.84, "dice_lv": 0.91, "l2": 1.28, "surf_mm": 0.74})]
    table = format_table({"3D network": summarize_cases(rows_3d), "4D network": summarize_cases(rows_4d)})
    header, rule, first, second = table.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (header, first, second)]
    assert cells[0][:5] == ["Model", "Dice LVM", "Dice LV", "L2 [mL^0.5]", "Surf [mm]"]
    assert cells[0][5:] == ["EF MAE [points]", "EF bias [points]", "Sensitivity", "Specificity", "Cases"]
    assert cells[1] == ["3D network", "0.840", "0.910", "1.28", "0.74", "10.0", "-10.0", "100 % (1/1)", "-", "1"]
    assert cells[2] == ["4D network", "0.850", "0.900", "1.05", "0.59", "4.0", "-4.0", "-", "100 % (1/1)", "1"]
    assert len({len(line) for line in (header, rule, first, second)}) == 1


def test_table_with_dense_truth_shows_its_own_smoothness(pred, label, truth, affine) -> None:
    row = evaluate_case("a", pred, label, truth, affine=affine)
    header, _, model, reference = format_table({"4D": summarize_cases([row])}).splitlines()
    names = [cell.strip() for cell in header.split("|")]
    cells = dict(zip(names, (cell.strip() for cell in reference.split("|")), strict=True))
    assert cells["Model"] == "reference labels"
    assert cells["L2 [mL^0.5]"] == f"{row['l2_reference']:.2f}"
    assert cells["Surf [mm]"] == f"{row['surf_reference_mm']:.2f}"
    assert cells["Dice LV"] == "-"
    shown = dict(zip(names, (cell.strip() for cell in model.split("|")), strict=True))
    assert shown["Dice LVM all"] == f"{row['dice_all_lvm']:.3f}"


def test_cases_are_listed_with_their_volumes(pred, affine) -> None:
    row = evaluate_case("a", pred, affine=affine)
    empty = evaluate_case("empty", 0 * pred, affine=affine)
    header, rule, first, second = format_cases([row, empty]).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (header, first, second)]
    assert cells[0] == ["Case", "Frames", "EDV [mL]", "ESV [mL]", "EF [%]", "ED mass [g]", "ED frame", "ES frame"]
    values = [f"{row[name]:.1f}" for name in ("edv_ml", "esv_ml", "ef_percent", "ed_mass_g")]
    assert cells[1] == ["a", str(row["num_frames"]), *values, str(row["ed_frame"]), str(row["es_frame"])]
    assert cells[2][4] == "-", "no cavity, no ejection fraction"
    assert len({len(line) for line in (header, rule, first, second)}) == 1
