# SPDX-License-Identifier: Apache-2.0
"""From a DICOM study through inference's transforms and handlers into DICOM SEG and SR, and where they are refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from highdicom.sr import srread
from ignite.engine import Engine
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd

from cardiac4d.io import open_sequence
from cardiac4d.io.segmentation_volume import SegmentationVolume
from cardiac4d.networks import EncoderDecoder
from cardiac4d.transforms import LoadSequenced, SaveSequence, SaveSequenced, TimeLastd
from cardiac4d.workflows import StudyReports
from cardiac4d.workflows.input_errors import find_input_error
from cardiac4d.workflows.runs import remove_other_segmentations
from cardiac4d.workflows.weights import write_model
from tests.helpers.dicom_results import standard_errors
from tests.helpers.dicom_studies import IDENTITY, Study, write_images
from tests.helpers.process import run_python
from tests.helpers.studies import beating_ball, write_study

ROOT = Path(__file__).resolve().parents[2]
PHASES = 4


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An oblique study of a beating ball, one series per phase, 40 % and on."""
    image, _ = beating_ball(PHASES)
    tags = lambda k, t: {  # noqa: E731
        "SeriesInstanceUID": f"1.2.80.{t}",
        "SeriesNumber": 20 + t,
        "SeriesDescription": f"{20 * t} %",
        "FrameOfReferenceUID": "1.2.80.99",
    }
    folder = tmp_path_factory.mktemp("dicom") / "heart"
    study = Study(tags, voxels=(image + 1024).clip(0).astype(np.uint16), row=(0.8, 0.6, 0.0), column=(0.0, 0.0, -1.0))
    write_images(folder, study)
    return folder


def segmented(place: Any, output_dir: Path, outputs: list[str], **entry: Any) -> dict[str, Any]:
    """Load, resample, label by intensity, invert and save: inference without a network."""
    pre = Compose([LoadSequenced("image", (0.6, 0.8, 2.5), "RAS"), TimeLastd("image")])
    data = pre({"id": "s", "image": place, **entry})
    voxels = data["image"].as_tensor()
    data["pred"] = MetaTensor((voxels > 250).byte() + 2 * ((voxels > 50) & (voxels <= 250)).byte())
    post = [
        Invertd("pred", pre, orig_keys="image", nearest_interp=True, to_tensor=True),
        TimeLastd("pred"),
        SaveSequenced("pred", output_dir, outputs=outputs),
    ]
    return Compose(post)(data)


def test_segmentations_equal_the_label_map_on_the_studys_own_grid(place: Path, tmp_path: Path) -> None:
    segmented(place, tmp_path, ["nifti", "dicom-seg", "dicom-seg-labelmap"], frames=[1, 3])
    labels = nib.load(tmp_path / "s_seg.nii.gz")
    expected, grid = np.asarray(labels.dataobj), open_sequence(place).grid
    assert set(np.unique(expected)) == {0, 1, 2}
    np.testing.assert_allclose(labels.affine, grid.affine, atol=1e-4)
    for folder in ("s_seg_dicom", "s_seg_dicom_labelmap"):
        files = sorted((tmp_path / folder).iterdir())
        assert [path.name for path in files] == ["frame_001.dcm", "frame_003.dcm"]
        for position, path in enumerate(files):
            np.testing.assert_array_equal(SegmentationVolume(path, grid).frame(0), expected[..., position])
    seg = pydicom.dcmread(tmp_path / "s_seg_dicom" / "frame_003.dcm")
    assert [item.SeriesInstanceUID for item in seg.ReferencedSeriesSequence] == ["1.2.80.3"]


def test_times_told_by_the_data_list_do_not_hide_the_study(place: Path, tmp_path: Path) -> None:
    segmented({"files": str(place), "rr_interval_ms": 900}, tmp_path, ["dicom-seg"])
    assert len(list((tmp_path / "s_seg_dicom").iterdir())) == PHASES


def test_a_study_that_is_no_dicom_is_refused_with_a_sentence(tmp_path: Path) -> None:
    entry = write_study(tmp_path, "a", num_frames=2)
    with pytest.raises(RuntimeError) as failure:
        segmented(tmp_path / entry["image"], tmp_path / "out", ["dicom-seg"])
    error = find_input_error(failure.value)
    assert error is not None
    assert error.problem == "it is no DICOM study, and a DICOM SEG must reference the images of one"
    assert not list(tmp_path.glob("out/*"))


def test_what_other_outputs_left_is_removed(place: Path, tmp_path: Path) -> None:
    pred = segmented(place, tmp_path, ["nifti", "dicom-seg"])["pred"]
    SaveSequence(tmp_path, outputs=["nifti"], overwrite=True)(pred, "s")
    assert [path.name for path in tmp_path.iterdir()] == ["s_seg.nii.gz"]
    (tmp_path / "segmentations").mkdir()
    SaveSequence(tmp_path / "segmentations", outputs=["dicom-seg"])(pred, "s")
    remove_other_segmentations(tmp_path, ["t"])
    assert list((tmp_path / "segmentations").iterdir()) == []


def test_reports_reference_the_segments_and_agree_with_the_page(place: Path, tmp_path: Path) -> None:
    case = segmented(place, tmp_path / "segmentations", ["nifti", "dicom-seg"])
    report = StudyReports(tmp_path / "reports", dicom_dir=tmp_path / "dicom")
    engine = Engine(lambda _engine, batch: batch)
    report.attach(engine)
    engine.run([[case]])
    document = json.loads((tmp_path / "reports" / "s_measures.json").read_text())
    content = srread(tmp_path / "dicom" / "s_measures.dcm").content
    volumes = {
        group.tracking_identifier: float(group.get_measurements()[0].value)
        for group in content.get_volumetric_roi_measurement_groups()
    }
    assert len(volumes) == 2 * PHASES
    for frame, volume in enumerate(document["volumes"]["lv_ml"]):
        assert volumes[f"LV cavity, {20 * frame} % R-R (frame {frame})"] == pytest.approx(volume, rel=1e-5)
    groups = {group.tracking_identifier: group for group in content.get_image_measurement_groups()}
    assert float(groups["Cardiac cycle"].get_measurements()[1].value) == pytest.approx(
        document["volumes"]["ef_percent"], rel=1e-5
    )
    assert standard_errors(tmp_path / "dicom" / "s_measures.dcm") == []
    for path in (tmp_path / "reports").iterdir():
        assert not any(str(value).encode() in path.read_bytes() for value in IDENTITY.values()), path


def test_a_study_that_is_no_dicom_gets_its_other_reports(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    entry = write_study(tmp_path, "a", num_frames=2)
    case = segmented(tmp_path / entry["image"], tmp_path / "out", ["nifti"])
    engine = Engine(lambda _engine, batch: batch)
    StudyReports(tmp_path / "reports", dicom_dir=tmp_path / "dicom").attach(engine)
    with caplog.at_level(logging.WARNING):
        engine.run([[case]])
    assert "no DICOM report of s: " in caplog.text
    assert "it is no DICOM study" in caplog.text
    assert (tmp_path / "reports" / "s_report.html").is_file()
    assert not (tmp_path / "dicom").exists()


@pytest.mark.slow
def test_inference_by_the_command_of_the_readme(place: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    write_model(EncoderDecoder(), tmp_path / "model.pt", {"spacing_mm": [1.0, 1.0, 2.0], "orientation": "RAS"})
    options = {
        "dataset_dir": place,
        "checkpoint": tmp_path / "model.pt",
        "output_dir": tmp_path / "out",
        "spacing_mm": "[1.0,1.0,2.0]",
        "roi_size": "[12,12,8]",
        "report": False,
        "outputs": "['nifti','dicom-seg','dicom-sr']",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command = ["-m", "monai.bundle", "run", "inference", "--config_file", "configs/inference.json", *arguments]
    screen = run_python(*command, cwd=ROOT)
    labels = np.asarray(nib.load(tmp_path / "out/segmentations/heart_seg.nii.gz").dataobj)
    grid = open_sequence(place).grid
    for frame in range(PHASES):
        path = tmp_path / f"out/segmentations/heart_seg_dicom/frame_{frame:03d}.dcm"
        np.testing.assert_array_equal(SegmentationVolume(path, grid).frame(0), labels[..., frame])
        assert standard_errors(path) == []
    assert standard_errors(tmp_path / "out/dicom_reports/heart_measures.dcm") == []
    assert not any(str(value) in screen for value in IDENTITY.values())
