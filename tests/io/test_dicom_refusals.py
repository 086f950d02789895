# SPDX-License-Identifier: Apache-2.0
"""What is no sequence is refused with a sentence that helps, and nobody is named."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from cardiac4d.errors import InputError
from cardiac4d.io import open_sequence, write_nifti
from cardiac4d.io.dicom import DicomSequence
from cardiac4d.io.dicom.files import read_header
from cardiac4d.io.dicom.headers import wanted_tags
from tests.helpers.dicom_studies import IDENTITY, Study, make, save, stored_voxels, write_enhanced, write_images

SLICE_2 = r"\(-20\.5, -31\.25, 12\)"
"""Position of slice 2."""


def triggered(k: int, t: int, **tags: Any) -> dict[str, Any]:
    return {"SeriesNumber": 5, "SeriesDescription": "heart", "TriggerTime": 40.0 * t, "InstanceNumber": 9 - t, **tags}


def refused(folder: Path, match: str, **options: Any) -> InputError:
    with pytest.raises(InputError, match=match) as caught:
        DicomSequence(folder, **options)
    return caught.value


@pytest.fixture
def study(tmp_path: Path) -> Study:
    written = Study(triggered)
    write_images(tmp_path / "a", written)
    return written


@pytest.fixture
def folder(tmp_path: Path, study: Study) -> Path:
    return tmp_path / "a"


def test_a_phase_that_lacks_a_slice_is_named(tmp_path: Path) -> None:
    write_images(tmp_path, Study(triggered), skip=[(2, 1)])
    refused(tmp_path, rf"not every phase has every slice: TriggerTime \(0018,1060\) = 40 lacks {SLICE_2}\. Fix: add")


def test_a_slice_with_fewer_images_is_named_where_slices_have_times_of_their_own(tmp_path: Path) -> None:
    write_images(tmp_path, Study(lambda k, t: triggered(k, t, TriggerTime=t * (30.0 + k))), skip=[(2, 1)])
    refused(tmp_path, rf"not every phase has every slice: 3 images per position, but 2 at {SLICE_2}")


def test_a_missing_slice_is_refused_with_the_positions_beside_it(tmp_path: Path) -> None:
    study = Study(triggered, voxels=stored_voxels((6, 5, 6, 3)))
    write_images(tmp_path, study, skip=[(3, t) for t in range(3)])
    refused(tmp_path, rf"not evenly spaced: 2\.5 mm apart, but 5 mm from {SLICE_2} to \(-20\.5, -31\.25, 17\)")


def test_one_phase_is_no_sequence(tmp_path: Path) -> None:
    write_images(tmp_path, Study(triggered, voxels=stored_voxels((6, 5, 4, 1))))
    refused(tmp_path, "one image per slice position, a single phase of 4 slices")


def test_phases_that_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, Study(lambda k, t: {"InstanceNumber": 1, "ScanOptions": None if t else "A"}))
    refused(
        tmp_path,
        r"nothing tells the 3 images of a slice position apart "
        r"\(ScanOptions is missing in some, InstanceNumber repeats",
    )


def test_slices_at_different_percentages_are_refused(tmp_path: Path) -> None:
    write_images(tmp_path, Study(lambda k, t: {"NominalPercentageOfCardiacPhase": 30.0 + 10 * t + 10 * (k == 2)}))
    refused(tmp_path, rf"slices hold different phases: number 1 is 40 at {SLICE_2}, elsewhere 30")


def test_several_studies_are_listed_and_one_can_be_named(tmp_path: Path, folder: Path) -> None:
    other = Study(lambda k, t: triggered(k, t, StudyDescription="stress"))
    write_images(tmp_path / "a" / "b", other)
    error = refused(folder, r"several studies: CT study 'heart' \(12 images, such as IM\d{4}\), CT study 'stress' \(12")
    assert other.study_uid not in str(error)
    assert DicomSequence(folder, study="stress").num_frames == 3
    assert DicomSequence(folder, study=other.study_uid).num_frames == 3
    refused(folder, r"no study 'rest'; there is CT study 'heart'", study="rest")


@pytest.mark.parametrize(
    ("difference", "tags", "other"),
    [
        ("orientation", {}, {"row": (0.0, 1.0, 0.0), "column": (0.0, 0.0, -1.0)}),
        ("size", {}, {"voxels": stored_voxels((7, 5, 4, 3))}),
        ("pixel spacing", {"PixelSpacing": [0.8, 0.8]}, {}),
        ("kernel or kind of image", {"ConvolutionKernel": "B70f"}, {}),
    ],
)
def test_several_acquisitions_are_listed_and_one_can_be_named(
    folder: Path, study: Study, difference: str, tags: dict[str, Any], other: dict[str, Any]
) -> None:
    named = {"SeriesNumber": 6, "SeriesInstanceUID": "1.2.3", "SeriesDescription": "Calcium 70 %", **tags}
    write_images(folder / "b", Study(lambda k, t: triggered(k, t, **named), study_uid=study.study_uid, **other))
    refused(
        folder,
        rf"acquisitions, which differ in {difference}: series 5 'heart' \(12 images\); series 6 'Calcium 70 %' \(12 "
        r".*Fix: name those of one acquisition, such as series=3",
    )
    for choice in (5, "5", "Heart", [5]):
        np.testing.assert_array_equal(
            DicomSequence(folder, series=choice).frame(0)[0, 0, 0], study.voxels[0, 0, 0, 0] - 1024.0
        )
    assert DicomSequence(folder, series="calc*").header_meta()["phase_values"] == "0, 40, 80"
    refused(folder, "no series named", series=[])
    refused(folder, r"no series 7; there is series 5 'heart' \(12 images\), series 6", series=[5, 7])


def test_two_reconstructions_on_one_grid_are_refused(folder: Path, study: Study) -> None:
    again = {"SeriesNumber": 6, "SeriesInstanceUID": "1.2.3"}
    write_images(folder / "b", Study(lambda k, t: triggered(k, t, **again), study_uid=study.study_uid))
    refused(folder, r"2 images with TriggerTime \(0018,1060\) = \d+ at position .*series 5 .*series 6 .*series=\.\.\.")
    assert DicomSequence(folder, series=6).num_frames == 3


def test_a_copy_is_named_with_its_original(folder: Path) -> None:
    shutil.copy(folder / "IM0003", folder / "IM0099")
    refused(folder, "IM0099: it is a copy of .*IM0003: both have the same SOPInstanceUID.*remove one")


def test_a_slice_that_lies_apart_in_its_plane_is_named(folder: Path) -> None:
    data = dcmread(folder / "IM0003")
    data.ImagePositionPatient[0] += 3
    data.save_as(folder / "IM0003")
    refused(folder, r"its plane is that of .*, but its position \(-\d+\.5, -31\.25, [\d.]+\) is another")


def test_localizers_and_other_objects_are_passed_over_with_a_note(folder: Path, study: Study) -> None:
    scout = study.image(0, 0)
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save(scout, folder / "scout.dcm")
    report = study.image(0, 0)
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    save(report, folder / "report.dcm")
    (folder / "notes.txt").write_text("notes")
    (folder / "README").write_text("read me")
    notes = DicomSequence(folder).notes
    assert "passed over 1 file: localizer" in notes
    assert "passed over 1 file: Basic Text SR Storage" in notes
    assert "passed over 2 files: not DICOM" in notes


def test_a_folder_without_images_says_what_is_in_it(tmp_path: Path, study: Study) -> None:
    report = study.image(0, 0)
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    save(report, tmp_path / "b" / "report.dcm")
    refused(tmp_path / "b", "no CT or MR image; passed over 1 file: Basic Text SR Storage")
    refused(tmp_path / "nothing", "no such file or folder")


@pytest.mark.parametrize("content", [b"", b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 200, b"text"])
def test_an_unreadable_file_is_named(folder: Path, content: bytes) -> None:
    (folder / "broken.dcm").write_bytes(content)
    refused(folder, r"broken\.dcm: it cannot be read as DICOM")


def test_a_truncated_file_is_named(folder: Path) -> None:
    content = (folder / "IM0003").read_bytes()
    (folder / "IM0003").write_bytes(content[:-20])
    sequence = DicomSequence(folder)
    with pytest.raises(InputError, match="IM0003: its pixels cannot be decoded"):
        list(sequence.frames())
    (folder / "IM0003").write_bytes(content[:170])
    refused(folder, "IM0003: ")


def test_a_header_that_announces_more_than_the_file_holds_is_refused(folder: Path) -> None:
    data = dcmread(folder / "IM0003")
    data.Rows, data.Columns = 60000, 60000
    data.save_as(folder / "IM0003")
    refused(folder, "IM0003: it has .* bytes, but its header announces 7200000000 of pixels")


@pytest.mark.parametrize(
    ("tags", "match"),
    [
        ({"ImagePositionPatient": None}, "ImagePositionPatient: missing, but an image needs it"),
        ({"RescaleIntercept": None}, "RescaleIntercept: missing, but an image needs it"),
        ({"PixelSpacing": [0, 0.5]}, "PixelSpacing: 0 x 0.5 mm"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "not two perpendicular unit vectors"),
        ({"SamplesPerPixel": 2}, "a colour picture"),
        ({"BitsStored": 60000}, "BitsStored: 60000 bits per pixel"),
        ({"SeriesNumber": [1, 2]}, "SeriesNumber: not 1 finite number"),
        ({"ModalityLUTSequence": [make(Rows=1)]}, "scaled by a table, which is not supported"),
    ],
)
def test_a_header_without_what_an_image_needs_is_refused(folder: Path, tags: dict[str, Any], match: str) -> None:
    data = dcmread(folder / "IM0003")
    for keyword, value in tags.items():
        setattr(data, keyword, value) if value is not None else delattr(data, keyword)
    data.save_as(folder / "IM0003")
    refused(folder, rf"IM0003: .*{match}")


def test_colour_pictures_among_the_images_are_passed_over_with_a_note(folder: Path, study: Study) -> None:
    data = dcmread(folder / "IM0003")
    data.SOPInstanceUID, data.SamplesPerPixel, data.PhotometricInterpretation = "1.2.3.4.5", 3, "RGB"
    del data.ImagePositionPatient
    data.save_as(folder / "dose_report")
    sequence = DicomSequence(folder)
    assert "passed over 1 file: colour picture" in sequence.notes
    np.testing.assert_array_equal(np.stack(list(sequence.frames()), -1), study.voxels.astype(np.int16) - 1024)


def test_a_series_of_one_phase_beside_a_gated_one_is_listed_for_choosing(folder: Path, study: Study) -> None:
    for k in range(study.voxels.shape[2]):
        data = study.image(k, 0)
        data.SOPInstanceUID, data.SeriesInstanceUID, data.SeriesNumber = f"1.2.9.{k}", "1.2.9", 2
        data.SeriesDescription, data.TriggerTime = "CaScore", None
        del data.TriggerTime
        save(data, folder / f"score{k}")
    refused(folder, r"nothing tells .*series 2 'CaScore' \(4 images\).*Fix: .* or take one acquisition by series=")


def test_a_rescaling_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    write_images(tmp_path, Study(lambda k, t: triggered(k, t, RescaleSlope=1e300)))
    with pytest.raises(InputError, match=r"frame 0 holds \d+ NaN or infinite voxels"):
        DicomSequence(tmp_path).frame(0)


def test_an_enhanced_file_that_describes_fewer_frames_is_refused(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "a.dcm", Study(), lambda k, t: {})
    data = dcmread(path)
    data.PerFrameFunctionalGroupsSequence.pop()
    data.save_as(path)
    refused(tmp_path, "PerFrameFunctionalGroupsSequence: it announces 12 frames, but describes 11")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("EchoNumbers", r"12 images have no EchoNumbers \(0018,0086\), such as .*IM"),
        ("Modality", r"3 images with Modality \(0008,0060\) = CT at position"),
        ("PhaseOfTheMoon", "'PhaseOfTheMoon' is no DICOM attribute.*TriggerTime"),
        ("PatientName", "speaks of the patient or the visit, not of a phase"),
        ("ReferringPhysicianName", "speaks of the patient or the visit, not of a phase"),
        ("InstitutionName", "speaks of the patient or the visit, not of a phase"),
        ("AccessionNumber", "speaks of the patient or the visit, not of a phase"),
        ("StudyDate", "speaks of the patient or the visit, not of a phase"),
        ("FrameAcquisitionDateTime", "speaks of the patient or the visit, not of a phase"),
    ],
)
def test_a_key_that_does_not_tell_phases_is_refused(folder: Path, name: str, match: str) -> None:
    refused(folder, match, phase_key=name)


def test_without_pydicom_a_sentence_says_what_installs_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    refused(folder, r"read with pydicom, which is not installed\. Fix: pip install 'cardiac4d\[dicom\]'")


def test_nobody_is_named_in_logs_errors_metadata_or_files(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    sequence = DicomSequence(folder)
    told = [sequence.describe(), repr(sequence.header_meta()), repr(sequence.time_axis()), repr(vars(sequence))]
    written = write_nifti(sequence, tmp_path / "out.nii")
    for index, path in enumerate(sorted(folder.iterdir())):
        data = dcmread(path)
        data.add_new("PatientBirthDate", "LO", "NEVER")  # pydicom warns of such values and quotes them
        if index == 3:
            del data.ImagePositionPatient
        data.save_as(path)
    told += [str(refused(folder, "ImagePositionPatient"))]
    told += [str(refused(folder, "patient", phase_key="PatientID"))]
    out, err = capfd.readouterr()
    everything = "\n".join([*told, caplog.text, out, err, written.read_bytes().decode("latin1")])
    for value in (*IDENTITY.values(), *IDENTITY["PatientName"].split("^"), "NEVER"):
        assert value not in everything


def test_only_what_is_needed_is_read_of_a_header(folder: Path) -> None:
    header = read_header(folder, folder / "IM0003", wanted_tags())
    assert header is not None
    assert not [keyword for keyword in IDENTITY if keyword in header]


def test_open_sequence_takes_a_folder_a_list_and_options(folder: Path, study: Study) -> None:
    voxels = study.voxels.astype(np.int16) - 1024
    np.testing.assert_array_equal(open_sequence(folder).frame(1), voxels[..., 1])
    np.testing.assert_array_equal(open_sequence(sorted(folder.iterdir())).frame(1), voxels[..., 1])
    reverse = open_sequence({"files": str(folder), "phase_key": "InstanceNumber", "series": 5})
    np.testing.assert_array_equal(reverse.frame(0), voxels[..., 2])
    timed = open_sequence({"files": str(folder), "frame_times_ms": [0, 30, 70]})
    assert timed.time_axis().frame_times_ms.tolist() == [0, 30, 70]
    with pytest.raises(InputError, match=r"phase_key: it is for DICOM studies only"):
        open_sequence({"files": str(write_nifti(DicomSequence(folder), folder / "x.nii")), "phase_key": "TriggerTime"})
