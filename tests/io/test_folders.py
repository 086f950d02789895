# SPDX-License-Identifier: Apache-2.0
"""What is segmented, and where results go."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cardiac4d.errors import InputError
from cardiac4d.io import DicomSequence, find_inputs, open_sequence, prepare_output_dir
from cardiac4d.io.nifti import NiftiSequence
from tests.helpers.dicom_studies import Study, stored_voxels, write_images
from tests.helpers.sequences import noise, write_nifti

SHAPE = (4, 4, 3, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.nii.gz", "a.nii", "deeper/c.nii"):
        write_nifti(tmp_path / name, noise(SHAPE))
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / ".a1b2-c.nii").write_bytes(b"half a file of a killed run")
    return tmp_path


def test_a_folder_gives_its_sequences_in_order(folder: Path) -> None:
    entries = find_inputs(folder)
    assert [entry["id"] for entry in entries] == ["a", "b"]
    assert [Path(entry["image"]) for entry in entries] == [folder / "a.nii", folder / "b.nii.gz"]
    assert not any(entry["full_cycle"] for entry in entries)


def test_a_file_gives_itself(folder: Path) -> None:
    assert [entry["id"] for entry in find_inputs(folder / "b.nii.gz")] == ["b"]


def test_files_cover_a_full_cycle_if_one_says_so(folder: Path) -> None:
    assert all(entry["full_cycle"] for entry in find_inputs(folder, full_cycle=True))
    (folder / "dataset.json").write_text(json.dumps({"test": [{"image": "a.nii"}]}))
    assert not find_inputs(folder, "dataset.json", full_cycle=True)[0]["full_cycle"]


def test_a_data_list_gives_its_section(folder: Path) -> None:
    (folder / "dataset.json").write_text(
        json.dumps({"test": [{"image": "deeper/c.nii"}], "late": [{"image": "a.nii"}]})
    )
    assert [e["id"] for e in find_inputs(folder, "dataset.json")] == ["c"]
    assert [e["id"] for e in find_inputs(folder, str(folder / "dataset.json"), "late")] == ["a"]


def test_a_place_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: it does not exist"):
        find_inputs(tmp_path / "nowhere")


def test_a_folder_without_sequences_names_the_data_lists_in_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no image file \(.*\), no dataset\.json and no DICOM file .*or one file"):
        find_inputs(tmp_path)
    (tmp_path / "cohort.json").write_text("{}")
    with pytest.raises(InputError, match=r"name the data list \(cohort\.json\)"):
        find_inputs(tmp_path)


def test_a_folder_of_folders_says_that_they_are_not_searched(folder: Path) -> None:
    for name in ("a.nii", "b.nii.gz"):
        (folder / name).unlink()
    (folder / ".hidden").mkdir()
    with pytest.raises(InputError, match=r"its 1 sub-folder is not searched.*Fix: give one of them \(deeper\)"):
        find_inputs(folder)
    for index in range(7):
        (folder / f"patient{index}").mkdir()
    with pytest.raises(InputError, match=r"its 8 sub-folders are not searched.*\(deeper, patient0, \.\.\.\)"):
        find_inputs(folder)


def test_a_cycle_that_is_neither_true_nor_false_is_refused(folder: Path) -> None:
    """The command line makes a text of ``--full_cycle false``, and every text counts as true."""
    with pytest.raises(InputError, match="full_cycle: 'false' is neither true nor false"):
        find_inputs(folder, full_cycle="false")  # type: ignore[arg-type]


def test_a_name_too_long_for_its_result_is_refused_before_anything_is_segmented(tmp_path: Path) -> None:
    write_nifti(tmp_path / f"{'b' * 230}.nii", noise(SHAPE))
    with pytest.raises(InputError, match=r"b\.nii: id: id .* has 230 bytes"):
        find_inputs(tmp_path)


def test_a_folder_of_a_data_set_gives_a_section_of_its_list(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="cardiac4d.io.folders")
    (folder / "deeper/dataset.json").write_text(json.dumps({"test": ["../a.nii"], "late": ["../b.nii.gz"]}))
    write_nifti(folder / "deeper/images/d.nii", noise(SHAPE))
    (folder / "deeper/c.nii").unlink()
    assert [e["id"] for e in find_inputs(folder / "deeper")] == ["a"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder / 'deeper'} holds no sequence of its own: taking 'test' of its dataset.json"
    ]
    assert [e["id"] for e in find_inputs(folder / "deeper", section="late")] == ["b"]
    with pytest.raises(InputError, match=r"dataset\.json: no list 'validation', it has \['late', 'test'\]"):
        find_inputs(folder / "deeper", section="validation")


def test_a_folder_of_sequences_gives_them_whatever_its_data_list_says(folder: Path) -> None:
    (folder / "dataset.json").write_text(json.dumps({"test": ["deeper/c.nii"]}))
    assert [entry["id"] for entry in find_inputs(folder)] == ["a", "b"]


def test_a_relative_data_list_is_looked_for_here_before_the_data_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(folder)
    (folder / "deeper/lists").mkdir()
    (folder / "deeper/lists/late.json").write_text(json.dumps({"test": ["../c.nii"]}))
    assert [e["id"] for e in find_inputs("deeper", "lists/late.json")] == ["c"]
    assert [e["id"] for e in find_inputs("deeper", "deeper/lists/late.json")] == ["c"]
    assert caplog.records == []
    (folder / "lists").mkdir()
    (folder / "lists/late.json").write_text(json.dumps({"test": ["../a.nii"]}))
    assert [e["id"] for e in find_inputs("deeper", "lists/late.json")] == ["a"]
    assert "in the current directory and in deeper: taking the former" in caplog.text
    assert [e["id"] for e in find_inputs("deeper", folder / "deeper/lists/late.json")] == ["c"]
    with pytest.raises(InputError, match=r"none\.json: the data list does not exist.*current directory or to deeper"):
        find_inputs("deeper", "none.json")


def test_files_that_cannot_be_read_are_announced_and_kept_among_others(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_nifti(folder / "z.nii", noise((4, 4, 3)))
    (folder / "y.nii").write_bytes(b"no image")
    for place in (folder, folder / "*.nii"):
        caplog.clear()
        assert [entry["id"] for entry in find_inputs(place)][-2:] == ["y", "z"]
        assert "z.nii: a 3D image" in caplog.text
        assert "y.nii: " in caplog.text


def test_files_of_which_none_can_be_read_are_refused_before_anything_is_segmented(tmp_path: Path) -> None:
    for name in ("y.nii", "z.nii"):
        write_nifti(tmp_path / name, noise((4, 4, 3)))
    with pytest.raises(InputError, match=r"y\.nii: a 3D image"):
        find_inputs(tmp_path)
    (tmp_path / "y.nii").write_bytes(b"no image")
    write_nifti(tmp_path / "x.nii", noise((4, 4, 3)))
    with pytest.raises(InputError, match=r"y\.nii: .*Fix: "):
        find_inputs(tmp_path / "*.nii")


def test_an_entry_of_a_data_list_that_cannot_be_read_is_announced_and_kept(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "y.nii").write_bytes(b"no image")
    (folder / "d.json").write_text(json.dumps({"test": [{"image": "y.nii"}, {"image": "a.nii"}]}))
    assert [entry["id"] for entry in find_inputs(folder, folder / "d.json")] == ["y", "a"]
    assert "y.nii: " in caplog.text


def test_two_files_that_would_share_a_result_are_refused(folder: Path) -> None:
    write_nifti(folder / "a.nii.gz", noise(SHAPE))
    with pytest.raises(InputError, match=r"a\.nii and a\.nii\.gz would share one result"):
        find_inputs(folder)


def test_an_output_folder_is_made(tmp_path: Path) -> None:
    assert prepare_output_dir(tmp_path / "x" / "y").is_dir()
    assert prepare_output_dir(tmp_path / "x" / "y").is_dir(), "an empty folder may be used"


def test_an_output_folder_with_results_is_refused_unless_told(tmp_path: Path) -> None:
    (tmp_path / "case_seg.nii.gz").write_bytes(b"result")
    with pytest.raises(InputError, match=r"already holds results.*name another output folder"):
        prepare_output_dir(tmp_path)
    assert prepare_output_dir(tmp_path, overwrite=True) == tmp_path
    assert (tmp_path / "case_seg.nii.gz").exists()


def test_overwriting_that_is_neither_true_nor_false_is_refused(tmp_path: Path) -> None:
    (tmp_path / "case_seg.nii.gz").write_bytes(b"result")
    with pytest.raises(
        InputError, match=r"overwrite: 'false' is neither true nor false.*on the command line True or False"
    ):
        prepare_output_dir(tmp_path, overwrite="false")  # type: ignore[arg-type]


def test_an_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="it is a file"):
        prepare_output_dir(tmp_path / "file", overwrite=True)


def _dicom(folder: Path, study_uid: str, **tags: object) -> None:
    study = Study(lambda k, t: {"TriggerTime": t, **tags}, voxels=stored_voxels((3, 4, 2, 2)), study_uid=study_uid)
    write_images(folder, study)


def test_a_dicom_folder_is_one_study_named_after_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _dicom(tmp_path / "p1", "1.2.3")
    (entry,) = find_inputs(tmp_path / "p1", full_cycle=True)
    assert (entry["id"], entry["image"], entry["full_cycle"]) == ("p1", str(tmp_path / "p1"), True)
    monkeypatch.chdir(tmp_path / "p1")
    assert [entry["id"] for entry in find_inputs(".")] == ["p1"]


def test_sub_folders_of_one_dicom_study_are_its_series(tmp_path: Path) -> None:
    for k in range(2):
        where = {"SeriesInstanceUID": f"1.2.3.{k}", "SeriesNumber": k, "NominalPercentageOfCardiacPhase": 10 * k}
        study = Study(lambda k, t, where=where: where, voxels=stored_voxels((3, 4, 2, 1)), study_uid="1.2.3")
        write_images(tmp_path / "p1" / f"Se{k}", study)
    assert [entry["id"] for entry in find_inputs(tmp_path / "p1")] == ["p1"]


def test_sub_folders_of_several_dicom_studies_are_cases(tmp_path: Path) -> None:
    for index, name in enumerate(["p2", "p1"]):
        _dicom(tmp_path / name / "deeper", f"1.2.{index}")
    (tmp_path / "empty").mkdir()
    assert [entry["id"] for entry in find_inputs(tmp_path)] == ["p1", "p2"]
    _dicom(tmp_path / "p3", "1.2.0")
    with pytest.raises(InputError, match=r"several studies, and some share one \(p2, p3\).*name the studies in a data"):
        find_inputs(tmp_path)


def test_a_damaged_dicom_study_does_not_hide_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for index, name in enumerate(["p1", "p2", "p3", "p4"]):
        _dicom(tmp_path / name, f"1.2.{index}")
    next((tmp_path / "p2").iterdir()).unlink()
    for file in (tmp_path / "p3").iterdir():
        file.write_bytes(file.read_bytes()[:150])
    assert [entry["id"] for entry in find_inputs(tmp_path)] == ["p1", "p2", "p3", "p4"]
    assert f"{tmp_path}/p2: " in caplog.text
    assert f"{tmp_path}/p3/IM0000: it cannot be read as DICOM" in caplog.text


def test_a_folder_of_image_files_and_dicom_is_refused_until_one_of_them_is_named(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii", noise(SHAPE))
    assert [entry["id"] for entry in find_inputs(tmp_path)] == ["a"]
    _dicom(tmp_path / "series", "1.2.3")
    mixed = r"image files \(a\.nii\) and DICOM files \(series/IM0000, \.\.\.\)\. Fix: keep them apart"
    for read in (find_inputs, open_sequence):
        with pytest.raises(InputError, match=mixed):
            read(tmp_path)
    assert [entry["id"] for entry in find_inputs(tmp_path / "*.nii")] == ["a"]
    assert isinstance(open_sequence({"files": tmp_path, "series": "*"}), DicomSequence)
    assert isinstance(open_sequence(tmp_path / "a.nii"), NiftiSequence)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _dicom(tmp_path / "p1", "1.2.3")
    (tmp_path / "p1" / "phase2").mkdir()
    list_folder = os.scandir

    def refuse(path: str) -> object:
        if str(path).endswith("phase2"):
            raise PermissionError(13, "Permission denied", path)
        return list_folder(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"phase2: it cannot be listed \(Permission denied\)"):
        find_inputs(tmp_path / "p1")


def test_a_data_list_says_how_a_dicom_study_is_read(tmp_path: Path) -> None:
    _dicom(tmp_path / "p1", "1.2.3", SeriesNumber=4, EchoNumbers=7)
    entry = {"image": "p1", "series": 4, "phase_key": "TriggerTime", "rr_interval_ms": 800}
    (tmp_path / "dataset.json").write_text(json.dumps({"test": [{**entry, "rr_interval_ms": None}]}))
    (found,) = find_inputs(tmp_path)
    assert (found["id"], found["image"]) == (
        "p1",
        {"files": str(tmp_path / "p1"), "phase_key": "TriggerTime", "series": 4},
    )
    assert open_sequence(found["image"]).num_frames == 2
