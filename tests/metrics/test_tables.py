# SPDX-License-Identifier: Apache-2.0
"""Tables: what stands in which row, rows that went through a file, and that standing still does not pay."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cardiac4d.metrics import evaluate_case, format_cases, format_table, summarize_cases
from tests.metrics.conftest import beating_shell


def cells(table: str) -> dict[str, list[str]]:
    """Rows by their first cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows}


def test_models_stand_side_by_side_and_the_truth_beside_them(pred, label, truth, affine) -> None:
    row = evaluate_case("a", pred, label, truth, affine=affine)
    shown = format_table({"4D": summarize_cases([row]), "3D": summarize_cases([row, row, row])})
    table = cells(shown)
    assert table["Measure"] == ["4D", "3D", "reference labels"]
    assert table["Dice LVM"] == [f"{row['dice_lvm']:.3f}"] * 2 + ["-"]
    assert table["Dice LV, all frames"][0] == f"{row['dice_all_lv']:.3f}"
    assert table["Surf [mm]"] == [f"{row['surf_mm']:.2f}"] * 2 + [f"{row['surf_reference_mm']:.2f}"]
    assert table["Roughness [% of EDV]"][2] == f"{row['roughness_reference_percent']:.2f}"
    error = f"{row['ef_error_points']:+.1f}"
    assert table["EF bias (95 % limits) [points]"][:2] == [error, f"{error} ({error} to {error})"]
    assert table["HD95 LV [mm]"][0] == f"{row['hd95_lv_mm']:.2f}"
    assert table["Cases"] == ["1", "3", "-"]
    assert len({len(line) for line in shown.splitlines()}) == 1


def test_without_dense_truth_there_is_no_column_for_it(pred, label, affine) -> None:
    table = cells(format_table({"4D": summarize_cases([evaluate_case("a", pred, label, affine=affine)])}))
    assert table["Measure"] == ["4D"]
    assert "Dice LV, all frames" not in table


def test_a_mask_that_never_moves_looks_bad(truth, affine) -> None:
    """Its smoothness is perfect, and end-diastole is segmented without a fault."""
    dense = np.concatenate([truth, beating_shell([10.4, 10.6, 10.8, 11.0, 11.0])], axis=-1)
    label = np.full_like(dense, 255)
    label[..., [0, 2]] = dense[..., [0, 2]]
    still = np.repeat(dense[..., :1], 10, axis=-1)
    summary = summarize_cases([evaluate_case("a", still, label, dense, affine=affine, full_cycle=True)])
    table = cells(format_table({"static": summary}))
    assert table["L2 [mL^0.5]"][0] == table["Surf [mm]"][0] == table["Roughness [% of EDV]"][0] == "0.00"
    assert float(table["Roughness [% of EDV]"][1]) > 1, "the heart itself is not smooth"
    assert table["Inconsistent frames [%]"][0] == "100"
    assert table["ED, ES error [frames]"][0] == "0.0, 2.0"
    assert float(table["EF MAE [points]"][0]) > 50
    assert float(table["Dice LV"][0]) < 0.8
    assert table["Specificity"][0] == "0 % (0/1)", "a mask without ejection fraction finds no normal heart"


def test_frames_without_distance_are_told(pred, label, affine) -> None:
    lost = np.where(np.arange(5) == 2, 0, pred)
    text = format_table({"4D": summarize_cases([evaluate_case("a", lost, label, affine=affine)])})
    assert text.splitlines()[-1].startswith("HD95 and ASSD of 4D leave out 2 frames in which only one")


def test_summaries_read_back_from_files_give_the_same_table(pred, label, affine) -> None:
    summary = summarize_cases([evaluate_case("a", pred, label, affine=affine)])
    from_json = {key: None if math.isnan(value) else value for key, value in summary.items()}
    assert format_table({"4D": from_json}) == format_table({"4D": summary})
    older = {
        key: value for key, value in summary.items() if not key.startswith(("rough", "hd95", "ef_limit", "num_un"))
    }
    table = cells(format_table({"4D": older}))
    assert table["HD95 LV [mm]"] == table["Roughness [% of EDV]"] == ["-"]
    with pytest.raises(ValueError, match="at least one model"):
        format_table({})


def test_cases_are_listed_with_their_volumes(pred, affine) -> None:
    row = evaluate_case("a", pred, affine=affine)
    table = format_cases([row, evaluate_case("empty", 0 * pred, affine=affine)])
    shown = cells(table)
    assert shown["Case"] == ["Frames", "EDV [mL]", "ESV [mL]", "EF [%]", "ED mass [g]", "ED frame", "ES frame"]
    values = [f"{row[name]:.1f}" for name in ("edv_ml", "esv_ml", "ef_percent", "ed_mass_g")]
    assert shown["a"] == [str(row["num_frames"]), *values, str(row["ed_frame"]), str(row["es_frame"])]
    assert shown["empty"][3] == "-", "no cavity, no ejection fraction"
    assert len({len(line) for line in table.splitlines()}) == 1
