# SPDX-License-Identifier: Apache-2.0
"""One row per case: every column against the function it comes from, and the source of the reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cardiac4d.errors import InputError
from cardiac4d.measure import measure_left_ventricle
from cardiac4d.metrics import (
    dice_per_frame,
    evaluate_case,
    roughness_percent,
    surface_agreement,
    temporal_consistency,
    temporal_l2,
    temporal_surface_distance,
)
from tests.helpers.studies import AFFINE, beating_ball

COLUMNS = [
    "case_id",
    "num_frames",
    "num_annotated_frames",
    "dice_lv",
    "dice_lvm",
    "dice_all_lv",
    "dice_all_lvm",
    "hd95_lv_mm",
    "assd_lv_mm",
    "nsd_lv",
    "num_unmatched_frames_lv",
    "hd95_lvm_mm",
    "assd_lvm_mm",
    "nsd_lvm",
    "num_unmatched_frames_lvm",
    "l2",
    "l2_lv",
    "l2_lvm",
    "surf_mm",
    "surf_lv_mm",
    "surf_lvm_mm",
    "l2_reference",
    "surf_reference_mm",
    "roughness_percent",
    "inconsistent_frames_percent",
    "consistency_ratio",
    "roughness_reference_percent",
    "inconsistent_frames_reference_percent",
    "consistency_ratio_reference",
    "num_empty_frames_lv",
    "num_empty_frames_lvm",
    "edv_ml",
    "esv_ml",
    "sv_ml",
    "ef_percent",
    "ed_mass_g",
    "lvm_variation_percent",
    "ed_frame",
    "es_frame",
    "ed_time_ms",
    "es_time_ms",
    "edv_reference_ml",
    "esv_reference_ml",
    "ed_mass_reference_g",
    "ef_reference_percent",
    "ef_reference_source",
    "ef_error_points",
    "ed_error_frames",
    "es_error_frames",
    "ed_thickness_mm",
    "ed_thickness_reference_mm",
]


def test_row_holds_what_the_functions_return(pred, label, truth, affine) -> None:
    row = evaluate_case("a", pred, label, truth, affine=affine, frame_times_ms=[0, 50, 100, 150, 200], full_cycle=True)
    assert list(row) == COLUMNS
    sparse, dense = dice_per_frame(pred, label)[:, [0, 2]].mean(axis=1), dice_per_frame(pred, truth).mean(axis=1)
    assert [row["dice_lv"], row["dice_lvm"]] == pytest.approx(sparse.tolist())
    assert [row["dice_all_lv"], row["dice_all_lvm"]] == pytest.approx(dense.tolist())
    l2, surface = temporal_l2(pred, affine, cyclic=True), temporal_surface_distance(pred, affine, cyclic=True)
    assert [row["l2"], row["l2_lv"], row["l2_lvm"]] == pytest.approx([l2["mean"], l2["LV"], l2["LVM"]])
    expected = [surface["mean"], surface["LV"], surface["LVM"]]
    assert [row["surf_mm"], row["surf_lv_mm"], row["surf_lvm_mm"]] == pytest.approx(expected)
    assert row["l2_reference"] == pytest.approx(temporal_l2(truth, affine, cyclic=True)["mean"])
    assert row["surf_reference_mm"] == pytest.approx(temporal_surface_distance(truth, affine, cyclic=True)["mean"])
    function, reference = measure_left_ventricle(pred, affine), measure_left_ventricle(truth, affine)
    assert [row["edv_ml"], row["esv_ml"], row["sv_ml"]] == [function.edv_ml, function.esv_ml, function.sv_ml]
    assert [row["ed_frame"], row["es_frame"], row["ed_time_ms"], row["es_time_ms"]] == [0, 2, 0.0, 100.0]
    assert row["ed_mass_g"] == function.ed_mass_g
    assert row["lvm_variation_percent"] == function.lvm_variation_percent > 0
    assert [row["edv_reference_ml"], row["esv_reference_ml"]] == [reference.edv_ml, reference.esv_ml]
    assert row["ed_mass_reference_g"] == reference.ed_mass_g
    assert row["ef_error_points"] == pytest.approx(function.ef_percent - reference.ef_percent)
    assert (row["num_frames"], row["num_annotated_frames"]) == (5, 2)
    assert row["hd95_lvm_mm"] == np.nanmean(surface_agreement(pred, label, affine, "LVM")["hd95_mm"])
    assert row["nsd_lv"] == np.nanmean(surface_agreement(pred, label, affine, "LV")["nsd"])
    assert row["roughness_percent"] == roughness_percent(function.lv_volumes_ml, cyclic=True)
    assert row["roughness_reference_percent"] == roughness_percent(reference.lv_volumes_ml, cyclic=True)
    assert row["consistency_ratio"] == temporal_consistency(pred, affine, cyclic=True).mean_ratio
    assert [row["ed_error_frames"], row["es_error_frames"]] == [0, 0]


def test_phases_are_compared_round_the_cycle_and_frames_without_distance_are_counted(
    pred, label, truth, affine
) -> None:
    late = np.roll(pred, -1, axis=-1)  # end-diastole in the last frame, end-systole in frame 1
    late[..., 2] = np.where(late[..., 2] == 1, 0, late[..., 2])  # and no cavity in the annotated frame 2
    row = evaluate_case("a", late, label, truth, affine=affine, full_cycle=True)
    assert [row["ed_error_frames"], row["es_error_frames"]] == [1, 0]
    assert evaluate_case("a", late, label, truth, affine=affine)["ed_error_frames"] == 4
    assert [row["num_unmatched_frames_lv"], row["num_unmatched_frames_lvm"]] == [1, 0]
    assert row["nsd_lv"] == surface_agreement(late, label, affine, "LV")["nsd"][0] / 2


def test_numbers_are_plain_python(pred, label, truth, affine) -> None:
    row = evaluate_case("a", torch.from_numpy(pred), label, truth, affine=affine)
    assert {type(value) for value in row.values()} == {str, int, float}


def test_reference_ejection_fraction_comes_from_the_best_source(pred, label, truth, affine) -> None:
    truth[..., 1] = truth[..., 0] * (np.arange(24) < 20)[:, None, None]  # end-systole of the truth stays frame 2
    label[..., 2] = np.where(label[..., 2] == 1, 0, label[..., 2])  # the label says that the cavity empties
    dense = measure_left_ventricle(truth, affine).ef_percent
    chosen = {
        "given": evaluate_case("a", pred, label, truth, affine=affine, reference_ef_percent=61.0),
        "truth": evaluate_case("a", pred, label, truth, affine=affine, reference_ef_percent=math.nan),
        "annotated_frames": evaluate_case("a", pred, label, affine=affine),
        "none": evaluate_case("a", pred, affine=affine),
    }
    assert {name: row["ef_reference_source"] for name, row in chosen.items()} == {name: name for name in chosen}
    values = [row["ef_reference_percent"] for row in chosen.values()]
    assert values == pytest.approx([61.0, dense, 100.0, math.nan], nan_ok=True)
    assert chosen["given"]["ef_error_points"] == pytest.approx(chosen["given"]["ef_percent"] - 61.0)
    assert math.isnan(chosen["none"]["ef_error_points"])


def test_one_annotated_frame_is_no_reference(pred, label, affine) -> None:
    label[..., 2] = 255
    row = evaluate_case("a", pred, label, affine=affine)
    assert row["ef_reference_source"] == "none"
    assert row["num_annotated_frames"] == 1
    assert row["dice_lv"] == pytest.approx(dice_per_frame(pred, label)[0, 0])


def test_without_reference_the_columns_stay_and_are_undefined(pred, affine) -> None:
    row = evaluate_case("a", pred, affine=affine)
    assert list(row) == COLUMNS
    undefined = {name for name, value in row.items() if isinstance(value, float) and math.isnan(value)}
    needs_reference = ("dice", "hd95", "assd", "nsd", "reference", "time", "error", "thickness")
    wanted = {name for name in COLUMNS if any(part in name for part in needs_reference)}
    assert undefined == wanted - {"ef_reference_source"}


def test_wall_is_measured_where_there_is_one_to_compare_with() -> None:
    _, labels = beating_ball()
    row = evaluate_case("a", labels[..., [3, 0]], label=labels[..., [0, 3]], affine=AFFINE, wall_thickness=True)
    assert row["ed_thickness_mm"] == row["ed_thickness_reference_mm"] == pytest.approx(8, abs=0.3)
    alone = evaluate_case("a", labels[..., [3, 0]], affine=AFFINE, wall_thickness=True)
    assert math.isnan(alone["ed_thickness_mm"])


def test_lost_structures_are_counted(pred, affine) -> None:
    pred[..., 1] = 0
    pred[..., 3][pred[..., 3] == 2] = 0
    row = evaluate_case("a", pred, affine=affine)
    assert (row["num_empty_frames_lv"], row["num_empty_frames_lvm"]) == (1, 2)
    assert row["ef_percent"] == 100  # the rule of the paper; the count above says why


def test_shapes_must_agree(pred, label, truth, affine) -> None:
    message = r"case7: the prediction has shape \(24, 20, 16, 5\), the truth \(24, 20, 16, 4\)\. Fix: "
    with pytest.raises(InputError, match=message):
        evaluate_case("case7", pred, label, truth[..., :4], affine=affine)


@pytest.mark.parametrize("ef_percent", [0.61, 161.0, -5.0])
def test_reference_that_is_no_percentage_is_refused(pred, affine, ef_percent: float) -> None:
    with pytest.raises(InputError, match=f"case7: ef_percent: the reference ejection fraction is {ef_percent}"):
        evaluate_case("case7", pred, affine=affine, reference_ef_percent=ef_percent)


def test_wrong_label_names_its_array(pred, affine) -> None:
    with pytest.raises(ValueError, match="`truth` must hold only the labels"):
        evaluate_case("a", pred, truth=np.full_like(pred, 7), affine=affine)
