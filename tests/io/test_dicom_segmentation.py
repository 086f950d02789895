# SPDX-License-Identifier: Apache-2.0
"""DICOM SEG per phase: read again voxel for voxel by pydicom and highdicom, and checked against the standard."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from highdicom.seg import Segmentation, segread
from pydicom import Dataset

from cardiac4d import __version__
from cardiac4d.errors import InputError
from cardiac4d.io.dicom import BINARY, LABELMAP, DicomSequence, write_segmentations
from cardiac4d.io.dicom.toolkit import quiet
from tests.helpers.dicom_results import random_labels, standard_errors
from tests.helpers.dicom_studies import IDENTITY, Study, make, write_enhanced, write_images
from tests.helpers.label_map_standard import label_map_errors

REAL_CINE = Path(__file__).resolve().parents[3] / "shared" / "data" / "cine_dicom"
HALF = float(np.sqrt(0.5))


def _per_phase(k: int, t: int) -> dict[str, Any]:
    return {
        "SeriesInstanceUID": f"1.2.77.{t}",
        "SeriesNumber": 9 - t,
        "SeriesDescription": f"CTA {5 + 35 * t} %",
        "FrameOfReferenceUID": "1.2.3.99",
    }


def _per_slice(k: int, t: int) -> dict[str, Any]:
    return {"SeriesInstanceUID": f"1.2.78.{k}", "SeriesNumber": k + 1, "TriggerTime": t * 40.0}


STUDIES = {
    "series per phase": Study(_per_phase),
    "oblique cine, series per slice, flipped": Study(
        _per_slice, row=(HALF, HALF, 0.0), column=(0.0, 0.0, -1.0), modality="MR"
    ),
    "tilted enhanced": Study(lean=(0.0, 0.5, 0.0)),
}


def write_study(folder: Path, name: str) -> DicomSequence:
    study = STUDIES[name]
    if "enhanced" in name:
        percent = {0: 0.0, 1: 30.0, 2: 60.0}
        write_enhanced(
            folder / "ct.dcm",
            study,
            lambda _k, t: {"CardiacSynchronizationSequence": [make(NominalPercentageOfCardiacPhase=percent[t])]},
        )
    else:
        write_images(folder, study)
    return DicomSequence(folder)


def voxels_of(seg: Segmentation, sequence: DicomSequence, frame: int) -> np.ndarray:
    """Labels ``(column, row, slice)``: each SEG frame put where the image is that it names as its source."""
    labels = np.zeros(sequence.grid.shape, np.uint8)
    sources = [pydicom.dcmread(source.path, stop_before_pixels=True) for source in sequence.source_files(frame)]
    wanted = [(s.SOPInstanceUID, f.frame_number) for s, f in zip(sources, sequence.source_files(frame), strict=True)]
    pixels = seg.pixel_array
    for index, group in enumerate(seg.PerFrameFunctionalGroupsSequence):
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        k = wanted.index((source.ReferencedSOPInstanceUID, int(source.get("ReferencedFrameNumber", 1))))
        assert source.ReferencedSOPClassUID == sources[k].SOPClassUID
        image = sequence.images(frame)[k]
        np.testing.assert_allclose(group.PlanePositionSequence[0].ImagePositionPatient, image.position, atol=1e-4)
        pixel = pixels[index].T
        if seg.SegmentationType == BINARY:
            pixel = pixel * group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        labels[:, :, k] |= pixel.astype(np.uint8)
    return labels


@pytest.mark.parametrize("kind", [BINARY, LABELMAP])
@pytest.mark.parametrize("name", STUDIES)
def test_every_layout_comes_back_voxel_for_voxel(tmp_path: Path, name: str, kind: str) -> None:
    sequence = write_study(tmp_path / "study", name)
    labels = random_labels((*sequence.grid.shape, sequence.num_frames))
    folder = write_segmentations(tmp_path / "out", labels, sequence.grid.affine, sequence, kind=kind)
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["frame_000.dcm", "frame_001.dcm", "frame_002.dcm"]
    for frame, path in enumerate(files):
        seg = segread(path)
        np.testing.assert_array_equal(voxels_of(seg, sequence, frame), labels[..., frame])
        assert (standard_errors if kind == BINARY else label_map_errors)(path) == []


def _relabel(seg: Dataset) -> None:
    seg.SegmentSequence[2].SegmentNumber = 7


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda seg: delattr(seg, "SegmentsOverlap"), "SegmentsOverlap is None, not NO"),
        (lambda seg: setattr(seg, "DeviceSerialNumber", ""), "Enhanced General Equipment: DeviceSerialNumber has no"),
        (lambda seg: delattr(seg, "ContentCreatorName"), "ContentCreatorName is missing"),
        (lambda seg: setattr(seg, "MaximumFractionalValue", 1), "MaximumFractionalValue does not belong"),
        (_relabel, r"pixel values \[2\] are in no item"),
        (lambda seg: delattr(seg.SegmentSequence[1], "TrackingUID"), "TrackingID and TrackingUID go together"),
        (lambda seg: seg.SegmentSequence[1].SegmentedPropertyTypeCodeSequence.clear(), "a segment has no Segmented"),
        (lambda seg: seg.PerFrameFunctionalGroupsSequence.pop(), "do not fit the number of frames"),
        (lambda seg: seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence.clear(), "not in ReferencedSeries"),
        (
            lambda seg: setattr(seg.PerFrameFunctionalGroupsSequence[0], "SegmentIdentificationSequence", []),
            "is for BINARY and FRACTIONAL",
        ),
    ],
)
def test_the_list_of_checks_of_label_maps_sees_what_is_spoilt(tmp_path: Path, spoil: Any, problem: str) -> None:
    sequence = write_study(tmp_path / "study", "series per phase")
    labels = random_labels((*sequence.grid.shape, 1))
    folder = write_segmentations(tmp_path / "out", labels, sequence.grid.affine, sequence, kind=LABELMAP, frames=[1])
    seg = pydicom.dcmread(folder / "frame_001.dcm")
    assert label_map_errors(folder / "frame_001.dcm") == []
    spoil(seg)
    seg.save_as(tmp_path / "spoilt.dcm")
    assert re.search(problem, "; ".join(label_map_errors(tmp_path / "spoilt.dcm")))


def test_a_regular_volume_lies_where_the_image_lies(tmp_path: Path) -> None:
    sequence = write_study(tmp_path / "study", "oblique cine, series per slice, flipped")
    labels = random_labels((*sequence.grid.shape, 3))
    folder = write_segmentations(tmp_path / "out", labels, sequence.grid.affine, sequence)
    volume = segread(folder / "frame_001.dcm").get_volume(combine_segments=True)
    at = np.linalg.inv(sequence.grid.affine) @ np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    indices = np.stack(np.meshgrid(*map(np.arange, volume.spatial_shape), indexing="ij"), -1)
    places = np.rint(indices @ at[:3, :3].T + at[:3, 3]).astype(int)
    np.testing.assert_array_equal(volume.array, labels[..., 1][tuple(np.moveaxis(places, -1, 0))])


def test_headers_say_what_was_segmented_how_and_of_whom(tmp_path: Path) -> None:
    sequence = write_study(tmp_path / "study", "series per phase")
    labels = random_labels((*sequence.grid.shape, 2))
    folder = write_segmentations(tmp_path / "out", labels, sequence.grid.affine, sequence, frames=[2, 0])
    segs = {path.name: pydicom.dcmread(path) for path in folder.iterdir()}
    assert sorted(segs) == ["frame_000.dcm", "frame_002.dcm"]
    seg = segs["frame_002.dcm"]
    assert seg.SeriesDescription == "cardiac4d left ventricle, 75 % R-R (frame 2)"
    assert (seg.Manufacturer, seg.SoftwareVersions, seg.ContentLabel) == ("cardiac4d", __version__, "LV_SEGMENTATION")
    assert {key: seg.get(key) for key in ("PatientName", "PatientID", "AccessionNumber")} == {
        key: IDENTITY[key] for key in ("PatientName", "PatientID", "AccessionNumber")
    }
    source = pydicom.dcmread(sequence.source_files(2)[0].path)
    assert (seg.StudyInstanceUID, seg.FrameOfReferenceUID) == (source.StudyInstanceUID, "1.2.3.99")
    assert [item.SeriesInstanceUID for item in seg.ReferencedSeriesSequence] == ["1.2.77.2"]
    assert len(seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 4
    codes = [(s.SegmentedPropertyTypeCodeSequence[0].CodeValue, s.SegmentLabel) for s in seg.SegmentSequence]
    assert codes == [("87878005", "LV cavity"), ("49848007", "LV myocardium")]
    for segment, other in zip(seg.SegmentSequence, segs["frame_000.dcm"].SegmentSequence, strict=True):
        assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "123037004"
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("cardiac4d", __version__)
        assert segment.TrackingUID == other.TrackingUID
    assert seg.SeriesInstanceUID != segs["frame_000.dcm"].SeriesInstanceUID


@pytest.mark.parametrize("present", [(), (1,), (2,)])
def test_a_phase_without_a_structure_is_written_with_all_its_slices(tmp_path: Path, present: tuple[int, ...]) -> None:
    sequence = write_study(tmp_path / "study", "series per phase")
    labels = np.zeros((*sequence.grid.shape, 1), np.uint8)
    for label in present:
        labels[label, 1, 2] = label
    folder = write_segmentations(tmp_path / "out", labels, sequence.grid.affine, sequence, frames=[1])
    seg = segread(folder / "frame_001.dcm")
    assert (seg.NumberOfFrames, seg.number_of_segments) == (8, 2)
    np.testing.assert_array_equal(voxels_of(seg, sequence, 1), labels[..., 0])
    assert standard_errors(folder / "frame_001.dcm") == []


def test_nothing_is_overwritten_or_left_half_written(tmp_path: Path) -> None:
    sequence = write_study(tmp_path / "study", "series per phase")
    labels, affine = random_labels((*sequence.grid.shape, 3)), sequence.grid.affine
    out = write_segmentations(tmp_path / "results" / "out", labels, affine, sequence)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(InputError, match="exists already"):
        write_segmentations(out, labels, affine, sequence)
    sequence.source_files(2)[0].path.unlink()
    with pytest.raises(FileNotFoundError):
        write_segmentations(out, labels, affine, sequence, overwrite=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_headers_that_cannot_be_taken_over_are_named_without_their_content(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_images(tmp_path / "study", Study(lambda k, t: {**_per_phase(k, t), "PatientBirthDate": "in the thirties"}))
    sequence = DicomSequence(tmp_path / "study")
    labels = random_labels((*sequence.grid.shape, 3))
    with pytest.raises(InputError, match="values that DICOM does not allow") as caught:
        write_segmentations(tmp_path / "out", labels, sequence.grid.affine, sequence)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert not any(str(value) in str(caught.value) for value in (*IDENTITY.values(), "thirties"))
    assert not list(tmp_path.glob("out*"))


def test_no_identity_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    write_images(tmp_path / "study", Study(lambda k, t: {**_per_phase(k, t), "PatientName": "Zwackelmann"}))
    sequence = DicomSequence(tmp_path / "study")
    write_segmentations(tmp_path / "out", random_labels((*sequence.grid.shape, 3)), sequence.grid.affine, sequence)
    with quiet():
        logging.getLogger("highdicom.base").warning("Zwackelmann")
        logging.getLogger("pydicom").warning("Zwackelmann")
    assert "Zwackelmann" not in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "FRACTIONAL"}, "`kind` must be BINARY or LABELMAP"),
        ({"frames": [0, 1]}, r"`labels` must be uint8 \(6, 5, 4, 2\)"),
        ({"frames": [0, 1, 1]}, "`frames` must differ"),
        ({"affine": np.diag([-1.0, -1.0, 1.0, 1.0])}, "must lie on the study's own grid"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    sequence = write_study(tmp_path / "study", "series per phase")
    arguments = {"affine": sequence.grid.affine, "sequence": sequence, **change}
    with pytest.raises(ValueError, match=message):
        write_segmentations(tmp_path / "out", random_labels((*sequence.grid.shape, 3)), **arguments)


def test_a_machine_without_highdicom_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = write_study(tmp_path / "study", "series per phase")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(InputError, match=r"highdicom, which is not installed.*pip install 'cardiac4d\[dicom\]'"):
        write_segmentations(tmp_path / "out", random_labels((*sequence.grid.shape, 3)), sequence.grid.affine, sequence)


@pytest.mark.parametrize("missing", ["StudyInstanceUID", "SOPInstanceUID"])
def test_images_that_nothing_can_reference_are_named(tmp_path: Path, missing: str) -> None:
    sequence = write_study(tmp_path / "study", "series per phase")
    path = sequence.source_files(1)[0].path
    image = pydicom.dcmread(path)
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    delattr(image, missing)
    image.save_as(path, enforce_file_format=False)
    with pytest.raises(InputError, match=rf"{path.name}: {missing}: missing, but results of this study must name it"):
        write_segmentations(tmp_path / "out", random_labels((*sequence.grid.shape, 3)), sequence.grid.affine, sequence)


@pytest.mark.skipif(not REAL_CINE.is_dir(), reason="the real cine is not here")
def test_a_real_cine_passes_the_checker(tmp_path: Path) -> None:
    sequence = DicomSequence(REAL_CINE)
    labels = random_labels((*sequence.grid.shape, 1))
    folder = write_segmentations(tmp_path / "out", labels, sequence.grid.affine, sequence, frames=[7])
    np.testing.assert_array_equal(voxels_of(segread(folder / "frame_007.dcm"), sequence, 7), labels[..., 0])
    assert standard_errors(folder / "frame_007.dcm") == []
