# SPDX-License-Identifier: Apache-2.0
"""Folders as other people keep them become data lists that load the right frames with the right labels."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cardiac4d.conventions import NOT_ANNOTATED
from cardiac4d.errors import InputError
from cardiac4d.io import (
    load_datalist,
    open_sequence,
    write_acdc_datalist,
    write_mnms_datalist,
    write_nnunet_datalist,
    write_phase_datalist,
)
from cardiac4d.io.study_lists import ListOptions, split_by_group, write_study_list
from cardiac4d.transforms import LoadSequenced, LoadSparseLabelsd
from tests.helpers.sequences import write_nifti

SHAPE = (5, 4, 3)
NUM_FRAMES = 4
ACDC_LAYOUT = Path(__file__).resolve().parents[2] / "../shared/data/acdc_layout"


def frame_image(number: int) -> np.ndarray:
    """An image that shows its own frame number."""
    return np.full(SHAPE, 10 * number, np.int16)


def frame_label(values: Sequence[int]) -> np.ndarray:
    """A label map with the values in its first voxels."""
    label = np.zeros(SHAPE, np.uint8)
    label[: len(values), 0, 0] = values
    return label


def loaded(entry: dict) -> tuple[np.ndarray, np.ndarray]:
    """Image ``(T, H, W, D)`` and label as the transforms give them."""
    keep = {"spacing_mm": None, "orientation": None}
    item = LoadSparseLabelsd("label", **keep)(LoadSequenced("image", **keep)(entry))
    return np.asarray(item["image"]), np.asarray(item["label"])


def entries_of(path: Path) -> dict[str, dict]:
    document = json.loads(path.read_text(encoding="utf-8"))
    sections = [name for name, value in document.items() if isinstance(value, list)]
    return {entry["id"]: entry for section in sections for entry in load_datalist(path, section)}


def annotated(label: np.ndarray) -> list[int]:
    return [t for t, frame in enumerate(label) if (frame != NOT_ANNOTATED).any()]


# ACDC


def write_acdc_patient(
    folder: Path, *, with_4d: bool = True, ed: int = 1, es: int = 3, info: str | None = None
) -> None:
    folder.mkdir(parents=True)
    text = f"ED: 1\nES: {es}\nGroup: DCM\nNbFrame: {NUM_FRAMES}\n" if info is None else info
    (folder / "Info.cfg").write_text(text, encoding="utf-8")
    if with_4d:
        frames = np.stack([frame_image(t) for t in range(NUM_FRAMES)], axis=-1)
        write_nifti(folder / f"{folder.name}_4d.nii.gz", frames)
    for number in (1, 3):  # file names count from 1
        write_nifti(folder / f"{folder.name}_frame{number:02d}.nii.gz", frame_image(number - 1))
        write_nifti(folder / f"{folder.name}_frame{number:02d}_gt.nii.gz", frame_label([3, 2, 1, number]))


def test_acdc_counts_from_one_and_the_list_from_zero(tmp_path: Path) -> None:
    for name in ("patient001", "patient002"):
        write_acdc_patient(tmp_path / "training" / name)
    write_acdc_patient(tmp_path / "testing" / "patient101")
    path = write_acdc_datalist(tmp_path, tmp_path / "lists" / "acdc.json")
    document = json.loads(path.read_text(encoding="utf-8"))
    assert [len(document[name]) for name in ("training", "validation", "test")] == [1, 1, 1]
    image, label = loaded(entries_of(path)["patient001"])
    assert image[:, 0, 0, 0].tolist() == [0, 10, 20, 30]
    assert annotated(label) == [0, 2]
    assert label[0, :4, 0, 0].tolist() == [1, 2, 0, 0]  # LV, LVM, right ventricle, and 1 again
    assert label[2, :4, 0, 0].tolist() == [1, 2, 0, 1]
    assert entries_of(path)["patient101"]["full_cycle"] is True


def test_acdc_without_the_4d_file_lists_the_annotated_frames_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_acdc_patient(tmp_path / "patient001", with_4d=False)
    path = write_acdc_datalist(tmp_path, tmp_path / "acdc.json")
    entry = entries_of(path)["patient001"]
    image, label = loaded(entry)
    assert image[:, 0, 0, 0].tolist() == [0, 20]
    assert annotated(label) == [0, 1]
    assert entry["full_cycle"] is False
    assert "no 4D image" in caplog.text


def test_acdc_folder_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    write_acdc_patient(tmp_path / "patient001", es=4)
    with pytest.raises(InputError, match=r"labels of frames \[1, 3\], but ED and ES are \[1, 4\] \(counted from 1\)"):
        write_acdc_datalist(tmp_path, tmp_path / "acdc.json")


def test_acdc_info_without_a_phase_is_refused(tmp_path: Path) -> None:
    write_acdc_patient(tmp_path / "patient001", info="ED: 1\nES: late\n")
    with pytest.raises(InputError, match=r"Info\.cfg: ES: 'late' is no frame number"):
        write_acdc_datalist(tmp_path, tmp_path / "acdc.json")


@pytest.mark.skipif(not ACDC_LAYOUT.is_dir(), reason="the real folders are not here")
def test_real_acdc_folders_load(tmp_path: Path) -> None:
    path = write_acdc_datalist(ACDC_LAYOUT, tmp_path / "acdc.json")
    entry = entries_of(path)["patient001"]
    image, label = loaded(entry)
    assert image.shape == label.shape == (2, 216, 256, 10)
    np.testing.assert_allclose(open_sequence(entry["image"]).grid.spacing_mm, (1.5625, 1.5625, 10), rtol=1e-5)
    cavity = [(frame == 1).sum() for frame in label]
    assert cavity[0] > cavity[1] > 0


# M&Ms


def write_mnms(folder: Path, code: str, *, empty: bool = False) -> None:
    frames = [frame_label([1, 2, 3]) if t in (0, 2) and not empty else frame_label([]) for t in range(NUM_FRAMES)]
    folder.mkdir(parents=True, exist_ok=True)
    write_nifti(folder / f"{code}_sa.nii.gz", np.stack([frame_image(t) for t in range(NUM_FRAMES)], axis=-1))
    write_nifti(folder / f"{code}_sa_gt.nii.gz", np.stack(frames, axis=-1))


def write_table(path: Path, codes: Sequence[str], es: str = "2") -> Path:
    rows = ["External code,Vendor,ED,ES", *(f"{code},A,0,{es}" for code in codes)]
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_mnms_takes_the_frames_of_the_table_and_leaves_out_what_is_unlabeled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for code in ("A1", "A2"):
        write_mnms(tmp_path / "Training" / "Labeled" / code, code)
    write_mnms(tmp_path / "Training" / "Unlabeled" / "A3", "A3", empty=True)
    write_mnms(tmp_path / "Testing" / "A4", "A4")
    table = write_table(tmp_path / "table.csv", ["A1", "A2", "A3", "A4", "A9"])
    with caplog.at_level(logging.INFO):
        path = write_mnms_datalist(tmp_path, table, tmp_path / "mnms.json")
    assert "2 rows of" in caplog.text
    document = json.loads(path.read_text(encoding="utf-8"))
    assert [len(document[name]) for name in ("training", "validation", "test")] == [1, 1, 1]
    assert set(entries_of(path)) == {"A1", "A2", "A4"}
    _, label = loaded(entries_of(path)["A1"])
    assert annotated(label) == [0, 2]
    assert label[0, :3, 0, 0].tolist() == [1, 2, 0]


def test_mnms_validation_folder_becomes_the_validation_list(tmp_path: Path) -> None:
    for folder, code in (("Training", "A1"), ("Training", "A2"), ("Validation", "B1")):
        write_mnms(tmp_path / folder / code, code)
    path = write_mnms_datalist(tmp_path, write_table(tmp_path / "t.csv", ["A1", "A2", "B1"]), tmp_path / "mnms.json")
    assert [entry["id"] for entry in load_datalist(path, "validation")] == ["B1"]
    assert [entry["id"] for entry in load_datalist(path, "training")] == ["A1", "A2"]


def test_mnms_table_of_a_wrong_frame_is_refused_when_it_is_read(tmp_path: Path) -> None:
    write_mnms(tmp_path / "A1", "A1")
    with pytest.raises(InputError, match="are no frame numbers"):
        write_mnms_datalist(tmp_path, write_table(tmp_path / "t.csv", ["A1"], es="?"), tmp_path / "a.json")
    path = write_mnms_datalist(tmp_path, write_table(tmp_path / "t.csv", ["A1"], es="4"), tmp_path / "b.json")
    with pytest.raises(InputError, match="frame 4"):
        load_datalist(path, "training")


# One file per phase


def write_phases(folder: Path, numbers: Sequence[int], labels: Sequence[int], name: str = "img_tf{}.nii.gz") -> None:
    for number in numbers:
        (folder / "img").mkdir(parents=True, exist_ok=True)
        write_nifti(folder / "img" / name.format(number), frame_image(number))
    for number in labels:
        (folder / "seg").mkdir(exist_ok=True)
        write_nifti(folder / "seg" / f"seg_tf{number}.nii.gz", frame_label([1, 2, 0, number]))


def test_phases_are_ordered_by_number_and_labels_follow_it(tmp_path: Path) -> None:
    write_phases(tmp_path / "data" / "s01", [1, 2, 10, 20], [2, 20])
    path = write_phase_datalist(tmp_path / "data", tmp_path / "a.json", label_map={1: 1, 2: 2, 20: 0}, full_cycle=True)
    entry = entries_of(path)["s01"]
    image, label = loaded(entry)
    assert image[:, 0, 0, 0].tolist() == [10, 20, 100, 200]
    assert annotated(label) == [1, 3]
    assert label[1, :4, 0, 0].tolist() == [1, 2, 0, 2]
    assert label[3, :4, 0, 0].tolist() == [1, 2, 0, 0]
    assert entry["full_cycle"] is True


@pytest.mark.parametrize(
    ("numbers", "labels", "name", "expected"),
    [
        ([0, 1], [2], "img_tf{}.nii.gz", r"seg_tf2\.nii\.gz: there is no image of this number"),
        ([0], [0], "late.nii.gz", r"late\.nii\.gz: its name holds no number of a phase"),
    ],
)
def test_phases_that_do_not_fit_are_named(
    tmp_path: Path, numbers: list[int], labels: list[int], name: str, expected: str
) -> None:
    write_phases(tmp_path / "data" / "s01", numbers, labels, name)
    with pytest.raises(InputError, match=expected):
        write_phase_datalist(tmp_path / "data", tmp_path / "a.json")


def test_two_files_of_one_phase_are_refused(tmp_path: Path) -> None:
    write_phases(tmp_path / "data" / "s01", [1], [])
    write_nifti(tmp_path / "data" / "s01" / "img" / "img_tf01.nii.gz", frame_image(1))
    with pytest.raises(InputError, match="is phase 1 too"):
        write_phase_datalist(tmp_path / "data", tmp_path / "a.json")


def test_nnunet_frames_are_joined_and_its_ignore_region_is_not_annotated(tmp_path: Path) -> None:
    names = {"background": 0, "RV": 1, "MYO": 2, "LV": 3, "ignore": 4}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": names}), encoding="utf-8")
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    for number in (3, 7, 11):
        write_nifti(tmp_path / "imagesTr" / f"s01_frame{number:02d}_0000.nii.gz", frame_image(number))
    write_nifti(tmp_path / "labelsTr" / "s01_frame07.nii.gz", frame_label([1, 2, 3, 4]))
    path = write_nnunet_datalist(tmp_path, tmp_path / "a.json", lv="LV", lvm="MYO")
    image, label = loaded(entries_of(path)["s01"])
    assert image[:, 0, 0, 0].tolist() == [30, 70, 110]
    assert annotated(label) == [1]
    assert label[1, :4, 0, 0].tolist() == [0, 2, 1, 255]
    with pytest.raises(InputError, match=r"no structure 'LVC', it has \['LV', 'MYO'"):
        write_nnunet_datalist(tmp_path, tmp_path / "b.json", lv="LVC", lvm="MYO")


# What they share


def test_label_per_frame_must_be_a_frame_of_the_image(tmp_path: Path) -> None:
    write_acdc_patient(tmp_path / "patient001")
    path = write_acdc_datalist(tmp_path, tmp_path / "acdc.json")
    document = json.loads(path.read_text(encoding="utf-8"))
    document["training"][0]["label"]["9"] = document["training"][0]["label"].pop("2")
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match="a label for frame 9, but the image has frames 0 to 3"):
        load_datalist(path, "training")
    document["training"][0]["label"] = {"first": "a.nii.gz"}
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match="does not name a file for each annotated frame"):
        load_datalist(path, "training")


@pytest.mark.parametrize("names", [{"3": "cavity", "2": "muscle"}, {"cavity": 3, "muscle": 2}])
def test_label_map_may_speak_in_names(tmp_path: Path, names: dict) -> None:
    write_acdc_patient(tmp_path / "patient001")
    path = write_acdc_datalist(tmp_path, tmp_path / "acdc.json")
    document = json.loads(path.read_text(encoding="utf-8"))
    document |= {"labels": names, "label_map": {"cavity": "LV", "muscle": "LVM", "1": "background"}}
    path.write_text(json.dumps(document), encoding="utf-8")
    _, label = loaded(load_datalist(path, "training")[0])
    assert label[0, :4, 0, 0].tolist() == [1, 2, 0, 0]
    document["label_map"]["ventricle"] = 1
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match=r"no label is called 'ventricle'. Fix: write one of \['cavity', 'muscle'\]"):
        load_datalist(path, "training")


def test_nothing_is_overwritten_and_no_empty_list_is_written(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_text("mine", encoding="utf-8")
    settings = {"name": "a", "description": "b", "label_map": None}
    with pytest.raises(InputError, match="the file exists already"):
        write_study_list(path, {"training": [{"id": "a"}]}, **settings)
    assert path.read_text(encoding="utf-8") == "mine"
    with pytest.raises(InputError, match="there is no study to list"):
        write_study_list(tmp_path / "other.json", {"training": []}, **settings)


def test_split_holds_back_a_share_of_each_group_but_never_its_only_study() -> None:
    studies = [{"id": f"{group}{i}", "group": group} for group in "AB" for i in range(10)] + [{"id": "C", "group": "C"}]
    lists = split_by_group(studies, ListOptions(seed=1, validation_fraction=0.2))
    assert [sum(e["group"] == group for e in lists["validation"]) for group in "ABC"] == [2, 2, 0]
    assert len(lists["training"]) == 17
    assert lists == split_by_group(studies, ListOptions(seed=1))
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        ListOptions(validation_fraction=1.0)
