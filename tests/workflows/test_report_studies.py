# SPDX-License-Identifier: Apache-2.0
"""Reports come out of an evaluator."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import jsonschema
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from cardiac4d.io.fingerprint import file_sha256
from cardiac4d.measure import measures_schema
from cardiac4d.transforms import LoadSequence
from cardiac4d.workflows import StudyReports
from cardiac4d.workflows.case_results import measure_case
from cardiac4d.workflows.reference import reference_document, reference_map
from cardiac4d.workflows.report_studies import origin
from tests.helpers.studies import AFFINE, beating_ball


def case_of(two_studies: Path, name: str, case_id: str, frames: list[int] | None = None) -> dict:
    """What an evaluator hands to its handlers: the prediction on the study's grid, with the image's metadata."""
    image = LoadSequence(None, None)(two_studies / "image" / f"{name}.nii.gz", frames, full_cycle=True)
    _, labels = beating_ball(seed="ab".index(name))
    labels = labels if frames is None else labels[..., frames]
    pred = MetaTensor(torch.from_numpy(labels)[None], meta=dict(image.meta))
    pred.affine = torch.from_numpy(AFFINE)
    return {"id": case_id, "pred": pred}


def evaluate(cases: list[dict], handler: StudyReports) -> None:
    engine = Engine(lambda _engine, batch: batch)
    handler.attach(engine)
    engine.run([[case] for case in cases])


def measures(folder: Path, case_id: str) -> dict:
    return json.loads((folder / f"{case_id}_measures.json").read_text())


def test_every_study_of_an_evaluation_gets_a_report(two_studies: Path, tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "old_report.html").touch()
    (folder / "mine.html").touch()
    handler = StudyReports(folder, "net", weights, overwrite=True)
    evaluate(
        [{**case_of(two_studies, "a", "a"), "ef_percent": 70.0}, case_of(two_studies, "b", "patient", [1, 2, 3, 4])],
        handler,
    )
    first, second = measures(folder, "a"), measures(folder, "patient")
    assert first["provenance"]["input_sha256"] == file_sha256(two_studies / "image" / "a.nii.gz")
    assert first["provenance"]["model"] == "net"
    assert first["provenance"]["weights_sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert first["time"]["cycle_length_ms"] == pytest.approx(900)
    assert second["time"]["frame_times_ms"] == pytest.approx([150, 300, 450, 600])
    assert second["provenance"]["input"].startswith("name withheld"), "an id hides what the file is called"
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert "True EF" in index
    assert not (folder / "old_report.html").exists(), "it would be taken for one of this run"
    assert (folder / "mine.html").exists()


def test_reference_of_an_evaluation_stands_in_report_and_json(two_studies: Path, tmp_path: Path) -> None:
    case = case_of(two_studies, "a", "a")
    truth = case["pred"].clone()
    truth[truth == 2] = 0
    label = truth.clone()
    label[..., 1:] = 255
    evaluate([{**case, "label": label, "truth": truth}], StudyReports(tmp_path))
    dense = measures(tmp_path, "a")
    jsonschema.validate(dense, measures_schema())
    assert (dense["reference"]["source"], dense["reference"]["frames"]) == ("truth", [0, 1, 2, 3, 4, 5])
    assert dense["reference"]["dice"] == {"lv": 1.0, "lvm": 0.0}
    assert dense["reference"]["edv_ml"] == dense["volumes"]["edv_ml"]
    table = (tmp_path / "a_measures.csv").read_text(encoding="utf-8")
    assert f"reference.edv_ml,,{dense['reference']['edv_ml']}" in table
    assert "Agreement with the reference" in (tmp_path / "a_report.html").read_text(encoding="utf-8")


def test_one_annotated_frame_is_a_reference_of_contours_alone(two_studies: Path) -> None:
    case = case_of(two_studies, "a", "a")
    label = case["pred"].clone()
    label[..., 1:] = 255
    case |= {"label": label}
    found = reference_document(measure_case(case), reference_map(case))
    assert found is not None
    assert (found["source"], found["frames"], found["ef_percent"]) == ("none", [0], None)
    assert found["assd_mm"] == {"lv": 0.0, "lvm": 0.0}
    assert reference_document(measure_case({"id": "a", "pred": case["pred"]}), None) is None


def test_pictures_are_those_of_the_frames_that_were_loaded(two_studies: Path, tmp_path: Path) -> None:
    evaluate([case_of(two_studies, "b", "b", [3])], StudyReports(tmp_path / "one"))
    evaluate([case_of(two_studies, "b", "b", [0])], StudyReports(tmp_path / "other"))
    one, other = ((tmp_path / name / "b_report.html").read_text() for name in ("one", "other"))
    sprite = '"sprite":"data:image/jpeg;base64,'
    assert one.split(sprite)[3][:4000] != other.split(sprite)[3][:4000]


def test_run_without_cases_writes_nothing(tmp_path: Path) -> None:
    engine, handler = Engine(lambda _engine, batch: batch), StudyReports(tmp_path / "reports")
    handler.attach(engine)
    engine.run([[]])
    assert not (tmp_path / "reports").exists()


def test_file_name_stands_in_the_report_only_if_it_is_the_id(two_studies: Path) -> None:
    place = two_studies / "image" / "a.nii.gz"
    assert origin(place, "a")["input"] == "a.nii.gz"
    assert "a.nii" not in origin(place, "pseudonym")["input"]
