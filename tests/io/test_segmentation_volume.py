# SPDX-License-Identifier: Apache-2.0
"""Labels per frame as DICOM SEG and SEG.NRRD: by code, by name, by number, and on the grid of the image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import pytest

from cardiac4d.errors import InputError
from cardiac4d.geometry import Grid
from cardiac4d.io import load_datalist, open_sequence
from cardiac4d.io.dicom import LABELMAP, DicomSequence, write_segmentations
from cardiac4d.io.entries import label_convention
from cardiac4d.io.labels import read_labels
from cardiac4d.io.segmentation_volume import SegmentationVolume
from tests.helpers.dicom_results import random_labels
from tests.helpers.dicom_studies import Study, write_images

TAG = "TerminologyEntry:Segmentation category and type~SCT^123037004^Anatomical Structure~SCT^{}^Heart~^^~~^^~^^|"


def _tags(k: int, t: int) -> dict[str, Any]:
    return {"SeriesInstanceUID": f"1.2.77.{t}", "SeriesNumber": 9 - t, "SeriesDescription": f"CTA {5 + 35 * t} %"}


@pytest.fixture
def study(tmp_path: Path) -> DicomSequence:
    """Oblique and tilted: no two axes of grid and patient agree."""
    tilted = Study(_tags, row=(0.8, 0.6, 0.0), column=(0.0, 0.0, -1.0), lean=(0.0, 0.0, 0.4))
    write_images(tmp_path / "study", tilted)
    return DicomSequence(tmp_path / "study")


def _write_nrrd(path: Path, voxels: np.ndarray, affine: np.ndarray, segments: list[dict[str, Any]]) -> Path:
    header: dict[str, Any] = {"space": "right-anterior-superior", "encoding": "gzip"}
    header |= {"space directions": affine[:3, :3].T, "space origin": affine[:3, 3]}
    for index, segment in enumerate(segments):
        header |= {f"Segment{index}_{key}": str(value) for key, value in segment.items()}
    nrrd.write(str(path), voxels, header)
    return path


def _loaded(tmp_path: Path, label: dict[str, str], **fields: Any) -> np.ndarray:
    """The labels ``(H, W, D, T)`` of an entry."""
    entry = {"id": "a", "image": "study", "label": label, **fields}
    (tmp_path / "dataset.json").write_text(json.dumps({"training": [entry]}))
    (loaded,) = load_datalist(tmp_path / "dataset.json", "training")
    return np.stack(list(read_labels(open_sequence(loaded["label"]), label_convention(loaded))), -1)


@pytest.mark.parametrize("kind", ["BINARY", LABELMAP])
def test_our_dicom_segmentations_are_labels_again(tmp_path: Path, study: DicomSequence, kind: str) -> None:
    labels = random_labels((*study.grid.shape, 2))
    write_segmentations(tmp_path / "seg", labels, study.grid.affine, study, frames=[0, 2], kind=kind)
    loaded = _loaded(tmp_path, {"2": "seg/frame_002.dcm", "0": "seg/frame_000.dcm"})
    np.testing.assert_array_equal(loaded[..., [0, 2]], labels)
    assert (loaded[..., 1] == 255).all()


def test_an_image_of_another_format_may_have_its_axes_in_another_order(tmp_path: Path, study: DicomSequence) -> None:
    labels = random_labels((*study.grid.shape, 1))
    write_segmentations(tmp_path / "seg", labels, study.grid.affine, study, frames=[1])
    turned = np.flip(labels[..., 0].transpose(2, 0, 1), 1)  # (i, j, k) is (5 - j, k, i) of the study
    affine = study.grid.affine @ np.array([[0, -1, 0, 5], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    volume = SegmentationVolume(tmp_path / "seg/frame_001.dcm", Grid(turned.shape, affine))
    np.testing.assert_array_equal(volume.frame(0), turned)
    image = nib.Nifti1Image(np.zeros((*turned.shape, 3), np.int16), affine)
    nib.save(image, tmp_path / "image.nii")
    loaded = _loaded(tmp_path, {"1": "seg/frame_001.dcm"}, image="image.nii")
    np.testing.assert_array_equal(loaded[..., 1], turned)


def test_a_cropped_seg_nrrd_is_read_by_codes_and_names(tmp_path: Path, study: DicomSequence) -> None:
    labels = random_labels((*study.grid.shape, 1))[..., 0]
    labels[:2], labels[:, :1] = 0, 0
    corner = study.grid.affine @ np.array([[1, 0, 0, 2], [0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 0, 1.0]])
    swapped = np.array([0, 9, 4], np.uint8)[labels[2:, 1:, 1:]]
    segments = [
        {"ID": "a", "Name": "blood", "LabelValue": 9, "Tags": TAG.format("87878005")},
        {"ID": "b", "Name": "muscle", "LabelValue": 4, "Tags": TAG.format("49848007")},
    ]
    _write_nrrd(tmp_path / "ed.seg.nrrd", swapped, corner, segments)
    np.testing.assert_array_equal(_loaded(tmp_path, {"0": "ed.seg.nrrd"})[..., 0], labels)
    coded = _loaded(tmp_path, {"0": "ed.seg.nrrd"}, label_map={"87878005": "LVM", "49848007": 1})
    np.testing.assert_array_equal(coded[..., 0], np.array([0, 2, 1])[labels])
    uncoded = [{key: value for key, value in one.items() if key != "Tags"} for one in segments]
    _write_nrrd(tmp_path / "es.seg.nrrd", swapped, corner, uncoded)
    with pytest.raises(InputError, match=r"es\.seg\.nrrd: label_map: segment 'blood' is not known as a structure"):
        _loaded(tmp_path, {"0": "es.seg.nrrd"})
    named = _loaded(tmp_path, {"0": "es.seg.nrrd"}, label_map={"Blood": "LV", "muscle": 2})
    np.testing.assert_array_equal(named[..., 0], labels)
    numbered = _loaded(tmp_path, {"0": "es.seg.nrrd"}, label_map={"9": 2, "4": 1})
    np.testing.assert_array_equal(numbered[..., 0], np.array([0, 2, 1])[labels])
    background = _loaded(tmp_path, {"0": "es.seg.nrrd"}, label_map={"blood": 1, "muscle": "background"})
    np.testing.assert_array_equal(background[..., 0], labels == 1)


def test_what_is_not_on_the_grid_is_refused(tmp_path: Path, study: DicomSequence) -> None:
    labels = random_labels((*study.grid.shape, 1))
    folder = write_segmentations(tmp_path / "seg", labels, study.grid.affine, study, frames=[1])
    moved = study.grid.affine.copy()
    moved[:3, 3] += moved[:3, 0] * 0.4
    with pytest.raises(InputError, match=r"lie up to 0\.2 mm from those of its image"):
        SegmentationVolume(folder / "frame_001.dcm", Grid(study.grid.shape, moved)).frame(0)
    with pytest.raises(InputError, match="structures outside of its image"):
        SegmentationVolume(folder / "frame_001.dcm", Grid((6, 5, 3), study.grid.affine)).frame(0)
    with pytest.raises(InputError, match="do not fit its image"):
        SegmentationVolume(folder / "frame_001.dcm", Grid((4, 5, 4), study.grid.affine)).frame(0)
    content = (folder / "frame_001.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(content[:-8])
    with pytest.raises(InputError, match="cannot be read as a DICOM segmentation"):
        SegmentationVolume(tmp_path / "cut.dcm", study.grid).frame(0)


def test_overlapping_segments_are_refused(tmp_path: Path, study: DicomSequence) -> None:
    import pydicom

    labels = np.zeros((*study.grid.shape, 1), np.uint8)
    labels[0, 0, 0], labels[1, 1, 1] = 1, 2
    path = write_segmentations(tmp_path / "seg", labels, study.grid.affine, study, frames=[1]) / "frame_001.dcm"
    seg = pydicom.dcmread(path)
    for group in seg.PerFrameFunctionalGroupsSequence:
        group.PlanePositionSequence[0].ImagePositionPatient = list(study.images(1)[0].position)
    seg.PixelData = b"\xff" * len(seg.PixelData)
    seg.save_as(path)
    with pytest.raises(InputError, match="segments overlap"):
        SegmentationVolume(path, study.grid).frame(0)
