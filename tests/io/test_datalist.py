# SPDX-License-Identifier: Apache-2.0
"""Data lists: normal fields, and an error that names file, entry and fix for every bad one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monai.data import DataLoader, Dataset, decollate_batch

from cardiac4d.errors import InputError
from cardiac4d.io import frames_as_cases, load_datalist
from tests.helpers.sequences import AFFINES, ball_labels, noise, write_nifti

SHAPE = (6, 6, 5, 4)
Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for case in ("a", "b", "v", "w"):
        write_nifti(tmp_path / f"images/{case}.nii.gz", noise(SHAPE))
        write_nifti(tmp_path / f"labels/{case}.nii.gz", ball_labels(SHAPE, (0, 2)))
    write_nifti(tmp_path / "labels/none.nii.gz", ball_labels(SHAPE, ()))
    write_nifti(tmp_path / "labels/short.nii.gz", ball_labels((6, 6, 5, 3), (0,)))
    write_nifti(tmp_path / "labels/moved.nii.gz", ball_labels(SHAPE, (0,)), AFFINES["plain"] + np.diag([4.0], 3))
    write_nifti(tmp_path / "labels/flipped.nii.gz", ball_labels(SHAPE, (0,)), AFFINES["flipped"])
    write_nifti(tmp_path / "labels/rounded.nii.gz", ball_labels(SHAPE, (0,)), AFFINES["plain"] + 0.001)
    return tmp_path


def _write(folder: Path, change: Change = lambda document: None) -> Path:
    cases = [{"image": f"images/{c}.nii.gz", "label": f"labels/{c}.nii.gz", "labeled_frames": [2, 0]} for c in "abv"]
    document: dict[str, Any] = {"name": "two", "training": cases[:2], "validation": [dict(cases[2], id="only")]}
    change(document)
    path = folder / "dataset.json"
    path.write_text(json.dumps(document))
    return path


def test_entries_get_absolute_paths_and_defaults(folder: Path) -> None:
    first, second = load_datalist(_write(folder), "training")
    assert Path(first["image"]) == (folder / "images/a.nii.gz").resolve()
    assert Path(second["label"]) == (folder / "labels/b.nii.gz").resolve()
    assert (first["id"], first["labeled_frames"], first["full_cycle"]) == ("a", [0, 2], False)
    assert math.isnan(first["ef_percent"])
    assert "truth" not in first
    assert "frames" not in first


def test_fields_of_the_whole_list_apply_unless_an_entry_has_its_own(folder: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document.update(full_cycle=True, label_map={"3": 1})
        document["training"][1].update(full_cycle=False, ef_percent=61, site="x", truth=None, label_map={"4": 2})

    first, second = load_datalist(_write(folder, change), "training")
    assert (first["full_cycle"], first["label_map"]) == (True, {3: 1})
    assert (second["full_cycle"], second["label_map"]) == (False, {4: 2})
    assert (second["ef_percent"], second["site"]) == (61.0, "x")


def test_fields_of_the_users_own_are_kept_and_pass_through_the_data_loader(folder: Path) -> None:
    fields = {"scanner": {"kvp": 120, "tags": ["a", "b"]}, "uid": -(2**63), "used": True, "comment": "", "left": None}
    entry = load_datalist(_write(folder, _entry(**fields)), "training")[1]
    del fields["left"]
    assert {key: entry.get(key) for key in fields} == fields
    assert "left" not in entry
    (item,) = decollate_batch(next(iter(DataLoader(Dataset([{key: entry[key] for key in fields}])))))
    assert item == fields


@pytest.mark.parametrize(("given", "read"), [(None, math.nan), (math.nan, math.nan), (1.5, 1.5), (100, 100.0)])
def test_a_reference_ejection_fraction_may_be_missing_or_any_percentage(
    folder: Path, given: float | None, read: float
) -> None:
    entry = load_datalist(_write(folder, _entry(ef_percent=given)), "training")[1]
    assert entry["ef_percent"] == pytest.approx(read, nan_ok=True)


def test_affines_that_other_software_rounded_are_accepted(folder: Path) -> None:
    entries = load_datalist(
        _write(folder, lambda d: d["training"][0].update(label="labels/rounded.nii.gz", labeled_frames=[0])), "training"
    )
    assert entries[0]["label"].endswith("rounded.nii.gz")


def _entry(**fields: Any) -> Change:
    return lambda document: document["training"][1].update(fields)


def _all_labels(name: str, section: str) -> Change:
    def change(document: dict[str, Any]) -> None:
        for entry in document[section]:
            entry["label"] = name
            del entry["labeled_frames"]

    return change


BAD: dict[str, tuple[Change, str]] = {
    "image_missing": (_entry(image="images/c.nii.gz"), r"training\[1\]\.image: images/c\.nii\.gz does not exist"),
    "label_missing": (_entry(label="c.nii"), r"training\[1\]\.label: c\.nii does not exist .*remove the entry"),
    "truth_missing": (_entry(truth="c.nii"), r"training\[1\]\.truth: c\.nii does not exist"),
    "image_number": (_entry(image=5), r"training\[1\]\.image: 5 is not a path.*such as"),
    "label_list": (_entry(label=[7]), r"training\[1\]\.label: \[7\] is not a path"),
    "no_image": (_entry(image=None), r'training\[1\]: no "image"'),
    "no_label": (_entry(label=None), r"""training, entry 'b': no "label".*add its label file"""),
    "not_an_entry": (lambda d: d["training"].append(["a.nii"]), r'training\[2\]: no "image"'),
    "empty_entry": (lambda d: d["training"].append(""), r'training\[2\]: no "image"'),
    "path_missing": (lambda d: d["training"].append("c.nii"), r"training\[2\]\.image: c\.nii does not exist"),
    "path_repeated": (lambda d: d["training"].append("images/a.nii.gz"), r"training\[2\]\.id: id 'a' is that"),
    "empty_section": (lambda d: d.update(training=[]), "training: the list is empty"),
    "no_section": (lambda d: d.pop("training"), r"no list 'training', it has \['validation'\]"),
    "frame_1_based": (_entry(labeled_frames=[1, 4]), r"entry 'b', labeled_frames: frame 4 of .*subtract 1"),
    "frame_outside": (_entry(labeled_frames=[0, 17]), r"entry 'b', labeled_frames: frame 17 of .*frames 0\.\.3"),
    "frames_outside": (_entry(frames=[-1]), "entry 'b', frames: frame -1"),
    "frames_text": (_entry(labeled_frames="0,2"), r"training\[1\]\.labeled_frames: '0,2' is not a list"),
    "frames_float": (_entry(labeled_frames=[0.0]), r"training\[1\]\.labeled_frames: \[0\.0\] is not a list"),
    "frames_repeated": (_entry(labeled_frames=[2, 2]), "not a list of different integers"),
    "id_repeated": (_entry(id="a"), r"training\[1\]\.id: id 'a' is that of training\[0\] too"),
    "id_with_slash": (_entry(id="../b"), r"training\[1\]\.id: id '\.\./b' cannot be part of a file name"),
    "shapes_differ": (_entry(label="labels/short.nii.gz"), r"short\.nii\.gz: its shape .*images/b\.nii\.gz"),
    "affines_differ": (_entry(label="labels/moved.nii.gz"), r"moved\.nii\.gz: its affine .*images/b\.nii\.gz"),
    "label_is_image": (_entry(label="images/b.nii.gz"), r"training\[1\]\.label: images/b\.nii\.gz is the image itself"),
    "truth_is_image": (_entry(truth="labels/../images/b.nii.gz"), r"training\[1\]\.truth: .* is the image itself"),
    "windows_path": (_entry(image="images\\b.nii.gz"), r"images\\b\.nii\.gz does not exist .*write / instead of \\"),
    "id_too_long": (_entry(id="b" * 300), r"training\[1\]\.id: .* 300 bytes.*at most"),
    "id_too_long_in_bytes": (_entry(id="\u00e4" * 110), r"training\[1\]\.id: .* 220 bytes"),
    "cycle_text": (_entry(full_cycle="false"), r"training\[1\]\.full_cycle: 'false' is neither true nor false"),
    "cycle_number": (_entry(full_cycle=0), r"training\[1\]\.full_cycle: 0 is neither"),
    "empty_text": (_entry(empty_frames_are_unlabeled="no"), r"training\[1\]\.empty_frames_are_unlabeled: 'no' is"),
    "cycle_text_for_all": (lambda d: d.update(full_cycle="false"), r"dataset\.json: full_cycle: 'false' is neither"),
    "orientations_differ": (_entry(label="labels/flipped.nii.gz"), r"flipped\.nii\.gz: its affine .*resample"),
    "truth_differs": (_entry(truth="labels/short.nii.gz"), r"short\.nii\.gz: its shape"),
    "ef_text": (_entry(ef_percent="61 %"), r"training\[1\]\.ef_percent: '61 %' is not an ejection .*leave it out"),
    "ef_boolean": (_entry(ef_percent=True), r"training\[1\]\.ef_percent: True is not"),
    "ef_list": (_entry(ef_percent=[61]), r"training\[1\]\.ef_percent: \[61\] is not"),
    "ef_fraction": (_entry(ef_percent=0.61), r"training\[1\]\.ef_percent: 0\.61 is not .*in percent, above 1"),
    "ef_one": (_entry(ef_percent=1), r"training\[1\]\.ef_percent: 1 is not"),
    "ef_negative": (_entry(ef_percent=-5), r"training\[1\]\.ef_percent: -5 is not"),
    "ef_above_100": (_entry(ef_percent=100.5), r"training\[1\]\.ef_percent: 100\.5 is not .*at most 100"),
    "ef_infinite": (_entry(ef_percent=math.inf), r"training\[1\]\.ef_percent: inf is not"),
    "map_text": (_entry(label_map={"LV": 1}), r"training\[1\]\.label_map: .*such as"),
    "map_outside": (_entry(label_map={"3": 7}), r"training\[1\]\.label_map: .*must map to"),
    "map_list": (_entry(label_map=[3, 1]), r"training\[1\]\.label_map"),
    "null_in_object": (_entry(scanner={"kvp": None}), r"training\[1\]\.scanner\.kvp: null cannot .*leave it out"),
    "null_in_list": (_entry(sites=["a", {"b": [1, None]}]), r"training\[1\]\.sites\[1\]\.b\[1\]: null cannot"),
    "huge_integer": (_entry(uid=2**63), r"training\[1\]\.uid: 9223372036854775808 cannot .*as text"),
    "nothing_annotated": (_all_labels("labels/none.nii.gz", "training"), "training: no annotated frame in the whole"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_a_bad_list_is_refused_by_file_entry_and_fix(folder: Path, change: Change, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_datalist(_write(folder, change), "training")
    assert caught.value.fix


def _grid_advice(folder: Path, label: str) -> str:
    with pytest.raises(InputError, match="its affine places voxels") as caught:
        load_datalist(_write(folder, _entry(label=label)), "training")
    return caught.value.fix


def test_a_flipped_label_is_never_advised_to_take_the_affine_of_its_image(folder: Path) -> None:
    """That would mirror the label without a word."""
    advice = _grid_advice(folder, "labels/flipped.nii.gz")
    assert "resample" in advice
    assert "RPI" in advice
    assert "RAS" in advice
    assert "do not copy" in advice


def test_a_label_whose_axes_agree_may_take_the_affine_of_its_image(folder: Path) -> None:
    assert re.search("resample .* or, only if .*, copy the image's affine", _grid_advice(folder, "labels/moved.nii.gz"))


@pytest.mark.parametrize("section", ["training", "validation", "test"])
@pytest.mark.parametrize("name", ["images/a.nii.gz", "labels/../images/a.nii.gz", "link.nii.gz"])
def test_a_sequence_trained_on_is_not_held_out(folder: Path, section: str, name: str) -> None:
    (folder / "link.nii.gz").symlink_to("images/a.nii.gz")
    held_out = "test" if section == "training" else section
    path = _write(folder, lambda d: d.setdefault(held_out, []).append({"id": "other", "image": name}))
    with pytest.raises(InputError, match=rf"{section}\[\d\].image: .* is in .*\[\d\] too.*Fix: keep each sequence"):
        load_datalist(path, section)


def test_a_sequence_may_be_in_two_lists_that_are_both_held_out(folder: Path) -> None:
    path = _write(folder, lambda d: d.update(test=d["validation"], everything=["images/a.nii.gz", *d["training"][1:]]))
    assert [entry["id"] for entry in load_datalist(path, "test")] == ["only"]
    assert len(load_datalist(path, "training")) == 2
    assert len(load_datalist(path, "everything")) == 2, "a list of another name may hold any sequence"


def test_an_entry_that_is_broken_in_another_list_does_not_matter(folder: Path) -> None:
    path = _write(folder, lambda d: d.update(test=[5, {"image": None}, {}, "images/none.nii"]))
    assert len(load_datalist(path, "training")) == 2


def test_a_field_that_looks_misspelt_is_announced_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    def change(document: dict[str, Any]) -> None:
        document["full_cycel"] = True
        for entry in document["training"]:
            entry["labelled_frames"] = entry.pop("labeled_frames")

    load_datalist(_write(folder, change), "training")
    first, second = (record.getMessage() for record in caplog.records)
    assert "'full_cycel'" in first
    assert "'full_cycle'" in first
    assert "training[0]: 'labelled_frames'" in second
    assert "'labeled_frames'" in second


def test_fields_of_the_users_own_are_no_misspellings(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = {"label2": "x", "site": "x", "group": "DCM", "spacing_known": True, "frame_rate": 20, "age": 61}
    load_datalist(_write(folder, _entry(**own)), "training")
    load_datalist(_write(folder, lambda d: d.update(labels={"0": "x"}, description="x", numTest=3)), "training")
    assert caplog.records == []


def test_a_byte_order_mark_is_read_over(folder: Path) -> None:
    path = _write(folder)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(load_datalist(path, "training")) == 2


def test_validation_without_annotated_frame_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="validation: no annotated frame in the whole list"):
        load_datalist(_write(folder, _all_labels("labels/none.nii.gz", "validation")), "validation")
    path = _write(folder, lambda d: d["validation"][0].update(labeled_frames=[]))
    with pytest.raises(InputError, match="entry 'only': no annotated frame to validate on"):
        load_datalist(path, "validation")


def test_one_unlabelled_training_sequence_among_others_is_accepted(folder: Path) -> None:
    entries = load_datalist(_write(folder, _entry(label="labels/none.nii.gz", labeled_frames=[])), "training")
    assert entries[1]["labeled_frames"] == []


def test_a_test_list_needs_no_labels(folder: Path) -> None:
    path = _write(folder, lambda d: d.update(test=[{"image": "images/w.nii.gz"}]))
    assert set(load_datalist(path, "test")[0]) >= {"id", "image", "full_cycle", "ef_percent"}


def test_an_entry_may_be_the_path_of_its_image(folder: Path) -> None:
    path = _write(folder, lambda d: d.update(full_cycle=True, test=["images/v.nii.gz", {"image": "images/w.nii.gz"}]))
    first, second = load_datalist(path, "test")
    assert (first["id"], first["image"]) == ("v", str((folder / "images/v.nii.gz").resolve()))
    assert (first["full_cycle"], second["full_cycle"], second["id"]) == (True, True, "w")
    assert math.isnan(first["ef_percent"])


def test_a_path_alone_cannot_be_trained_on(folder: Path) -> None:
    path = _write(folder, lambda d: d.update(training=["images/a.nii.gz"]))
    with pytest.raises(InputError, match="training, entry 'a': no \"label\""):
        load_datalist(path, "training")


@pytest.mark.parametrize(
    ("content", "message"), [("{", "not valid JSON"), ("[]", "not an object"), (None, "not exist")]
)
def test_a_file_that_is_no_data_list_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "dataset.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        load_datalist(path, "training")


def test_frames_become_cases(folder: Path) -> None:
    cases = frames_as_cases(load_datalist(_write(folder), "training"))
    assert [(c["id"], c["frames"]) for c in cases] == [
        ("a_frame00", [0]),
        ("a_frame02", [2]),
        ("b_frame00", [0]),
        ("b_frame02", [2]),
    ]


def test_frames_are_found_in_the_label_where_they_are_not_listed(folder: Path) -> None:
    path = _write(folder, _all_labels("labels/b.nii.gz", "validation"))
    cases = frames_as_cases(load_datalist(path, "validation"))
    assert [(c["frames"], c["labeled_frames"]) for c in cases] == [([0], [0, 2]), ([2], [0, 2])]


def test_a_choice_of_frames_limits_the_cases(folder: Path) -> None:
    cases = frames_as_cases(load_datalist(_write(folder, _entry(frames=[1, 2])), "training"))
    assert [c["id"] for c in cases if c["id"].startswith("b")] == ["b_frame02"]


def _one_based(folder: Path) -> dict[str, Any]:
    """A truth at frames 0 and 3 of 5 among zeros, listed as if frames counted from 1."""
    labels = ball_labels((6, 6, 5, 5), (0, 3))
    write_nifti(folder / "images/long.nii.gz", noise(labels.shape))
    write_nifti(folder / "labels/zeros.nii.gz", np.where(labels == 255, 0, labels).astype(np.uint8))
    return {"image": "images/long.nii.gz", "label": "labels/zeros.nii.gz", "labeled_frames": [1, 4]}


CONTRADICTION = r"zeros\.nii\.gz: labeled_frames: frame 0 holds a structure, but is not listed.*counted from 0"


def test_a_list_that_counts_from_1_is_refused_for_single_frames_too(folder: Path) -> None:
    entries = load_datalist(_write(folder, _entry(**_one_based(folder))), "training")
    with pytest.raises(InputError, match=CONTRADICTION):
        frames_as_cases(entries)


def test_a_listed_frame_that_is_not_annotated_is_refused_for_single_frames_too(folder: Path) -> None:
    entries = load_datalist(_write(folder, _entry(labeled_frames=[0, 1, 2])), "training")
    with pytest.raises(InputError, match="frame 1 is listed as annotated, but the file marks it as not annotated"):
        frames_as_cases(entries)


def test_a_choice_of_frames_hides_no_wrong_list(folder: Path) -> None:
    path = _write(folder, _entry(**_one_based(folder), frames=[1, 4]))
    with pytest.raises(InputError, match=CONTRADICTION):
        load_datalist(path, "training")


def test_cases_without_label_are_refused(folder: Path) -> None:
    path = _write(folder, lambda d: d.update(test=[{"image": "images/w.nii.gz"}]))
    with pytest.raises(InputError, match='no "label"'):
        frames_as_cases(load_datalist(path, "test"))


def test_label_files_are_not_read_where_frames_are_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*args: object) -> np.ndarray:
        raise AssertionError("voxels were read")

    monkeypatch.setattr("cardiac4d.io.nifti.NiftiSequence.frame", read)
    assert len(load_datalist(_write(folder), "training")) == 2
