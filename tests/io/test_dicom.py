# SPDX-License-Identifier: Apache-2.0
"""Multi-phase DICOM studies in every layout, voxel for voxel and axis for axis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from cardiac4d.io import open_sequence
from cardiac4d.io.dicom import DicomSequence, SourceFrame
from cardiac4d.io.dicom.keys import KEYS
from cardiac4d.io.given_times import TimedSequence
from tests.helpers.dicom_studies import PerImage, Study, make, stored_voxels, write_enhanced, write_images

PHASES = 3
REAL_CINE = Path(__file__).resolve().parents[3] / "shared" / "data" / "cine_dicom"


def one_series(k: int, t: int, **tags: Any) -> dict[str, Any]:
    """All phases in one series, phase by phase."""
    return {"SeriesNumber": 5, "InstanceNumber": 1 + t * 4 + k, **tags}


LAYOUTS: dict[str, tuple[PerImage, str]] = {
    "series_per_phase_by_description": (
        lambda k, t: {"SeriesNumber": 9 - t, "SeriesDescription": f"CTA {5 + 35 * t} % ASIR 40%", "InstanceNumber": k},
        "SeriesDescription (0008,103E)",
    ),
    "series_per_phase_by_number": (
        lambda k, t: {"SeriesNumber": 9 + t, "SeriesInstanceUID": f"1.2.{t}", "InstanceNumber": k},
        "SeriesNumber (0020,0011)",
    ),
    "one_series_phase_major": (lambda k, t: one_series(k, t), "InstanceNumber (0020,0013)"),
    "one_series_slice_major": (
        lambda k, t: one_series(k, t, InstanceNumber=1 + k * PHASES + t),
        "InstanceNumber (0020,0013)",
    ),
    "ge_percentage": (
        lambda k, t: one_series(k, t, NominalPercentageOfCardiacPhase=t * 40.0, InstanceNumber=100 - t * 4 - k),
        "NominalPercentageOfCardiacPhase (0020,9241)",
    ),
    "trigger_time": (
        lambda k, t: one_series(k, t, TriggerTime=t * 40.5, InstanceNumber=100 - t * 4 - k),
        "TriggerTime (0018,1060)",
    ),
    "temporal_position": (
        lambda k, t: one_series(k, t, TemporalPositionIdentifier=1 + t, TriggerTime=0, InstanceNumber=100 - t),
        "TemporalPositionIdentifier (0020,0100)",
    ),
    "ge_delta_start_time": (
        lambda k, t: one_series(
            k, t, **{"(0043,0010)": "GEMS_PARM_01", "(0043,101E)": 0.5 * t, "InstanceNumber": 100 - t}
        ),
        "DeltaStartTime (0043,101E)",
    ),
    "private_tag_of_another_maker": (
        lambda k, t: one_series(k, t, **{"(0043,0010)": "ACME", "(0043,101E)": 0.5 * (3 - t)}),
        "InstanceNumber (0020,0013)",
    ),
    "siemens_scan_options": (
        lambda k, t: one_series(k, t, ScanOptions=["GATED", f"TP {5 * (t + 1)}"], InstanceNumber=k),
        "ScanOptions (0018,0022)",
    ),
    "siemens_content_time": (
        lambda k, t: one_series(k, t, ScanOptions="TP", ContentTime=f"0959{58 + 0.5 * t:06.3f}", InstanceNumber=k),
        "ContentTime (0008,0033)",
    ),
    "ge_acquisition_time": (
        lambda k, t: one_series(k, t, AcquisitionTime=f"{9 + t:02d}0000", InstanceNumber=k),
        "AcquisitionTime (0008,0032)",
    ),
    "series_per_slice": (
        lambda k, t: {
            "SeriesNumber": 20 - k,
            "SeriesInstanceUID": f"1.3.{k}",
            "TriggerTime": t * (30.0 + k),
            "NominalInterval": 3 * (30 + k),
        },
        "TriggerTime (0018,1060)",
    ),
}


def assert_equals_study(sequence: DicomSequence, study: Study, expected: np.ndarray | None = None) -> None:
    voxels = study.voxels.astype(np.int16) - 1024 if expected is None else expected
    assert sequence.num_frames == voxels.shape[3]
    assert sequence.grid.shape == voxels.shape[:3]
    np.testing.assert_allclose(sequence.grid.affine, study.affine(), atol=1e-4)
    frames = list(sequence.frames())
    assert {frame.dtype for frame in frames} == {voxels.dtype}
    np.testing.assert_array_equal(np.stack(frames, axis=-1), voxels)


@pytest.mark.parametrize(("tags", "key"), LAYOUTS.values(), ids=LAYOUTS)
def test_layout_is_assembled_voxel_for_voxel(tmp_path: Path, tags: PerImage, key: str) -> None:
    study = Study(tags)
    write_images(tmp_path / "study", study)
    sequence = DicomSequence(tmp_path / "study")
    assert_equals_study(sequence, study)
    assert sequence.phase_key == key
    assert sequence.header_meta()["phase_key"] == key
    assert key in sequence.describe()


def test_images_may_lie_in_sub_folders_or_come_as_a_list(tmp_path: Path) -> None:
    study = Study(LAYOUTS["trigger_time"][0])
    files = write_images(tmp_path / "study", study)
    for index, file in enumerate(files):
        target = tmp_path / "study" / f"deeper{index % 3}" / file.name
        target.parent.mkdir(exist_ok=True)
        file.rename(target)
        files[index] = target
    assert_equals_study(DicomSequence(tmp_path / "study"), study)
    sequence = DicomSequence(list(reversed(files)))
    assert_equals_study(sequence, study)
    assert sequence.path == (tmp_path / "study").resolve()


ORIENTATIONS = {
    "head_first_supine": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "coronal": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    "oblique": ((0.8, 0.6, 0.0), (0.36, -0.48, 0.8)),
    "feet_first_prone": ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
}


@pytest.mark.parametrize(("row", "column"), ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_affine_is_that_of_position_and_orientation(
    tmp_path: Path, row: tuple[float, float, float], column: tuple[float, float, float]
) -> None:
    study = Study(LAYOUTS["trigger_time"][0], row=row, column=column)
    write_images(tmp_path, study)
    assert_equals_study(DicomSequence(tmp_path), study)


def test_a_tilted_gantry_gives_a_sheared_affine(tmp_path: Path) -> None:
    study = Study(LAYOUTS["trigger_time"][0], lean=(0.0, 0.7, 0.0))
    write_images(tmp_path, study)
    sequence = DicomSequence(tmp_path)
    assert_equals_study(sequence, study)
    assert sequence.grid.affine[1, 2] == pytest.approx(-0.7)
    assert any("tilted by 15.6 degrees" in note for note in sequence.notes)


def test_one_slice_takes_its_step_from_the_thickness(tmp_path: Path) -> None:
    study = Study(LAYOUTS["trigger_time"][0], voxels=stored_voxels((6, 5, 1, 3)))
    write_images(tmp_path, study)
    np.testing.assert_allclose(DicomSequence(tmp_path).grid.spacing_mm, (0.5, 0.75, 3.0))


def test_each_slice_is_rescaled_by_its_own_slope(tmp_path: Path) -> None:
    study = Study(lambda k, t: one_series(k, t, TriggerTime=t, RescaleSlope=1 + 0.5 * k, RescaleIntercept=-10 * t))
    write_images(tmp_path, study)
    slope, intercept = 1 + 0.5 * np.arange(4)[:, None], -10 * np.arange(3)
    assert_equals_study(DicomSequence(tmp_path), study, (study.voxels * slope + intercept).astype(np.float32))


def test_numbers_beyond_int16_are_int32(tmp_path: Path) -> None:
    study = Study(lambda k, t: one_series(k, t, TriggerTime=t, RescaleSlope=20, RescaleIntercept=0))
    write_images(tmp_path, study)
    assert_equals_study(DicomSequence(tmp_path), study, study.voxels.astype(np.int32) * 20)


def enhanced_groups(k: int, t: int) -> dict[str, Any]:
    return {
        "FrameContentSequence": [make(StackID="1", InStackPositionNumber=k + 1, TemporalPositionIndex=t + 1)],
        "CardiacSynchronizationSequence": [make(NominalCardiacTriggerDelayTime=50.0 * t, RRIntervalTimeNominal=900.0)],
    }


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("slice_major", [False, True])
def test_an_enhanced_file_is_taken_apart_by_its_functional_groups(
    tmp_path: Path, modality: str, slice_major: bool
) -> None:
    study = Study(modality=modality)
    path = write_enhanced(tmp_path / "all.dcm", study, enhanced_groups, slice_major=slice_major)
    sequence = DicomSequence(tmp_path)
    assert_equals_study(sequence, study, study.voxels.astype(np.int16) * (1 + np.arange(3, dtype=np.int16)) - 1024)
    assert sequence.phase_key == "TemporalPositionIndex (0020,9128)"
    assert sequence.time_axis().frame_times_ms.tolist() == [0, 50, 100]
    assert sequence.time_axis().cycle_length_ms == 900
    frames = [1 + k * 3 + 2 if slice_major else 1 + 2 * 4 + k for k in range(4)]
    assert sequence.source_files(2) == [SourceFrame(path, number) for number in frames]


def test_enhanced_files_of_one_phase_each_are_joined(tmp_path: Path) -> None:
    study = Study()
    for t in range(3):
        part = Study(voxels=study.voxels[..., t : t + 1], study_uid=study.study_uid)
        groups = {"CardiacSynchronizationSequence": [make(NominalPercentageOfCardiacPhase=30.0 * t)]}
        write_enhanced(tmp_path / f"{3 - t}.dcm", part, lambda k, _, groups=groups: groups)
    sequence = DicomSequence(tmp_path)
    assert_equals_study(sequence, study)
    assert sequence.phase_percents is not None
    assert sequence.phase_percents.tolist() == [0, 30, 60]


def test_source_files_are_those_of_the_slices(tmp_path: Path) -> None:
    from pydicom import dcmread

    study = Study(LAYOUTS["series_per_slice"][0])
    write_images(tmp_path, study)
    sequence = DicomSequence(tmp_path)
    for k, (path, number) in enumerate(sequence.source_files(1)):
        np.testing.assert_array_equal(dcmread(path).pixel_array, study.voxels[:, :, k, 1].T)
        assert number == 1
    with pytest.raises(ValueError, match=r"`index` must lie in 0\.\.2, got 3"):
        sequence.source_files(3)
    with pytest.raises(ValueError, match=r"`index` must lie in 0\.\.2, got -1"):
        sequence.frame(-1)


def times_of(folder: Path, tags: PerImage, **options: Any) -> Any:
    write_images(folder, Study(tags))
    return DicomSequence(folder, **options).time_axis()


def test_trigger_times_are_averaged_over_slices_taken_in_different_beats(tmp_path: Path) -> None:
    axis = times_of(tmp_path, LAYOUTS["series_per_slice"][0])
    np.testing.assert_allclose(axis.frame_times_ms, [0, 31.5, 63])
    assert axis.cycle_length_ms == pytest.approx(94.5)
    assert not axis.full_cycle
    assert DicomSequence(tmp_path).time_axis(full_cycle=True).select([2, 3]).frame_times_ms[1] == pytest.approx(94.5)
    assert any("cover the R-R interval evenly: full_cycle may be true" in n for n in DicomSequence(tmp_path).notes)


@pytest.mark.parametrize(("tags", "known"), [({"HeartRate": 60}, True), ({"NominalInterval": 1000}, True), ({}, False)])
def test_percentages_are_times_where_the_cycle_is_known(tmp_path: Path, tags: dict[str, Any], known: bool) -> None:
    axis = times_of(
        tmp_path, lambda k, t: one_series(k, t, NominalPercentageOfCardiacPhase=(30.0, 40.0, 75.0)[t], **tags)
    )
    expected = [300, 400, 750] if known else [np.nan] * 3
    np.testing.assert_array_equal(axis.frame_times_ms, expected)
    np.testing.assert_equal(axis.cycle_length_ms, 1000.0 if known else np.nan)
    notes = DicomSequence(tmp_path).notes
    assert any("do not cover the R-R interval evenly: full_cycle must be false" in note for note in notes)


def test_percentages_of_a_cycle_that_the_user_gives_are_times(tmp_path: Path) -> None:
    write_images(tmp_path, Study(lambda k, t: one_series(k, t, NominalPercentageOfCardiacPhase=30.0 + 20 * t)))
    sequence = open_sequence({"files": str(tmp_path), "rr_interval_ms": 800})
    assert sequence.time_axis().frame_times_ms.tolist() == [240, 400, 560]
    assert sequence.time_axis().cycle_length_ms == 800
    assert isinstance(sequence, TimedSequence)
    assert isinstance(sequence.source, DicomSequence)


def test_times_of_day_are_no_frame_times(tmp_path: Path) -> None:
    axis = times_of(tmp_path, lambda k, t: LAYOUTS["siemens_content_time"][0](k, t) | {"HeartRate": 60})
    assert np.isnan(axis.frame_times_ms).all()
    assert axis.cycle_length_ms == 1000


def test_a_cycle_shorter_than_the_frames_is_not_used(tmp_path: Path) -> None:
    axis = times_of(tmp_path, lambda k, t: one_series(k, t, TriggerTime=400 * t, NominalInterval=700))
    assert axis.frame_times_ms.tolist() == [0, 400, 800]
    assert np.isnan(axis.cycle_length_ms)
    assert any("shorter than the frames' 800 ms" in note for note in DicomSequence(tmp_path).notes)


def test_the_user_may_name_the_key(tmp_path: Path) -> None:
    study = Study(lambda k, t: one_series(k, t, TriggerTime=10 * t, EchoNumbers=7 - t))
    write_images(tmp_path, study)
    for name in ("EchoNumbers", "(0018,0086)", "00180086"):
        sequence = DicomSequence(tmp_path, phase_key=name)
        assert sequence.phase_key == "EchoNumbers (0018,0086)"
        np.testing.assert_array_equal(sequence.frame(0), study.voxels[..., 2].astype(np.int16) - 1024)


def test_a_weak_key_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_images(tmp_path, Study(LAYOUTS["one_series_phase_major"][0]))
    for _ in range(2):
        DicomSequence(tmp_path)
    assert len(caplog.records) == 1
    assert "rests on InstanceNumber (0020,0013), which is not made for it" in caplog.text


@pytest.mark.skipif(not REAL_CINE.is_dir(), reason="needs the real cine study beside the checkout")
def test_a_real_cine_is_its_reference_exactly() -> None:
    reference: Any = nib.load(REAL_CINE / "image_4d_reference.nii.gz")
    sequence = DicomSequence(REAL_CINE)
    assert sequence.phase_key == "TriggerTime (0018,1060)"
    np.testing.assert_allclose(sequence.grid.affine, reference.affine, atol=1e-5)
    np.testing.assert_array_equal(np.stack(list(sequence.frames()), axis=-1), np.asarray(reference.dataobj))
    assert sequence.time_axis().frame_duration_ms == pytest.approx(1000 * float(reference.header["pixdim"][4]))
    assert sequence.time_axis().cycle_length_ms == pytest.approx(828.8, abs=0.1)


def test_the_documentation_lists_the_keys_in_their_order(repo_root: Path) -> None:
    rules = (repo_root / "docs" / "dicom.md").read_text(encoding="utf-8").split("## How slices")[1]
    places = [rules.index(key.keyword) for key in KEYS]
    assert places == sorted(places)
    assert all(key.tag in rules for key in KEYS if key.trusted)
