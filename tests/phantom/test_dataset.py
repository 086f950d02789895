# SPDX-License-Identifier: Apache-2.0
"""A data set on disk: as a user's own, the same bytes for any number of workers, never half-finished."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cardiac4d.conventions import NOT_ANNOTATED
from cardiac4d.errors import InputError
from cardiac4d.io import NiftiSequence, load_datalist
from cardiac4d.measure import measure_left_ventricle
from cardiac4d.phantom import dataset, write_dataset
from tests.phantom.hearts import TINY


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("phantom") / "new", TINY, seed=3, progress=False).parent


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


def voxels(path: Path | str) -> np.ndarray:
    return np.stack(list(NiftiSequence(path).frames()), axis=-1)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_data_list_loads_as_any_other(written: Path) -> None:
    lists = {name: load_datalist(written / "dataset.json", name) for name in ("training", "validation", "test")}
    assert [len(entries) for entries in lists.values()] == [3, 1, 1]
    assert sum(len(entry["labeled_frames"]) for entries in lists.values() for entry in entries) == 13
    for entry in lists["training"]:
        assert "imagesTr" in str(entry["image"])
        assert entry["full_cycle"] is True
    assert "imagesTs" in str(lists["test"][0]["image"])


def test_files_hold_native_voxels_time_and_sparse_labels(written: Path) -> None:
    (entry,) = load_datalist(written / "dataset.json", "validation")
    record = json.loads((written / "truth" / f"{entry['id']}.json").read_text())
    image, label, truth = (NiftiSequence(entry[key]) for key in ("image", "label", "truth"))
    assert [file.frame(0).dtype for file in (image, label, truth)] == [np.int16, np.uint8, np.uint8]
    assert image.grid.distance_mm(label.grid) == image.grid.distance_mm(truth.grid) == 0.0
    assert image.grid.spacing_mm == pytest.approx(record["spacing_mm"], rel=1e-5)
    time = image.time_axis(full_cycle=True)
    assert time.unit == "sec"
    assert time.frame_duration_ms == pytest.approx(record["frame_duration_ms"], rel=1e-6)
    assert time.cycle_length_ms == pytest.approx(60000 / record["heart_rate_bpm"], rel=1e-6)
    assert image.header_meta() == {"sform_code": 1, "qform_code": 1, "space_unit": "mm"}
    annotated = (voxels(entry["label"]) != NOT_ANNOTATED).any(axis=(0, 1, 2))
    assert np.flatnonzero(annotated).tolist() == entry["labeled_frames"] == record["labeled_frames"]


def test_records_summary_and_voxels_agree(written: Path) -> None:
    with (written / "truth" / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"phantom_{i:03d}" for i in range(5)]
    for row in rows:
        record = json.loads((written / "truth" / f"{row['id']}.json").read_text())
        assert float(row["ef_percent"]) == pytest.approx(record["ef_percent"], abs=1e-3)
        assert float(row["wall_thickness_es_mid_mm"]) == pytest.approx(record["wall_thickness_es_mm"]["mid"], abs=1e-3)
    path = written / "truth" / "phantom_000.nii.gz"
    function = measure_left_ventricle(voxels(path), NiftiSequence(path).grid.affine)
    assert function.ef_percent == pytest.approx(float(rows[0]["ef_percent"]), abs=6)  # voxels of 6 x 6 x 8 mm


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(written: Path, tmp_path: Path) -> None:
    parallel = write_dataset(tmp_path / "two", TINY, seed=3, num_workers=2, progress=False).parent
    assert contents(parallel) == contents(written)


def test_running_again_touches_nothing(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "write_one", lambda job: pytest.fail(f"{job.plan.id} was made again"))
    before = contents(written)
    write_dataset(written, TINY, seed=3, progress=False)
    assert contents(written) == before


def test_interrupted_sequence_is_made_again_and_others_are_kept(
    written: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copy / "truth" / "phantom_001.json").unlink()  # killed before the record, which comes last
    (copy / "imagesTr" / "phantom_001.nii.gz").write_bytes(b"half a file")
    (copy / "labelsTr" / "phantom_002.nii.gz").unlink()  # or a file was lost since
    made: list[str] = []
    original = dataset.write_one
    monkeypatch.setattr(dataset, "write_one", lambda job: made.append(original(job)))
    write_dataset(copy, TINY, seed=3, progress=False)
    assert made == ["phantom_001", "phantom_002"]
    assert contents(copy) == contents(written)


def test_file_cut_short_is_made_again_and_an_edited_one_is_kept(written: Path, copy: Path) -> None:
    image = copy / "imagesTr" / "phantom_001.nii.gz"
    image.write_bytes(image.read_bytes()[:1000])
    label = copy / "labelsTr" / "phantom_002.nii.gz"
    label.write_bytes((copy / "labelsTr" / "phantom_001.nii.gz").read_bytes())  # whole, if not ours
    edited = label.read_bytes()
    write_dataset(copy, TINY, seed=3, progress=False)
    assert image.read_bytes() == (written / "imagesTr" / "phantom_001.nii.gz").read_bytes()
    assert label.read_bytes() == edited


def test_failure_leaves_neither_record_nor_data_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(study: object) -> np.ndarray:
        raise OSError("disk full")

    monkeypatch.setattr(dataset.Study, "image", fail)
    with pytest.raises(OSError, match="disk full"):
        write_dataset(tmp_path / "new", TINY, seed=3, progress=False)
    assert not list((tmp_path / "new" / "truth").glob("*.json"))
    assert not (tmp_path / "new" / "dataset.json").exists()


@pytest.mark.parametrize(
    ("preset", "seed"), [(TINY, 4), (replace(TINY, label_jitter=False), 3)], ids=["seed", "preset"]
)
def test_folder_of_other_parameters_is_refused(copy: Path, preset: dataset.Preset, seed: int) -> None:
    before = contents(copy)
    with pytest.raises(InputError, match=r"other parameters.*another output folder"):
        write_dataset(copy, preset, seed=seed, progress=False)
    assert contents(copy) == before


def test_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"does not hold a phantom.*another output folder"):
        write_dataset(tmp_path, TINY, progress=False)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_edited_data_list_is_kept(copy: Path) -> None:
    edited = '{"training": [], "mine": true}'
    (copy / "dataset.json").write_text(edited)
    write_dataset(copy, TINY, seed=3, progress=False)
    assert (copy / "dataset.json").read_text() == edited


def test_without_a_test_set_of_its_own_the_test_list_repeats_validation(tmp_path: Path) -> None:
    preset = replace(TINY, num_training=1, num_test=0, num_labeled_frames=4, random_split=True)
    document = json.loads(write_dataset(tmp_path / "new", preset, progress=False).read_text())
    assert document["test"] == document["validation"] != []
    assert "imagesTr" in document["test"][0]["image"]


@pytest.mark.parametrize(
    ("arguments", "name"), [({"preset": "huge"}, "preset"), ({"seed": -1}, "seed"), ({"num_workers": 0}, "num_workers")]
)
def test_arguments_are_checked_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, str | int], name: str
) -> None:
    with pytest.raises(ValueError, match=f"`{name}`"):
        write_dataset(tmp_path / "new", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()
