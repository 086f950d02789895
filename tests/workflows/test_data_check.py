# SPDX-License-Identifier: Apache-2.0
"""A check finds every fault of a data set in one go, and says what is odd without guessing."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from cardiac4d.conventions import LV, LVM
from cardiac4d.errors import InputError
from cardiac4d.geometry import TimeAxis
from cardiac4d.io import write_sequence
from cardiac4d.workflows.data_check import DataCheck, check_data
from cardiac4d.workflows.data_table import format_check
from tests.helpers.studies import AFFINE, FRAME_DURATION_S, NUM_FRAMES, beating_ball, sparse, write_small_dataset

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "check_data.py"
VOXEL_ML = 4 * 4 * 6 / 1000


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_small_dataset(tmp_path)


@pytest.fixture
def document(dataset: Path) -> dict[str, Any]:
    return json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))


def check(dataset: Path, document: dict[str, Any] | None = None) -> DataCheck:
    if document is not None:
        (dataset / "dataset.json").write_text(json.dumps(document), encoding="utf-8")
    return check_data("dataset.json", dataset)


def rewrite(dataset: Path, name: str, change: Callable[[np.ndarray], np.ndarray], **header: Any) -> None:
    """Write another image for the first study of the training list."""
    image, labels = beating_ball()
    voxels = {"image": image, "label": sparse(labels, [0, NUM_FRAMES // 2])}[name]
    settings = {"step": FRAME_DURATION_S, "affine": AFFINE, **header}
    time = TimeAxis.uniform(NUM_FRAMES, settings["step"])
    write_sequence(dataset / name / "train0.nii.gz", change(voxels), settings["affine"], time, overwrite=True)


def first(found: DataCheck) -> Any:
    return found.studies[0]


def test_facts_of_a_healthy_study_are_those_it_was_written_with(dataset: Path) -> None:
    found = check(dataset)
    assert found.usable
    facts, (image, labels) = first(found).facts, beating_ball()
    assert facts.shape == (18, 16, 10, 6)
    assert facts.spacing_mm == pytest.approx((4, 4, 6))
    assert facts.axes == "LPS"
    assert facts.frame_duration_ms == pytest.approx(150)
    assert (facts.intensities.lowest, facts.intensities.highest) == (image.min(), image.max())
    assert [each.frame for each in facts.annotated] == [0, 3]
    for each in facts.annotated:
        assert each.lv_ml == pytest.approx(np.count_nonzero(labels[..., each.frame] == LV) * VOXEL_ML)
        assert each.lvm_ml == pytest.approx(np.count_nonzero(labels[..., each.frame] == LVM) * VOXEL_ML)
    few, small = first(found).suspicions  # the ball is smaller than a heart, and beats in six frames
    assert few == "6 frames may miss end-systole"
    assert small.startswith("LV has 5.")


@pytest.mark.parametrize(
    ("name", "change", "header", "expected"),
    [
        ("image", lambda v: v, {"step": 0.0}, "the frame duration is not known"),
        ("image", lambda v: v, {"step": 150.0}, "a frame lasts 150000 ms"),
        ("image", lambda v: v, {"step": 0.02}, "the cycle would last 120 ms"),
        ("image", lambda v: np.zeros_like(v), {}, "every voxel is 0"),
        ("image", lambda v: v + 1024, {}, "no intensity is negative"),
        ("image", lambda v: (v / 1024).astype(np.float32), {}, "scaled already, or a label map?"),
        ("image", lambda v: v.astype(np.int32) * 100, {}, "are beyond Hounsfield units"),
        ("image", lambda v: v[..., [0, 1, 1, 3, 4, 5]], {}, "frame 2 repeats the frame before it"),
        ("image", lambda v: v[..., [0] * 6], {}, "frames 1, 2, 3, 4, 5 repeat others"),
        (
            "label",
            lambda v: np.choose(np.minimum(v, 3), [0, 2, 1, 255]).astype(np.uint8),
            {},
            "the two labels swapped?",
        ),
        ("label", lambda v: np.where(v == 255, 255, np.roll(v, 8, 0)).astype(np.uint8), {}, "reaches the edge of the"),
        ("label", lambda v: np.where(v == 2, 0, v).astype(np.uint8), {}, "LVM is missing in annotated frames [0, 3]"),
        ("label", lambda v: v[..., [0, 1, 2, 0, 4, 5]], {}, "give an ejection fraction of 0 %"),
    ],
)
def test_oddity_is_said(dataset: Path, name: str, change: Any, header: dict[str, Any], expected: str) -> None:
    rewrite(dataset, name, change, **header)
    found = check(dataset)
    assert any(expected in sentence for sentence in first(found).suspicions), first(found).suspicions
    assert found.usable


def test_empty_annotated_frames_are_said_and_not_guessed(dataset: Path, document: dict[str, Any]) -> None:
    rewrite(dataset, "label", lambda v: np.where(v == 255, 0, v).astype(np.uint8))
    del document["training"][0]["labeled_frames"]
    found = check(dataset, document)
    assert [each.frame for each in first(found).facts.annotated] == [0, 1, 2, 3, 4, 5]
    assert any("frames [1, 2, 4, 5] are annotated and empty" in s for s in first(found).suspicions)
    document["training"][0]["empty_frames_are_unlabeled"] = True
    assert [each.frame for each in first(check(dataset, document)).facts.annotated] == [0, 3]


def test_lost_spacing_and_tiny_volumes_are_said(dataset: Path, document: dict[str, Any]) -> None:
    for name in ("image", "label"):
        rewrite(dataset, name, lambda v: v, affine=np.eye(4))
    del document["training"][0]["truth"]
    sentences = " ".join(first(check(dataset, document)).suspicions)
    assert "the spacing is 1 x 1 x 1 mm exactly" in sentences
    assert "LV has" in sentences
    assert "expected are 10 to 500" in sentences


def test_copy_of_a_study_under_another_name_is_found(dataset: Path) -> None:
    (dataset / "image" / "case0.nii.gz").write_bytes((dataset / "image" / "train0.nii.gz").read_bytes())
    (dataset / "label" / "case0.nii.gz").write_bytes((dataset / "label" / "train0.nii.gz").read_bytes())
    document = json.loads((dataset / "dataset.json").read_text(encoding="utf-8"))
    for section in ("validation", "test"):
        document[section][0].pop("truth")
        document[section][0]["labeled_frames"] = [0, 3]
    sentence = next(s for s in first(check(dataset, document)).suspicions if "its first frame is that of" in s)
    assert "validation: case0" in sentence


def test_every_fault_is_found_in_one_go(dataset: Path, document: dict[str, Any]) -> None:
    image = dataset / "image" / "train0.nii.gz"
    image.write_bytes(image.read_bytes()[:-50])
    document["training"][1]["label"] = "label/lost.nii.gz"
    document["validation"][1]["full_cycle"] = "false"
    found = check(dataset, document)
    assert [study.error is not None for study in found.studies][:4] == [True, True, False, True]
    assert "train0.nii.gz" in found.studies[0].error
    assert "lost.nii.gz does not exist" in found.studies[1].error
    assert not found.usable


def test_fault_of_the_lists_as_a_whole_is_found(dataset: Path, document: dict[str, Any]) -> None:
    document["validation"] = document["validation"] + document["training"][:1]
    found = check(dataset, document)
    assert any("is in training[0] too" in problem or "validation[2] too" in problem for problem in found.errors)
    assert not found.usable
    del document["validation"]
    assert any("no list 'validation'" in problem for problem in check(dataset, document).errors)


def test_table_names_each_study_and_gathers_what_many_share(dataset: Path) -> None:
    for study in ("train0", "train1", "case0", "case1"):
        path = dataset / "image" / f"{study}.nii.gz"
        voxels, _ = beating_ball(NUM_FRAMES if "train" in study else 5 + int(study[-1]), int(study[-1]))
        write_sequence(path, voxels, AFFINE, TimeAxis.uniform(voxels.shape[-1], 0.0), overwrite=True)
    text = format_check(check(dataset))
    assert "| training   | train0 | 18 x 16 x 10 x 6 | 4 x 4 x 6    | LPS  | ?          |" in text
    line = next(line for line in text.splitlines() if "the frame duration is not known" in line)
    assert line.startswith("odd: training: train0, training: train1, validation: case0 and 3 more: ")
    assert text.splitlines()[-1].endswith("training can start")


def test_command_prints_writes_and_tells_by_its_exit_code(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = runpy.run_path(str(SCRIPT))["check"]
    with pytest.raises(SystemExit) as healthy:
        command(str(dataset), output_json=str(tmp_path / "check.json"))
    assert healthy.value.code == 0
    assert "6 studies, 0 cannot be used" in capsys.readouterr().out
    written = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    jsonschema.validate(written, {"required": ["schema", "schema_version", "usable", "errors", "studies"]})
    assert written["studies"][0]["facts"]["shape"] == [18, 16, 10, 6]
    with pytest.raises(InputError, match="the file exists already"):
        command(str(dataset), output_json=str(tmp_path / "check.json"))
    (dataset / "label" / "train0.nii.gz").unlink()
    with pytest.raises(SystemExit) as failing:
        command(str(dataset))
    assert failing.value.code == 1
    assert "training would fail" in capsys.readouterr().out


def test_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the data list does not exist"):
        check_data("dataset.json", tmp_path)
