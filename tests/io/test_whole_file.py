# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from cardiac4d.io.whole_file import whole_file


def test_file_appears_when_it_is_finished(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.nii.gz"
    with whole_file(target) as partial:
        partial.write_bytes(b"content")
        assert not target.exists()
        assert partial.name.startswith(".")
        assert partial.suffixes == [".nii", ".gz"]
    assert target.read_bytes() == b"content"
    assert list(target.parent.iterdir()) == [target]


def fail_half_way(target: Path) -> None:
    with whole_file(target) as partial:
        partial.write_text("ne")
        raise OSError("disk full")


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(OSError, match="disk full"):
        fail_half_way(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_two_writers_do_not_share_a_name(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as first, whole_file(tmp_path / "a") as second:
        assert first != second
        first.touch()
        second.touch()
