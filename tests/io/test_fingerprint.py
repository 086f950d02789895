# SPDX-License-Identifier: Apache-2.0
"""Files are known by what they hold, and read again only when they may have changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from cardiac4d.io import fingerprint
from cardiac4d.io.fingerprint import Fingerprints


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write(tmp_path / "study.nii", b"voxels")


def write(path: Path, content: bytes, age_s: int = 60) -> Path:
    path.write_bytes(content)
    changed = path.stat().st_mtime - age_s
    os.utime(path, (changed, changed))
    return path


def test_digest_is_sha256_of_the_content_wherever_the_file_lies(tmp_path: Path, study: Path) -> None:
    copy = write(tmp_path / "copy.nii", b"voxels")
    known = Fingerprints(tmp_path / "memory.json")
    assert known.of(str(study)) == known.of(copy) == hashlib.sha256(b"voxels").hexdigest()


def test_structures_are_followed_and_other_values_stay(tmp_path: Path, study: Path) -> None:
    digest = hashlib.sha256(b"voxels").hexdigest()
    entry = {"id": "study.nii", "image": [str(study)], "frames": [0, 1], "label": {0: str(study)}, "ef": 61.5}
    found = Fingerprints(tmp_path / "memory.json").of(entry)
    assert found == {"id": "study.nii", "image": [digest], "frames": [0, 1], "label": {"0": digest}, "ef": 61.5}


def test_names_that_happen_to_be_files_here_are_no_paths(
    tmp_path: Path, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Fingerprints(tmp_path / "memory.json").of(study.name) == "study.nii"


def test_folder_counts_names_and_contents_of_all_files_below(tmp_path: Path) -> None:
    folder = tmp_path / "dicom"
    (folder / "series").mkdir(parents=True)
    write(folder / "series" / "1.dcm", b"a")
    known = Fingerprints(tmp_path / "memory.json")
    first = known.of(str(folder))
    assert list(first) == [str(Path("series") / "1.dcm")]
    (folder / "series" / "1.dcm").rename(folder / "series" / "2.dcm")
    assert known.of(str(folder)) != first


def test_unchanged_file_is_not_read_again(tmp_path: Path, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Fingerprints(tmp_path / "memory.json")
    digest = first.of(str(study))
    first.save()
    monkeypatch.setattr(fingerprint, "file_sha256", lambda path: pytest.fail(f"{path} is read again"))
    assert Fingerprints(tmp_path / "memory.json").of(str(study)) == digest


@pytest.mark.parametrize("content", [b"VOXELS", b"more voxels"], ids=["same size", "other size"])
def test_changed_file_is_noticed(tmp_path: Path, study: Path, content: bytes) -> None:
    first = Fingerprints(tmp_path / "memory.json")
    first.of(str(study))
    first.save()
    write(study, content, age_s=30)
    assert Fingerprints(tmp_path / "memory.json").of(str(study)) == hashlib.sha256(content).hexdigest()


def test_file_that_may_still_be_changing_is_read_each_time(tmp_path: Path) -> None:
    study = write(tmp_path / "study.nii", b"voxels", age_s=0)
    known = Fingerprints(tmp_path / "memory.json")
    known.of(str(study))
    state = study.stat()
    study.write_bytes(b"VOXELS")
    os.utime(study, ns=(state.st_atime_ns, state.st_mtime_ns))  # as if within one tick of the clock
    assert known.of(str(study)) == hashlib.sha256(b"VOXELS").hexdigest()


def test_damaged_memory_is_begun_anew(tmp_path: Path, study: Path) -> None:
    (tmp_path / "memory.json").write_text("{half", encoding="utf-8")
    known = Fingerprints(tmp_path / "memory.json")
    digest = known.of(str(study))
    known.save()
    assert Fingerprints(tmp_path / "memory.json")._known[str(study)][3] == digest


@pytest.mark.parametrize(
    ("header", "text"),
    [("s.mhd", b"NDims = 4\nElementDataFile = s.raw\n"), ("s.nhdr", b"NRRD0004\ndata file: s.raw\nsizes: 1 1 1 2\n")],
)
def test_voxels_in_a_file_beside_their_header_count_too(tmp_path: Path, header: str, text: bytes) -> None:
    study = write(tmp_path / header, text)
    write(tmp_path / "s.raw", b"voxels")
    known = Fingerprints(tmp_path / "memory.json")
    first = known.of(str(study))
    write(tmp_path / "s.raw", b"others")
    assert known.of(str(study)) != first
