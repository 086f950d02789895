# SPDX-License-Identifier: Apache-2.0
"""A file cut short is told from a whole one, at any place of the cut, without reading its voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cardiac4d.io.truncation import is_whole_nifti
from tests.helpers.sequences import noise, write_nifti


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_file_cut_short_is_not_whole(tmp_path: Path, suffix: str) -> None:
    path = write_nifti(tmp_path / f"a{suffix}", noise((6, 5, 4, 3)))
    assert is_whole_nifti(path)
    content = path.read_bytes()
    for length in (0, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert not is_whole_nifti(path), length


def test_missing_file_and_other_content_are_not_whole(tmp_path: Path) -> None:
    (tmp_path / "text.nii.gz").write_text("not gzip")
    assert not is_whole_nifti(tmp_path / "text.nii.gz")
    assert not is_whole_nifti(tmp_path / "missing.nii")


def test_only_the_header_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros((4, 4, 4, 2), np.int16))
    monkeypatch.setattr("nibabel.arrayproxy.ArrayProxy._get_unscaled", lambda *_: pytest.fail("voxels were read"))
    assert is_whole_nifti(path)
