# SPDX-License-Identifier: Apache-2.0
import csv
import hashlib
import json
import logging

import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor

from cardiac4d.workflows import CaseResults


def _case(case_id: str) -> dict:
    """A cavity of 8 voxels of 1 ml in frame 0 that empties by half, and its sparse label."""
    voxels = torch.zeros(1, 4, 4, 4, 2, dtype=torch.uint8)
    voxels[0, 1:3, 1:3, 1:3, 0] = 1
    voxels[0, 1:3, 1:3, 1:2, 1] = 1
    affine = torch.diag(torch.tensor([10.0, 10.0, 10.0, 1.0], dtype=torch.float64))
    return {"id": case_id, "pred": MetaTensor(voxels, affine=affine), "label": MetaTensor(voxels, affine=affine)}


def _rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _run(folder, items, fails_on=None):
    def step(_engine, batch):
        if batch[0]["id"] == fails_on:
            raise ValueError("a voxel is not finite")
        return batch

    engine = Engine(step)
    CaseResults(folder).attach(engine)
    engine.run([[item] for item in items])
    return engine


def test_a_row_per_case_in_the_order_of_their_ids(tmp_path):
    engine = _run(tmp_path, [_case("b"), _case("a")])
    rows = _rows(tmp_path / "cases.csv")
    assert [row["case_id"] for row in rows] == ["a", "b"]
    assert [float(row["ef_percent"]) for row in rows] == [50.0, 50.0]
    summary = json.loads((tmp_path / "summary.json").read_text())["summary"]
    assert engine.state.metrics["ef_mae_points"] == summary["ef_mae_points"]


def test_rows_say_which_weights_were_evaluated_and_go_on_to_other_handlers(tmp_path):
    weights, seen = tmp_path / "model.pt", []
    weights.write_bytes(b"weights")
    engine = Engine(lambda _engine, batch: batch)
    CaseResults(tmp_path, checkpoint=weights).attach(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: seen.append(e.state.output[0]["case_row"]))
    engine.run([[_case("a")]])
    assert _rows(tmp_path / "cases.csv")[0]["weights_sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert (seen[0]["case_id"], seen[0]["ef_percent"]) == ("a", 50.0)


def test_cases_done_before_a_failure_are_kept_and_the_failure_is_raised(tmp_path):
    with pytest.raises(ValueError, match="not finite"):
        _run(tmp_path, [_case("a"), _case("b"), _case("c")], fails_on="c")
    rows = _rows(tmp_path / "cases_before_failure_0.csv")
    assert [row["case_id"] for row in rows] == ["a", "b"]
    assert not (tmp_path / "cases.csv").exists(), "half a run must not look like a whole one"


def test_names_do_not_run_as_formulas_in_a_spreadsheet(tmp_path):
    _run(tmp_path, [_case("=cmd()")])
    assert _rows(tmp_path / "cases.csv")[0]["case_id"] == "'=cmd()"


def test_failure_on_the_first_case_leaves_no_table(tmp_path):
    with pytest.raises(ValueError, match="not finite"):
        _run(tmp_path, [_case("a")], fails_on="a")
    assert not list(tmp_path.iterdir())


def _inferred(folder, case_id: str) -> dict:
    """A case as inference leaves it: no reference, and the segmentation saved."""
    case = _case(case_id)
    case["pred"].meta["saved_to"] = str(folder / "segmentations" / f"{case_id}_seg.nii.gz")
    return {"id": case_id, "pred": case["pred"]}


def test_inference_prints_volumes_of_every_case_and_where_the_segmentations_are(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        _run(tmp_path, [_inferred(tmp_path, "b"), _inferred(tmp_path, "a")])
    assert "2 cases: " + str(tmp_path / "cases.csv") in caplog.text
    assert f"segmentations: {tmp_path / 'segmentations'}" in caplog.text
    lines = [line for line in caplog.text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][:5] == ["Case", "Frames", "EDV [mL]", "ESV [mL]", "EF [%]"]
    assert [row[:5] for row in cells[2:]] == [[name, "2", "8.0", "4.0", "50.0"] for name in ("a", "b")]
    assert "Dice" not in caplog.text, "there is nothing to compare with"


def test_evaluation_prints_the_table_of_the_paper(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        _run(tmp_path, [_case("a")])
    assert "Dice LVM" in caplog.text
    assert "segmentations" not in caplog.text, "none were saved"


def test_known_ejection_fraction_is_a_reference_too(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        _run(tmp_path, [{**_inferred(tmp_path, "a"), "ef_percent": 55.0}])
    assert "EF MAE" in caplog.text


def test_files_hold_no_noise_of_arithmetic(tmp_path):
    case = _case("a")
    case["pred"].affine[:3, :3] *= 1.00000012
    _run(tmp_path, [case])
    assert _rows(tmp_path / "cases.csv")[0]["edv_ml"] == "8.0"
    document = json.loads((tmp_path / "summary.json").read_text())
    assert document["cases"][0]["edv_ml"] == document["summary"]["edv_ml_mean"] == 8.0


def test_frame_that_lost_its_cavity_is_warned_of(tmp_path, caplog):
    case = _case("lost")
    case["pred"][..., 1] = 0
    _run(tmp_path, [_case("fine"), case])
    assert "lost: no cavity in frame 1 of 0..1: the end-systolic volume is 0" in caplog.text
    assert "fine: no cavity" not in caplog.text


def test_myocardium_that_is_not_conserved_is_warned_of(tmp_path, caplog):
    case = _case("lost")
    case["pred"][0, 0, ..., 0] = 2
    case["pred"][0, 0, :2, :, 1] = 2
    _run(tmp_path, [_case("fine"), case])
    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("lost: the myocardial volume varies by 67 %")
    assert [row["lvm_variation_percent"] for row in _rows(tmp_path / "cases.csv")] == ["nan", "66.67"]
