# SPDX-License-Identifier: Apache-2.0
"""Studies are prepared once, again when anything changed, and give what they gave without the detour."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.transforms import CastToTyped, Compose

from cardiac4d.errors import InputError
from cardiac4d.io import load_datalist
from cardiac4d.io.claims import claimed, remove_abandoned
from cardiac4d.transforms import LoadSequenced, LoadSparseLabelsd, RandSparseCropd, TimeLastd
from cardiac4d.workflows import PreparedDataset, prepared_dataset
from tests.helpers.sequences import write_nifti
from tests.helpers.studies import write_small_dataset

CROP = (6, 6, 5, 3)


def preparation(spacing_mm: float = 5.0) -> Compose:
    grid = {"spacing_mm": (spacing_mm, 5.0, 6.0), "orientation": "RAS"}
    return Compose([LoadSequenced("image", **grid), LoadSparseLabelsd("label", **grid), TimeLastd(("image", "label"))])


def crops() -> Compose:
    return Compose([RandSparseCropd(roi_size=CROP), CastToTyped("image", torch.float32)])


@pytest.fixture
def entries(tmp_path: Path) -> list[dict[str, Any]]:
    entries = load_datalist(write_small_dataset(tmp_path / "data") / "dataset.json", "training")
    for file in (tmp_path / "data").rglob("*.nii.gz"):  # so old that their digests are kept
        os.utime(file, (1e9, 1e9))
    return entries


@pytest.fixture
def prepare(tmp_path: Path, entries: list[dict[str, Any]]) -> Any:
    def make(data: Any = entries, steps: Any = None, **options: Any) -> PreparedDataset:
        settings = {"folder": tmp_path / "prepared", "progress": False, **options}
        return PreparedDataset(data, steps or preparation(), **settings)

    return make


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the studies that are prepared from here on."""
    seen: list[str] = []
    write = prepared_dataset.write_prepared
    monkeypatch.setattr(prepared_dataset, "write_prepared", lambda *a: (seen.append(a[1]["id"]), write(*a)))
    return seen


def test_crops_are_those_of_the_studies_themselves(entries: list, prepare: Any) -> None:
    one, other = crops(), crops()
    direct = Dataset(entries, Compose([preparation(), *one.transforms]))
    prepared = prepare(transform=other, dtype="float32")
    for random in (one, other):
        random.transforms[0].set_random_state(seed=3)
    for expected, found in zip(direct, prepared, strict=True):
        assert found["image"].dtype == torch.float32
        assert found["image"].shape == (1, *CROP)
        for key in ("image", "label"):
            assert torch.equal(found[key].as_tensor(), expected[key].as_tensor())
            assert torch.equal(found[key].affine, expected[key].affine)


def test_second_run_prepares_nothing(prepare: Any, loads: list[str], caplog: pytest.LogCaptureFixture) -> None:
    prepare()
    assert loads == ["train0", "train1"]
    with caplog.at_level(logging.INFO):
        prepare()
    assert loads == ["train0", "train1"]
    assert "all 2 studies are prepared" in caplog.text


def test_changed_file_entry_parameter_or_type_is_prepared_anew(entries: list, prepare: Any, loads: list[str]) -> None:
    prepare()
    image = Path(entries[0]["image"])
    image.write_bytes(image.read_bytes() + b"\0")  # zeros after the end of a gzip file are ignored by readers
    prepare()
    assert loads[2:] == ["train0"]
    prepare([{**entries[0], "full_cycle": False}, entries[1]])
    assert loads[3:] == ["train0"]
    prepare(steps=preparation(4.0))
    assert loads[4:] == ["train0", "train1"]
    prepare(dtype="float32")
    assert loads[6:] == ["train0", "train1"]
    prepare()
    assert len(loads) == 8  # what was prepared first is still there


def test_interrupted_preparation_goes_on(prepare: Any, loads: list[str]) -> None:
    prepare().files[1].unlink()
    prepare()
    assert loads == ["train0", "train1", "train1"]


def test_moved_data_set_is_known_again(tmp_path: Path, prepare: Any, loads: list[str]) -> None:
    prepare()
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    prepare(load_datalist(tmp_path / "elsewhere" / "dataset.json", "training"))
    assert len(loads) == 2


def test_items_cannot_change_what_is_on_disk(prepare: Any) -> None:
    dataset = prepare()
    first = dataset[0]["label"].clone()
    dataset[0]["label"].fill_(7)
    assert torch.equal(dataset[0]["label"].as_tensor(), first.as_tensor())


def test_data_loading_workers_read_it(prepare: Any) -> None:
    loader = DataLoader(prepare(transform=crops()), batch_size=2, num_workers=1)
    assert next(iter(loader))["image"].shape == (2, 1, *CROP)


def test_threads_prepare_the_same(tmp_path: Path, prepare: Any) -> None:
    one, two = prepare(), prepare(folder=tmp_path / "other", num_workers=2)
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a["image"].as_tensor(), b["image"].as_tensor())
    assert [f.name for f in one.files] == [f.name for f in two.files]


def test_damaged_study_does_not_stop_the_others(
    entries: list, prepare: Any, loads: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    image = Path(entries[0]["image"])
    image.write_bytes(image.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"train0\.nii\.gz"):
        prepare()
    assert loads == ["train1"]
    assert "train0 cannot be prepared" in caplog.text


def test_all_damaged_studies_are_named(entries: list, prepare: Any) -> None:
    for entry in entries:
        image = Path(entry["image"])
        image.write_bytes(image.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"2 studies cannot be prepared.*train0.*train1.*Fix: mend these files"):
        prepare()


def fail(error: Exception) -> None:
    raise error


def test_full_disk_is_said_and_leaves_nothing_half(
    tmp_path: Path, prepare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(document: Any, file: Any) -> None:
        file.write(b"half")
        with ExitStack() as archive:
            archive.callback(fail, RuntimeError("unexpected pos 704 vs 598"))  # PyTorch's, while it closes the archive
            fail(OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match=r"prepared: the disk is full. Fix: free space"):
        prepare()
    assert list((tmp_path / "prepared").glob("*.pt")) == []
    assert list((tmp_path / "prepared").glob(".*")) == []


def test_disk_that_takes_no_files_is_said_only_where_studies_are_missing(
    prepare: Any, monkeypatch: pytest.MonkeyPatch, loads: list[str]
) -> None:
    files = prepare().files
    open_file = Path.open

    def read_only(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if "w" in mode:
            raise OSError(errno.EROFS, "Read-only file system", str(self))
        return open_file(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", read_only)
    assert len(prepare()) == 2
    files[1].unlink()
    with pytest.raises(InputError, match=r"prepared: prepared studies cannot be kept there \(Read-only .*Fix: name a"):
        prepare()
    assert loads == ["train0", "train1"]


def test_what_a_killed_process_left_is_removed_and_what_a_running_one_writes_is_not(
    tmp_path: Path, prepare: Any, loads: list[str]
) -> None:
    files = prepare().files
    for file in files:
        file.unlink()
        (file.parent / f".0123abcd-{file.name}").write_bytes(b"half")
    lock = files[1].with_name(f".{files[1].name}.lock")

    with claimed(files[1]) as is_ours:
        assert is_ours
        assert lock.exists()
        with claimed(files[1]) as again:
            assert not again
        remove_abandoned(tmp_path / "prepared")
        assert [file.name[10:] for file in (tmp_path / "prepared").glob(".????????-*")] == [files[1].name]
    prepare()
    assert loads[2:] == ["train0", "train1"]
    assert [file for file in (tmp_path / "prepared").iterdir() if file.name.startswith(".")] == []


def test_study_that_another_process_prepares_is_left_to_it(prepare: Any, loads: list[str]) -> None:
    dataset = prepare()
    for file in dataset.files:
        file.unlink()
    with claimed(dataset.files[0]):
        assert dataset._prepare_one(0, wait=False) is None
        assert dataset._prepare_one(1, wait=False) is None
    assert loads[2:] == ["train1"]
    assert not dataset.files[0].exists()
    dataset._prepare_one(0)
    assert loads[3:] == ["train0"]


def test_processes_begin_at_different_studies(prepare: Any, loads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_dataset, "process_rank", lambda: 1)
    prepare()
    assert loads == ["train1", "train0"]


def test_no_worker_is_refused(prepare: Any) -> None:
    with pytest.raises(ValueError, match="`num_workers` must be at least 1, got 0"):
        prepare(num_workers=0)


def test_folder_that_cannot_be_made_is_refused(tmp_path: Path, prepare: Any) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match=r"file: prepared studies cannot be kept there.*Fix: name a folder"):
        prepare(folder=tmp_path / "file")


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"half"), lambda file: file.unlink()])
def test_prepared_study_that_was_damaged_or_removed_is_prepared_again(
    prepare: Any, damage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = prepare()
    before = dataset[0]["label"].clone()
    damage(dataset.files[0])
    assert torch.equal(dataset[0]["label"].as_tensor(), before.as_tensor())
    assert "It is prepared again now" in caplog.text


def test_renamed_phases_are_prepared_anew_where_names_tell_their_times(
    tmp_path: Path, prepare: Any, loads: list[str]
) -> None:
    def entry(percents: tuple[int, int]) -> dict[str, Any]:
        folder = tmp_path / f"to{percents[1]}"
        files = [
            write_nifti(folder / f"{p}pct.nii", np.full((6, 6, 6), 7 * i, np.int16)) for i, p in enumerate(percents)
        ]
        return {"id": "a", "image": {"files": [str(file) for file in files], "rr_interval_ms": 800.0}}

    steps = Compose([LoadSequenced("image", spacing_mm=None, orientation=None)])
    for percents in ((0, 5), (0, 10), (0, 5)):
        dataset = prepare([entry(percents)], steps)
        assert dataset[0]["image"].meta["frame_times_ms"].tolist() == [0.0, 8.0 * percents[1]]
    assert loads == ["a", "a"]
